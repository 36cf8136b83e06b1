"""Task logs on 3.x: Airflow's ``RemoteLogIO`` over CloudWatch Logs.

The object is made in every Airflow process, most of which never log a task, so boto3,
watchtower and the first connection wait for the first line.
"""

import contextlib
import copy
import datetime
import json
import logging
import os
import threading
from pathlib import Path

from mwaa_airflow.logs import reader

_LOCAL = threading.local()

#: Default value of the option for how to serialise what JSON does not know.
DEFAULT_SERIALIZER = "airflow.providers.amazon.aws.log.cloudwatch_task_handler.json_serialize_legacy"


def legacy_json(value):
    """Serialise dates; everything else that JSON does not know becomes ``null``, as in Airflow's default."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return None


def json_default():
    """Return the user's serialiser (``aws.cloudwatch_task_handler_json_serializer``) or Airflow's default."""
    from airflow.configuration import conf

    name = conf.get("aws", "cloudwatch_task_handler_json_serializer", fallback=DEFAULT_SERIALIZER)
    if name == DEFAULT_SERIALIZER:
        # The same function, without importing the provider's hooks into every process that runs tasks.
        return legacy_json
    return conf.getimport("aws", "cloudwatch_task_handler_json_serializer")


class RemoteTaskLog(object):
    """What Airflow 3 asks of a remote log: write while a task runs, finish, read."""

    def __init__(self, source, base_log_folder):
        """Remember where logs go.

        Args:
            source: The ``LogSource`` of task logs.
            base_log_folder: Folder of Airflow's local log files.
        """
        self.source = source
        self.base_log_folder = base_log_folder
        self._writer = None
        self._lock = threading.Lock()

    @property
    def writer(self):
        """The handler behind the log lines, made at the first of them."""
        with self._lock:
            if self._writer is None:
                from mwaa_airflow.logs.writer import Writer

                self._writer = Writer(self.source, json_default=json_default())
            return self._writer

    def prepare(self):
        """Make what a task's first line would have to wait for; in a parent, so that its forks have it."""
        if self.source.publishes:
            self.writer.prepare()

    @property
    def processors(self):
        """structlog processors that Airflow puts before the one that writes the local file."""
        return (self._process,) if self.source.publishes else ()

    def _process(self, logger, method_name, event):
        # Lines that arise while a line is being published would publish for ever.
        if logger is None or getattr(_LOCAL, "busy", False):
            return event
        level = logging.getLevelName("WARNING" if method_name == "warn" else method_name.upper())
        if method_name == "exception":
            level = logging.ERROR
        if not isinstance(level, int):
            level = logging.INFO
        if level < self.source.level:
            return event
        _LOCAL.busy = True
        try:
            path = self._relative_path(logger)
            if path is not None:
                self._publish(path, level, event)
        except Exception:  # noqa: BLE001 - see below
            # A log line must not fail the task that wrote it; the local file still gets it.
            pass
        finally:
            _LOCAL.busy = False
        return event

    def _relative_path(self, logger):
        """Return the log file's path below the base folder, ``None`` for anything that is no task log."""
        name = getattr(getattr(logger, "_file", None), "name", None)
        if not isinstance(name, str):
            return None
        path = os.path.relpath(name, self.base_log_folder)
        # DAG files have their logs under the same folder, and are not tasks (spec/10 section 7.5).
        if path.startswith(("..", "dag_processor" + os.sep)):
            return None
        return path

    def _publish(self, path, level, event):
        message = copy.copy(event)
        stamp = message.pop("timestamp", None)
        name = str(message.get("logger_name") or message.get("logger") or "")
        record = logging.LogRecord(name, level, "", 0, message, (), None)
        record.mwaa_stream = reader.stream_name(path)
        if isinstance(stamp, str):
            with contextlib.suppress(ValueError):
                record.created = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
        self.writer.handle(record)

    def upload(self, path, ti):
        """Finish one log: send what waits, and remove the local file once CloudWatch has every line."""
        relative = os.path.relpath(str(Path(self.base_log_folder, path)), self.base_log_folder)
        if not self.source.publishes or relative.startswith(".."):
            return
        delivered = self._writer is None or self._writer.finish(reader.stream_name(relative))
        if delivered:
            local = Path(self.base_log_folder, relative)
            with contextlib.suppress(OSError):
                local.unlink()
                # Fails, and should, while another part of the same task has its file there.
                local.parent.rmdir()

    def close(self):
        """Send what waits."""
        if self._writer is not None:
            self._writer.flush()

    def read(self, relative_path, ti):
        """Return ``(notes, texts)``; see ``stream``."""
        notes, streams = self.stream(relative_path, ti)
        return notes, [line + "\n" for lines in streams for line in lines]

    def stream(self, relative_path, ti):
        """Return ``(notes, streams)``: what was read, and one generator of JSON lines per log stream.

        Failures are notes or lines, never exceptions: the page shows them (spec/10 section 7.5).
        """
        group, name = self.source.group, reader.stream_name(relative_path)
        notes = ["Reading remote log from Cloudwatch log_group: %s log_stream: %s" % (self.source.arn, name)]
        if not self.source.publishes:
            return notes + ["CloudWatch logging is disabled for task logs (LoggingConfiguration.TaskLogs)."], []
        streams = []
        try:
            client = reader.make_client()
            names = reader.trigger_streams(client, group, name)
        except Exception as error:  # noqa: BLE001 - a line, see above
            return notes + [self._failure(name, error)], []
        for part in [name] + names:
            if part != name:
                notes.append("Reading triggerer logs from: %s" % part)
            found = reader.events(client, group, part, reader.end_time(ti))
            try:
                first = next(found, None)
            except Exception as error:  # noqa: BLE001 - a line, see above
                notes.append(self._failure(part, error))
            else:
                streams.append(self._lines(first, found, part))
        return notes, streams

    def _lines(self, first, rest, part):
        if first is not None:
            yield json_line(first)
        try:
            for event in rest:
                yield json_line(event)
        except Exception as error:  # noqa: BLE001 - a line, see above
            yield json.dumps({"event": self._failure(part, error), "level": "error"})

    def _failure(self, name, error):
        return "Failed to read remote log from Cloudwatch log_group: %s log_stream: %s: %s" % (
            self.source.arn,
            name,
            error,
        )


def json_line(event):
    """Return a CloudWatch event as the line that Airflow's file would hold: JSON with a timestamp."""
    when = datetime.datetime.fromtimestamp(event["timestamp"] / 1000.0, tz=datetime.timezone.utc).isoformat()
    try:
        line = json.loads(event["message"])
        line["timestamp"] = when
    except (ValueError, TypeError):
        line = {"timestamp": when, "event": event["message"]}
    return json.dumps(line)
