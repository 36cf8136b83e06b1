"""On which components a command of a startup script can run: tests of ``MWAA_AIRFLOW_COMPONENT`` followed in it."""

from __future__ import annotations

import re

from mwaa_local.catalog import AIRFLOW_COMPONENTS
from mwaa_local.preflight.readings.shell import Command

COMPONENTS = frozenset(AIRFLOW_COMPONENTS)
_VARIABLE = re.compile(r"\$\{?MWAA_{1,2}AIRFLOW_{1,2}COMPONENT")
Set = frozenset[str]


def assign(script: list[Command]) -> None:
    """Fill in ``components`` of every command; what is not understood counts as running everywhere."""
    current: Set = COMPONENTS
    stack: list[dict[str, Set]] = []
    condition: tuple[Set, Set] | None = None
    pending = ""
    for index, command in enumerate(script):
        word = command.words[0] if command.words else ""
        if command.keyword:
            command.components = current
            if word in ("if", "while", "until"):
                stack.append({"in": current, "ends": frozenset(), "kind": frozenset({word})})
                pending, condition = "if", None
            elif word == "elif" and stack:
                stack[-1]["ends"] |= current
                current = stack[-1].get("else", stack[-1]["in"])
                pending, condition = "if", None
            elif word in ("then", "do") and stack:
                truth = condition or (current, current)
                stack[-1]["else"] = truth[1]
                current = truth[0]
                pending = ""
            elif word == "else" and stack:
                stack[-1]["ends"] |= current
                current = stack[-1].pop("else", stack[-1]["in"])
                stack[-1]["done"] = frozenset({"else"})
            elif word in ("fi", "done") and stack:
                frame = stack.pop()
                current = current | frame["ends"] | (frozenset() if "done" in frame else frame.get("else", frozenset()))
            elif word == "esac" and stack:
                current = stack.pop()["in"]
            continue
        if word == "case":
            stack.append(
                {
                    "in": current,
                    "ends": frozenset(),
                    "kind": frozenset({"case"}),
                    "case": frozenset({" ".join(command.words)}),
                }
            )
            command.components = current
            continue
        if stack and "case" in stack[-1]["kind"] and _is_pattern(script, index):
            # `worker|scheduler)` reads as two commands that are none.
            command.keyword, command.components = True, stack[-1]["in"]
            stack[-1]["names"] = stack[-1].get("names", frozenset()) | frozenset(command.words)
            if command.before == ")":
                names = stack[-1].pop("names")
                if _VARIABLE.search(next(iter(stack[-1]["case"]))):
                    current = stack[-1]["in"] if "*" in names else names & COMPONENTS
            continue
        command.components = current
        tested = _test(command, current)
        if pending == "if" and tested is not None:
            condition = tested if condition is None else _joined(condition, tested, command.after)
            continue
        if command.after in ("&&", "||") and index and pending != "if":
            before = _test(script[index - 1], current)
            if before is not None:
                command.components = before[0] if command.after == "&&" else before[1]
                if command.name in ("exit", "return") and not command.subshell:
                    current = before[1] if command.after == "&&" else before[0]
                continue
        if command.name in ("exit", "return") and not command.subshell and stack:
            current = frozenset()


def _is_pattern(script: list[Command], index: int) -> bool:
    for command in script[index:]:
        if len(command.words) != 1 or command.assignments or command.before not in ("|", ")"):
            return False
        if command.before == ")":
            return True
    return False


def _joined(left: tuple[Set, Set], right: tuple[Set, Set], operator: str) -> tuple[Set, Set]:
    if operator == "&&":
        return left[0] & right[0], left[1] | right[1]
    return left[0] | right[0], left[1] & right[1]


def _test(command: Command, current: Set) -> tuple[Set, Set] | None:
    """The components for which a test of the variable is true and false; ``None`` for another command."""
    words = command.words
    if not words or words[0] not in ("[", "[[", "test") or not any(_VARIABLE.search(word) for word in words):
        return None
    names = frozenset(words) & COMPONENTS
    if not names:
        return current, current
    if "!=" in words:
        return current - names, current & names
    if "=" in words or "==" in words or "=~" in words:
        return current & names, current - names
    return current, current
