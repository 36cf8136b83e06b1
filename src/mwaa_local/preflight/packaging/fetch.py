"""Downloading archives, each once per machine, checked against the digest the index gave."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from mwaa_local.errors import EndpointError
from mwaa_local.packages import fetch
from mwaa_local.packages.paths import from_url, is_url, redact
from mwaa_local.packages.uv_tool import Uv
from mwaa_local.preflight.resolving.types import Archive

_CONNECT_S = 15.0
_TOTAL_S = 300.0
_CHUNK = 1 << 18


def archive(item: Archive, uv: Uv, *, total_s: float = _TOTAL_S) -> Path:
    """The file of an archive, from the cache or downloaded.

    Args:
        item: The archive; a path on this machine is used where it lies.
        uv: Cache, proxies and certificates.
        total_s: Limit in seconds.

    Raises:
        EndpointError: no answer in time, a refusal, or other bytes than the index promised.
        OSError: the disk is full.
    """
    if not is_url(item.url) or item.url.lower().startswith("file:"):
        return Path(from_url(item.url) if is_url(item.url) else item.url)
    key = item.sha256 or hashlib.sha256(redact(item.url).encode()).hexdigest()
    place = uv.cache / "archives" / key[:40] / item.name
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as stream:
        part = Path(stream.name)
        try:
            digest = _copy(item, uv, stream, time.monotonic() + total_s)
            if item.sha256 and digest != item.sha256:
                raise EndpointError(
                    f"{item.name} is not what the index promised", where=redact(item.url),
                    why=f"its SHA-256 is {digest}, promised was {item.sha256}",
                    hint="try again; a proxy may have changed it",
                )  # fmt: skip
            stream.close()
            part.chmod(0o644)  # a container reads it as another user
            part.replace(place)
        except BaseException:
            part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                place.parent.rmdir()
            raise
    return place


def _copy(item: Archive, uv: Uv, stream: object, deadline: float) -> str:
    url = item.url.partition("#")[0]
    request = fetch.request_of(url)
    host = request.host.partition(":")[0]
    context = fetch.tls(uv.settings, host)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(fetch.proxies(uv.environment, uv.settings, host)),
        urllib.request.HTTPSHandler(context=context),
    )
    whole = hashlib.sha256()
    try:
        with opener.open(request, timeout=_CONNECT_S) as answer:
            while data := answer.read(_CHUNK):
                whole.update(data)
                stream.write(data)  # type: ignore[attr-defined]
                if time.monotonic() > deadline:
                    raise TimeoutError("it took too long")
    except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise EndpointError(
            f"{item.name} cannot be downloaded", where=redact(url), why=str(getattr(error, "reason", error)),
            hint="check the network and the proxy",
        ) from error  # fmt: skip
    return whole.hexdigest()


def copy(item: Archive, uv: Uv, folder: Path) -> Path:
    """The archive in a folder.

    Raises:
        EndpointError: it cannot be downloaded.
        OSError: it cannot be written.
    """
    target = folder / item.name
    shutil.copyfile(archive(item, uv), target)
    return target
