"""Fetching one small text over HTTP with every wait bounded, and remembering what did not answer.

A machine without a way out may take the full time-out for each connection. What failed once is not asked again for an
hour, by any component, so that an offline start waits once at most.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from mwaa_local.packages.paths import redact
from mwaa_local.packages.pip_settings import PipSettings

CONNECT_S = 5.0
TOTAL_S = 20.0
FORGET_AFTER_S = 3600.0
_MEMORY = ".unreachable.json"
_MAX_BYTES = 8 * 1024 * 1024


class UnreachableError(Exception):
    """An address did not answer with a text; the message names it and says why, without passwords."""


def text(
    url: str,
    *,
    memory: Path,
    environment: Mapping[str, str],
    settings: PipSettings,
    connect_s: float = CONNECT_S,
    total_s: float = TOTAL_S,
) -> str:
    """The body of a URL.

    Args:
        url: An http, https or file URL.
        memory: Folder that remembers addresses which did not answer.
        environment: Proxy variables (``HTTPS_PROXY``, ``NO_PROXY``, ...).
        settings: pip's certificate and proxy.
        connect_s: Limit for the connection and for each wait on it, in seconds.
        total_s: Limit for everything, name look-up included, in seconds.

    Raises:
        UnreachableError: no answer in time, a refusal, a status other than 200, or a failure within the last hour.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    for key in (host, redact(url)):
        if (why := _remembered(memory, key)) is not None:
            raise UnreachableError(f"{redact(url)}: {why} (asked less than {FORGET_AFTER_S / 3600:.0f} h ago)")
    result: list[str | Exception] = []

    def work() -> None:
        try:
            result.append(_get(url, environment, settings, connect_s))
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which sorts them
            result.append(error)

    # getaddrinfo knows no time-out: the wait is bounded from outside and the thread left to end by itself.
    thread = threading.Thread(target=work, daemon=True, name="fetch")
    thread.start()
    thread.join(total_s)
    outcome: str | Exception = result[0] if result else TimeoutError(f"no answer within {total_s:.0f} s")
    if isinstance(outcome, str):
        return outcome
    if isinstance(outcome, urllib.error.HTTPError):
        outcome.close()
        why = f"answers {outcome.code} {outcome.reason}"
        _remember(memory, redact(url), why)
    else:
        reason = outcome.reason if isinstance(outcome, urllib.error.URLError) else outcome
        why = f"cannot be reached: {reason}"
        _remember(memory, host, why)
    raise UnreachableError(f"{redact(url)}: {why}")


def forget(memory: Path) -> None:
    """Ask every address again."""
    (memory / _MEMORY).unlink(missing_ok=True)


def write_atomically(path: Path, content: str) -> None:
    """Write a text so that a reader sees all of it or nothing.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        # mkstemp makes files for the owner only; another user's component reads the cache of an image too.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def tls(settings: PipSettings, host: str, trusted: Sequence[str] = ()) -> ssl.SSLContext:
    """How a host's certificate is checked.

    Args:
        settings: pip's certificates and trusted hosts.
        host: The host's name, without a port.
        trusted: Further hosts that are not checked.
    """
    context = ssl.create_default_context()
    cert = settings.cert
    if cert and Path(cert).exists():
        context.load_verify_locations(**({"capath": cert} if Path(cert).is_dir() else {"cafile": cert}))
    if settings.client_cert and Path(settings.client_cert).exists():
        context.load_cert_chain(settings.client_cert)
    if host in {name.partition(":")[0] for name in (*settings.trusted_hosts, *trusted)}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _get(url: str, environment: Mapping[str, str], settings: PipSettings, connect_s: float) -> str:
    host = urllib.parse.urlsplit(url).hostname or ""
    context = tls(settings, host)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies(environment, settings, host)), urllib.request.HTTPSHandler(context=context)
    )
    request = request_of(url)
    with opener.open(request, timeout=connect_s) as answer:
        data: bytes = answer.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES // 1024 // 1024} MB")
    return data.decode("utf-8")


def request_of(url: str) -> urllib.request.Request:
    """The request, a login in the URL moved to the header (urllib would take it for a part of the host)."""
    parts = urllib.parse.urlsplit(url)
    login, sign, host = parts.netloc.rpartition("@")
    headers = {"User-Agent": "mwaa-local"}
    if sign:
        plain = urllib.parse.unquote(login)
        headers["Authorization"] = "Basic " + base64.b64encode(plain.encode()).decode()
    return urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)), headers=headers)


def proxies(environment: Mapping[str, str], settings: PipSettings, host: str) -> dict[str, str]:
    """Proxies for a host: pip's own setting, else the usual variables unless ``NO_PROXY`` excepts the host."""
    if settings.proxy:
        return {"http": settings.proxy, "https": settings.proxy}
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    for entry in filter(None, (item.strip().lstrip(".") for item in excepted.split(","))):
        if entry == "*" or host == entry or host.endswith("." + entry):
            return {}
    found = {}
    for scheme in ("http", "https"):
        for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
            if environment.get(name):
                found[scheme] = environment[name]
                break
    return found


def _remembered(memory: Path, key: str) -> str | None:
    try:
        at, why = json.loads((memory / _MEMORY).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Wall-clock time, because the memory outlives processes; a clock set back must not keep it for ever.
    return str(why) if 0 <= time.time() - at < FORGET_AFTER_S else None


def _remember(memory: Path, key: str, why: str) -> None:
    path = memory / _MEMORY
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    now = time.time()
    known = {name: entry for name, entry in known.items() if now - entry[0] < FORGET_AFTER_S}
    known[key] = [now, why]
    with contextlib.suppress(OSError):  # a memory that cannot be written costs a wait, not the start
        write_atomically(path, json.dumps(known))
