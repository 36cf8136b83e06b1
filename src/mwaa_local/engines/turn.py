"""One writer at a time: whoever changes an environment holds its lock, which cannot be stale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.protocol import Progress
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic, locks

BUSY = "another command is changing this environment"
SECONDS = 900.0


@contextmanager
def turn(layout: Layout, progress: Progress | None = None) -> Iterator[None]:
    """Hold an environment for one command; a wait for another one is shown.

    Raises:
        EngineError: Another command held it for 15 minutes.
        MachineError: The disk is full or cannot be written, here or in the block.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.lock(layout.up_lock, seconds=0.1 if progress else SECONDS, busy=BUSY))
        except EngineError:
            if progress is None:
                raise
            with progress.step("waiting: " + BUSY):
                stack.enter_context(locks.lock(layout.up_lock, seconds=SECONDS, busy=BUSY))
        try:
            yield
        except OSError as error:
            raise atomic.disk_error(error, layout.state) from error
