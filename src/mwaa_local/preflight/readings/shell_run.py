"""What a startup script exports on one component, told without running it.

The script's tree is followed as bash would, with variables that have a few possible values each: a condition that can
be decided takes one way, any other takes both, and what differs afterwards is uncertain. No command is run. What a
command outside of the shell does cannot change the shell's variables; what can, and is not known (``source`` of a file
that is not in the workspace, ``eval``), leaves the result open.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mwaa_local.preflight.readings import shell_tests
from mwaa_local.preflight.readings import shell_tree as tree
from mwaa_local.preflight.readings.shell_builtins import ASSIGNMENT, BUILTINS, DEPTH, STATUS, Builtins, Outcome
from mwaa_local.preflight.readings.shell_state import State, Surroundings, Variable, merged
from mwaa_local.preflight.readings.shell_words import Texts, expand, few

_STEPS, _ITEMS = 20_000, 60


@dataclass(frozen=True)
class Exports:
    """What a script exports.

    Attributes:
        variables: By name, those that may be exported with a value.
        open_line: Line of the first command that may set or export any variable; 0 for none.
        open_text: That command.
    """

    variables: Mapping[str, Variable]
    open_line: int = 0
    open_text: str = ""


class _TooMuchError(Exception):
    pass


class _Shell(Builtins):
    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.steps = 0

    def run_all(self, nodes: Sequence[tree.Node], state: State | None) -> Outcome:
        status: bool | None = True
        for node in nodes:
            if state is None:
                break
            state, status = self.run(node, state)
        return state, status

    def run(self, node: tree.Node, state: State) -> Outcome:
        self.steps += 1
        if self.steps > _STEPS:
            raise _TooMuchError
        match node:
            case tree.Simple():
                return self._simple(node, state)
            case tree.Test():
                return state, shell_tests.holds(node.words, state, self.exists, double=True)
            case tree.Arithmetic():
                for name in re.findall(r"([A-Za-z_]\w*)\s*(?:=(?!=)|\+\+|--|[-+*/%]=)", node.text):
                    state.assign(name, (None,), node.line)
                return state, None
            case tree.Apart():
                return state, True if node.background else None
            case tree.Not():
                after, status = self.run(node.inner, state)
                return after, None if status is None else not status
            case tree.Group():
                return self.run_all(node.body, state)
            case tree.AndOr():
                return self._and_or(node, state)
            case tree.If():
                return self._if(node, state)
            case tree.Case():
                return self._case(node, state)
            case tree.For():
                return self._for(node, state)
            case tree.While():
                return self._while(node, state)
            case tree.Function():
                state.functions[node.name] = node.body
                return state, True
            case tree.Broken():
                state.open(node.line, "a line that this check cannot read")
                self.ends.append(state)
                return None, None

    def _and_or(self, node: tree.AndOr, state: State) -> Outcome:
        current: State | None = state
        status: bool | None = True
        for sign, part in node.parts:
            if current is None:
                return None, None
            wanted = sign != "||"
            if not sign or status is wanted:
                current, status = self.run(part, current)
            elif status is None:
                other, after = self.run(part, current.copy())
                current = merged([current, other])
                status = after if other is not None and after == (not wanted) else None
                if other is None:  # `command || exit`: who goes on, went well
                    status = not wanted
        return current, status

    def _if(self, node: tree.If, state: State) -> Outcome:
        ways: list[Outcome] = []
        current: State | None = state
        for condition, body in node.arms:
            assert current is not None
            current, status = self.run_all(condition, current)
            if current is None:
                break
            if status is not False:
                ways.append(self.run_all(body, current if status else current.copy()))
            if status:
                current = None
                break
        if current is not None:
            ways.append(self.run_all(node.otherwise, current))
        return self._together(ways)

    def _together(self, ways: Sequence[Outcome]) -> Outcome:
        statuses = {status for state, status in ways if state is not None}
        return merged([state for state, _ in ways]), statuses.pop() if len(statuses) == 1 else None

    def _case(self, node: tree.Case, state: State) -> Outcome:
        ways: list[Outcome] = []
        current: State | None = state
        falls: State | None = None
        texts = expand(node.word, state)
        for patterns, body, sign in node.arms:
            fits = False if current is None else self._fits(texts, patterns, current)
            if fits is False and falls is None:
                continue
            begin = merged([falls, current.copy() if current is not None and fits is not False else None])
            if fits is True:
                current = None
            after = self.run_all(body, begin)
            falls = after[0] if sign.endswith("&") else None
            if falls is None:
                ways.append(after)
        ways += [(falls, None), (current, True)]
        return self._together([way for way in ways if way[0] is not None])

    def _fits(self, texts: Texts, patterns: Sequence[str], state: State) -> bool | None:
        found: set[bool | None] = set()
        for text in texts:
            one: bool | None = False
            for raw in patterns:
                for pattern in expand(raw, state, pattern=True):
                    if pattern == "*" or (
                        text is not None and pattern is not None and fnmatch.fnmatchcase(text, pattern)
                    ):
                        one = True
                    elif (text is None or pattern is None) and one is False:
                        one = None
                    if one:
                        break
                if one:
                    break
            found.add(one)
        return found.pop() if len(found) == 1 else None

    def _for(self, node: tree.For, state: State) -> Outcome:
        items = self._items(node.words, state)
        self.breaks.append([])
        current: State | None = state
        if items is None:
            current = self._maybe_loop(state, lambda way: self._turn(node, way, None))
        else:
            for item in items:
                if current is not None:
                    current = self._turn(node, current, item)
        return merged([current, *self.breaks.pop()]), None

    def _turn(self, node: tree.For, state: State, item: str | None) -> State | None:
        if node.name:
            state.assign(node.name, (item,), node.line)
        return self.run_all(node.body, state)[0]

    def _items(self, words: Sequence[str] | None, state: State) -> list[str] | None:
        """The words of a ``for``; ``None`` when only a run would tell."""
        found: list[str] = []
        for raw in words if words is not None else ("$@",):
            texts = expand(raw, state)
            if len(texts) != 1 or texts[0] is None or re.search(r"[*?\[{]", raw):
                return None
            found += texts[0].split() if raw[:1] not in "'\"" else [texts[0]]
        return found if len(found) <= _ITEMS else None

    def _while(self, node: tree.While, state: State) -> Outcome:
        self.breaks.append([])

        def turn(way: State) -> State | None:
            after, status = self.run_all(node.condition, way)
            return None if after is None or status is node.until else self.run_all(node.body, after)[0]

        current = self._maybe_loop(state, turn)
        return merged([current, *self.breaks.pop()]), None

    def _maybe_loop(self, state: State, turn: Callable[[State], State | None]) -> State | None:
        """A body that runs some number of times: what it changes is uncertain afterwards."""
        before = state.copy()
        for _ in range(2):
            state = merged([state, turn(state.copy())]) or state
        for name, found in state.variables.items():
            if found != before.variable(name) and found.values:
                state.variables[name] = replace(found, values=few((*found.values, None)))
        return state

    def _simple(self, node: tree.Simple, state: State) -> Outcome:
        state.line = node.line
        words = list(node.words)
        assignments = []
        while words and ASSIGNMENT.fullmatch(words[0]):
            assignments.append(words.pop(0))
        if not words:
            for raw in assignments:
                self.set_variable(raw, state, node.line)
            return state, None if any("$(" in raw or "`" in raw for raw in assignments) else True
        texts = expand(words[0], state)
        name = texts[0] if len(texts) == 1 else None
        for raw in words[1:]:
            if "${" in raw and "=" in raw:
                expand(raw, state)  # `: ${A:=x}` gives A a value, whatever the command does
        if name in ("command", "builtin") and len(words) > 1:
            if name == "builtin" and words[1] == "exit":
                return None, None  # past MWAA's own exit: nothing is saved
            if words[1].startswith("-"):
                return state, None
            words.pop(0)
            name = words[0]
        elif words[0] == "\\exit":
            return None, None
        if name is None:
            return state, None
        if name in state.functions:
            return self._call(state.functions[name], words[1:], state)
        handler = getattr(self, f"_do_{BUILTINS.get(name, '')}", None)
        if handler is None:
            return state, STATUS.get(name)
        outcome: Outcome = handler(node, words[1:], state)
        return outcome

    def _call(self, body: tree.Node, arguments: Sequence[str], state: State) -> Outcome:
        if len(self.saved) > DEPTH:
            raise _TooMuchError
        before = state.arguments
        texts = [expand(raw, state) for raw in arguments]
        state.arguments = tuple(item[0] if len(item) == 1 else None for item in texts)
        self.saved.append({})
        self.returns.append([])
        after, status = self.run(body, state)
        returned = self.returns.pop()
        after, status = merged([after, *returned]), None if returned else status
        for name, old in self.saved.pop().items():
            if after is not None:
                after.variables.pop(name, None)
                if old is not None:
                    after.variables[name] = old
        if after is not None:
            after.arguments = before
        return after, status


def exports(text: str, surroundings: Surroundings) -> Exports:
    """What a script exports, beyond what it was given."""
    shell = _Shell(surroundings)
    state = State(surroundings.variables)
    try:
        last, _ = shell.run_all(tree.tree(text), state)
        final = merged([*shell.ends, last])
    except (_TooMuchError, RecursionError):
        return Exports({}, 1, "the whole script: it is too deep to follow")
    if final is None:
        return Exports({})
    found = {
        name: variable
        for name, variable in final.variables.items()
        if True in variable.exported
        and variable.values
        and variable.line  # else the container's own, exported once more
        and (name not in surroundings.variables or variable.values != (surroundings.variables[name],))
    }
    line, words = final.opened or (0, "")
    return Exports(found, line, words)
