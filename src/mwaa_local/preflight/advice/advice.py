"""What to do about an exception that a file of the user raised: the one place that decides it."""

# One row of the table in one line.
# ruff: noqa: E501

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.catalog.upgrade import removed_dag_arguments, removed_operator_arguments
from mwaa_local.preflight.advice.facts import Facts
from mwaa_local.preflight.advice.modules import missing_module, missing_name, of_project

_LONGEST = 600
# Wrong whatever a variable's or a connection's value is.
_CERTAIN = re.compile(
    r"^(ModuleNotFoundError|ImportError|NameError|UnboundLocalError|SyntaxError|IndentationError|TabError)\b"
    r"|^TypeError: .*\(\) (got an unexpected keyword argument|got multiple values|got some positional-only"
    r"|missing \d+ required|takes )"
    r"|^AttributeError: module '"
    r"|^AttributeError: type object '"
)
_USUAL = {
    "datetime": "from datetime import datetime", "timedelta": "from datetime import timedelta",
    "timezone": "from datetime import timezone", "pendulum": "import pendulum", "Path": "from pathlib import Path",
    "DAG": "import DAG from {dag}", "dag": "import dag from {task}", "task": "import task from {task}",
    "task_group": "import task_group from {task}", "Variable": "import Variable from {model}",
    "os": "import os", "json": "import json", "re": "import re", "sys": "import sys", "Any": "from typing import Any",
    "BashOperator": "import BashOperator from {operators}.bash",
    "PythonOperator": "import PythonOperator from {operators}.python",
    "EmptyOperator": "import EmptyOperator from {operators}.empty",
}  # fmt: skip


@dataclass(frozen=True)
class Raised:
    """An exception.

    Attributes:
        text: Its line with the name of its class; other lines may follow.
        file: The user's file that was running.
        line: Its line there; 0 where that is not known.
        last: The file that raised it.
    """

    text: str
    file: Path | None = None
    line: int = 0
    last: Path | None = None


def certain(text: str) -> bool:
    """Whether an exception cannot come from a value that only a real environment has.

    Args:
        text: The line that names the exception.
    """
    return bool(_CERTAIN.match(text))


