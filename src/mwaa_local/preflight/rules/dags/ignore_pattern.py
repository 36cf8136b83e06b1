"""DAG025: a line of .airflowignore that does not do what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.readings import ignore
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_OTHER = {"glob": "regexp", "regexp": "glob"}
_NAMES = {"glob": "a glob", "regexp": "a regular expression"}


def check(workspace: Workspace) -> Iterator[Hit]:
    syntax, engine = workspace.ignore_syntax, workspace.parsing.ignore_engine
    if syntax not in _OTHER:
        return
    dags = workspace.dags
    broken = _broken(workspace)
    for folder in dict.fromkeys((dags.path, workspace.plugins_folder)):
        for file in sorted(folder.rglob(ignore.IGNORE_FILE)) if folder.is_dir() else ():
            for line, text in ignore.lines(file):
                fault = ignore.glob_fault(text) if syntax == "glob" else ""
                if fault:
                    yield Hit(
                        f"{text!r} is no pattern ({fault}): Airflow's walk through this folder ends with that error, "
                        "and no file in it is read",
                        file,
                        line,
                        fix="write a range from low to high, and a backslash before a bracket that is meant as one",
                        severity=Severity.ERROR,
                        key=text,
                    )
                    continue
                why = ignore.expression(text, engine)[1] if syntax == "regexp" else ""
                if why:
                    reader = (
                        "RE2, which Airflow 2 reads it with, refuses it" if engine == "re2" else "it does not compile"
                    )
                    yield Hit(
                        f"Airflow drops the line {text!r}, and reads what it would hide: {reader} ({why})",
                        file,
                        line,
                        fix="write one line for each folder or file to hide",
                        key=text,
                    )
                    continue
                base = file.parent
                for path in broken:
                    relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else ""
                    if (
                        relative
                        and not ignore.hides(text, relative, syntax, engine)
                        and ignore.hides(text, relative, _OTHER[syntax], engine)
                    ):
                        yield Hit(
                            f"as {_NAMES[_OTHER[syntax]]} {text!r} would hide {relative}, which cannot be imported; "
                            f"Airflow reads it as {_NAMES[syntax]} here",
                            file,
                            line,
                            fix=f"write it as {_NAMES[syntax]}, or set core.dag_ignore_file_syntax to {_OTHER[syntax]}",
                            key=text,
                        )
                        break


def _broken(workspace: Workspace) -> list[Path]:
    """Files of the DAG folder that fail: at the import, or as Python."""
    dags = workspace.dags
    failed = {file.path for file in dags.python if isinstance(file.parsed, SyntaxError)}
    if dags.imported:
        failed |= {path for path, result in workspace.imports.dags.items() if result.problems}
    return sorted(failed)


RULE = Rule(
    id="DAG025",
    severity=Severity.WARNING,
    area=Area.DAGS,
    title=".airflowignore line without its effect",
    why=(
        "Airflow 2 reads .airflowignore as regular expressions of RE2, which knows no lookahead and no references, and "
        "drops a line that does not compile; Airflow 3 reads it as globs unless core.dag_ignore_file_syntax says "
        "otherwise"
    ),
    source="spec/04 section 11.1, spec/07 B1.4",
    fix="Write the line in the syntax that counts",
    check=check,
)
