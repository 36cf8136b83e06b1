"""Asking a component whether it is well: the kinds a plan can name.

A probe answers a text: empty for well, else the reason in one line. It never raises and never starts a process.

=============  =====================================================  =========================================
kind           settings                                               well means
=============  =====================================================  =========================================
``none``                                                              it runs
``postgres``   ``port``, ``password``                                 a query was answered
``http``       ``url``                                                status 200
``runtime``    ``run_dir``                                            the runtime says so in ``status.json``
``aws``        ``url``, ``path``, ``region``, ``provision``           it answers, and holds what was asked for
``schema``     ``port``, ``password``, ``heads``                      every table stands at its head
``file``       ``path``, ``max_age``                                  touched since the start, and lately
=============  =====================================================  =========================================
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mwaa_local.engines.process import postgres
from mwaa_local.errors import MwaaLocalError
from mwaa_local.runtime import health, status

_SECONDS = 3.0
_STATUS_FRESH_SECONDS = 10.0
QUICK = frozenset({"none", "file", "runtime"})  # read a file at most: not worth a thread


@dataclass
class Memory:
    """What a probe may remember between two calls for the same process.

    Attributes:
        pid: The component's process.
        started_at: Its start, seconds since the epoch.
        provisioned: Which process of the AWS endpoint was given what last.
        seen: Which state of a status file was read last (inode, time).
        answer: What it meant.
    """

    pid: int
    started_at: float
    provisioned: Any = None
    seen: tuple[int, int] | None = None
    answer: str = ""


def ask(probe: Mapping[str, Any], memory: Memory) -> str:
    """Run one probe; blocking, at most a few seconds."""
    try:
        return _KINDS[str(probe.get("kind", "none"))](probe, memory)
    except KeyError as error:
        return f"probe lacks {error}"
    except MwaaLocalError as error:
        return f"{error.what}: {error.why}" if error.why else error.what
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def _none(_probe: Mapping[str, Any], _memory: Memory) -> str:
    return ""


def _postgres(probe: Mapping[str, Any], _memory: Memory) -> str:
    return postgres.answers(int(probe["port"]), str(probe["password"]))


def _schema(probe: Mapping[str, Any], _memory: Memory) -> str:
    wanted = dict(probe["heads"])
    found = postgres.schema_heads(int(probe["port"]), str(probe["password"]), list(wanted))
    behind = [f"{table} is at {found[table]}, not {head}" for table, head in wanted.items() if found[table] != head]
    return "; ".join(behind)


def _http(probe: Mapping[str, Any], _memory: Memory) -> str:
    return _get(str(probe["url"]))[0]


def _get(url: str) -> tuple[str, bytes]:
    """What is wrong with an address, and what it answered."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        body = response.read(65536)
        if response.status == 200:
            return "", body
        return _problem(body) or f"HTTP {response.status} from {url}", body
    except http.client.HTTPException as error:
        return f"{type(error).__name__} from {url}", b""
    finally:
        connection.close()


def _problem(body: bytes) -> str:
    """What an answer says is wrong, in its own words; empty if it has none."""
    problem = _member(body, "problem")
    return problem if isinstance(problem, str) else ""


def _member(body: bytes, name: str) -> Any:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _aws(probe: Mapping[str, Any], memory: Memory) -> str:
    """Give a freshly started endpoint what the environment needs before anyone may use it.

    After a crash its checkpoint may be older than the queue, so this belongs to being ready, not to ``up``.
    """
    said, body = _get(str(probe["url"]).rstrip("/") + str(probe["path"]))
    wanted = (_member(body, "started_at"), probe["provision"])
    if said or memory.provisioned == wanted:
        return said
    from mwaa_local.aws import client

    client.provision(str(probe["url"]), str(probe["region"]), **dict(probe["provision"]))
    memory.provisioned = wanted
    return ""


def _runtime(probe: Mapping[str, Any], memory: Memory) -> str:
    """The component's own supervisor asks its processes; here its answer is read, if it is of this process."""
    run_dir = Path(probe["run_dir"])
    try:
        stat = (run_dir / status.FILE_NAME).stat()
    except FileNotFoundError:
        return "booting"
    seen = (stat.st_ino, stat.st_mtime_ns)
    fresh = time.time() - stat.st_mtime < _STATUS_FRESH_SECONDS  # an old answer must be weighed again
    if memory.seen != seen or not fresh:
        memory.seen, memory.answer = seen, _supervisor(run_dir, memory.pid)
    return memory.answer


def _supervisor(run_dir: Path, pid: int) -> str:
    kept = status.read(run_dir)
    if kept is None or kept.get("pid") != pid:
        return "booting"
    found = health.from_status(run_dir)
    return "" if found.ok else found.detail or "unwell"


def _file(probe: Mapping[str, Any], memory: Memory) -> str:
    touched = Path(probe["path"]).stat().st_mtime
    if touched < memory.started_at - 0.01:  # left by an earlier process; file times are coarser than the clock
        return "no sign of life yet"
    age = time.time() - touched
    return "" if age <= float(probe["max_age"]) else f"last sign of life {age:.0f} s ago"


_KINDS: dict[str, Callable[[Mapping[str, Any], Memory], str]] = {
    "none": _none,
    "postgres": _postgres,
    "schema": _schema,
    "http": _http,
    "aws": _aws,
    "runtime": _runtime,
    "file": _file,
}
