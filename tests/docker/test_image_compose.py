"""``docker compose up -d --wait`` alone, without the tool: a whole environment that runs a DAG and keeps what it made."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from image_support import Run, run

PROJECT = "mwaa-local-test-compose"
# One whole start-up may take minutes on a busy machine, and there are two.
pytestmark = pytest.mark.timeout(2400)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


class Compose:
    """The compose file of the repository under a project name and ports of the test's own."""

    def __init__(self) -> None:
        self.web = f"http://127.0.0.1:{(web := free_port())}"
        files = ["-f", "compose.yaml"]
        given = {"MWAA_LOCAL_PORTS_WEB": web, "MWAA_LOCAL_PORTS_AWS": free_port()}
        if bundle := os.environ.get("SSL_CERT_FILE"):
            files += ["-f", "docker/compose.ca.yaml"]
            given["MWAA_LOCAL_CA_BUNDLE"] = os.path.realpath(bundle)
        self._command = ["docker", "compose", "-p", PROJECT, *files]
        self._environment = {**os.environ, **given}

    def __call__(self, *arguments: str, check: bool = True, limit: float = 1200) -> subprocess.CompletedProcess[str]:
        return run([*self._command, *arguments], check=check, limit=limit, env=self._environment)

    def up(self) -> None:
        done = self("up", "--detach", "--wait", "--no-build", check=False)
        if done.returncode:
            logs = self("logs", "--no-log-prefix", "--tail", "15", check=False).stdout
            pytest.fail(f"compose up ended with {done.returncode}:\n{done.stderr[-2000:]}\n{logs[-6000:]}")

    def services(self) -> dict[str, dict[str, Any]]:
        lines = self("ps", "--all", "--format", "json").stdout.splitlines()
        return {item["Service"]: item for item in map(json.loads, lines)}


@pytest.fixture(scope="module")
def compose(docker: Run, image: str) -> Iterator[Compose]:
    environment = Compose()
    environment("down", "--volumes", "--timeout", "5", check=False)
    yield environment
    environment("down", "--volumes", "--timeout", "5", check=False)


def api(base: str, method: str, path: str, body: object = None) -> Any:
    """Airflow 3's API, as the administrator that opens without a password."""
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(f"{base}/auth/token", timeout=60) as answer:
        headers["Authorization"] = f"Bearer {json.load(answer)['access_token']}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{base}/api/v2{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def run_dag(base: str, name: str, limit: float = 300) -> str:
    """Run a DAG and give the state it ended in; one that the scheduler has not found yet is waited for."""
    end = time.monotonic() + limit
    while name not in [dag["dag_id"] for dag in api(base, "GET", "/dags")["dags"]] and time.monotonic() < end:
        time.sleep(1)
    run_id = api(base, "POST", f"/dags/{name}/dagRuns", {"logical_date": None})["dag_run_id"]
    state = "queued"
    while state not in ("success", "failed") and time.monotonic() < end:
        time.sleep(1)
        state = api(base, "GET", f"/dags/{name}/dagRuns/{run_id}")["state"]
    return state


def secrets(compose: Compose) -> str:
    return compose("exec", "-T", "guardian", "cat", "/usr/local/mwaa/secrets/secrets.json").stdout


def test_compose_alone(compose: Compose, docker: Run) -> None:
    compose.up()
    services = compose.services()
    assert {name for name, item in services.items() if item["Health"] == "healthy"} == {
        "postgres", "aws", "guardian", "scheduler", "worker", "webserver",
    }  # fmt: skip
    assert (services["migrate-db"]["State"], services["migrate-db"]["ExitCode"]) == ("exited", 0)
    assert all(port["URL"] in ("127.0.0.1", "") for item in services.values() for port in item["Publishers"] or [])
    assert run_dag(compose.web, "uses_requirement") == "success"

    # No secret is among the variables that `docker inspect` shows.
    kept = secrets(compose)
    shown = docker("inspect", *(item["ID"] for item in services.values())).stdout
    assert json.loads(kept)["fernet_key"] not in shown
    # What the environment made survives its containers: keys, database, installed requirements.
    compose("down")
    compose.up()
    assert secrets(compose) == kept
    assert api(compose.web, "GET", "/dags/uses_requirement/dagRuns")["total_entries"] == 1
    said = json.loads(compose("exec", "-T", "worker", "cat", "/usr/local/mwaa/run/status.json").stdout)
    assert (said["requirements"]["verdict"], said["requirements"]["installed"]) == ("ok", False)


def test_a_dead_airflow_process_ends_and_restarts_its_component(compose: Compose) -> None:
    """The component ends with its process, and Docker starts it again (spec/10 section 1.4)."""
    compose.up()
    before = compose("exec", "-T", "worker", "cat", "/usr/local/mwaa/run/status.json").stdout
    pid = json.loads(before)["processes"][0]["pid"]
    compose("exec", "-T", "worker", "bash", "-c", f"kill -9 {pid}")
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(2)
        now = compose("exec", "-T", "worker", "cat", "/usr/local/mwaa/run/status.json", check=False).stdout
        started = bool(now) and json.loads(now)["started_at"] != json.loads(before)["started_at"]
        if started and compose.services()["worker"]["Health"] == "healthy":
            break
    else:
        pytest.fail(f"the worker did not come back: {compose.services()['worker']}")
