"""Which Airflow processes a component runs (spec/10 section 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mwaa_local.catalog import component_processes
from mwaa_local.catalog.airflow_names import variable_of
from mwaa_local.runtime.inputs import RuntimeInputs

_NO = frozenset({"false", "f", "0"})


@dataclass(frozen=True)
class Process:
    """One Airflow process: its name, the words after ``airflow``, its type in the ``job`` table or nothing."""

    name: str
    argv: tuple[str, ...]
    job: str = ""


def processes(inputs: RuntimeInputs, variables: Mapping[str, str]) -> list[Process]:
    """The processes of a component, in the order in which they start.

    The scheduler component holds the DAG processor and the triggerer too, the latter unless ``mwaa.triggerer_enabled``
    says no (spec/04 section 14.2). No process serves log files by HTTP when task logs are published: nobody on MWAA
    could read them there, and each of these servers costs a port and tens of megabytes.
    """
    quiet = ("--skip-serve-logs",) if inputs.logs["TASK"].publishes else ()
    return [
        Process(facts.name, (*facts.words, *(quiet if facts.serves else ())), facts.job)
        for facts in component_processes(inputs.component, inputs.version.airflow)
        if not facts.option or variables.get(variable_of(facts.option), "true").strip().lower() not in _NO
    ]


def python_words(inputs: RuntimeInputs) -> list[str]:
    """Airflow's interpreter as its processes see it, without the working folder on ``sys.path``."""
    words = [str(inputs.python or inputs.visible_home / ".local" / "bin" / "python")]
    minor = tuple(int(part) for part in inputs.version.python.split("."))
    return [*words, "-P"] if minor >= (3, 11) else words


def airflow_words(inputs: RuntimeInputs) -> list[str]:
    """The command ``airflow`` as MWAA runs it: the script, whose folder is then first on ``sys.path``."""
    return [python_words(inputs)[0], str(inputs.visible_home / ".local" / "bin" / "airflow")]
