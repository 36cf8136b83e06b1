"""A PostgreSQL server for a while, for work on a cluster that no environment uses meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mwaa_local.engines import ports
from mwaa_local.engines.process import postgres
from mwaa_local.errors import EngineError
from mwaa_local.ground import processes

_READY_SECONDS = 60.0
_LINES = 12


@contextmanager
def served(cluster: postgres.Cluster, password: str, *options: str) -> Iterator[int]:
    """A server for a cluster that nothing else serves; its port.

    Args:
        cluster: Which.
        password: Of its user.
        options: More words for the server.

    Raises:
        EngineError: It does not start.
    """
    cluster.clear_stale()
    port = ports.any_free()
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            postgres.launched(cluster.identity, [*cluster.serve(port), *options], parent=os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
        )
        try:
            end = time.monotonic() + _READY_SECONDS
            while said := postgres.answers(port, password):
                if server.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    told = log.read().decode(errors="replace").splitlines()[-_LINES:]
                    raise EngineError(
                        "PostgreSQL did not start", where=str(cluster.data), why="\n".join(told) or said,
                        hint="`mwaa-local doctor --state` says what is wrong with the database",
                    )  # fmt: skip
                time.sleep(0.02)
            yield port
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(60)
                except subprocess.TimeoutExpired:
                    processes.kill(processes.tree([server.pid]))
                    server.wait(10)
