"""A sign of life of the Celery worker: a file touched by the consumer's own timer.

A process table says only that a worker exists. This file says that its loop turns: it is
touched first when the worker is ready to consume, and never again once the loop stalls.
"""

import contextlib
from pathlib import Path

from mwaa_airflow import environment

#: Seconds between two touches.
INTERVAL = 5.0


def touch(path):
    """Set the file's times to now, creating it when needed; an unwritable folder is not the worker's problem."""
    with contextlib.suppress(OSError):
        Path(path).touch()


def install():
    """Add the heartbeat to every worker started in this process, if a file was named."""
    path = environment.text("MWAA_LOCAL__WORKER_HEARTBEAT")
    if not path:
        return
    from celery import bootsteps
    from celery.signals import celeryd_init

    class HeartbeatFile(bootsteps.StartStopStep):
        """Runs after the task consumer, and again after every reconnection, which clears all timers."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent, **kwargs):
            super(HeartbeatFile, self).__init__(parent, **kwargs)
            self.entry = None

        def start(self, parent):
            touch(path)
            self.entry = parent.timer.call_repeatedly(INTERVAL, touch, (path,))

        def stop(self, parent):
            if self.entry is not None:
                self.entry.cancel()
                self.entry = None

        shutdown = stop

    def add(instance=None, **kwargs):
        instance.app.steps["consumer"].add(HeartbeatFile)

    celeryd_init.connect(add, weak=False)
