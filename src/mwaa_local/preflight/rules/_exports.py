"""What a failed import has to do with the variables that the startup script exports.

The script is followed, never run (``readings/shell_run.py``): where the outcome of an import depends on a value that
only a run would tell, it is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.imports import COMPONENTS, PLACEHOLDER, ImportProblem
from mwaa_local.preflight.readings.text import TextFile
from mwaa_local.preflight.workspace import Workspace

# Errors that no variable's value decides; a variable that is not there gives None.
_FIRM = re.compile(
    r"(ModuleNotFound|Import|Name|Syntax|Indentation|Tab|Recursion)Error|AttributeError(?!: 'NoneType')|"
    r".*unexpected keyword argument|.*(required|positional) (keyword-only )?arguments?\b",
    re.DOTALL,
)
_READS = re.compile(r"\benviron|\bgetenv\b|\bBaseSettings\b|\bload_dotenv\b")
_KEY = re.compile(r"KeyError: '(\w+)'")
_FRAME = re.compile(r'File "([^"]+)", line \d+')


def doubt(
    workspace: Workspace, problem: ImportProblem, where: Path | None, component: str = "scheduler"
) -> Unchecked | None:
    """Why a failed import cannot be judged; ``None`` when it can.

    Args:
        workspace: Whose startup script.
        problem: What the import said.
        where: The file that was imported.
        component: The component it was imported as.
    """
    script = workspace.startup
    if script is None or _FIRM.match(problem.text):
        return None
    exports = script.exported(component)
    text = _text(workspace, problem, where)
    if not _READS.search(text) and PLACEHOLDER not in problem.text:
        return None
    shown = f"import of {workspace.relative(where)}" if where else "an import"
    path = workspace.relative(script.source.path)
    if exports.open_line:
        return Unchecked(
            shown,
            f"{path} line {exports.open_line} may set what it reads from its environment, and is not run here: "
            f"{exports.open_text} ({problem.text})",
            "export those variables by name in the startup script, or read them inside a task",
        )
    uncertain = {
        name for name, item in exports.variables.items() if item.unset or len(item.values) > 1 or None in item.values
    }
    key = _KEY.fullmatch(problem.text)
    if key and _is_environment(problem, text, key.group(1)):
        uncertain &= {key.group(1)}
    names = sorted(name for name in uncertain if re.search(rf"\b{name}\b", text))
    if not names:
        return None
    return Unchecked(
        shown,
        f"it depends on {', '.join(names[:3])}: only a run of {path} would tell the value ({problem.text})",
        "give it a value that does not depend on a command, or read it inside a task",
    )


def advice(workspace: Workspace, problem: ImportProblem, where: Path | None, component: str = "scheduler") -> str:
    """What to do about a variable that the environment of a component lacks; empty for any other failure."""
    text = _text(workspace, problem, where)
    key = _KEY.fullmatch(problem.text)
    wanted = [key.group(1)] if key and _is_environment(problem, text, key.group(1)) else []
    script = workspace.startup
    if script is not None:
        here = script.exported(component).variables
        elsewhere = {other: script.exported(other).variables for other in COMPONENTS if other != component}
        names = wanted if key else [name for names in elsewhere.values() for name in names if _reads(text, name)]
        for name in names:
            having = [other for other, found in elsewhere.items() if name in found and name not in here]
            if having:
                place = f"{workspace.relative(script.source.path)} line {elsewhere[having[0]][name].line}"
                return (
                    f"{place} exports {name} on {' and '.join(having)} only; "
                    f"{_PARSED if component == 'scheduler' else ''}export it on {component} too"
                )
    if wanted:
        return f"export {wanted[0]} in the startup script, or read it with os.environ.get and a default"
    return ""


_PARSED = "DAG files are parsed in the scheduler component: "


def _is_environment(problem: ImportProblem, text: str, name: str) -> bool:
    return re.search(r"[/\\]os\.py\", line|<frozen os>", problem.traceback) is not None or _reads(text, name)


def _reads(text: str, name: str) -> bool:
    return re.search(rf"(environ\[|environ\.get\(|getenv\()\s*['\"]{re.escape(name)}['\"]", text) is not None


def _text(workspace: Workspace, problem: ImportProblem, where: Path | None) -> str:
    """The project's own files that a problem names, one after the other."""
    flow = workspace.environment.workflow
    folders = (flow.dags, workspace.plugins_folder)
    named: Iterable[Path | None] = (where, problem.file, *map(Path, _FRAME.findall(problem.traceback)))
    own = dict.fromkeys(path for path in named if path and any(path.is_relative_to(folder) for folder in folders))
    parts = []
    for path in own:
        try:
            parts.append(TextFile.read(path).text)
        except OSError:
            continue
    return "\n".join(parts)
