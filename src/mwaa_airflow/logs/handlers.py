"""Python log handlers named by ``LOGGING_CONFIG``.

They are made in every process, so they hold no client; the writer behind them, and boto3 with
it, comes with the first task or DAG file.
"""

import logging
from pathlib import Path

from airflow.utils.log.file_task_handler import FileTaskHandler

from mwaa_airflow import environment
from mwaa_airflow.logs import reader


def new_writer(source_name, stream, handler, **options):
    """Return a writer with the handler's format, or ``None`` when the source publishes nothing."""
    source = environment.LogSource(source_name)
    if not source.publishes:
        return None
    from mwaa_airflow.logs.writer import Writer

    writer = Writer(source, stream, **options)
    if handler.formatter:
        writer.setFormatter(handler.formatter)
    return writer


class TaskHandler(FileTaskHandler):
    """Task logs on 2.x: written straight to CloudWatch Logs and read back from there."""

    # Airflow gives each deferred task a handler of its own in the triggerer.
    trigger_should_wrap = True

    def __init__(self, base_log_folder, **kwargs):
        super(TaskHandler, self).__init__(base_log_folder)
        self.handler = None
        self.source = environment.LogSource("TASK")

    def _render_filename(self, ti, try_number):
        return reader.stream_name(super(TaskHandler, self)._render_filename(ti, try_number))

    def set_context(self, ti, identifier=None):
        """Start the stream of one try of a task."""
        if self.handler is not None:
            self.handler.close()
        self.handler = new_writer("TASK", self._render_filename(ti, ti.try_number), self)

    def emit(self, record):
        """Publish one record."""
        if self.handler is not None and record.levelno >= self.handler.level:
            self.handler.emit(record)

    def flush(self):
        """Send what waits, in bounded time."""
        if self.handler is not None:
            self.handler.flush()

    def close(self):
        """Send what waits, in bounded time, and end."""
        if self.handler is not None:
            self.handler.close()
        # FileTaskHandler would close it a second time.
        logging.Handler.close(self)

    def _read(self, ti, try_number, metadata=None):
        stream = self._render_filename(ti, try_number)
        notes = ["*** Reading remote log from Cloudwatch log_group: %s log_stream: %s." % (self.source.arn, stream)]
        lines = []
        if not self.source.publishes:
            notes.append("*** CloudWatch logging is disabled for task logs (LoggingConfiguration.TaskLogs).")
        else:
            try:
                for event in reader.events(reader.make_client(), self.source.group, stream, reader.end_time(ti)):
                    lines.append(event["message"])
            except Exception as error:  # noqa: BLE001 - the page shows any failure as a line
                notes.append(
                    "*** Unable to read remote logs from Cloudwatch (log_group: %s, log_stream: %s): %s"
                    % (self.source.arn, stream, error)
                )
        return "\n".join(notes + lines) + "\n", {"end_of_log": True}


class TaskReader(FileTaskHandler):
    """The reading side on 3.x: CloudWatch Logs alone.

    Airflow would mix in the worker's local file while a task runs, with other timestamps, so
    that each line would show twice.
    """

    def emit(self, record):
        """Write nothing: lines are published by ``mwaa_airflow.logs.remote``."""

    @staticmethod
    def _read_from_local(worker_log_path):
        return [], []

    def _read_from_logs_server(self, ti, worker_log_rel_path):
        return [], []

    def _read(self, ti, try_number, metadata=None):
        stream, found = super(TaskReader, self)._read(ti, try_number, metadata)
        if environment.airflow_version() >= (3, 2):
            # MWAA always reports the end (spec/10 section 7.5): a reader asks again from the start.
            found = dict(found, end_of_log=True)
        return stream, found


class DagFileHandler(logging.Handler):
    """Parsing of one DAG file on 2.x: a stream per file name, each line sent at once (spec/10 section 7.1)."""

    def __init__(self):
        super(DagFileHandler, self).__init__()
        self.handler = None

    def set_context(self, filename):
        """Start the stream of one DAG file; return Airflow's mark for "not to the console as well"."""
        from airflow.utils.log.logging_mixin import DISABLE_PROPOGATE

        stream = "scheduler_%s.log" % Path(filename).name
        self.handler = new_writer("DAGPROCESSOR", stream, self, queued=False)
        return DISABLE_PROPOGATE

    def emit(self, record):
        """Publish one record."""
        if self.handler is not None and record.levelno >= self.handler.level:
            self.handler.emit(record)

    def close(self):
        """End the stream."""
        if self.handler is not None:
            self.handler.close()
        super(DagFileHandler, self).close()


class DagManagerHandler(logging.Handler):
    """The DAG processor's manager on 2.x: one stream for all (spec/10 section 7.1)."""

    #: Seconds between two batches, as on MWAA.
    INTERVAL = 10

    def __init__(self, stream):
        super(DagManagerHandler, self).__init__()
        self.stream = stream
        self.handler = None

    def emit(self, record):
        """Publish one record."""
        if self.handler is None:
            self.handler = new_writer("DAGPROCESSOR", self.stream, self, interval=self.INTERVAL)
        if self.handler is not None and record.levelno >= self.handler.level:
            self.handler.emit(record)

    def flush(self):
        """Send what waits, in bounded time."""
        if self.handler is not None:
            self.handler.flush()

    def close(self):
        """Send what waits, in bounded time, and end."""
        if self.handler is not None:
            self.handler.close()
        super(DagManagerHandler, self).close()
