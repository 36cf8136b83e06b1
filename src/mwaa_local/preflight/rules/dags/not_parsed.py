"""DAG010: a DAG file that the DAG processor passes over."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity, Unchecked
from mwaa_local.preflight.readings import archives, ignore
from mwaa_local.preflight.readings.python import PythonFile
from mwaa_local.preflight.readings.safe_mode import missing_words
from mwaa_local.preflight.readings.silent import generator_line
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_MAKERS = ("DAG", "dag")


def check(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    dags = workspace.dags
    for file in dags.python:
        lacking = dags.lacks(file)
        if lacking:
            yield from _passed_over(workspace, file, lacking)
    yield from _archives(workspace)
    own = [path for path in dags.files if path.suffix == ".py"]
    if own and workspace.only is None and dags.looked_at.isdisjoint(dags.files):
        count = "the only DAG file" if len(own) == 1 else f"all {len(own)} Python files"
        place = next((path for path in dags.files if path.name == ignore.IGNORE_FILE), dags.path)
        yield Hit(
            f".airflowignore hides {count} here: the environment has no DAG",
            place,
            fix=f"check its patterns: Airflow {workspace.version.airflow} reads them as {workspace.ignore_syntax}",
            key="all hidden",
        )
    for path in dags.files:
        if path.suffix == ".py" and path not in dags.looked_at:
            try:
                hidden = PythonFile(TextFile.read(path))
            except OSError:
                continue
            line = _builds_dag(hidden) if b"airflow" in hidden.source.data.lower() else 0
            if line:
                yield Hit(
                    "a line of .airflowignore hides this DAG file",
                    path,
                    line,
                    fix="take it out of .airflowignore",
                    severity=Severity.INFO,
                )


def _passed_over(workspace: Workspace, file: PythonFile, lacking: tuple[str, ...]) -> Iterator[Hit]:
    line = _builds_dag(file) or generator_line(file)
    found = workspace.imports.silent.get(file.path) if workspace.dags.silent else None
    given = sorted(str(dag["id"]) for dag in found.dags) if found is not None else []
    if not line and not given:
        return
    words = " and no ".join(repr(word) for word in lacking)
    gives = f"; imported, it gives {_several(given)}" if given else ""
    yield Hit(
        f"the file's text holds no {words}, so it is taken for one without a DAG{gives}",
        file.path,
        line,
        fix=f"add a comment that holds the word {' and the word '.join(lacking)}: # airflow dag",
    )


def _several(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"the DAG{'s' if len(names) > 1 else ''} {shown}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"


def _archives(workspace: Workspace) -> Iterator[Hit | Unchecked]:
    dags = workspace.dags
    for archive in dags.archives:
        if archive.unreadable:
            yield Unchecked(
                f"the DAG archive {workspace.relative(archive.path)}",
                f"it cannot be read: {archive.unreadable}",
                "pack it anew, without a password",
            )
        elif archive.deeper and not archive.compiled and all(dags.lacks(file) for file in archive.python):
            for name in archive.deeper:
                member = archives.member_text(archive.path / name)
                if member is not None and not missing_words(member.data, dags.facts.dag_words):
                    yield Hit(
                        f"{name} lies in a folder of the archive: DAG files are looked for at its top only",
                        archive.path,
                        fix="pack the content of that folder, not the folder",
                        key=archive.path.name,
                    )
                    break


def _builds_dag(file: PythonFile) -> int:
    """The line where a file makes a DAG at its top level, 0 for none."""
    for call in file.calls:
        written = call.node.func.id if isinstance(call.node.func, ast.Name) else ""
        if (
            (written in _MAKERS or call.name.rpartition(".")[2] in _MAKERS)
            and (call.node.args or call.node.keywords)
            and "dag_id" not in [item.arg for item in call.node.keywords if isinstance(item.value, ast.Attribute)]
        ):
            return call.line
    return 0


RULE = Rule(
    id="DAG010",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title="DAG file that is not parsed",
    why=(
        "only files whose text holds both `airflow` and `dag` are imported, none that .airflowignore lists, and of zip "
        "archives those at the top; a loader of a DAG factory, or a factory behind an import of your own, is passed "
        "over without a word"
    ),
    source="spec/07 B1.4",
    fix="Add a comment with both words",
    check=check,
)
