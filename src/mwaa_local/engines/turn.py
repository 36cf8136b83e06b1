"""One writer at a time: whoever changes an environment holds its lock, which cannot be stale."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mwaa_local.engines.layout import Layout
from mwaa_local.engines.protocol import Progress
from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic, locks

BUSY = "another command is changing this environment"
SECONDS = 900.0
_held: set[tuple[Path, int]] = set()


@contextmanager
def turn(layout: Layout, progress: Progress | None = None) -> Iterator[None]:
    """Hold an environment for one command; a wait for another one is shown.

    Raises:
        EngineError: Another command held it for 15 minutes.
        MachineError: The disk is full or cannot be written, here or in the block.
    """
    mine = (layout.up_lock, threading.get_ident())
    if mine in _held:  # a step of a longer act of this thread
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.lock(layout.up_lock, seconds=0.1 if progress else SECONDS, busy=BUSY))
        except EngineError:
            if progress is None:
                raise
            with progress.step("waiting: " + BUSY):
                stack.enter_context(locks.lock(layout.up_lock, seconds=SECONDS, busy=BUSY))
        _held.add(mine)
        try:
            yield
        except OSError as error:
            raise atomic.disk_error(error, layout.state) from error
        finally:
            _held.discard(mine)
