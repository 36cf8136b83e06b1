"""Lines of the component's processes, on their way to CloudWatch Logs (spec/10 sections 7.1 to 7.4).

watchtower does the batching and sending. What is ours: nothing here ever makes a process wait. Lines lie in a bounded
queue whose oldest are dropped; boto3 and watchtower are imported in a thread, after the component is ready; a dead
endpoint is asked again once a second, and said once.

Levels follow the guide (spec/08 section 3.2): the configured level and every more severe one is published, whichever
process of the component wrote the line. (The image's own rules publish nothing at ``CRITICAL`` and may mix the levels
of two processes; spec/10 section 7.4 marks both as defects.)
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mwaa_local.catalog import component_processes
from mwaa_local.runtime.inputs import RuntimeInputs

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

# Lines kept while nothing can be sent, and lines handed to watchtower ahead of its sending.
QUEUE_LINES, _AHEAD_LINES = 20_000, 2_000
# Seconds: batching (MWAA's own is 10 s; here a person waits), asking a dead endpoint again, one request.
_BATCH_SECONDS, _RETRY_SECONDS, _REQUEST_SECONDS = 2, 1.0, 5

# structlog's "[info     ]" and the classic "{file.py:1} INFO -", near the line's beginning (spec/10 section 7.4).
_LEVEL = re.compile(
    r"\[(debug|info|warning|error|critical|exception)\s*\]|\} (DEBUG|INFO|WARNING|ERROR|CRITICAL) -", re.I
)
_DROPPED = "The basic metric validator will be deprecated"  # spec/10 section 7.3


@dataclass(frozen=True)
class Stream:
    """One log stream: where lines of one process go, and from which level on.

    Attributes:
        tag: For ``startup`` and ``requirements``: the level's name that MWAA writes before each line (spec/10 section
            7.3); empty for the raw line.
    """

    group: str
    name: str
    level: int
    tag: str = ""

    def event(self, line: str) -> str:
        """A line as CloudWatch Logs gets it."""
        return f"[{self.tag}] - {line}" if self.tag else line


def streams(inputs: RuntimeInputs, host: str) -> dict[str, Stream]:
    """Streams of a component by process name, and of ``startup`` and ``requirements`` (spec/10 section 7.1).

    Sources that are not to be published have none.
    """
    now = time.time()
    own = {"scheduler": "SCHEDULER", "worker": "WORKER", "webserver": "WEBSERVER"}.get(inputs.component)
    if own is None:
        return {}
    wanted = {
        inputs.component: (own, f"{inputs.component}_{host}_{now}.log", None),
        "startup": (own, f"startup_script_execution_{host}_{now}.log", LEVELS["INFO"]),
        "requirements": (own, f"requirements_install_{host}_{now}.log", LEVELS["INFO"]),
    }
    for facts in component_processes(inputs.component, inputs.version.airflow):
        wanted[facts.name] = (facts.log, facts.stream or f"{facts.name}_{host}_{now}.log", None)
    tag = _script_tag(inputs, own)
    return {
        process: Stream(
            target.group,
            name,
            level if level is not None else LEVELS.get(target.level, LEVELS["INFO"]),
            tag if process in ("startup", "requirements") else "",
        )
        for process, (source, name, level) in wanted.items()
        if (target := inputs.logs[source]).publishes
    }


def _script_tag(inputs: RuntimeInputs, source: str) -> str:
    """The level's name before lines of the startup script and of pip: the component's own before 3.2, INFO since.

    The older images know three of them (spec/10 sections 3.6 and 7.4).
    """
    level = inputs.logs[source].level
    return level if inputs.version.has("script_lines_keep_their_level") and level in ("ERROR", "WARNING") else "INFO"


class Levels:
    """The level of each line of a process; one without has that of the line before (a traceback stays whole)."""

    def __init__(self) -> None:
        self._last = LEVELS["INFO"]

    def of(self, line: str) -> int:
        """The level of a line."""
        match = _LEVEL.search(line[:400])
        if match:
            word = (match.group(1) or match.group(2)).upper()
            self._last = LEVELS.get(word, LEVELS["ERROR"])
        return self._last


class Shipper:
    """Sends lines in the background.

    Args:
        streams: From :func:`streams`.
        connect: Makes the CloudWatch Logs client; called in the background thread.
        say: Tells the user of a problem, once each.
        capacity: Most lines that wait.
    """

    def __init__(
        self,
        streams: dict[str, Stream],
        connect: Callable[[], Any],
        say: Callable[[str], None],
        capacity: int = QUEUE_LINES,
    ) -> None:
        self._streams = streams
        self._connect = connect
        self._say = say
        self._said: set[str] = set()
        self._levels = {name: Levels() for name in streams}
        self._waiting: deque[tuple[str, float, str]] = deque()
        self._capacity = capacity
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._handlers: dict[str, Any] = {}
        self.dropped = 0

    def line(self, process: str, text: str, level: int | None = None) -> None:
        """Take one line of a process; never waits. Without a level, it is found in the text."""
        stream = self._streams.get(process)
        if stream is None or not text or _DROPPED in text:
            return
        if (self._levels[process].of(text) if level is None else level) < stream.level:
            return
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self.dropped += 1
            self._tell("log lines wait for the AWS endpoint: the oldest are dropped")
        self._waiting.append((process, time.time(), text))
        self._wake.set()

    def start(self) -> None:
        """Begin to send, from a thread of its own; lines taken before are kept."""
        if self._streams and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-shipping", daemon=True)
            self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Send what can be sent within a time, then give up; a client that must be made first gets as much again."""
        if self._thread is None and self._waiting:
            self.start()
            seconds *= 2
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _run(self) -> None:
        try:
            client = _PatientClient(self._connect(), self._stopping, self._tell)
            self._handlers = {name: self._handler(client, stream) for name, stream in self._streams.items()}
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the log client, Airflow runs on
            self._tell(f"no log line can be sent to CloudWatch Logs: {error}")
            return
        while not (self._stopping.is_set() and not self._waiting):
            self._wake.wait(1.0)
            self._wake.clear()
            self._hand_over()
            if self._stopping.is_set() and self._waiting:
                time.sleep(0.05)
        for handler in self._handlers.values():
            handler.flush()

    def _hand_over(self) -> None:
        while self._waiting:
            process, created, text = self._waiting[0]
            handler = self._handlers[process]
            if any(queue.qsize() > _AHEAD_LINES for queue in handler.queues.values()):
                self._wake.wait(0.2)
                return
            try:
                self._waiting.popleft()
            except IndexError:
                return
            event = self._streams[process].event(text)
            record = logging.LogRecord(process, logging.INFO, "", 0, event, None, None)
            record.created = created
            handler.emit(record)

    def _handler(self, client: Any, stream: Stream) -> Any:
        import watchtower

        # watchtower reports by Python warnings, whose filters are the whole process's: here they are the user's to see.
        setattr(watchtower, "warnings", _Warnings(self._tell))  # noqa: B010 - not a name it exports
        handler = watchtower.CloudWatchLogHandler(
            log_group_name=stream.group,
            log_stream_name=stream.name.replace("{", "(").replace("}", ")"),
            send_interval=_BATCH_SECONDS,
            boto3_client=client,
            create_log_group=False,  # groups are made beforehand; MWAA's handlers never make one (spec/10 section 7.1)
        )
        handler.FLUSH_TIMEOUT = 2
        return handler


