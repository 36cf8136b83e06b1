"""SQS against a simple model of it: what any sequence of calls leaves, and what a start after any cut of it finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: MiniStack keeps its state in modules.
PROGRAM = '''
import asyncio, copy, json, random, sys, time
from pathlib import Path
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
from mwaa_local.aws.server import host as hosts
hosts.configure(folder, region="us-east-1", port=4566)
from mwaa_local.aws.server.host import Host
from mwaa_local.aws.server.journal import Journal
from mwaa_local.aws.server.queues import Queues
from mwaa_local.aws.server.sent import SentRecord

draw = random.Random(seed)
marked = []
host = Host(marked.append)
sqs = host.module("sqs")
host.in_scope("000000000000", "us-east-1")
NAMES = ["celery", "other", "order.fifo"]

def state():
    """What the queues hold: name to messages in order, each with what a consumer would notice."""
    return {
        queue["name"]: [
            [m["id"], m["body"], m["receive_count"], round(m["visible_at"], 6), m["receipt_handle"]] for m in queue["messages"]
        ]
        for queue in sqs._queues._data.values()
    }

def url(name):
    return sqs._queue_url_for_account("000000000000", name)

class Request:
    """Of a consumer that is there, or has gone away."""
    def __init__(self, gone): self.gone = gone
    async def disconnected(self):
        if not self.gone: await asyncio.sleep(3600)

async def main():
    journal = Journal(folder / "journals", "sqs")
    queues = Queues(host, journal, SentRecord(folder / "sent"), marked.append)
    queues.restore(0)
    queues.install()
    act = sqs._HANDLERS
    model = {}       # name -> {id: body}
    ever = set()     # every message id that was given
    receipts = {}    # name -> {id: receipt}
    size = lambda: (folder / "journals" / "sqs.00000001.journal").stat().st_size
    seen = [(size(), state())]
    problems = []
    for step in range(90):
        name = draw.choice(NAMES)
        fifo = {"MessageGroupId": "g", "MessageDeduplicationId": str(draw.randrange(8))} if name.endswith("fifo") else {}
        what = draw.choice(["create", "send", "send", "send", "receive", "receive", "gone", "delete", "visible", "purge", "drop", "batch"])
        if name not in model and what != "create": what = "create"
        held = receipts.get(name, {})
        if what == "create":
            act["CreateQueue"]({"QueueName": name, "Attributes": {"FifoQueue": "true"} if fifo else {}}, url(name))
            model.setdefault(name, {}); receipts.setdefault(name, {})
        elif what == "send":
            made = act["SendMessage"]({"QueueUrl": url(name), "MessageBody": f"b{step}", **fifo}, url(name))
            if made["MessageId"] not in ever:  # a FIFO queue answers a duplicate with the message it has, or had
                model[name][made["MessageId"]] = f"b{step}"
            ever.add(made["MessageId"])
        elif what in ("receive", "gone"):
            before = state()[name]
            # One that waits has asked whether its consumer is there; with the first look it finds messages or goes away.
            hosts.REQUEST.set(Request(what == "gone"))
            wait = {"WaitTimeSeconds": 1} if what == "gone" else {}
            asked = {"QueueUrl": url(name), "MaxNumberOfMessages": draw.choice([1, 2, 10]), "VisibilityTimeout": draw.choice([0, 30]), **wait}
            got = (await act["ReceiveMessage"](asked, url(name))).get("Messages", [])
            for message in got:
                if message["Body"] != model[name].get(message["MessageId"]): problems.append(f"{step} {name} received {message}")
                held[message["MessageId"]] = message["ReceiptHandle"]
            hosts.REQUEST.set(None)
        elif what in ("delete", "batch") and held:
            mids = draw.sample(sorted(held), 1 if what == "delete" else min(2, len(held)))
            current = {row[0]: row[4] for row in state()[name]}
            if what == "delete": act["DeleteMessage"]({"QueueUrl": url(name), "ReceiptHandle": held[mids[0]]}, url(name))
            else: act["DeleteMessageBatch"]({"QueueUrl": url(name), "Entries": [{"Id": str(n), "ReceiptHandle": held[m]} for n, m in enumerate(mids)]}, url(name))
            for mid in mids:
                if current.get(mid) == held.pop(mid): model[name].pop(mid, None)
        elif what == "visible" and held:
            mid = draw.choice(sorted(held))
            try: act["ChangeMessageVisibility"]({"QueueUrl": url(name), "ReceiptHandle": held[mid], "VisibilityTimeout": draw.choice([0, 60])}, url(name))
            except Exception: pass
        elif what == "purge":
            act["PurgeQueue"]({"QueueUrl": url(name)}, url(name)); model[name].clear(); held.clear()
        elif what == "drop":
            act["DeleteQueue"]({"QueueUrl": url(name)}, url(name)); del model[name], receipts[name]
        now = state()
        if {q: {row[0]: row[1] for row in rows} for q, rows in now.items()} != model:
            problems.append(f"{step} {what} {name}: {now} is not {model}")
            break
        seen.append((size(), now))
    # Every cut: the journal's first bytes, replayed into an empty service.
    content = (folder / "journals" / "sqs.00000001.journal").read_bytes()
    cuts = sorted({length for length, _ in seen})
    last = dict(seen)
    for number, cut in enumerate(cuts):
        place = folder / f"cut{number}"
        place.mkdir()
        (place / "sqs.00000001.journal").write_bytes(content[:cut] + (b'{"op": "se' if number % 2 else b""))
        sqs._queues._data.clear(); sqs._queue_name_to_url.clear()
        again = Queues(host, Journal(place, "sqs"), SentRecord(place / "sent"), marked.append)
        again.restore(0)
        if state() != last[cut]:
            problems.append(f"after {cut} bytes: {state()} is not {last[cut]}")
            break
    print(json.dumps({"problems": problems[:3], "steps": len(seen), "cuts": len(cuts), "marked": sorted(set(marked))}))

asyncio.run(main())
'''

GONE = """
import asyncio, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
from mwaa_local.aws.server import host as hosts
hosts.configure(folder, region="us-east-1", port=4566)
from mwaa_local.aws.server.journal import Journal
from mwaa_local.aws.server.queues import Queues
from mwaa_local.aws.server.sent import SentRecord
host = hosts.Host(lambda _service: None)
sqs = host.module("sqs")
host.in_scope("000000000000", "us-east-1")
url = sqs._queue_url_for_account("000000000000", "celery")

