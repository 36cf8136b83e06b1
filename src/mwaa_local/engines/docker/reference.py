"""The services and variables of compose.yaml in the reference: ``python -m mwaa_local.engines.docker.reference``.

It writes ``docs/reference/images.md`` anew; names, images and defaults come from compose.yaml, the text around the two
tables is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mwaa_local.engines.docker.image import assets

SERVICES, VARIABLES = "services", "variables"
# What each service is, and when it is healthy.
_WORDS = {
    "postgres": ("the metadata database", "`pg_isready` over TCP"),
    "aws": ("the AWS endpoint (S3, SQS, Logs, ...)", "its health address answers"),
    "guardian": (
        "makes secrets, queue, bucket and log groups, then guards the queue",
        "its health address answers",
    ),
    "migrate-db": ("brings the database to the version's schema and ends", "ended with 0"),
    "scheduler": ("scheduler, DAG processor, triggerer", "heartbeats of all three"),
    "worker": ("Celery worker", "its consumer beats"),
    "webserver": ("UI and API", "its health address answers"),
}
# What a variable means, by its name or the pattern of several; the first that fits counts.
_MEANINGS = {
    r"AIRFLOW_VERSION|PYTHON_VERSION|PYTHON_PATCH": "change the three together",
    r"BASE": "`al2023` or `debian`",
    r"OS_GROUPS": "groups of OS packages; empty for the base's own",
    r"TOOL_IMAGE": "the endpoint's and the guardian's image",
    r"IMAGE": "of the four components",
    r"POSTGRES_IMAGE": "the database's image",
    r"PULL_POLICY": "built here, or there already",
    r"NAME|ID|BUCKET|REGION": "as in [mwaa.yaml](mwaa-yaml.md); `ID` and `BUCKET` are worked out by the tool",
    r"PORTS_\w+": "on 127.0.0.1",
    r"PLUGINS": "mounted read-only; a `plugins.zip` in it is unpacked only by `mwaa-local up`",
    r"DAGS|REQUIREMENTS|STARTUP": "mounted read-only",
    r"AIRFLOW_CONFIGS": 'JSON of environment-variable names, e.g. `{"AIRFLOW__CORE__PARALLELISM": "32"}`',
    r"\w+_LOGS_ENABLED": "whether the category goes to its log group",
    r"\w+_LOG_LEVEL": "from which level on",
    r"\w+_MEMORY": "memory limit; the tool gives the class's",
    r"\w+_CPUS": "`0` is no limit; one above the machine's own CPUs is refused by Docker",
    r"DATABASE_PASSWORD": "the database is on no port of this machine",
    r"DATABASE_NAME|DATABASE_USER": "MWAA's own; `airflow` both for a volume that version 0.1 made without the tool",
    r"ENV_FILE": "further variables for every component, the lowest layer (proxies, package index)",
    r"ENVIRONMENT_CLASS|PARALLELISM|PARSING_PROCESSES": "the class, and what the tool works out of it",
    r"AUTH_TYPE": "`none`: Admin without a password",
    r"AWS|RESOLVER|DAG_SYNC|MAX_PLUGINS_BYTES|ALLOW_FAILED_REQUIREMENTS": "as `Local` in [mwaa.yaml](mwaa-yaml.md)",
}
_PREFIX = "MWAA_LOCAL_"


def variables(text: str) -> dict[str, str]:
    """Every variable that compose.yaml interpolates, and its default."""
    found: dict[str, str] = {}
    for name, default in re.findall(r"\$\{(MWAA_LOCAL_\w+):-((?:[^{}]|\$?\{[^{}]*\})*)\}", text):
        found.setdefault(name, default)
        found |= {inner: value for inner, value in variables(default).items() if inner not in found}
    return dict(sorted(found.items()))


def meaning(name: str) -> str:
    """What a variable means.

    Raises:
        KeyError: Nobody has said it.
    """
    plain = name.removeprefix(_PREFIX)
    for pattern, text in _MEANINGS.items():
        if re.fullmatch(pattern, plain):
            return text
    raise KeyError(name)


def tables(text: str) -> dict[str, str]:
    """Both tables in Markdown, by the name of their place."""
    services: Mapping[str, Any] = yaml.safe_load(text)["services"]
    rows = ["| Service | What it is | Healthy when |", "|---|---|---|"]
    rows += [f"| `{name}` | {_WORDS[name][0]} | {_WORDS[name][1]} |" for name in services]
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, default in variables(text).items():
        shown = re.sub(r"\$\{MWAA_LOCAL_(\w+):-[^{}]*\}", lambda found: f"<{found[1].lower()}>", default)
        lines.append(f"| `{name}` | {f'`{shown}`' if shown else ''} | {meaning(name)} |")
    return {SERVICES: "\n".join(rows), VARIABLES: "\n".join(lines)}


def page(text: str, made: Mapping[str, str]) -> str:
    """The page with the tables of now; the rest of it stays.

    Raises:
        ValueError: It has no place for one of them.
    """
    for name, table in made.items():
        begin, end = f"<!-- {name}: python -m {__spec__.name} -->", f"<!-- end of {name} -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{begin} ... {end} is not in the page")
        text = f"{head}{begin}\n{table}\n{end}{tail}"
    return text


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference/images.md")
    compose = assets().compose.read_text(encoding="utf-8")
    file.write_text(page(file.read_text(encoding="utf-8"), tables(compose)), encoding="utf-8")
