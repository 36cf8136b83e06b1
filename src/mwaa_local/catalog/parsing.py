"""How MWAA parses DAG files: time-outs, limits and names (spec/07 B1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data
from mwaa_local.catalog.versions import series


@dataclass(frozen=True)
class Parsing:
    """Parsing facts for one major Airflow version; times in seconds, shares of one.

    Attributes:
        queues: Names a task's ``queue`` may have beside the environment's own.
        ignore_syntax: How ``.airflowignore`` is read by default: ``glob`` or ``regexp``.
        ignore_engine: What compiles its regular expressions: ``re2`` or ``re``.
        dag_words: Of these a file must hold one, beside ``airflow``, to be parsed.
        archive_suffixes: Names of zip archives that are parsed; empty for any.
    """

    dagbag_import_timeout: float
    dag_file_processor_timeout: float
    slow_share: float
    capacity_share: float
    task_seconds: int
    ignore_syntax: str
    ignore_engine: str
    dag_words: tuple[str, ...]
    archive_suffixes: tuple[str, ...]
    queues: tuple[str, ...]
    processor_timeout_option: str
    parsing_processes_option: str
    process_interval_option: str


@cache
def parsing(airflow: str) -> Parsing:
    """The facts for an Airflow version; a later major has the newest known ones."""
    raw: dict[str, Any] = _data.read("parsing.toml")
    key = str(min(int(series(airflow)), 3))
    return Parsing(
        dagbag_import_timeout=raw["dagbag_import_timeout"],
        dag_file_processor_timeout=raw["dag_file_processor_timeout"],
        slow_share=raw["slow_share"],
        capacity_share=raw["capacity_share"],
        task_seconds=raw["task_seconds"],
        ignore_syntax=raw["ignore_syntax"][key],
        ignore_engine=raw["ignore_engine"][key],
        dag_words=tuple(raw["dag_words"][key]),
        archive_suffixes=tuple(raw["archive_suffixes"][key]),
        queues=tuple(raw["queues"][key]),
        processor_timeout_option=raw["processor_timeout_option"][key],
        parsing_processes_option=raw["parsing_processes_option"][key],
        process_interval_option=raw["process_interval_option"][key],
    )
