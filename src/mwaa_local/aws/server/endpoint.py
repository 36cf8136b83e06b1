"""The AWS endpoint: ``python -m mwaa_local.aws.server --host 127.0.0.1 --port N --state DIR``.

Hosts MiniStack's ASGI application in this process and keeps its data: see ``checkpoint``, ``queues`` and ``logs``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypercorn.utils import LifespanFailureError

from mwaa_local.aws.server import host as hosting
from mwaa_local.aws.server import soundness, statefiles
from mwaa_local.aws.server.admission import Admission
from mwaa_local.errors import EndpointError
from mwaa_local.ground.damage import Damage, DamagedError

DEFAULT_ACCOUNT = "000000000000"
log = logging.getLogger("mwaa_local.aws")


class Endpoint:
    """The parts of the endpoint, wired.

    Args:
        state: Folder of everything it keeps.
        region: Region of requests that name none.
        logs_mb: Memory for log events, MiB.
        admission: What may be asked of it.
    """

    def __init__(self, state: Path, *, region: str, logs_mb: int, admission: Admission) -> None:
        from mwaa_local.aws.server.asgi import Application
        from mwaa_local.aws.server.checkpoint import Checkpoints
        from mwaa_local.aws.server.host import Host
        from mwaa_local.aws.server.journal import Journal
        from mwaa_local.aws.server.logs import Logs
        from mwaa_local.aws.server.queues import Queues
        from mwaa_local.aws.server.sent import SentRecord

        self._region = region
        self._state = state
        self._started_at = time.time()
        self.host = Host(self._changed, admission=admission, region=region)
        codec = {"encode": self.host.persistence._json_default, "decode": self.host.persistence._json_object_hook}
        self.journals = {name: Journal(state / "journal", name, **codec) for name in ("sqs", "cloudwatch_logs")}
        self.checkpoints = Checkpoints(self.host, state / "services", self.journals)
        self.sent = SentRecord(state / "sent")
        self.queues = Queues(self.host, self.journals["sqs"], self.sent, self._changed)
        self.logs = Logs(self.host, self.journals["cloudwatch_logs"], self._changed, limit_bytes=logs_mb << 20)
        self.application = Application(
            self.host,
            route=self._route,
            changed=self._changed,
            reset=self._reset,
            started=self._start,
            stopping=self._stop,
        )
        self.host.keeping = self.checkpoints
        self.failure: EndpointError | None = None
        self._keepers: list[asyncio.Task[None]] = []

    def _changed(self, service: str) -> None:
        self.checkpoints.changed(service)

    async def _start(self) -> None:
        try:
            self._take_up()
        except DamagedError as error:
            self.failure = damaged(error.found)
            raise self.failure from error
        self._keepers = [
            asyncio.create_task(work) for work in (self.checkpoints.run(), self.checkpoints.keep_syncing())
        ]

    def _take_up(self) -> None:
        """Load what is kept.

        Raises:
            DamagedError: Some of it is not what was written.
        """
        self.host.start()
        replayed = {
            "sqs": self.queues.restore(*self._covered("sqs")),
            "cloudwatch_logs": self.logs.restore(*self._covered("cloudwatch_logs")),
        }
        soundness.note_opened(self._state)
        self.queues.install()
        self.logs.install()
        if any(each.records for each in replayed.values()):
            log.info("replayed %s", ", ".join(f"{each.records} records of {name}" for name, each in replayed.items()))
        for name, each in replayed.items():
            if each.torn:
                log.warning(
                    "%s: cut off %d bytes of a request that a kill had left unfinished and unanswered", name, each.torn
                )

    def _covered(self, service: str) -> tuple[int, int]:
        folder = self.checkpoints.folder
        return statefiles.covered(folder, service), statefiles.covered(folder, service, statefiles.BEFORE)

    async def _stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        if self.checkpoints.pending:
            await self.checkpoints.take()
        for name, journal in self.journals.items():
            try:
                journal.close()
            except OSError as error:
                log.error("the journal of %s could not be closed: %s", name, error)
        self.sent.close()
        self.host.stop()

    async def _reset(self) -> None:
        self.sent.clear()
        await self.checkpoints.take(everything=True)

    # -- private routes ------------------------------------------------------------------------------------------------

    async def _route(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, Any]]:
        parts = path.strip("/").split("/")
        if method == "GET" and parts == ["health"]:
            health = self._health()
            return (507 if health["problem"] else 200), health
        if method == "POST" and parts == ["checkpoint"]:
            return (
                (200, self._health())
                if await self.checkpoints.take(everything=True)
                else (500, {"error": self.checkpoints.error})
            )
        if len(parts) == 3 and parts[0] == "queues":
            account = query.get("account", [DEFAULT_ACCOUNT])[0]
            region = query.get("region", [self._region])[0]
            if method == "GET" and parts[2] == "tasks":
                tasks = self.queues.tasks(account, region, parts[1])
                return (404, {"error": "no-queue"}) if tasks is None else (200, {"queue": parts[1], "tasks": tasks})
            if method == "POST" and parts[2] == "resend":
                return await self._resend(account, region, parts[1], body)
        return 404, {"error": "no-route"}

    async def _resend(self, account: str, region: str, name: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Send a task's recorded message again, unless it is there, was acknowledged, or is not on record."""
        try:
            task_id = str(json.loads(body)["task_id"])
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "bad-request"}
        sent = await asyncio.to_thread(self.sent.find, task_id)
        present = self.queues.tasks(account, region, name)
        if present is None:
            return 404, {"error": "no-queue"}
        if task_id in present:
            return 409, {"error": "present", **present[task_id]}
        if sent is None or (not sent.acknowledged and sent.queue != name):
            return 404, {"error": "not-recorded"}
        if sent.acknowledged:
            return 410, {"error": "acknowledged"}
        return 200, {
            "sent": True,
            "message_id": self.queues.send_again(account, region, name, sent.body, sent.attributes),
        }

    def _problem(self) -> str:
        """Why nothing can be stored now; empty when all is."""
        errors = [self.checkpoints.error, *(journal.error for journal in self.journals.values())]
        first = next((error for error in errors if error), "")
        return f"nothing can be stored: {first}" if first else ""

    def _health(self) -> dict[str, Any]:
        keeping = self.checkpoints
        problem = self._problem()
        return {
            "status": "failing" if problem else "ok",
            "problem": problem,
            "started_at": self._started_at,
            "uptime_s": round(time.time() - self._started_at, 3),
            "region": self._region,
            "services": self.host.loaded_services(),
            "checkpoint": {
                "age_s": round(time.time() - keeping.last_finished, 3),
                "pending": keeping.pending,
                "seconds": round(keeping.last_seconds, 4),
                "stall_s": round(keeping.last_stall, 4),
                "longest_stall_s": round(keeping.longest_stall, 4),
                "error": keeping.error,
            },
            "journals": {
                name: {"bytes": journal.size, "error": journal.error} for name, journal in self.journals.items()
            },
            "logs": {"bytes": self.logs.bytes, "trimmed_events": self.logs.trimmed_events},
        }


