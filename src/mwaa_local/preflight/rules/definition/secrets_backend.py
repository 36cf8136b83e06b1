"""DEF010: a secrets backend whose arguments cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

# Python's constants, which are none in JSON, to JSON's.
_WORDS = {"True": "true", "False": "false", "None": "null"}

_BACKEND, _KWARGS = "secrets.backend", "secrets.backend_kwargs"


def check(workspace: Workspace) -> Iterator[Hit]:
    options, reading = workspace.environment.spec.options, workspace.definition
    for prefix in ("secrets.", "workers.secrets_"):
        name = f"{prefix}backend_kwargs"
        text = options.get(name)
        if text is None:
            continue
        try:
            value = json.loads(text)
        except ValueError as error:
            yield Hit(
                f"{name} is not valid JSON ({error}), so Airflow goes on without any of it",
                reading.path,
                reading.option_line(name),
                fix=_mend(text),
            )
            continue
        if not isinstance(value, dict):
            yield Hit(
                f"{name} is JSON, but no object, so Airflow goes on without any of it",
                reading.path,
                reading.option_line(name),
            )
            continue
        for key, item in value.items():
            if key.endswith("_prefix") and item == "":
                yield Hit(
                    f"{name}: {key} is empty, so every look-up asks for a name beginning with a separator",
                    reading.path,
                    reading.option_line(name),
                    fix=f"give {key} a prefix, or set it to null to switch the look-up off",
                    severity=Severity.WARNING,
                )
    backend = options.get(_BACKEND)
    if backend is not None and "." not in backend:
        yield Hit(
            f"{_BACKEND} {backend!r} is no class path",
            reading.path,
            reading.option_line(_BACKEND),
            fix="write airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
        )
    if backend is None and _KWARGS in options:
        yield Hit(
            f"{_KWARGS} is set without {_BACKEND}",
            reading.path,
            reading.option_line(_KWARGS),
            fix=f"set {_BACKEND} too",
            severity=Severity.WARNING,
        )


def _mend(text: str) -> str:
    """What makes JSON of it: Python's spelling is the usual fault, and each such word is named."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    single = "'" in outside
    outside = re.sub(r"'(?:[^'\\]|\\.)*'", "''", outside)
    words = [f"{json_word} for {word}" for word, json_word in _WORDS.items() if re.search(rf"\b{word}\b", outside)]
    if single:
        words.append("double quotes for single quotes")
    if re.search(r",\s*[}\]]", outside):
        words.append("no comma after the last member")
    return f"write {', '.join(words)}" if words else ""


RULE = Rule(
    id="DEF010",
    severity=Severity.ERROR,
    area=Area.DEFINITION,
    title="Secrets backend settings",
    why=(
        "arguments that are no JSON object are dropped with one warning in the log: Airflow builds the backend without "
        "any, asks for other names than those meant, and finds nothing; a class path that does not exist stops every "
        "component"
    ),
    source="spec/05 T-01, T-05, PF-05",
    fix=(
        "Write an object in double quotes: "
        '{"connections_prefix": "airflow/connections", "variables_prefix": "airflow/variables"}'
    ),
    check=check,
)
