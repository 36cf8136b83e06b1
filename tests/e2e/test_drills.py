"""Drills on a whole environment: everything killed, `up` killed anywhere, the disk full, the state damaged.

``make drills``; the seed of the random moments is printed and can be given with ``MWAA_LOCAL_DRILL_SEED``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from tool import Tool, wait_for

from mwaa_local.aws import client as aws

pytestmark = [pytest.mark.drills, pytest.mark.timeout(900)]
VERSION = "3.2.1"
REGION = "us-east-1"
SEED = int(os.environ.get("MWAA_LOCAL_DRILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def project(folder: Path) -> Tool:
    tool = Tool(folder, version=VERSION)
    (tool.folder / "requirements" / "requirements.txt").unlink()
    return tool


class Data:
    """What a user put into the environment and was told is stored."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.count = 0

    def clients(self, *services: str) -> list[Any]:
        address = self.tool.json("status", code=None)["aws"]
        return [aws.client(service, address, REGION) for service in services]

    def put(self, number: int = 10) -> None:
        s3, sqs, secrets, ssm = self.clients("s3", "sqs", "secretsmanager", "ssm")
        if not self.count:
            s3.create_bucket(Bucket="drill")
            sqs.create_queue(QueueName="drill")
        url = sqs.get_queue_url(QueueName="drill")["QueueUrl"]
        for one in range(self.count, self.count + number):
            s3.put_object(Bucket="drill", Key=f"k{one}", Body=f"v{one}".encode())
            sqs.send_message(QueueUrl=url, MessageBody=f"m{one}")
            secrets.create_secret(Name=f"s{one}", SecretString=f"v{one}")
            ssm.put_parameter(Name=f"/p{one}", Value=f"v{one}", Type="String")
        self.tool.good("airflow", "variables", "set", f"n{self.count}", "kept")
        self.count += number

    def missing(self) -> list[str]:
        """What was told to be stored and is not there."""
        s3, sqs, secrets, ssm = self.clients("s3", "sqs", "secretsmanager", "ssm")
        url = sqs.get_queue_url(QueueName="drill")["QueueUrl"]
        messages: set[str] = set()
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30).get("Messages"):
            messages |= {one["Body"] for one in found}
        sqs.purge_queue(QueueUrl=url)
        for body in messages:  # for the next look
            sqs.send_message(QueueUrl=url, MessageBody=body)
        lost = [f"m{one}" for one in range(self.count) if f"m{one}" not in messages]
        for one in range(self.count):
            for name, get in (
                ("object", lambda: s3.get_object(Bucket="drill", Key=f"k{one}")["Body"].read().decode()),  # noqa: B023
                ("secret", lambda: secrets.get_secret_value(SecretId=f"s{one}")["SecretString"]),  # noqa: B023
                ("parameter", lambda: ssm.get_parameter(Name=f"/p{one}")["Parameter"]["Value"]),  # noqa: B023
            ):
                try:
                    lost += [] if get() == f"v{one}" else [f"{name} {one}"]
                except ClientError:
                    lost.append(f"{name} {one}")
        listed = self.tool.good("airflow", "variables", "list", "-o", "json")
        return lost + ([] if '"n0"' in listed else ["variable n0"])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    tool = project(tmp_path_factory.mktemp("drills") / "project")
    try:
        tool.json("up", "--timeout", "400")
        yield tool
    finally:
        tool.run("reset", "--yes")


@pytest.fixture(scope="module")
def data(up: Tool) -> Data:
    found = Data(up)
    found.put()
    return found


@contextlib.contextmanager
def small_disk(tool: Tool, size: str) -> Iterator[Path]:
    """A file system of its own for the state of a project; the environment is gone with it."""
    folder = tool.folder / ".mwaa"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        tool.run("reset", "--yes")
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def family(tool: Tool, *keepers: str) -> list[psutil.Process]:
    found = [psutil.Process(int(tool.component(name)["pid"])) for name in keepers]
    return [one for keeper in found for one in (keeper, *keeper.children(recursive=True))]


def gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_keeper_is_seen_and_leaves_nothing_after_seconds(up: Tool, data: Data) -> None:
    everything = family(up, "keeper")
    up.kill("keeper")
    states = {item["name"]: item for item in up.json("status", code=None)["components"]}
    for name, item in states.items():  # a process that is still there is not said to be stopped
        if item["state"] == "stopped":
            assert not [one for one in everything if one.is_running() and name in " ".join(_words(one))], name
    assert gone(everything, 30) == []
    up.json("up")
    assert data.missing() == []


