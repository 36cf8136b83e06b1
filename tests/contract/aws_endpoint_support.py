"""The AWS endpoint as a process of a test's own."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mwaa_local.aws import client as aws

REGION = "eu-west-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Endpoint:
    """One server process on a folder; may be killed and started again, on the same port or another."""

    def __init__(self, state: Path, *, options: tuple[str, ...] = (), prefix: tuple[str, ...] = ()) -> None:
        self.state = state
        self.prefix = prefix
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> float:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(port), "--state", str(self.state)]
        self.process = subprocess.Popen([*self.prefix, *command, "--region", REGION, *self.options])
        return aws.wait_ready(self.url, 20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> tuple[int, float]:
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10), time.monotonic() - begun

    def client(self, service: str, **options: Any) -> Any:
        return aws.client(service, self.url, REGION, options=options)

    def private(self, method: str, route: str, document: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        with contextlib.closing(connection):
            connection.request(method, f"/_mwaa_local/{route}", None if document is None else json.dumps(document))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
