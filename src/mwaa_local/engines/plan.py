"""What the keeper shall run: written whole by ``up``, read by the keeper, compared part by part.

A component is restarted only when its own digest changes. The digest covers what the component is made of (its words,
its variables, the content of its workflow files) and leaves out what merely surrounds it (the caller's PATH, say).
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mwaa_local.errors import EngineError
from mwaa_local.ground import atomic

# 1 had the AWS endpoint among the components of each environment; its ports are still read.
FORMAT = 2
# Carry an address or a port that the engine chose: for people they are one thing.
_PORTS = frozenset(
    {
        "MWAA_LOCAL__AWS_ENDPOINT",
        "MWAA_LOCAL__WEB_PORT",
        "MWAA_LOCAL__WEB_URL",
        "MWAA_LOCAL__DATABASE_DSN",
        "MWAA__CORE__API_SERVER_URL",
        "MWAA__SQS__CUSTOM_ENDPOINT",
        "MWAA__SQS__QUEUE_URL",
        "MWAA__DB__POSTGRES_PORT",
        "AIRFLOW__API__PORT",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    }
)
# Change what a verdict means, not what runs.
NEUTRAL = frozenset({"MWAA_LOCAL__ALLOW_FAILED_REQUIREMENTS"})


@dataclass(frozen=True)
class Component:
    """One process for the keeper to keep.

    Attributes:
        name: Its name, unique in the plan.
        argv: Words of the command.
        env: Its own variables, added to the plan's base.
        cwd: Working directory.
        kind: ``service`` runs for ever, ``job`` ends once with 0, ``outside`` is kept by another and only asked.
        needs: Names that must be healthy (a job: done) before it starts.
        probe: How to ask it; a ``kind`` and that kind's settings (see ``probes``).
        skip: For a job: a probe that says it need not run.
        identity: User identity, see ``postgres.working_identity``.
        stop_signal: Asks it to end.
        stop_seconds: How long it may take; then it is killed.
        stop_rank: Components with a lower rank end first.
        inputs: What it was made from: a label for people, and a digest of the content.
        run_dir: Folder with the runtime's ``status.json``; empty for parts without a runtime.
        nonce: Counts wished restarts.
        heavy: Its start keeps a core busy: it begins when one is free, lower numbers first (see ``slots``); 0 begins at
            once.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    kind: str = "service"
    needs: tuple[str, ...] = ()
    probe: Mapping[str, Any] = field(default_factory=lambda: {"kind": "none"})
    skip: Mapping[str, Any] | None = None
    identity: str = "same"
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    stop_rank: int = 10
    inputs: Mapping[str, str] = field(default_factory=dict)
    run_dir: str = ""
    nonce: int = 0
    heavy: int = 0

    @property
    def digest(self) -> str:
        """Changes when, and only when, the running process no longer is what this plan says."""
        env = sorted((name, value) for name, value in self.env.items() if name not in NEUTRAL)
        parts: list[object] = [self.argv, env, self.cwd, self.kind, self.identity]
        parts += [sorted(self.inputs.items()), self.nonce]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """Everything the keeper of one environment needs to know.

    Attributes:
        tool: Version of the tool that wrote it; a keeper of another version is replaced.
        base_env: Variables every component gets; not part of any digest.
        components: In the order in which they are started.
        facts: What ``up`` must remember between calls: version, ports, addresses.
        format: Of the file; a keeper that was given another one is replaced.
    """

    tool: str
    base_env: Mapping[str, str]
    components: tuple[Component, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def generation(self) -> str:
        """Names this state of the plan."""
        parts = [self.tool, [(item.name, item.digest, item.needs) for item in self.components]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def ports(self) -> dict[str, int]:
        """Wish to port, as they were given out."""
        return dict(self.facts.get("ports", {}))

    def component(self, name: str) -> Component | None:
        """The component of that name, if there is one."""
        return next((item for item in self.components if item.name == name), None)

    def write(self, path: Path) -> None:
        """Replace the plan file (mode 0600: it holds the environment's secrets)."""
        value = asdict(self)
        value.update(generation=self.generation)
        atomic.write_json(path, value)


def wished_again(made: Plan, component: str) -> Plan:
    """The plan with one component that shall run anew."""
    wished = tuple(
        replace(item, nonce=item.nonce + 1) if item.name == component else item for item in made.components
    )  # fmt: skip
    return replace(made, components=wished)


def read(path: Path) -> Plan | None:
    """The plan in a file; ``None`` when there is none, or an older tool wrote it in another form.

    Raises:
        EngineError: The file is damaged.
    """
    value = atomic.read_json(path)
    if value is None:
        if path.exists():
            raise EngineError(
                "the plan of the environment is damaged",
                where=str(path),
                hint="remove the file and run `make up` again",
            )
        return None
    if value.get("format") not in (1, FORMAT):
        return None
    value.pop("generation", None)
    try:
        components = tuple(
            Component(**{**item, "argv": tuple(item["argv"]), "needs": tuple(item["needs"])})
            for item in value["components"]
        )
        found = Plan(**{**value, "components": components})
        _hold(found)
        return found
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _hold(found: Plan) -> None:
    """Hold a plan's types against what its readers rely on.

    Raises:
        TypeError: It is another document.
    """
    facts, ports = found.facts, found.facts.get("ports", {})
    texts = [found.tool, *(facts[name] for name in ("airflow_version", "web", "aws", "bucket") if name in facts)]
    texts += [text for item in found.components for text in (item.name, item.kind, item.cwd, *item.argv)]
    tables = [found.base_env, ports, *(item.env for item in found.components)]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(table, dict) for table in tables):
        raise TypeError("no plan")
    if not all(isinstance(port, int) for port in ports.values()):
        raise TypeError("no ports")


def last(path: Path) -> Plan | None:
    """:func:`read`, and ``None`` for a damaged file too: it is written anew, and what runs is asked of what runs it."""
    try:
        return read(path)
    except EngineError:
        return None


def differences(old: Plan | None, new: Plan) -> dict[str, list[str]]:
    """Why each component of ``new`` has to be restarted, started or stopped; empty when nothing differs.

    Returns:
        Component name to reasons for people, such as ``requirements.txt changed``.
    """
    before = {item.name: item for item in old.components} if old else {}
    after = {item.name: item for item in new.components}
    found: dict[str, list[str]] = {}
    for name, item in after.items():
        previous = before.get(name)
        if previous is None:
            found[name] = ["added"]
        elif previous.digest != item.digest:
            found[name] = _reasons(previous, item)
    for name in before.keys() - after.keys():
        found[name] = ["removed"]
    return found


def _reasons(old: Component, new: Component) -> list[str]:
    reasons = [
        f"{label} {_verb(label in old.inputs, label in new.inputs)}"
        for label in sorted(old.inputs.keys() | new.inputs.keys())
        if old.inputs.get(label) != new.inputs.get(label)
    ]
    for name in sorted(old.env.keys() | new.env.keys()):
        if old.env.get(name) != new.env.get(name) and name not in NEUTRAL:
            reasons += _variable_reasons(name, old.env.get(name), new.env.get(name))
    if (old.cwd, old.identity) != (new.cwd, new.identity) or _without_numbers(old) != _without_numbers(new):
        reasons.append("its command changed")
    elif old.argv != new.argv:
        reasons.append("ports changed")
    if old.nonce != new.nonce:
        reasons.append("restart wished")
    return list(dict.fromkeys(reasons))


def _without_numbers(item: Component) -> list[str]:
    return [word for word in item.argv if not word.isdigit()]


def _verb(before: bool, after: bool) -> str:
    return "changed" if before and after else "added" if after else "removed"


def _variable_reasons(name: str, old: str | None, new: str | None) -> list[str]:
    """Values are never shown: some are secrets. A JSON object is compared member by member."""
    if name in _PORTS:
        return ["ports changed"]
    try:
        before, after = json.loads(old or "{}"), json.loads(new or "{}")
    except ValueError:
        before = after = None
    if isinstance(before, dict) and isinstance(after, dict):
        members = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return [f"{member} changed" for member in members]
    return [f"{name} changed"]
