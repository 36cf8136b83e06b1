"""Keeps CloudWatch Logs: journals log events as they come, and holds a bound on the memory they take.

Airflow writes log events all the time. Rewriting megabytes of them every two seconds would be the endpoint's main
work, so events, streams and groups go to a journal, and a snapshot is due only when the journal has outgrown the last
one.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from typing import Any

from mwaa_local.aws.server.host import Host
from mwaa_local.aws.server.journal import Journal, Replayed

log = logging.getLogger("mwaa_local.aws")

# What MiniStack holds in memory for one event beside its text, bytes (measured on CPython 3.11).
EVENT_OVERHEAD = 420
# Insights pointers (GetLogRecord) kept: each doubles its event's memory, and none of MWAA's readers uses them.
_POINTERS = 2000


class Logs:
    """MiniStack's CloudWatch Logs, kept.

    Args:
        host: MiniStack.
        journal: Where events are written; opened by ``restore``.
        changed: Marks the service for a snapshot.
        limit_bytes: Memory for log events; past it the longest streams lose their older half.
    """

    def __init__(self, host: Host, journal: Journal, changed: Callable[[str], None], *, limit_bytes: int) -> None:
        self._host = host
        self._logs = host.module("cloudwatch_logs")
        self._journal = journal
        self._changed = changed
        self._limit = limit_bytes
        self.bytes = 0
        self.trimmed_events = 0

    def restore(self, covered: int, before: int | None = None) -> Replayed:
        """Bring the logs from the loaded snapshot to the moment the process ended; see ``Queues.restore``."""
        self._logs._log_records = _bounded(self._host, self._logs._log_records, _POINTERS)
        replayed = self._journal.open(self._apply, covered=covered, before=before)
        self.bytes = sum(_weight(stream["events"]) for stream in self._streams())
        self._trim()
        return replayed

    def install(self) -> None:
        """Put the wrappers in place."""
        logs = self._logs
        put, group, stream, append = (
            logs._put_log_events,
            logs._create_log_group,
            logs._create_log_stream,
            logs._append_log_events,
        )
        stored: list[dict[str, Any]] = []

        def append_log_events(target: dict[str, Any], events: list[dict[str, Any]]) -> None:
            stored.extend(events)
            append(target, events)

        def put_log_events(data: dict[str, Any]) -> Any:
            stored.clear()
            response = put(data)
            if response[0] < 400 and stored:
                target = logs._log_groups[data["logGroupName"]]["streams"][data["logStreamName"]]
                events = [[e["timestamp"], e["message"], e["ingestionTime"], e["eventId"]] for e in stored]
                self._write(
                    "events", data["logGroupName"], s=data["logStreamName"], e=events, t=target["uploadSequenceToken"]
                )
                self.bytes += _weight(stored)
                if self.bytes > self._limit:
                    self._trim()
            stored.clear()
            return response

        def create_log_group(data: dict[str, Any]) -> Any:
            response = group(data)
            if response[0] < 400:
                self._write("group", data["logGroupName"], r=logs._log_groups[data["logGroupName"]])
            return response

        def create_log_stream(data: dict[str, Any]) -> Any:
            response = stream(data)
            if response[0] < 400:
                created = logs._log_groups[data["logGroupName"]]["streams"][data["logStreamName"]]
                self._write("stream", data["logGroupName"], s=data["logStreamName"], r=created)
            return response

        logs._append_log_events = append_log_events
        logs._put_log_events = put_log_events
        logs._create_log_group = create_log_group
        logs._create_log_stream = create_log_stream

    def _write(self, operation: str, group: str, **fields: Any) -> None:
        scope = [self._host.responses.get_account_id(), self._host.responses.get_region()]
        if not self._journal.append({"op": operation, "a": scope, "g": group, **fields}):
            self._changed("cloudwatch_logs")
            self._host.refused(self._journal.error)

    def _apply(self, record: dict[str, Any]) -> None:
        account, region = record["a"]
        groups = self._logs._log_groups
        if record["op"] == "group":
            if not groups.contains_scoped(account, region, record["g"]):
                groups.set_scoped(account, region, record["g"], record["r"])
            return
        group = groups.get_scoped(account, region, record["g"])
        if group is None:
            return
        if record["op"] == "stream":
            group["streams"].setdefault(record["s"], record["r"])
            return
        stream = group["streams"].get(record["s"])
        if stream is None:
            return
        names = ("timestamp", "message", "ingestionTime", "eventId")
        self._logs._append_log_events(stream, [dict(zip(names, event, strict=True)) for event in record["e"]])
        stream["uploadSequenceToken"] = record["t"]

    def _streams(self) -> list[dict[str, Any]]:
        return [stream for _scope, group in self._logs._log_groups.all_items() for stream in group["streams"].values()]

    def _trim(self) -> None:
        """Drop the older half of the heaviest streams until three quarters of the limit are left."""
        # The count only grows between trims (deleted streams are not taken off), so count anew before believing it.
        heaviest = [(-_weight(stream["events"]), number, stream) for number, stream in enumerate(self._streams())]
        self.bytes = -sum(weight for weight, _number, _stream in heaviest)
        if self.bytes <= self._limit:
            return
        heapq.heapify(heaviest)
        dropped = 0
        while self.bytes > self._limit * 3 // 4 and len(heaviest[0][2]["events"]) > 1:
            _weight_before, number, stream = heaviest[0]
            half = len(stream["events"]) // 2
            self.bytes -= _weight(stream["events"][:half])
            stream["events"] = stream["events"][half:]
            dropped += half
            heapq.heapreplace(heaviest, (-_weight(stream["events"]), number, stream))
        self.trimmed_events += dropped
        self._changed("cloudwatch_logs")
        log.warning(
            "logs hold more than %d MB: dropped the %d oldest events of the longest streams", self._limit >> 20, dropped
        )


def _weight(events: list[dict[str, Any]]) -> int:
    return sum(len(event["message"]) for event in events) + EVENT_OVERHEAD * len(events)


def _bounded(host: Host, given: Any, limit: int) -> Any:
    """A store like MiniStack's that forgets its oldest entries."""

    class Bounded(host.responses.AccountRegionScopedDict):  # type: ignore[misc, name-defined]
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            while len(self._data) > limit:
                self._data.pop(next(iter(self._data)), None)

    store = Bounded()
    store._data.update(list(given._data.items())[-limit:])
    return store
