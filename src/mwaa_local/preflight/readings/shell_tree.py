"""A startup script as a tree: lists, conditions, loops, functions. Words stay as they are written.

What cannot be taken apart becomes a :class:`Broken` node, behind which nothing is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from mwaa_local.preflight.readings.shell import Token, tokens

_REDIRECT = re.compile(r"(?:\d*|&|\{\w+\})(?:>>|>\||>&|<&|<>|<<<|>|<)(?!\()")
_ENDS = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})


@dataclass(frozen=True)
class Simple:
    """A command of words; ``[`` and ``test`` are such, too."""

    line: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Test:
    """``[[ ... ]]``: its words and operators."""

    line: int
    words: tuple[Token, ...]


@dataclass(frozen=True)
class Arithmetic:
    """``(( ... ))``."""

    line: int
    text: str


@dataclass(frozen=True)
class AndOr:
    """Commands joined by ``&&`` and ``||``: the operator before each, empty for the first."""

    parts: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Apart:
    """What runs in a shell of its own: ``( )``, the parts of a pipeline, ``&``."""

    background: bool = False


@dataclass(frozen=True)
class Not:
    """``! command``."""

    inner: Node


@dataclass(frozen=True)
class Group:
    """``{ ...; }``."""

    body: tuple[Node, ...]


@dataclass(frozen=True)
class If:
    """Conditions with their bodies, and the body of ``else``."""

    arms: tuple[tuple[tuple[Node, ...], tuple[Node, ...]], ...]
    otherwise: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Case:
    """``case word in``: patterns, body, and the sign that ends each arm."""

    word: str
    arms: tuple[tuple[tuple[str, ...], tuple[Node, ...], str], ...]


@dataclass(frozen=True)
class For:
    """``for name in words``; ``words`` of ``None`` means the positional parameters, or a form that is not read."""

    line: int
    name: str
    words: tuple[str, ...] | None
    body: tuple[Node, ...]


@dataclass(frozen=True)
class While:
    """``while`` and ``until``."""

    condition: tuple[Node, ...]
    body: tuple[Node, ...]
    until: bool = False


@dataclass(frozen=True)
class Function:
    """The definition of a function."""

    name: str
    body: Node


@dataclass(frozen=True)
class Broken:
    """A place that cannot be read."""

    line: int


Node: TypeAlias = Simple | Test | Arithmetic | AndOr | Apart | Not | Group | If | Case | For | While | Function | Broken


class _BrokenError(Exception):
    pass


def tree(text: str, line: int = 1) -> tuple[Node, ...]:
    """The commands of a script; a :class:`Broken` node ends it where it cannot be taken apart."""
    parser = _Parser(_without_substitutions(tokens(text, line)))
    found: list[Node] = []
    try:
        parser.list_into(found)
        if parser.token is not None:
            raise _BrokenError
    except (_BrokenError, RecursionError):
        found.append(Broken(parser.line))
    return tuple(found)


def _without_substitutions(found: list[Token]) -> list[Token]:
    """The tokens without those of command substitutions: they run in a shell of their own."""
    depth, kept = 0, []
    for token in found:
        if token.operator and token.text in ("$(", "$)"):
            depth += 1 if token.text == "$(" else -1
        elif depth == 0:
            kept.append(token)
    return kept


@dataclass
class _Parser:
    found: list[Token]
    at: int = 0
    line: int = field(default=1)

    @property
    def token(self) -> Token | None:
        return self.found[self.at] if self.at < len(self.found) else None

    def _is(self, *signs: str) -> bool:
        token = self.token
        return token is not None and token.operator and token.text in signs

    def _word(self, *words: str) -> bool:
        token = self.token
        return token is not None and not token.operator and token.raw in words

    def _take(self) -> Token:
        token = self.token
        if token is None:
            raise _BrokenError
        self.at += 1
        self.line = token.line
        return token

    def _expect(self, *texts: str) -> Token:
        token = self.token
        if token is not None and token.operator and token.text == "))" and ")" in texts:
            self.found[self.at : self.at + 1] = [Token(")", ")", token.line, True)] * 2
        if token is None or self.found[self.at].raw not in texts:
            raise _BrokenError
        return self._take()

    def _newlines(self) -> None:
        while self._is("\n"):
            self._take()

    def list_into(self, found: list[Node]) -> None:
        """Commands up to the end, or to a word or sign that ends a list."""
        while True:
            while self._is("\n", ";"):
                self._take()
            if self.token is None or self._is(")", "))", ";;") or self._word(*_ENDS):
                return
            node = self._and_or()
            if self._is("&"):
                self._take()
                if self._is("&"):  # `;;&` and `&&` are other signs; a lone second one is a mistake
                    raise _BrokenError
                node = Apart(background=True)
            found.append(node)
            if not (
                self.token is None or self._is("\n", ";", ")", "))", ";;") or self._word(*_ENDS)
            ) and not isinstance(node, Apart):
                raise _BrokenError

    def _list(self) -> tuple[Node, ...]:
        found: list[Node] = []
        self.list_into(found)
        return tuple(found)

    def _and_or(self) -> Node:
        parts = [("", self._pipeline())]
        while self._is("&&", "||"):
            sign = self._take().text
            self._newlines()
            parts.append((sign, self._pipeline()))
        return AndOr(tuple(parts)) if len(parts) > 1 else parts[0][1]

    def _pipeline(self) -> Node:
        if self._word("!"):
            self._take()
            return Not(self._pipeline())
        if self._word("time"):
            self._take()
        node, several = self._command(), False
        while self._is("|"):
            self._take()
            if self._is("&"):  # |&
                self._take()
            self._newlines()
            self._command()
            several = True
        return Apart() if several else node

    def _command(self) -> Node:
        if self._is("("):
            self._take()
            self._list()
            self._expect(")")
            return self._redirected(Apart())
        if self._is("(("):
            return self._redirected(self._arithmetic())
        token = self.token
        if token is None or token.operator:
            raise _BrokenError
        reader = {
            "{": self._group, "if": self._if, "case": self._case, "for": self._for, "select": self._for,
            "while": self._while, "until": self._while, "[[": self._test, "function": self._function,
        }.get(token.raw)  # fmt: skip
        if reader is not None:
            return self._redirected(reader())
        if token.raw in _ENDS:
            raise _BrokenError
        following = self.found[self.at + 1 : self.at + 3]
        if [item.text for item in following if item.operator] == ["(", ")"]:
            return self._function()
        return self._simple()

    def _redirected(self, node: Node) -> Node:
        """Behind a compound command only redirections may stand."""
        while self.token is not None and not self.token.operator and _REDIRECT.match(self.token.raw):
            self._redirect()
        return node

    def _redirect(self) -> None:
        token = self._take()
        match = _REDIRECT.match(token.raw)
        if match is not None and match.end() == len(token.raw) and self.token is not None and not self.token.operator:
            self._take()

    def _simple(self) -> Node:
        line, words = self.found[self.at].line, []
        while self.token is not None and not self.token.operator:
            if _REDIRECT.match(self.token.raw):
                self._redirect()
            else:
                words.append(self._take().raw)
        if self._is("(", "(("):
            raise _BrokenError
        return Simple(line, tuple(words))

    def _arithmetic(self) -> Node:
        begin, parts, depth = self._take(), [], 1
        while depth:
            token = self._take()
            depth += (token.text == "((") - (token.text == "))") if token.operator else 0
            parts.append(token.text)
        return Arithmetic(begin.line, " ".join(parts[:-1]))

    def _group(self) -> Node:
        self._expect("{")
        body = self._list()
        self._expect("}")
        return Group(body)

    def _if(self) -> Node:
        self._expect("if")
        arms: list[tuple[tuple[Node, ...], tuple[Node, ...]]] = []
        otherwise: tuple[Node, ...] = ()
        while True:
            condition = self._list()
            self._expect("then")
            arms.append((condition, self._list()))
            word = self._expect("elif", "else", "fi").raw
            if word == "else":
                otherwise = self._list()
                self._expect("fi")
            if word != "elif":
                return If(tuple(arms), otherwise)

    def _case(self) -> Node:
        self._expect("case")
        word = self._take().raw
        self._newlines()
        self._expect("in")
        arms: list[tuple[tuple[str, ...], tuple[Node, ...], str]] = []
        while True:
            self._newlines()
            if self._word("esac"):
                self._take()
                return Case(word, tuple(arms))
            if self._is("("):
                self._take()
            patterns = [self._take().raw]
            while self._is("|"):
                self._take()
                patterns.append(self._take().raw)
            self._expect(")")
            body = self._list()
            sign = ""
            if self._is(";;"):
                sign = self._take().text
                sign += self._take().text if self._is("&") else ""
            elif not self._word("esac"):
                raise _BrokenError
            arms.append((tuple(patterns), body, sign))

    def _for(self) -> Node:
        line = self._take().line
        words: tuple[str, ...] | None = None
        if self._is("(("):
            self._arithmetic()
            name = ""
        else:
            name = self._take().raw
            self._newlines()
            if self._word("in"):
                self._take()
                taken = []
                while self.token is not None and not self.token.operator:
                    taken.append(self._take().raw)
                words = tuple(taken)
        while self._is(";", "\n"):
            self._take()
        return For(line, name, words, self._body())

    def _while(self) -> Node:
        until = self._expect("while", "until").raw == "until"
        condition = self._list()
        return While(condition, self._body(), until)

    def _body(self) -> tuple[Node, ...]:
        if self._word("{"):
            self._take()
            body = self._list()
            self._expect("}")
            return body
        self._expect("do")
        body = self._list()
        self._expect("done")
        return body

    def _test(self) -> Node:
        line, words = self._expect("[[").line, []
        while not self._word("]]"):
            words.append(self._take())
        self._take()
        return Test(line, tuple(words))

    def _function(self) -> Node:
        if self._word("function"):
            self._take()
        name = self._take().raw
        if self._is("("):
            self._take()
            self._expect(")")
        self._newlines()
        return Function(name, self._command())
