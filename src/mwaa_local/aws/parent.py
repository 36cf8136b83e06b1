"""End with the process that started us: no orphan keeps a port when ``up`` or an engine is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_CHECK_SECONDS = 2.0


def signal_on_parent_death(number: int) -> bool:
    """Have Linux signal this process when the *thread* that started it ends; false where that is not possible."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


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
