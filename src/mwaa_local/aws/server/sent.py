"""What the Celery queues were given lately, by Celery task id: so that a vanished message can be sent again.

Airflow's database knows a queued task by its Celery id only. The body of the message exists nowhere else, so it is
kept here, in two files of bounded size; the older one is dropped when the newer is full. An acknowledged message
leaves a mark, because a task whose message a worker has deleted did not vanish and must not run again.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEGMENT_BYTES = 8 * 1024 * 1024


def celery_id(body: str) -> str:
    """The Celery task id inside an SQS body, empty if it is not Celery's.

    Args:
        body: Base64 of kombu's JSON envelope (spec/10 section 6.3); a plain envelope is read too.
    """
    if not body.startswith(("eyJ", "{")):
        return ""
    try:
        envelope = json.loads(base64.b64decode(body) if body.startswith("eyJ") else body)
    except (ValueError, binascii.Error):
        return ""
    if not isinstance(envelope, dict):
        return ""
    headers = envelope.get("headers")
    properties = envelope.get("properties")
    for part, key in ((headers, "id"), (properties, "correlation_id"), (envelope, "id")):
        value = part.get(key) if isinstance(part, dict) else None
        if isinstance(value, str) and value:
            return value
    return ""


@dataclass(frozen=True)
class Sent:
    """One message as it was sent.

    Attributes:
        queue: Name of the queue.
        body: Message body, as given to SQS.
        attributes: Message attributes in the shape of the SQS API.
        acknowledged: A consumer has deleted it.
    """

    queue: str
    body: str
    attributes: dict[str, Any]
    acknowledged: bool


class SentRecord:
    """The bounded record on disk.

    Args:
        folder: Where its two files are kept.
        segment_bytes: Size at which the newer file becomes the older one.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._current = folder / "sent.current"
        self._previous = folder / "sent.previous"
        self._limit = segment_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self._current.open("ab", buffering=0)
        self._size = self._current.stat().st_size
        if self._size:
            self._file.write(b"\n")  # ends a line that a kill may have cut short

    def add(self, task_id: str, queue: str, body: str, attributes: dict[str, Any] | None) -> None:
        """Remember a message that was sent."""
        self._write(f"+\t{task_id}\t{json.dumps([queue, body, attributes or {}])}\n")

    def acknowledge(self, task_id: str) -> None:
        """Remember that a consumer deleted it."""
        self._write(f"-\t{task_id}\n")

    def find(self, task_id: str) -> Sent | None:
        """The newest message of a task, if it is still on record. Reads both files: for use off the event loop."""
        found: Sent | None = None
        sent, acknowledged = f"+\t{task_id}\t".encode(), f"-\t{task_id}\n".encode()
        for path in (self._previous, self._current):
            if not path.exists():
                continue
            with path.open("rb") as lines:
                for line in lines:
                    if line == acknowledged and found is not None:
                        found = Sent(found.queue, found.body, found.attributes, True)
                    elif line == acknowledged:
                        found = Sent("", "", {}, True)
                    elif line.startswith(sent) and line.endswith(b"\n"):
                        try:
                            queue, body, attributes = json.loads(line[len(sent) :])
                        except ValueError:
                            continue
                        found = Sent(queue, body, attributes, False)
        return found

    def clear(self) -> None:
        """Forget everything (after the endpoint was reset)."""
        self._file.close()
        self._previous.unlink(missing_ok=True)
        self._file = self._current.open("wb", buffering=0)
        self._size = 0

    def close(self) -> None:
        """Close the open file."""
        self._file.close()

    def _write(self, line: str) -> None:
        data = line.encode()
        if self._size + len(data) > self._limit and self._size:
            self._file.close()
            self._current.replace(self._previous)
            self._file = self._current.open("ab", buffering=0)
            self._size = 0
        try:
            self._file.write(data)
        except OSError:
            return  # a convenience record: a full disk must not fail the message itself, which the journal guards
        self._size += len(data)
