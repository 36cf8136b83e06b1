"""Checking again whenever a file changes: the operating system tells, nobody polls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from mwaa_local.errors import UsageError
from mwaa_local.preflight import run
from mwaa_local.preflight.findings import Area
from mwaa_local.preflight.report import Report
from mwaa_local.preflight.run import Request

# Editors write a file in several steps; what follows within this time belongs to the same change. Milliseconds.
DEBOUNCE_MS = 300
_IGNORED = (".mwaa", ".git", "__pycache__", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules")


def watch(
    request: Request,
    show: Callable[[Report], None],
    note: Callable[[str], None],
    changes: Iterable[set[Path]] | None = None,
) -> None:
    """Validate now, and after every change until interrupted.

    Args:
        request: What to validate.
        show: Takes each report.
        note: Told what changed.
        changes: Sets of changed files, for tests; from the file system when left out.

    Raises:
        UsageError: The package that reports changes is not installed.
    """
    source = changes if changes is not None else _changes(request.project)
    show(run.validate(request))
    for changed in source:
        files = sorted(path for path in changed if not set(_IGNORED).intersection(path.parts))
        if not files:
            continue
        note(f"changed: {', '.join(path.name for path in files[:5])}{' ...' if len(files) > 5 else ''}")
        show(run.validate(narrowed(request, files)))


def narrowed(request: Request, files: Iterable[Path]) -> Request:
    """The request for changed files: single DAG files alone, everything when another file changed.

    A definition, a requirement, a plugin or a helper module may change what holds for every DAG file.
    """
    chosen = [path.resolve() for path in files]
    folder = request.project.expanduser().resolve() / "dags"
    alone = [path for path in chosen if path.is_file() and path.suffix == ".py" and path.parent == folder]
    if request.paths or request.areas or len(alone) != len(chosen):
        return request
    return replace(request, paths=tuple(alone), areas=(Area.DAGS,))


def _changes(project: Path) -> Iterable[set[Path]]:
    try:
        import watchfiles
    except ImportError:
        raise UsageError(
            "--watch needs the package watchfiles",
            why="it listens to the operating system, so that nothing has to be polled",
            hint="install it beside mwaa-local: pip install watchfiles",
        ) from None
    for batch in watchfiles.watch(project, debounce=DEBOUNCE_MS, raise_interrupt=True):
        yield {Path(name) for _, name in batch}
