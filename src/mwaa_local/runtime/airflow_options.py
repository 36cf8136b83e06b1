"""The configuration as Airflow itself reads it from a component's variables.

Airflow looks an option up under its name, then under the one it had before, then in its own defaults; it expands ``$``
and ``~`` and replaces a few old values when it starts. All of that must be known to say what a component runs with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import PREFIX, option_names, option_of, variable_of

#: Layer of a value that nobody sets.
DEFAULT = "airflow"

_EXPANSIONS = 20  # Airflow expands until nothing changes; a value that holds itself would never end

_SECRET = re.compile(
    r"BASIC_AUTH$|SENTRY_DSN|PASSWORD|SECRET|FERNET|CREDENTIALS|TOKEN|SQL_ALCHEMY_CONN$|RESULT_BACKEND|_PASS$|API_KEY|PRIVATE_KEY"
)


@dataclass(frozen=True)
class Overridden:
    """A value that a higher layer replaced."""

    layer: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Value:
    """One effective variable.

    Attributes:
        layer: The layer that won.
        source: Where the fact is written, e.g. ``spec/10 section 2.3``; empty for the user's own.
        reason: Why MWAA sets it.
        overrode: Different values of lower layers, lowest first.
        hidden: Whether it holds another variable's secret.
    """

    name: str
    value: str = field(repr=False)
    layer: str
    source: str = ""
    reason: str = ""
    overrode: tuple[Overridden, ...] = ()
    hidden: bool = False

    @property
    def secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.hidden or is_secret(self.name)


def is_secret(name: str) -> bool:
    """Whether a variable's value is a secret, judged by its name."""
    return _SECRET.search(name) is not None and not name.endswith(("_LOOKUP_PATTERN", "BACKEND_KWARGS"))


def old_variables(variable: str, version: str) -> tuple[str, ...]:
    """The variables that Airflow reads in a variable's place where that one is not set."""
    first, *others = option_names(version).names(option_of(variable))
    return tuple(variable_of(name) for name in others) if variable == variable_of(first) else ()


def as_airflow_reads(values: Mapping[str, Value], version: str) -> dict[str, Value]:
    """Every option that Airflow describes and every variable that is set, by variable, as Airflow reads it.

    Args:
        values: A component's variables, all of them: those that values refer to (``$HOME``) too.
        version: Airflow's version.
    """
    described = [variable_of(option) for option in airflow_defaults(version)]
    whole: dict[str, Value] = {}
    for name in dict.fromkeys([*described, *values]):
        read = as_one_option(name, values, version) if name.startswith(PREFIX) else None
        whole[name] = read if read is not None else values[name]
    return whole


def as_one_option(name: str, values: Mapping[str, Value], version: str) -> Value | None:
    """What Airflow reads for the option that a variable sets; ``None`` where nobody sets or describes it.

    Args:
        name: The option's variable, of its name now or of its old one.
        values: A component's variables, all of them.
        version: Airflow's version.
    """
    names = option_names(version)
    looked_up = names.names(option_of(name))
    default = _from_file(airflow_defaults(version).get(looked_up[0]))
    held = [found for option in looked_up if (found := _variable(option, values, names.sensitive)) is not None]
    if held:
        value = held[0]
        below = [Overridden(other.layer, other.value) for other in reversed(held[1:]) if other.value != value.value]
        if default is not None and default != value.value:
            below.insert(0, Overridden(DEFAULT, default))
        value = replace(value, overrode=(*below, *value.overrode))
    elif default is not None:
        value = Value(name, default, DEFAULT, reason=f"Airflow {version}'s own default")
    else:
        return None
    reasons = [value.reason]
    if value.name not in (name, variable_of(looked_up[0])):
        reasons.append(f"set under its old name {option_of(value.name)}")
    elif name != variable_of(looked_up[0]):
        reasons.append(f"the old name of {looked_up[0]}")
    text, hidden = _expand(value.value, values)
    if text != value.value:
        reasons.append("Airflow expands $ and ~")
    row = names.replaced.get(looked_up[0])
    if row is not None and re.search(row.pattern, text):
        text = re.sub(row.pattern, lambda _: row.value, text)
        reasons.append("Airflow replaces the old value")
    hidden = hidden or value.secret
    return replace(value, name=name, value=text, reason="; ".join(one for one in reasons if one), hidden=hidden)


def _from_file(default: str | None) -> str | None:
    """A default as it comes out of the ``airflow.cfg`` that Airflow writes at its first start: without indents."""
    return default and "\n".join(line.strip() for line in default.strip().splitlines())


def _variable(option: str, values: Mapping[str, Value], sensitive: frozenset[str]) -> Value | None:
    """The variable that sets an option, or stands for its value: a command or a secret's name, where Airflow asks."""
    name = variable_of(option)
    if name in values:
        return values[name]
    if option in sensitive:
        for ending, words in (("_CMD", "what the command prints"), ("_SECRET", "what the secrets backend holds")):
            if name + ending in values:
                return replace(values[name + ending], name=name, value=f"({words})", overrode=())
    return None


def _expand(text: str, values: Mapping[str, Value]) -> tuple[str, bool]:
    """As Airflow expands a value: variables that are set, and the home folder in front; whether a secret came in."""
    used: set[str] = set()
    home = values["HOME"].value if "HOME" in values else "~"

    def place(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        used.add(name)
        return values[name].value if name in values else match.group()

    for _ in range(_EXPANSIONS):
        expanded = re.sub(r"\$(?:(\w+)|\{([^}]*)\})", place, text, flags=re.ASCII)
        if expanded == "~" or expanded.startswith("~/"):
            expanded = (home.rstrip("/") + expanded[1:]) or "/"
        if expanded == text:
            break
        text = expanded
    return text, any(values[name].secret for name in used if name in values)
