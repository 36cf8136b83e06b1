"""Who ends with whom: no orphan keeps a port when ``up`` or an engine is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHECK_SECONDS = 2.0


def prctl(option: int, value: int) -> bool:
    """Linux's prctl; elsewhere nothing and false, for its uses only make cleaning up surer."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    return False


def become_subreaper() -> None:
    """Have orphans below this process handed to it instead of to the machine's first process."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def signal_on_parent_death(number: int) -> bool:
    """Have Linux signal this process when the *thread* that started it ends; false where that is not possible."""
    return prctl(_PR_SET_PDEATHSIG, number)


def die_with_parent(number: int, parent: int | None = None) -> None:
    """Have the kernel signal this process when its parent ends; at once when the parent ended already.

    Call it after every change of namespace or identity, which clears it.
    """
    signal_on_parent_death(number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def watch_parent(on_death: Callable[[], None]) -> None:
    """Call ``on_death`` once, when the parent process is gone. Call it from the main thread.

    The kernel's signal comes when the starting thread ends, which need not be the process: so the signal only causes a
    look at the parent's id, and a slow look of our own covers systems without that signal.
    """
    parent = os.getppid()
    done = threading.Event()

    def look() -> None:
        if os.getppid() != parent and not done.is_set():
            done.set()
            on_death()

    signal.signal(signal.SIGHUP, lambda _number, _frame: look())
    signal_on_parent_death(signal.SIGHUP)
    look()

    def keep_looking() -> None:
        while not done.is_set():
            time.sleep(_CHECK_SECONDS)
            look()

    threading.Thread(target=keep_looking, name="parent-watch", daemon=True).start()
