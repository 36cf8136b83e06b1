"""The rules, found by looking into their folders, and the choice among them."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from functools import cache

from mwaa_local.errors import UsageError
from mwaa_local.preflight import rules as rules_package
from mwaa_local.preflight.findings import Area
from mwaa_local.preflight.report import Rule

_ID = re.compile(r"[A-Z]{3}\d{3}")


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, by id.

    Raises:
        ValueError: Two rules share an id, or a module holds none: a fault of the tool, found by its tests.
    """
    found: dict[str, Rule] = {}
    for entry in pkgutil.walk_packages(rules_package.__path__, f"{rules_package.__name__}."):
        if entry.ispkg or entry.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(entry.name)
        rule = getattr(module, "RULE", None)
        if not isinstance(rule, Rule) or not _ID.fullmatch(rule.id):
            raise ValueError(f"{module.__name__} holds no RULE with an id like REQ001")
        if rule.id in found:
            raise ValueError(f"rule id {rule.id} is used twice")
        found[rule.id] = rule
    return tuple(found[key] for key in sorted(found))


def rule(rule_id: str) -> Rule:
    """One rule by id.

    Raises:
        UsageError: No such rule.
    """
    for candidate in rules():
        if candidate.id == rule_id.upper():
            return candidate
    raise UsageError(
        f"no rule is called {rule_id}",
        why=f"rules: {', '.join(item.id for item in rules())}",
        hint="`mwaa-local validate --list-rules` says what each is about",
    )


def choose(select: Sequence[str], ignore: Sequence[str], areas: Iterable[Area] = ()) -> tuple[Rule, ...]:
    """The rules that shall run.

    Args:
        select: Ids or prefixes (``DAG``, ``DAG00``); none for all.
        ignore: Ids or prefixes; a longer one in ``select`` beats it (``--select DAG002 --ignore DAG``).
        areas: Only these; none for all.

    Raises:
        UsageError: A name that no rule has.
    """
    select = [word.upper() for word in select]
    ignore = [word.upper() for word in ignore]
    for word in (*select, *ignore):
        if not any(item.id.startswith(word) for item in rules()):
            raise UsageError(
                f"no rule is called {word} or begins with it",
                why=f"prefixes: {', '.join(sorted({item.id[:3] for item in rules()}))}",
                hint="`mwaa-local validate --list-rules` lists all",
            )
    wanted = frozenset(areas)
    return tuple(
        item
        for item in rules()
        if _length(item.id, select, default=0) > _length(item.id, ignore, default=-1)
        and (not wanted or item.area in wanted)
        and (not select or _length(item.id, select, default=0))
    )


def _length(rule_id: str, words: Sequence[str], *, default: int) -> int:
    """Length of the longest word the id begins with."""
    return max((len(word) for word in words if rule_id.startswith(word)), default=default)