class Request:
    def __init__(self): self.gone = asyncio.Event()
    async def disconnected(self): await self.gone.wait()

async def main():
    queues = Queues(host, Journal(folder / "journals", "sqs"), SentRecord(folder / "sent"), lambda _service: None)
    queues.restore(0); queues.install()
    act = sqs._HANDLERS
    act["CreateQueue"]({"QueueName": "celery", "Attributes": {}}, url)
    request = Request()
    hosts.REQUEST.set(request)
    waiting = asyncio.create_task(act["ReceiveMessage"]({"QueueUrl": url, "WaitTimeSeconds": 20, "MaxNumberOfMessages": 10}, url))
    await asyncio.sleep(0.05)
    hosts.REQUEST.set(None)
    original = sqs._act_send_message
    act["SendMessage"]({"QueueUrl": url, "MessageBody": "task"}, url)  # wakes the consumer that waits ...
    request.gone.set()                                                 # ... which goes away in the same moment
    nothing = await waiting
    again = await act["ReceiveMessage"]({"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 30}, url)
    (message,) = again["Messages"]
    (held,) = next(iter(sqs._queues._data.values()))["messages"]
    print(json.dumps({"first": nothing, "body": message["Body"], "count": held["receive_count"]}))

asyncio.run(main())
"""


def run(program: str, *words: object) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, words)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("seed", range(4))
def test_queues_are_what_a_simple_model_says_and_every_cut_of_the_journal_finds_them_so(
    seed: int, tmp_path: Path
) -> None:
    found = run(PROGRAM, tmp_path, seed)
    assert found["problems"] == []
    assert int(str(found["steps"])) == 91
    assert int(str(found["cuts"])) > 30


def test_a_message_whose_consumer_went_away_in_the_moment_of_its_delivery_is_for_the_next_one(tmp_path: Path) -> None:
    """Nobody would ever acknowledge it: a task would wait for the visibility timeout, and count as tried."""
    found = run(GONE, tmp_path)
    assert found == {"first": {}, "body": "task", "count": 1}
