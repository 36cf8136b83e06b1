"""A disk that fills up while a file is written."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the first half of what is written fits."""
    real_open = open

    class Half:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def write(self, data: Any) -> int:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(file: Any, mode: str = "r", *words: Any, **more: Any) -> Any:
        stream = real_open(file, mode, *words, **more)
        return Half(stream) if set(mode) & set("wax+") else stream

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("io.open", opened)
    monkeypatch.setattr(os, "fdopen", opened)
