"""Which files Airflow looks at in its safe mode (spec/07 B1.4)."""

from __future__ import annotations

from collections.abc import Sequence


def missing_words(data: bytes, words: Sequence[str]) -> tuple[str, ...]:
    """What a file's text lacks in Airflow's safe mode, which wants ``airflow`` and one of ``words``, in any case."""
    text = data.lower()
    found = [] if b"airflow" in text else ["airflow"]
    return (*found, *(words[:1] if not any(word.encode() in text for word in words) else ()))
