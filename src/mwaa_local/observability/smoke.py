"""The smoke test: no DAG import error, and the chosen DAGs succeed. Here: what there is, and what to run of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mwaa_local.errors import UsageError
from mwaa_local.model import SmokeSettings
from mwaa_local.observability.airflow_api import AirflowApi, Dag, ImportFailure

_POLL_S = 0.3
_SETTLED_S = 6.0


def wait_until_parsed(
    api: AirflowApi,
    dags_folder: Path,
    wanted: Sequence[str],
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[Dag], list[ImportFailure]]:
    """The DAGs and import errors once every DAG file was parsed.

    Airflow has no "all parsed" signal: a file counts as done when a DAG or an import error names it; helper modules
    never do, so the wait also ends when nothing new came for a few seconds.
    """
    expected = {path.name for path in dags_folder.rglob("*.py") if _looks_like_dag(path)}
    end = clock() + timeout_s
    last: tuple[int, int] = (-1, -1)
    changed = clock()
    while True:
        dags, errors = api.dags(), api.import_errors()
        done = {Path(dag.file).name for dag in dags} | {Path(error.file).name for error in errors}
        if expected <= done and set(wanted) <= {dag.id for dag in dags}:
            return dags, errors
        if (len(dags), len(errors)) != last:
            last, changed = (len(dags), len(errors)), clock()
        settled = bool(done) and clock() - changed > _SETTLED_S
        if settled or clock() > end or not expected:
            return dags, errors
        sleep(_POLL_S)


def _looks_like_dag(path: Path) -> bool:
    """Airflow's safe-mode heuristic: only files that mention both words are parsed."""
    try:
        text = path.read_bytes().lower()
    except OSError:
        return False
    return b"dag" in text and b"airflow" in text


def choose(dags: Sequence[Dag], settings: SmokeSettings, names: Sequence[str], tag: str | None) -> list[Dag]:
    """The DAGs to run: named ones, else those of the definition, else all unscheduled ones with the tag.

    Raises:
        UsageError: a named DAG does not exist, or nothing is left to run.
    """
    by_id = {dag.id: dag for dag in dags}
    chosen = list(names) or ([] if tag else list(settings.dags))
    if chosen:
        missing = [name for name in chosen if name not in by_id]
        if missing:
            raise UsageError(
                f"DAG {missing[0]!r} does not exist",
                why=f"parsed DAGs: {', '.join(by_id) or 'none'}",
                hint="check the name; `mwaa-local status` shows import errors",
            )
        return [by_id[name] for name in chosen]
    wanted = tag or settings.tag
    found = [dag for dag in dags if wanted in dag.tags and (tag or not dag.scheduled)]
    if not found:
        raise UsageError(
            f"no DAG carries the tag {wanted!r}",
            why=f"parsed DAGs: {', '.join(by_id) or 'none'}",
            hint=f"give a DAG tags=[{wanted!r}], or name DAGs with --dag",
        )
    return found