async def _serve(endpoint: Endpoint, host: str, port: int, *, die_with_parent: bool) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from mwaa_local.ground.lineage import watch_parent

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def stop_from_thread() -> None:
        loop.call_soon_threadsafe(stop.set)

    if die_with_parent:
        watch_parent(stop_from_thread)
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.3  # a long poll would hold the exit for its ten seconds; its client simply asks again
    config.loglevel = "WARNING"
    config.h11_max_incomplete_size = 65536
    await serve(endpoint.application, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    # All is on disk. A thread that still runs a user's Lambda function must not hold the exit.
    last_word = threading.Timer(0.5, os._exit, [0])
    last_word.daemon = True
    last_word.start()


def _lock(state: Path, *, wait_s: float = 5.0) -> int:
    """Be the only server on this folder; a predecessor on its way out gets a moment.

    Returns:
        The descriptor that holds the lock as long as it is open.

    Raises:
        EndpointError: Another server keeps its data there.
    """
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise EndpointError(
                "Another AWS endpoint keeps its data in this folder",
                where=str(state),
                why=f"process {owner} holds the lock",
                hint="Stop that process, or give this one a folder of its own (--state)",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor


def damaged(found: Sequence[Damage]) -> EndpointError:
    """The refusal to start on data that is not what was written."""
    return EndpointError(
        "The AWS endpoint's data is damaged, so it does not start: what it would not find it would overwrite",
        where=str(found[0].path),
        why="\n".join(map(str, found)),
        hint="`mwaa-local doctor --state` says what can be done, with --repair it does it after a copy",
    )


def _close_to_others(state: Path) -> None:
    """Secrets lie here in clear: the folders are the owner's alone, also those that an earlier version made."""
    os.umask(0o077)
    for name in ("", "services", "s3", "journal", "sent"):
        (state / name).chmod(0o700)


def _keep_bytecode(fallback: Path) -> None:
    """Let the next start find MiniStack compiled: compiling it costs 0.4 s and leaves 25 MB of heap behind.

    Installers such as uv leave that to the first import, and ``PYTHONDONTWRITEBYTECODE`` is common in containers.
    """
    sys.dont_write_bytecode = False
    spec = importlib.util.find_spec("ministack")
    places = spec.submodule_search_locations if spec is not None else None
    if places and not os.access(places[0], os.W_OK) and not (Path(places[0]) / "__pycache__").exists():
        sys.pycache_prefix = str(fallback)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    parser = argparse.ArgumentParser(prog="mwaa_local.aws.server", description="The local AWS endpoint.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to bind")
    parser.add_argument("--state", type=Path, required=True, help="folder in which everything is kept")
    parser.add_argument(
        "--region", default="us-east-1", help="region of requests that name none (default: %(default)s)"
    )
    parser.add_argument(
        "--logs-mb",
        type=int,
        default=96,
        help="memory for log events in MiB; the oldest go first (default: %(default)s)",
    )
    parser.add_argument(
        "--service", action="append", default=[], metavar="NAME", help="answer this service though it only pretends"
    )
    parser.add_argument("--containers", action="store_true", help="let such services start containers on Docker here")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the starting process ends")
    given = parser.parse_args(arguments)
    state = given.state.resolve()
    for name in ("services", "s3", "journal", "sent"):
        (state / name).mkdir(parents=True, exist_ok=True)
    _close_to_others(state)
    _keep_bytecode(state / "bytecode")
    hosting.configure(state, region=given.region, port=given.port)
    try:
        lock = _lock(state)
    except EndpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    admission = Admission(frozenset(given.service), given.containers)
    try:
        found = soundness.check(state)
        if found:
            raise damaged(found)
    except EndpointError as error:
        print(error, file=sys.stderr)
        os.close(lock)
        return error.exit_code
    endpoint = Endpoint(state, region=given.region, logs_mb=given.logs_mb, admission=admission)
    try:
        asyncio.run(_serve(endpoint, given.host, given.port, die_with_parent=given.die_with_parent))
    except (EndpointError, LifespanFailureError):
        if endpoint.failure is None:
            raise
        print(endpoint.failure, file=sys.stderr)
        return endpoint.failure.exit_code
    except OSError as error:
        print(f"The AWS endpoint cannot listen on {given.host}:{given.port}: {error}", file=sys.stderr)
        return 1
    finally:
        os.close(lock)
    return 0
