"""The AWS endpoint against plain MiniStack, or another version of ours, side by side in one run: medians of five.

    python bench/aws_endpoint.py [--rounds 5] [--against ../other/src] [--json FILE]

Figures: start to health, memory (PSS) with a queue, a bucket and log groups in use, SQS sends and receives, S3 puts and
gets, new secrets over one connection, the delay of a message sent during a long poll, and the slowest request while
20 MB of state are being written.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mwaa_local.aws.client import provision
from mwaa_local.aws.wire import Wire

REGION = "us-east-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
    command = [sys.executable, "-m", "mwaa_local.aws.server", "--port", str(port), "--state", str(folder)]
    return command, dict(os.environ), "/_mwaa_local/health"


def other(source: Path) -> Callable[[int, Path], tuple[list[str], dict[str, str], str]]:
    """Another version of ours, from its ``src`` folder."""

    def kind(port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
        command, variables, health = ours(port, folder)
        return command, {**variables, "PYTHONPATH": str(source.resolve())}, health

    return kind


def plain(port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
    variables = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
    }
    command = [str(Path(sys.executable).with_name("ministack"))]
    return command, {**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": ""}, "/_ministack/health"


@contextlib.contextmanager
def running(kind: Callable[[int, Path], tuple[list[str], dict[str, str], str]]) -> Iterator[tuple[str, int, float]]:
    """A server of this kind: its URL, process id and seconds to its first healthy answer."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command, environment, health = kind(port, Path(folder))
        begun = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                with contextlib.suppress(OSError), contextlib.closing(connection):
                    connection.request("GET", health)
                    if connection.getresponse().status == 200:
                        break
                if time.monotonic() - begun > 60:
                    raise TimeoutError(f"{command} did not become healthy within 60 s")
                time.sleep(0.005)
            yield f"http://127.0.0.1:{port}", process.pid, time.monotonic() - begun
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Queue:
    """One connection to one queue."""

    def __init__(self, endpoint: str) -> None:
        self._wire = Wire(endpoint, REGION, timeout_s=30)
        self._url = f"{endpoint}/000000000000/bench"

    def call(self, action: str, **document: Any) -> dict[str, Any]:
        return self._wire.call_json("sqs", f"AmazonSQS.{action}", {"QueueUrl": self._url, **document}, version="1.0")

    def take(self) -> None:
        """Receive one message and delete it."""
        message = self.call("ReceiveMessage")["Messages"][0]
        self.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])


class Objects:
    """One connection to the bucket."""

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
        self._scope = f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/s3/aws4_request, Signature=none"

    def call(self, method: str, number: int) -> None:
        """Put or get a small object."""
        body = b"x" * 2000 if method == "PUT" else None
        self._connection.request(method, f"/bench/k{number}", body, {"Authorization": self._scope})
        response = self._connection.getresponse()
        response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method}: HTTP {response.status}")


def per_second(number: int, call: Callable[[int], None]) -> float:
    begun = time.monotonic()
    for one in range(number):
        call(one)
    return number / (time.monotonic() - begun)


def measure(kind: Callable[[int, Path], tuple[list[str], dict[str, str], str]]) -> dict[str, float]:
    with running(kind) as (endpoint, pid, start):
        groups = [f"airflow-bench-{number}" for number in range(5)]
        provision(endpoint, REGION, queue="bench", visibility_timeout_s=43200, bucket="bench", log_groups=groups)
        queue = Queue(endpoint)
        body = "x" * 3000
        begun = time.monotonic()
        for _ in range(500):
            queue.call("SendMessage", MessageBody=body)
        rate = 500 / (time.monotonic() - begun)
        received = per_second(200, lambda _number: queue.take())
        queue.call("PurgeQueue")
        objects, wire = Objects(endpoint), Wire(endpoint, REGION, timeout_s=30)
        puts = per_second(300, lambda number: objects.call("PUT", number))
        gets = per_second(300, lambda number: objects.call("GET", number))

        def secret(number: int) -> None:
            document = {"Name": f"n{number}", "SecretString": "x" * 40, "ClientRequestToken": f"9{number:031d}"}
            wire.call_json("secretsmanager", "secretsmanager.CreateSecret", document)

        secrets = per_second(100, secret)
        memory = pss_mb(pid)
        return {
            "start_s": start,
            "pss_mb": memory,
            "sqs_sends_per_s": rate,
            "sqs_receives_per_s": received,
            "s3_puts_per_s": puts,
            "s3_gets_per_s": gets,
            "new_secrets_per_s": secrets,
            "long_poll_ms": long_poll_ms(endpoint),
            "slowest_while_saving_ms": slowest_ms(endpoint),
        }


def long_poll_ms(endpoint: str) -> float:
    sender, receiver = Queue(endpoint), Queue(endpoint)
    delays = []
    for number in range(8):
        arrived: list[float] = []

        def poll(arrived: list[float] = arrived) -> None:
            message = receiver.call("ReceiveMessage", WaitTimeSeconds=10)["Messages"][0]
            arrived.append(time.monotonic())
            receiver.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"])

        thread = threading.Thread(target=poll)
        thread.start()
        time.sleep(0.15 + number * 0.013)
        begun = time.monotonic()
        sender.call("SendMessage", MessageBody="x")
        thread.join()
        delays.append((arrived[0] - begun) * 1000)
    return statistics.median(delays)


def slowest_ms(endpoint: str) -> float:
    """The slowest of small requests while secrets of 20 MB in all keep changing (plain MiniStack saves at its end
    only).
    """
    wire = Wire(endpoint, REGION, timeout_s=30)
    for number in range(320):
        document = {"Name": f"s{number}", "SecretString": "x" * 64000, "ClientRequestToken": f"{number:032d}"}
        wire.call_json("secretsmanager", "secretsmanager.CreateSecret", document)
    queue, slowest = Queue(endpoint), 0.0
    until, number = time.monotonic() + 6, 0
    while time.monotonic() < until:
        number += 1
        document = {"SecretId": "s1", "SecretString": str(number), "ClientRequestToken": f"1{number:031d}"}
        wire.call_json("secretsmanager", "secretsmanager.PutSecretValue", document)
        begun = time.monotonic()
        queue.call("GetQueueAttributes", AttributeNames=["All"])
        slowest = max(slowest, (time.monotonic() - begun) * 1000)
        time.sleep(0.01)
    return slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="src folder of another version of ours, instead of MiniStack")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    against = other(given.against) if given.against else plain
    kinds = {"ours": ours, "against": against}
    for kind in kinds.values():
        with running(kind):
            pass  # the first start of each compiles; the ones after it are what a user sees
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(given.rounds):
        for name, kind in kinds.items():
            print(f"round {number + 1}/{given.rounds}: {name}", file=sys.stderr)
            found[name].append(measure(kind))
    report = {}
    print(f"{'':26}{'ours':>12}{'other' if given.against else 'MiniStack':>12}{'ratio':>8}")
    for figure in found["ours"][0]:
        mine, theirs = (statistics.median(run[figure] for run in found[name]) for name in kinds)
        report[figure] = {"ours": round(mine, 3), "against": round(theirs, 3), "ratio": round(mine / theirs, 3)}
        print(f"{figure:26}{mine:12.2f}{theirs:12.2f}{mine / theirs:8.2f}")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