def told(text: str) -> str:
    """An exception's whole message in one line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    whole = " ".join(lines)
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]} …"


def advise(raised: Raised, facts: Facts) -> str:
    """What to do.

    Args:
        raised: The exception.
        facts: What there is: the project's modules, installed packages, Airflow's version.
    """
    text = told(raised.text)
    inside = facts.owner(raised.last) if raised.last is not None else None
    if inside is not None and not inside.name.startswith("apache-airflow") and _is_import(text):
        return _inside_package(text, raised, facts, str(inside), inside.name)
    for pattern, answer in _TABLE:
        if (match := re.search(pattern, text)) is not None:
            return answer if isinstance(answer, str) else answer(match, raised, facts)
    if inside is not None and not inside.name.startswith("apache-airflow"):
        place = facts.shown(raised.last) if raised.last else ""
        return f"it was raised in {inside} ({place}): look at what the line gives it"
    return "the line raises it while the file is imported: mend the line; no package is missing"


def foreign_module(raised: Raised, facts: Facts) -> str:
    """The module of a package that an import misses; empty for one of the project, of Python or of Airflow itself.

    Args:
        raised: The exception.
        facts: What there is.
    """
    match = re.search(
        r"No module named '?([\w.]+)|cannot import name '\w+' from '([\w.]+)'|module '([\w.]+)' has", raised.text
    )
    module = next((item for item in match.groups() if item), "") if match else ""
    if not module or not _is_import(raised.text):
        return ""
    first = module.split(".", maxsplit=1)[0]
    if first == "airflow":
        return module if module.startswith("airflow.providers.") else ""
    if first in sys.stdlib_module_names or facts.own(first) is not None or of_project(module, raised, facts):
        return ""
    return module


def stored(text: str, traceback: str) -> str:
    """What to do about a DAG that imports and cannot be stored.

    Args:
        text: The exception.
        traceback: Where Airflow raised it.
    """
    if "imetable" in text and "not registered" in text:
        return "name the timetable in a plugin (timetables = [...]), so that Airflow can read it back"
    if re.search(r"\bowner", traceback):
        return "give owner one text, also for several people: owner='ann, bob'"
    if re.search(r"DataError: (\w+)\.(\w+)", text):
        return "mend the value that goes into the column that the message names: PostgreSQL refuses it"
    return "give the DAG and its tasks values of the types that Airflow's documentation names for their arguments"


def _is_import(text: str) -> bool:
    return text.startswith(("ModuleNotFoundError", "ImportError", "AttributeError: module '"))


def _inside_package(text: str, raised: Raised, facts: Facts, shown: str, name: str) -> str:
    place = facts.shown(raised.last) if raised.last else ""
    head = f"{shown} itself fails ({place})"
    match = re.search(r"No module named '([\w.]+)'|cannot import name '(\w+)' from '([\w.]+)'|module '([\w.]+)'", text)
    module = next((item for item in (match.group(1), match.group(3), match.group(4)) if item), "") if match else ""
    if module == "airflow" or module.startswith("airflow."):
        return f"{head}: it was written for another Airflow than {facts.airflow}; take a version of {name} made for it"
    if match and match.group(1):
        return f"{head}: it needs {module}, which is not installed: {missing_module(module, None, 0, facts)}"
    owner = _owner_of(module, facts)
    return f"{head}: it does not fit {owner or module or 'what is installed'}; pin versions of both that fit together"


def _owner_of(module: str, facts: Facts) -> str:
    found = facts.installed(module) if module else None
    owner = facts.owner(found / "__init__.py" if found.is_dir() else found) if found else None
    return str(owner or "")


def _module(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    return missing_module(match.group(1), raised.file, raised.line, facts)


def _name(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    return missing_name(match.group(1), match.group(2), raised.file, raised.line, facts)


def _attribute(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    return missing_name(match.group(2), match.group(1), raised.file, raised.line, facts)


def _circular(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    module = match.group(1)
    own = facts.own(module.split(".", maxsplit=1)[0])
    if own is not None and facts.installed(module) is not None:
        return f"{facts.shown(own)} hides the installed {module}: rename the file"
    return f"{module} and this file import each other: move what both need into a third module"


def _not_defined(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    name = match.group(1)
    new = facts.has("task_sdk")
    usual = _USUAL.get(name, "").format(
        dag="airflow.sdk" if new else "airflow",
        task="airflow.sdk" if new else "airflow.decorators",
        model="airflow.sdk" if new else "airflow.models",
        operators="airflow.providers.standard.operators" if new else "airflow.operators",
    )
    if usual:
        return f"{name} is used and not imported: {usual}"
    return f"{name} is used before it is defined or imported: define it above, import it, or mend its spelling"


def _argument(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    owner, name = match.group(1), match.group(2)
    return _unknown_argument(owner.partition(".")[0], owner, name, facts)


def _arguments(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    names = re.findall(r"'(\w+)':", match.group(2)) or ["it"]
    return _unknown_argument(match.group(1), match.group(1), names[0], facts)


def _unknown_argument(kind: str, owner: str, name: str, facts: Facts) -> str:
    table = removed_dag_arguments() if kind in ("DAG", "dag") else removed_operator_arguments()
    if facts.has("removals_of_3") and name in table:
        return f"Airflow 3 has no argument {name}: " + (f"use {table[name]}" if table[name] else "leave it out")
    if owner in ("Variable.get", "Variable.set"):
        right = {"default_var": "default", "default": "default_var"}.get(name, "")
        if right:
            return f"on Airflow {facts.airflow} the argument is {right}"
    if kind == "DAG" and (near := difflib.get_close_matches(name, ("schedule", "tags", "params", "catchup"), n=1)):
        return f"{owner} has no argument {name}; did you mean {near[0]}?"
    return f"{owner} has no argument {name} in the version that is installed: leave it out, or mend its name"


def _no_file(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    name = match.group(1)
    path = Path(name)
    home = "/usr/local/airflow"
    if (facts.dags / path).is_file() if not path.is_absolute() else False:
        return (
            f"a relative path counts from {home}, not from the file: use Path(__file__).parent, or {home}/dags/{name}"
        )
    for root, known in ((facts.dags, "dags"), (facts.plugins, "plugins")):
        found = next(root.rglob(path.name), None) if path.name and root.is_dir() else None
        if found is not None:
            return f"the file is {facts.shown(found)}, on MWAA {home}/{known}/{found.relative_to(root).as_posix()}"
    if (facts.project / path.name).exists() or list(facts.project.glob(f"*/{path.name}")):
        return f"{path.name} is not uploaded: MWAA has dags/ and plugins/ only; move it into dags/"
    if path.is_absolute() and name.startswith(f"{home}/"):
        return f"{name} is not among the files of the project: put it there, or mend the path"
    return f"MWAA has no {name}: put the file into dags/ and name it by Path(__file__).parent"


def _no_key(match: re.Match[str], raised: Raised, facts: Facts) -> str:
    return f"there is no {match.group(1)} while the file is imported: mend the name, or ask with .get() and a default"


Answer = str | Callable[[re.Match[str], Raised, Facts], str]

# The first that fits decides.
_TABLE: tuple[tuple[str, Answer], ...] = (
    (r"^\w*ImportError: attempted relative import", "import by the whole path from dags/ or plugins/ on: a DAG file belongs to no package, so a leading dot has no meaning"),
    (r"No module named '([\w.]+)'; '[\w.]+' is not a package", _module),
    (r"No module named '?([\w.]+)'?", _module),
    (r"partially initialized module '([\w.]+)'", _circular),
    (r"cannot import name '\w+' from partially initialized module '([\w.]+)'", _circular),
    (r"cannot import name '(\w+)' from '([\w.]+)'", _name),
    (r"^AttributeError: module '([\w.]+)' has no attribute '(\w+)'", _attribute),
    (r"^(?:Unbound)?(?:Local|Name)Error: .*?name '(\w+)' is not defined", _not_defined),
    (r"^UnboundLocalError: .*variable '(\w+)'", _not_defined),
    (r"^(?:SyntaxError|IndentationError|TabError)", "mend the syntax of that file"),
    (r"ImportError: (?:lib[\w.+-]+|.*shared object file)", "the package needs a library of the operating system: install it in the startup script, or take a package that brings it"),
    (r"TypeError: ([\w.]+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", _argument),
    (r"Invalid arguments were passed to (\w+).*?(\{.*)", _arguments),
    (r"TypeError: ([\w.]+?)(?:\.__init__)?\(\) missing \d+ required", lambda m, r, f: f"give {m.group(1)} the arguments that the message names"),
    (r"missing keyword arguments? '?(\w+)", lambda m, r, f: f"give the operator the argument {m.group(1)}"),
    (r"[Uu]se keyword arguments when initializing operators", "name every argument of the operator: task_id=…"),
    (r"required params? without default|not allowed to define a Schedule, (?:if|as) there are", "give every Param a default that fits its rules, or set schedule=None: a scheduled run has no configuration"),
    (r"ParamValidationError: Parameter validation failed", "mend what the call gives AWS; calls belong into a task, not into the import"),
    (r"ParamValidationError|Invalid input for param", "mend the Param: its default must fit its type and be JSON"),
    (r"AirflowDagCycleException|[Cc]ycle detected", "take the arrow out that leads back: a DAG has no cycles"),
    (r"DuplicateTaskIdFound|Task id '.*' has already been added", "give each task of the DAG its own task_id"),
    (r"AirflowDagDuplicatedIdException|already a DAG with|Ignoring DAG", "give each DAG its own dag_id"),
    (r"(?:Croniter\w*Error|AirflowTimetableInvalid|[Ii]nvalid Cron|not a valid cron|Exactly 5(?:, 6)? or [67] columns)", "mend the schedule: five fields of cron, a preset such as @daily, a timedelta, or a timetable"),
    (r"start_date", "give the DAG or the task a start_date: datetime(2024, 1, 1)"),
    (r"has to be made of alphanumeric|[Ii]nvalid (?:dag|task)_id|must be a string and (?:contain|be) ", "use only letters, digits, dashes, dots and underscores in that name"),
    (r"tag cannot be longer|has to be less than \d+ characters|key .* has to be less than", "shorten that name"),
    (r"Direct database access via the ORM|Access to the Airflow Metadatabase|Database access is disabled", "Airflow 3 gives DAG files no metadata database: use Variable and Connection of airflow.sdk, or Airflow's REST API inside a task"),
    (r"no such table|OperationalError", "DAG files should not ask the metadata database at import: do it inside a task"),
    (r"NoCredentialsError|NoRegionError|ClientError|EndpointConnectionError", "call AWS inside a task, not while the file is imported"),
    (r"^FileNotFoundError: .*?: '(.+?)'", _no_file),
    (r"^(?:PermissionError|OSError: \[Errno 30\])", "write to /tmp, inside a task: the folders of MWAA's workflow files are not to be written"),
    (r"^UnicodeDecodeError", "the file is not UTF-8: save it as UTF-8, or name its encoding when it is opened"),
    (r"(?:JSONDecodeError|yaml\.\w+\.\w+Error|TOMLDecodeError|configparser\.\w+Error)", "mend the file or text that is read: it is not what its reader expects"),
    (r"^KeyError: (.+)", _no_key),
    (r"^RecursionError", "something calls itself without end: look at the lines that the traceback repeats"),
    (r"^SystemExit|before it could answer", "the file must not end the process: take exit() out, and put a main under if __name__ == '__main__'"),
    (r"died of signal (?:9|11)", "the process was killed while it imported the file: it may need more memory than there is, or a library crashes"),
    (r"^AttributeError: '(\w+)' object has no attribute '(\w+)'", lambda m, r, f: f"a {m.group(1)} has no {m.group(2)}: look at what the line before gives"),
    (r"^(?:ZeroDivision|Assertion|Index|Lookup|Arithmetic|Overflow)", "mend the line: it fails with what is there while the file is imported"),
    (r"ConnectionError|TimeoutError|gaierror|ConnectionRefused", "connect inside a task: the file is imported every 30 seconds or so, network or not"),
)  # fmt: skip
