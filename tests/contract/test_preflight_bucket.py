"""A bucket prefix is checked like a folder, from the real AWS endpoint, and never hangs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import Stopwatch

from mwaa_local.aws import client as aws
from mwaa_local.errors import EndpointError, UsageError
from mwaa_local.preflight import bucket, run
from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.run import Request

REGION = "us-east-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    state = tmp_path_factory.mktemp("aws")
    server = subprocess.Popen(
        [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(port), "--state", str(state), "--region", REGION]
    )
    try:
        aws.wait_ready(url, 30)
        s3 = aws.client("s3", url, REGION)
        s3.create_bucket(Bucket="workflow")
        for key, body in {
            "team/dags/a.py": "# airflow dag\nx = (\n",
            "team/dags/sub/b.txt": "text",
            "team/requirements.txt": "cowsay==6.1\n",
            "team/startup.sh": "exec true\n",
            "team/dags/": "",
            "team/../../outside.txt": "no",
            "other/dags/c.py": "# airflow dag\ny = (\n",
        }.items():
            s3.put_object(Bucket="workflow", Key=key, Body=body.encode())
        yield url
    finally:
        server.terminate()
        server.wait(15)


def variables(url: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def test_a_prefix_is_a_workspace(endpoint: str) -> None:
    notes: list[str] = []
    with bucket.fetched("s3://workflow/team", variables(endpoint), notes.append) as folder:
        report = run.validate(Request(folder, variables=dict(os.environ), select=("DAG001", "SUP004")))
        found = {(item.rule.id, item.path, item.line) for item in report.findings if item.severity is Severity.ERROR}
        assert found == {("DAG001", "dags/a.py", 2), ("SUP004", "startup/startup.sh", 1)}
        assert (folder / "requirements/requirements.txt").read_text() == "cowsay==6.1\n"
        assert (folder / "dags/sub/b.txt").read_text() == "text"
        assert not [
            place for place in (folder, folder.parent, folder.parent.parent) if (place / "outside.txt").exists()
        ]
    assert not folder.exists()
    assert notes[0].startswith("s3://workflow/team: ")


@pytest.mark.parametrize(
    ("address", "words"), [("s3://workflow/nothing", "nothing to check"), ("s3://no-such-bucket/x", "cannot be read")]
)
def test_what_cannot_be_fetched(address: str, words: str, endpoint: str) -> None:
    with pytest.raises(EndpointError, match=words), bucket.fetched(address, variables(endpoint), print):
        pass


def test_no_bucket() -> None:
    with pytest.raises(UsageError), bucket.fetched("s3://", {}, print):
        pass


def test_an_endpoint_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(bucket, "READ_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        watch = Stopwatch()
        with (
            pytest.raises(EndpointError),
            bucket.fetched("s3://b/x", variables(f"http://127.0.0.1:{silent.getsockname()[1]}"), print),
        ):
            pass
        assert watch.given() < 30


def test_a_prefix_that_is_no_workspace(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "MAX_OBJECTS", 2)
    with (
        pytest.raises(EndpointError, match="more than a workspace"),
        bucket.fetched("s3://workflow/team", variables(endpoint), print),
    ):
        pass


def test_the_folder_is_removed_after_a_failure(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EndpointError), bucket.fetched("s3://no-such-bucket/x", variables(endpoint), print):
        pass
    assert not list(tmp_path.iterdir())
