"""A watchtower handler that never waits longer than it was told to.

watchtower sends with no end of its own: five tries, each with botocore's five, each up to a
minute. A task must not hang because its log endpoint does, so here every request is short, a
batch that fails is tried again in the background only, and a flush or close ends on time.
"""

import os
import sys
import threading
import time

import watchtower
from botocore.exceptions import ClientError

from mwaa_airflow import aws_client, environment

#: Lines with this text are never published (spec/10 section 7.3).
IGNORED_TEXT = "The basic metric validator will be deprecated"

#: Longest that flush() or close() waits for the endpoint, in seconds.
DRAIN_SECONDS = 5.0

#: After a drain ran out of time the endpoint counts as dead this long, and nothing waits for it.
DEAD_SECONDS = 30.0

#: Lines kept in memory per stream while the endpoint does not answer; later ones are dropped.
MAX_WAITING = 20000

#: Seconds between two tries of the same batch.
RETRY_SECONDS = 1.0


class Writer(watchtower.CloudWatchLogHandler):
    """Publishes records of one log source; one stream by default, or the record's own.

    A record may name its stream in the attribute ``mwaa_stream``.
    """

    def __init__(self, source, stream="", interval=2, queued=True, json_default=None):
        """Make a handler; nothing is sent yet.

        Args:
            source: A ``LogSource`` that publishes.
            stream: Name of the stream.
            interval: Seconds between two batches.
            queued: Send from a thread; otherwise each record is sent before emit() returns.
            json_default: Passed to ``json.dumps`` for what JSON does not know.
        """
        self._client = None
        self._used_by = None
        self._deadline = None
        self._dead_until = 0.0
        self._wake = threading.Event()
        self._lost = 0
        self._told = False
        self._reporting = threading.local()
        super(Writer, self).__init__(
            log_group_name=source.group,
            log_stream_name=stream,
            use_queues=queued,
            send_interval=interval,
            create_log_group=False,
            boto3_client=object(),
            json_serialize_default=json_default,
        )
        self.setLevel(source.level)

    @property
    def cwl_client(self):
        """The client of this process: a forked child must not share its parent's sockets."""
        if self._client is None or self._used_by not in (None, os.getpid()):
            self._client = aws_client.client("logs", connect_timeout=1.0, read_timeout=3.0)
        self._used_by = os.getpid()
        return self._client

    def prepare(self):
        """Make the client without using it, which children forked later may do instead."""
        if self._client is None:
            self._client = aws_client.client("logs", connect_timeout=1.0, read_timeout=3.0)

    @cwl_client.setter
    def cwl_client(self, value):
        """Ignore the placeholder that watchtower stores: the client is made when it is first used."""

    def _init_state(self):
        # Called by watchtower at creation and in a forked child, which starts with nothing to send.
        super(Writer, self)._init_state()
        self._deadline = None
        self._wake = threading.Event()

    def _get_stream_name(self, message):
        # Not formatted as watchtower would: a run id may contain braces.
        return getattr(message, "mwaa_stream", None) or self.log_stream_name

    def emit(self, record):
        """Take one record; never blocks when ``queued``, and never raises."""
        try:
            message = record.getMessage()
            if not message.strip() or IGNORED_TEXT in message:
                # CloudWatch Logs refuses events without text.
                return
            waiting = self.queues.get(self._get_stream_name(record))
            if waiting is not None and waiting.qsize() >= MAX_WAITING:
                self._count_lost(1, "the endpoint has not answered for a long time")
                return
        except Exception:  # noqa: BLE001 - a record of the user's, reported as logging does
            self.handleError(record)
            return
        super(Writer, self).emit(record)

    def handleError(self, record):  # noqa: N802 - logging's name
        """Report a record that cannot be formatted, unless it comes from such a report.

        A task's stderr is itself logged, so that a report may arrive here as a record.
        """
        if not getattr(self._reporting, "busy", False):
            self._reporting.busy = True
            try:
                super(Writer, self).handleError(record)
            finally:
                self._reporting.busy = False

    def _submit_batch(self, batch, log_stream_name, max_retries=None):
        if not batch:
            return
        events = sorted(batch, key=lambda event: event["timestamp"])
        while True:
            if not self._out_of_time():
                problem = self._put(events, log_stream_name)
                if problem is None:
                    self._dead_until = 0.0
                    return
            else:
                problem = "the endpoint does not answer"
            if not self.use_queues:
                # The caller waits for us: one try, then leave the endpoint alone for a while.
                self._dead_until = time.monotonic() + DEAD_SECONDS
            if not self.use_queues or self._out_of_time():
                self._count_lost(len(events), problem)
                return
            # Also wakes up when a drain sets its deadline.
            self._wake.wait(RETRY_SECONDS)

    def _put(self, events, stream):
        """Send one batch; return ``None`` or what went wrong."""
        for _ in range(2):
            try:
                self.cwl_client.put_log_events(logGroupName=self.log_group_name, logStreamName=stream, logEvents=events)
                return None
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code")
                if code == "DataAlreadyAcceptedException":
                    return None
                if code != "ResourceNotFoundException":
                    return error
                problem = error
            except Exception as error:  # noqa: BLE001 - botocore and urllib3 raise many kinds
                return error
            try:
                self.cwl_client.create_log_stream(logGroupName=self.log_group_name, logStreamName=stream)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ResourceAlreadyExistsException":
                    return error
            except Exception as error:  # noqa: BLE001 - as above
                return error
        return problem

    def _out_of_time(self):
        now = time.monotonic()
        return now < self._dead_until or (self._deadline is not None and now >= self._deadline)

    def _count_lost(self, number, why):
        self._lost += number
        if self._told:
            return
        self._told = True
        where = environment.aws_endpoint() or "AWS"
        stream = sys.__stderr__
        if stream is not None:
            try:
                stream.write(
                    "mwaa-local: log lines for %s are lost, CloudWatch Logs at %s: %s\n"
                    % (self.log_group_name, where, why)
                )
                stream.flush()
            except (OSError, ValueError):
                pass

    @property
    def lost(self):
        """How many lines were not delivered by this process."""
        return self._lost

    def flush(self):
        """Send what waits; return within ``DRAIN_SECONDS``."""
        if not self.shutting_down:
            self._drain(list(self.queues), self.FLUSH)

    def finish(self, stream):
        """Send what waits for one stream and end its thread; return whether nothing of it was lost."""
        before = self._lost
        if stream not in self.queues:
            return True
        drained = self._drain([stream], self.END)
        self.queues.pop(stream, None)
        self.sequence_tokens.pop(stream, None)
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        return drained and self._lost == before

    def close(self):
        """Send what waits and take nothing more; return within ``DRAIN_SECONDS``."""
        if not self.shutting_down:
            self.shutting_down = True
            self._drain(list(self.queues), self.END)
        # Past watchtower's close(), which would wait for each stream in turn.
        super(watchtower.CloudWatchLogHandler, self).close()

    def _drain(self, names, token):
        """Put ``token`` into the named queues and wait until they are sent; return whether all were."""
        now = time.monotonic()
        limit = now if now < self._dead_until else now + DRAIN_SECONDS
        self._deadline = limit
        self._wake.set()
        queues = [self.queues[name] for name in names]
        for waiting in queues:
            waiting.put(token)
        drained = True
        for waiting in queues:
            with waiting.all_tasks_done:
                left = max(0.0, limit - time.monotonic())
                # A thread that gives up at the deadline still needs a moment to say so.
                if not waiting.all_tasks_done.wait_for(lambda each=waiting: not each.unfinished_tasks, left + 0.2):
                    drained = False
        if not drained or (queues and time.monotonic() >= limit):
            self._dead_until = time.monotonic() + DEAD_SECONDS
        if not drained:
            self._count_lost(1, "the endpoint does not answer")
        self._deadline = None
        self._wake.clear()
        return drained
