"""Commands of the shell itself that change it, as far as they can be followed without running anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from mwaa_local.preflight.readings import shell_tests
from mwaa_local.preflight.readings import shell_tree as tree
from mwaa_local.preflight.readings.shell_state import State, Surroundings, Variable, merged
from mwaa_local.preflight.readings.shell_words import Texts, expand, few

# The shell behind a command (``None`` when the script does not go on), and whether the command went well (``None`` when
# only a run would tell).
Outcome: TypeAlias = tuple[State | None, bool | None]

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?(\+?)=(.*)", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
DEPTH = 25

# Commands of the shell itself that change it, and the method for each.
BUILTINS = {
    "exit": "exit", "return": "return", "break": "break", "continue": "break", "exec": "exec", "export": "export",
    "declare": "declare", "typeset": "declare", "local": "declare", "readonly": "declare", "set": "set",
    "unset": "unset", "read": "read", "mapfile": "read", "readarray": "read", "printf": "printf", "getopts": "read",
    "let": "read", "eval": "eval", "source": "source", ".": "source", "cd": "cd", "pushd": "cd", "popd": "cd",
    "[": "test", "test": "test",
}  # fmt: skip
# Status of commands that always end alike; any other is not known.
STATUS = {":": True, "true": True, "false": False, "echo": True, "shopt": True, "umask": True, "trap": True}


class Builtins:
    """The commands; what walks the tree inherits them.

    Attributes:
        ends: The shell at each end of the script.
        returns: The same for the functions and files that are being followed, innermost last.
        breaks: The same for loops.
        saved: What variables were before a function made them its own.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.ends: list[State] = []
        self.returns: list[list[State]] = []
        self.breaks: list[list[State]] = []
        self.saved: list[dict[str, Variable | None]] = []
        self.sourced = 0

    def run_all(self, nodes: Sequence[tree.Node], state: State | None) -> Outcome:
        """Follow commands one after the other."""
        raise NotImplementedError

    def set_variable(self, raw: str, state: State, line: int, *, export: bool = False) -> None:
        """Follow ``NAME=value``."""
        match = ASSIGNMENT.fullmatch(raw)
        assert match is not None
        name, index, plus, value = match.groups()
        texts: Texts = (None,) if index or value.startswith("(") else expand(value, state)
        if plus:
            old = expand(f"${{{name}}}", state)
            texts = few(None if a is None or b is None else a + b for a in old for b in texts)
        state.assign(name, texts, line, export=export)

    def _do_exit(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        self.ends.append(state)
        return None, None

    def _do_return(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        (self.returns[-1] if self.returns else self.ends).append(state)
        return None, None

    def _do_break(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        if not self.breaks:
            return state, True
        self.breaks[-1].append(state)
        return None, None

    def _do_exec(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        return (None, None) if words else (state, True)

    def _do_export(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        flags = "".join(word[1:] for word in words if word.startswith("-"))
        for raw in words:
            if raw.startswith(("-", "+")) or "f" in flags:
                continue
            if ASSIGNMENT.fullmatch(raw):
                self.set_variable(raw, state, node.line, export="n" not in flags)
                continue
            for text in expand(raw, state):
                if text is None:
                    state.open(node.line, f"export {raw}")
                    continue
                for word in text.split():
                    if ASSIGNMENT.fullmatch(word):
                        name, _, value = word.partition("=")
                        state.assign(name, (value,), node.line, export=True)
                    elif _IDENTIFIER.fullmatch(word):
                        found = state.variable(word)
                        state.variables[word] = replace(found, exported=frozenset({"n" not in flags}))
        return state, True

    def _do_declare(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        flags = "".join(word[1:] for word in words if word.startswith("-"))
        for raw in words:
            match = _IDENTIFIER.match(raw)
            if match is None:
                continue
            name = match.group()
            if self.saved and node.words[0] != "readonly" and "g" not in flags:
                self.saved[-1].setdefault(name, state.variables.get(name))
            if ASSIGNMENT.fullmatch(raw):
                self.set_variable(raw, state, node.line, export="x" in flags)
            elif "x" in flags:
                state.variables[name] = replace(state.variable(name), exported=frozenset({True}))
        return state, True

    def _do_set(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        for number, raw in enumerate(words):
            if raw == "--":
                state.arguments = tuple(expand(word, state)[0] for word in words[number + 1 :])
                break
            named = number and words[number - 1] in ("-o", "+o") and raw == "allexport"
            if named or re.fullmatch(r"[-+]\w*a\w*", raw):
                state.all_export = frozenset({(words[number - 1] if named else raw).startswith("-")})
        return state, True

    def _do_unset(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        for raw in words:
            if _IDENTIFIER.fullmatch(raw):
                state.variables[raw] = Variable((), True, frozenset({False}), node.line)
                state.functions.pop(raw, None)
        return state, True

    def _do_read(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        for raw in words:
            if _IDENTIFIER.fullmatch(raw):
                state.assign(raw, (None,), node.line)
        return state, None

    def _do_eval(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        texts = expand(" ".join(words), state)
        if len(texts) != 1 or texts[0] is None:
            state.open(node.line, " ".join(node.words))
            return state, None
        return self.run_all(tree.tree(texts[0], node.line), state)

    def _do_source(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        texts = expand(words[0], state) if words else ()
        raw = words[0] if words else ""
        if raw.rstrip("'\"").endswith("/activate"):  # of a virtual environment: what it sets is known
            for name in ("VIRTUAL_ENV", "PATH"):
                state.assign(name, (None,), node.line, export=True)
            return state, True
        file = self._file(texts, state)
        if file is None or self.sourced > DEPTH:
            state.open(node.line, " ".join(node.words))
            return state, None
        self.sourced += 1
        self.returns.append([])
        after, status = self.run_all(tree.tree(file.read_text(encoding="utf-8", errors="replace"), node.line), state)
        returned = self.returns.pop()
        self.sourced -= 1
        return merged([after, *returned]), None if returned else status

    def _do_cd(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        state.moved = True
        return state, None

    def _do_test(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        inner = list(words[:-1] if words and words[-1] == "]" else words)
        return state, shell_tests.holds(inner, state, self.exists, double=False)

    def exists(self, text: str) -> bool:
        return text.startswith("/") and self.surroundings.file(text) is not None

    def _file(self, texts: Texts, state: State) -> Path | None:
        if len(texts) != 1 or not texts[0] or (state.moved and not texts[0].startswith("/")):
            return None
        return self.surroundings.file(texts[0])

    def _do_printf(self, node: tree.Simple, words: Sequence[str], state: State) -> Outcome:
        if words[:1] == ["-v"] or words[:1] == ("-v",):
            self._do_read(node, words[1:2], state)
        return state, True