class _Warnings:
    """Stands in for the module ``warnings`` inside watchtower."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def warn(self, message: object, *_: object) -> None:
        self._tell(f"CloudWatch Logs: {message}")


class _PatientClient:
    """A CloudWatch Logs client that asks a dead endpoint again instead of losing the batch."""

    def __init__(self, client: Any, stopping: threading.Event, tell: Callable[[str], None]) -> None:
        self._client = client
        self._stopping = stopping
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_log_events(self, **request: Any) -> Any:
        from botocore.exceptions import BotoCoreError

        while True:
            try:
                return self._client.put_log_events(**request)
            except BotoCoreError as error:  # no answer; an answer that is an error is watchtower's business
                if self._stopping.is_set():
                    raise
                self._tell(f"the AWS endpoint does not take log lines, asking again: {error}")
                self._stopping.wait(_RETRY_SECONDS)


def connect(inputs: RuntimeInputs) -> Any:
    """A CloudWatch Logs client for the environment's own traffic: explicit address and keys, nothing of the user's."""
    import botocore.session
    from botocore.config import Config

    local = bool(inputs.aws_endpoint)
    # An unknown AWS_PROFILE would fail any client, even one with explicit keys; only such empty rules keep it unread.
    nothing = {name: (None, None, value, None) for name, value in (("profile", None), ("config_file", os.devnull))}
    session = botocore.session.Session(session_vars=nothing if local else None)
    return session.create_client(
        "logs",
        region_name=inputs.region,
        endpoint_url=inputs.aws_endpoint or None,
        aws_access_key_id=inputs.aws_access_key if local else None,
        aws_secret_access_key=inputs.aws_secret_key if local else None,
        config=Config(
            connect_timeout=2,
            read_timeout=_REQUEST_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
            proxies={} if local else None,
        ),
    )
