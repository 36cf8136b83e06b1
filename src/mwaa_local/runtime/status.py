"""``status.json``: what a component tells the world about its boot and its processes.

Every reader (engines, the command line, ``health``) sees whole documents only: each change is written beside the file
and renamed over it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mwaa_local.errors import MwaaLocalError

FILE_NAME = "status.json"

BOOTING, RUNNING, DRAINING, FAILED, STOPPED = "booting", "running", "draining", "failed", "stopped"


def timestamp(epoch: float | None = None) -> str:
    """A moment (seconds since the epoch; now when not given) as ISO text in UTC."""
    return datetime.fromtimestamp(time.time() if epoch is None else epoch, UTC).isoformat(timespec="milliseconds")


def read(run_dir: Path) -> dict[str, Any] | None:
    """The status kept in a component's run folder; ``None`` when there is none that can be read."""
    try:
        value = json.loads((run_dir / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _last_crash(run_dir: Path) -> dict[str, Any] | None:
    """The death that ended the boot before, or that it had not got over; a component that was stopped begins anew."""
    before = read(run_dir) or {}
    crash = before.get("crash")
    return crash if isinstance(crash, dict) and before.get("state") != STOPPED else None


class Status:
    """The status of one boot; safe to change from several threads.

    Args:
        run_dir: The component's run folder; made when missing.
        component: Its name.
    """

    def __init__(self, run_dir: Path, component: str) -> None:
        self._path = run_dir / FILE_NAME
        self._lock = threading.RLock()
        self.started = time.time()
        run_dir.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = {
            "component": component,
            "pid": os.getpid(),
            "started_at": timestamp(self.started),
            "started_epoch": self.started,
            "state": BOOTING,
            "ready_at": None,
            "ready_seconds": None,
            "health": "",  # what is wrong, empty while all is well; asked at health_at (seconds since the epoch)
            "health_at": None,
            "phases": [],
            "notes": [],
            "namespace": None,
            "startup_script": None,
            "requirements": {"verdict": "none"},
            "restored": [],
            "processes": [],
            "error": None,
            "crash": _last_crash(run_dir),
        }
        self._write()

    def __getitem__(self, key: str) -> Any:
        with self._lock:
            return self._values[key]

    def set(self, **values: Any) -> None:
        """Change some members."""
        with self._lock:
            if all(self._values.get(key) == value for key, value in values.items()):
                return
            self._values.update(values)
            self._write()

    def note(self, text: str) -> None:
        """Add one line for the user that is no error; the same line is kept once."""
        with self._lock:
            if text not in self._values["notes"]:
                self._values["notes"].append(text)
                self._write()

    @contextmanager
    def phase(self, name: str) -> Iterator[list[str]]:
        """Time one phase of the boot. The yielded list takes the detail to show beside it."""
        began = time.monotonic()
        detail: list[str] = []
        try:
            yield detail
        finally:
            row = {"name": name, "seconds": round(time.monotonic() - began, 3), "detail": "; ".join(detail)}
            with self._lock:
                self._values["phases"].append(row)
                self._write()

    def process(self, name: str, pid: int) -> None:
        """A process of the component was started."""
        with self._lock:
            self._values["processes"].append({"name": name, "pid": pid, "started_at": timestamp(), "exit_code": None})
            self._write()

    def process_ended(self, name: str, exit_code: int) -> None:
        """A process of the component ended; a negative code is the signal's number."""
        with self._lock:
            for row in self._values["processes"]:
                if row["name"] == name and row["exit_code"] is None:
                    row["exit_code"] = exit_code
            self._write()

    def crashed(self, found: Mapping[str, Any]) -> None:
        """A process died by itself; see :func:`mwaa_local.runtime.crash.explain`. ``count`` is how often in a row."""
        with self._lock:
            before = self._values["crash"]
            self._values["crash"] = {**found, "count": int(before["count"]) + 1 if before else 1}
            self._write()

    def forget_crash(self, seconds: float) -> None:
        """Forget a death of a boot before once this one has lived longer than that."""
        with self._lock:
            if self._values["crash"] and time.time() - max(self.started, self._values["crash"]["at"]) > seconds:
                self._values["crash"] = None
                self._write()

    def ready(self) -> None:
        """The component's processes answered for the first time."""
        with self._lock:
            if self._values["ready_at"] is None:
                now = time.time()
                self._values.update(state=RUNNING, ready_at=timestamp(now), ready_seconds=round(now - self.started, 3))
                self._write()

    def fail(self, error: MwaaLocalError) -> None:
        """The component cannot run; what, where, why and hint are kept."""
        self.set(state=FAILED, error=error.as_dict())

    def _write(self) -> None:
        partial = self._path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            partial.write_text(json.dumps(self._values, indent=1, ensure_ascii=False), encoding="utf-8")
            partial.replace(self._path)
        except OSError:
            # A full disk must not end Airflow; the next change tries again.
            partial.unlink(missing_ok=True)