def _words(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[-2:] if process.status() != psutil.STATUS_ZOMBIE else []
    return []


def test_everything_killed_at_once_loses_nothing_that_was_answered(up: Tool, data: Data) -> None:
    data.put()
    for one in family(up, "keeper", "site-keeper"):
        with contextlib.suppress(psutil.Error):
            one.kill()
    up.json("up")
    assert data.missing() == []


def test_up_killed_at_random_moments_is_finished_by_the_next(up: Tool, data: Data) -> None:
    chance = random.Random(SEED)
    print(f"MWAA_LOCAL_DRILL_SEED={SEED}")
    words = [sys.executable, "-m", "mwaa_local", "--project", str(up.folder), "--engine", "process", "up"]
    for _ in range(int(os.environ.get("MWAA_LOCAL_DRILLS", "3"))):
        up.good("down")
        pause = chance.uniform(0.2, 8.0)
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        child.kill()
        child.wait()
        document = up.json("up")
        assert {item["state"] for item in document["components"]} == {"healthy"}, pause
    assert data.missing() == []


DAMAGES: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "keys gone": ("e2e/secrets.json", lambda path: path.unlink(), True),
    "half the secrets": ("_site/aws/services/secretsmanager.json", lambda path: _half(path), True),
    "a database file gone": (
        "e2e/postgres-3/data/PG_VERSION",
        lambda path: path.rename(path.with_suffix(".away")),
        False,
    ),
    "the database gone": ("e2e/postgres-3", lambda path: path.rename(path.with_name("away")), False),
    "the endpoint gone": ("_site/aws", lambda path: path.rename(path.with_name("away")), False),
}


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damage_is_refused_in_seconds_and_repair_brings_the_rest_back(up: Tool, data: Data) -> None:
    state = up.folder / ".mwaa"
    up.good("down")
    for kind, (where, harm, mendable) in DAMAGES.items():
        path = state / where
        backup = state.with_name("backup")
        shutil.copytree(state, backup, symlinks=True)
        harm(path)
        refused = up.run("up", timeout=60)
        assert refused.returncode == 1, kind
        assert str(path) in refused.stderr and "reset" in refused.stderr, f"{kind}: {refused.stderr}"
        told = up.run("doctor", "--state", "--json")
        assert (told.returncode, json.loads(told.stdout)["sound"]) == (1, False), kind
        if mendable:
            assert up.run("doctor", "--state", "--repair").returncode == 0, kind
            up.json("up")
            lost = data.missing()
            assert lost == [] if kind == "keys gone" else all(one.startswith("secret") for one in lost), (kind, lost)
            up.good("down")
        shutil.rmtree(state)
        backup.rename(state)
    up.json("up")
    assert data.missing() == []


def test_up_down_and_reset_against_each_other_leave_one_environment_or_none(tmp_path: Path) -> None:
    tool = project(tmp_path / "project")
    start = [sys.executable, "-m", "mwaa_local", "--project", str(tool.folder), "--engine", "process"]
    try:
        tool.json("up", "--timeout", "400")
        commands = []
        for words in (["up"], ["down"], ["up"], ["reset", "--yes"], ["up"]):
            commands.append(subprocess.Popen([*start, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            time.sleep(0.7)
        said = [(child.communicate(timeout=400)[0].decode(), child.returncode) for child in commands]
        assert not [text for text, _ in said if "Traceback" in text or "not foreseen" in text], said
        document = tool.json("up")
        assert {item["state"] for item in document["components"]} == {"healthy"}, said
        state = str(tool.folder / ".mwaa" / "e2e")
        keepers = [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[-1:] == [state]]
        assert len([one for one in keepers if "mwaa_local.engines.process.keeper" in one.info["cmdline"]]) == 1
    finally:
        tool.run("reset", "--yes")


def test_a_disk_that_is_full_at_the_first_up_is_said_and_the_next_has_all(tmp_path: Path) -> None:
    tool = project(tmp_path / "project")
    with small_disk(tool, "20m") as folder:
        refused = tool.run("up", "--timeout", "200")
        assert refused.returncode == 1
        assert "disk is full" in refused.stderr and "Traceback" not in refused.stderr
        subprocess.run(["mount", "-o", "remount,size=500m", str(folder)], check=True)
        tool.json("up")


def test_a_full_disk_is_said_and_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    """The whole state on a file system of its own."""
    tool = project(tmp_path / "project")
    with small_disk(tool, "500m") as folder:
        tool.json("up", "--timeout", "400")
        data = Data(tool)
        data.put()
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 65536) == 65536:
                pass
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(b"x" * 512) == 512:
                pass
        s3, secrets = data.clients("s3", "secretsmanager")
        for call in (
            lambda: s3.put_object(Bucket="drill", Key="full", Body=b"x" * 100_000),
            lambda: secrets.create_secret(Name="full", SecretString="x" * 5000),
        ):
            with pytest.raises(ClientError, match="No space left on device"):
                call()
        seen = wait_for("status", lambda: "No space left" in str(tool.component("aws")["detail"]), seconds=60)
        assert seen
        assert tool.run("status").returncode != 0
        filler.unlink()
        wait_for("healthy again", lambda: tool.component("aws")["state"] == "healthy", seconds=60)
        assert data.missing() == []
        tool.good("down")
        tool.json("up")
        assert data.missing() == []
