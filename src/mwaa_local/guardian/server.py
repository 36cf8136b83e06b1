"""The guardian's process, with ``/health``: ``python -m mwaa_local.guardian.server --port N``.

It needs the variables ``MWAA_LOCAL__DATABASE_DSN``,
``MWAA_LOCAL__AWS_ENDPOINT``, ``MWAA__SQS__QUEUE_URL`` (its last part is the queue's name) and ``AWS_REGION``; without
the first three it does not run, and ``/health`` says so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mwaa_local.guardian.watch import AirflowDatabase, EndpointQueue, Guardian

log = logging.getLogger("mwaa_local.guardian")


@dataclass(frozen=True)
class Settings:
    """What the process was told.

    Attributes:
        host: Address to bind.
        port: Port to bind; 0 lets the system choose.
        interval_s: Seconds between two looks of the guardian.
        older_than_s: See ``Guardian``.
        dsn: Airflow's database, empty if there is none to guard.
        endpoint: The AWS endpoint.
        queue: Name of the Celery queue.
        region: Region of the queue.
    """

    host: str
    port: int
    interval_s: float = 10.0
    older_than_s: float = 20.0
    dsn: str = ""
    endpoint: str = ""
    queue: str = ""
    region: str = "us-east-1"

    @property
    def missing(self) -> list[str]:
        """Names of the variables the guardian would need."""
        needed = {
            "MWAA_LOCAL__DATABASE_DSN": self.dsn,
            "MWAA_LOCAL__AWS_ENDPOINT": self.endpoint,
            "MWAA__SQS__QUEUE_URL": self.queue,
        }
        return [name for name, value in needed.items() if not value]


class GuardianServer:
    """The HTTP server and the guardian's thread.

    Args:
        settings: What the process was told.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = time.time()
        self._stop = threading.Event()
        self.guardian: Guardian | None = None
        if not settings.missing:
            queue = EndpointQueue(settings.endpoint, settings.queue, settings.region)
            database = AirflowDatabase(settings.dsn)
            self.guardian = Guardian(database, queue, [settings.queue, "default"], older_than_s=settings.older_than_s)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                if self.path.split("?")[0] == "/health":
                    self._answer(200, server.health())
                else:
                    self._answer(404, {"error": "no-route"})

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                log.debug(format, *args)

        self._server = ThreadingHTTPServer((settings.host, settings.port), Handler)
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def health(self) -> dict[str, Any]:
        """The document of ``/health``."""
        guardian: dict[str, Any] = {"running": self.guardian is not None}
        if self.guardian is not None:
            guardian.update(self.guardian.status())
        else:
            guardian["missing"] = self._settings.missing
        return {"status": "ok", "started_at": self._started, "guardian": guardian}

    def serve(self) -> None:
        """Answer until ``stop``."""
        if self.guardian is not None:
            threading.Thread(target=self._guard, args=(self.guardian,), name="guardian", daemon=True).start()
        self._server.serve_forever(poll_interval=0.2)
        self._server.server_close()

    def stop(self) -> None:
        """End ``serve``; callable from any thread and from a signal handler."""
        self._stop.set()
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def _guard(self, guardian: Guardian) -> None:
        while not self._stop.wait(self._settings.interval_s):
            try:
                guardian.look()
            except Exception:
                # The guardian guards others: a fault of its own must show, and must not end it.
                log.exception("the guardian failed and goes on")


def settings_from(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Settings from the command line and the environment."""
    return Settings(
        host=arguments.host,
        port=arguments.port,
        interval_s=arguments.interval,
        older_than_s=arguments.older_than,
        dsn=environment.get("MWAA_LOCAL__DATABASE_DSN", ""),
        endpoint=environment.get("MWAA_LOCAL__AWS_ENDPOINT", ""),
        queue=environment.get("MWAA__SQS__QUEUE_URL", "").rstrip("/").rsplit("/", 1)[-1],
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see the module's text."""
    parser = argparse.ArgumentParser(prog="mwaa_local.guardian.server", description="Watches one environment's queue.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to bind")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two looks (default: %(default)s)")
    parser.add_argument(
        "--older-than",
        type=float,
        default=20.0,
        help="leave tasks alone that are queued for less, seconds (default: %(default)s)",
    )
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the starting process ends")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        server = GuardianServer(settings_from(given, os.environ))
    except OSError as error:
        print(f"The guardian cannot listen on {given.host}:{given.port}: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    if given.die_with_parent:
        from mwaa_local.ground.lineage import watch_parent

        watch_parent(server.stop)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
