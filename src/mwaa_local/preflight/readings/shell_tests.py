"""Whether a test of a shell script holds (``[ ]``, ``test``, ``[[ ]]``); ``None`` where only a run would tell."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mwaa_local.preflight.readings.shell import Token
from mwaa_local.preflight.readings.shell_words import Texts, Variables, expand

_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b, "-ne": lambda a, b: a != b, "-lt": lambda a, b: a < b, "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b, "-ge": lambda a, b: a >= b,
}  # fmt: skip
_OPERATORS = frozenset({"=", "==", "!=", "=~", "<", ">", "-nt", "-ot", "-ef", *_NUMBERS})
_UNARY = re.compile(r"-[a-zA-Z]")


@dataclass
class _Reader:
    words: list[str]
    variables: Variables
    exists: Callable[[str], bool]
    double: bool
    at: int = 0

    def next(self) -> str | None:
        return self.words[self.at] if self.at < len(self.words) else None

    def either(self) -> bool | None:
        found = self.both()
        while self.next() in (("||",) if self.double else ("-o",)):
            self.at += 1
            other = self.both()
            found = True if found or other else (None if None in (found, other) else False)
        return found

    def both(self) -> bool | None:
        found = self.one()
        while self.next() in (("&&",) if self.double else ("-a",)):
            self.at += 1
            other = self.one()
            found = False if found is False or other is False else (None if None in (found, other) else True)
        return found

    def one(self) -> bool | None:
        word = self.next()
        if word is None:
            return False  # an empty test
        if word == "!":
            self.at += 1
            found = self.one()
            return None if found is None else not found
        if word in ("(", "\\("):
            self.at += 1
            found = self.either()
            if self.next() not in (")", "\\)"):
                raise ValueError
            self.at += 1
            return found
        following = self.words[self.at + 1] if self.at + 1 < len(self.words) else None
        if following in _OPERATORS:
            self.at += 2
            return self._compare(word, following)
        self.at += 1
        if _UNARY.fullmatch(word) and following is not None and following not in ("&&", "||", ")", "-a", "-o"):
            self.at += 1
            return self._unary(word, following)
        return _all(expand(word, self.variables), lambda text: text != "")

    def _unary(self, sign: str, raw: str) -> bool | None:
        if sign == "-v":
            values, unset = self.variables.look_up(raw)
            return (None if unset else True) if values else False
        texts = expand(raw, self.variables)
        if sign in ("-z", "-n"):
            return _all(texts, lambda text: (text == "") == (sign == "-z"))
        if sign in ("-f", "-e", "-r", "-s", "-a") and len(texts) == 1 and texts[0] and self.exists(texts[0]):
            return True
        return None

    def _compare(self, left: str, sign: str) -> bool | None:
        if sign == "=~":
            return self._matches(left)
        word = self.next()
        if word is None:
            raise ValueError
        self.at += 1
        ours = expand(left, self.variables)
        theirs = expand(word, self.variables, pattern=self.double)
        if sign in _NUMBERS:
            return _each(ours, theirs, lambda a, b: _NUMBERS[sign](int(a or "0"), int(b or "0")))
        if sign not in ("=", "==", "!="):
            return None
        equal = _each(ours, theirs, (lambda a, b: fnmatch.fnmatchcase(a, b)) if self.double else (lambda a, b: a == b))
        return None if equal is None else equal == (sign != "!=")

    def _matches(self, left: str) -> bool | None:
        # Parentheses and bars of an expression were read as signs of their own: put it together again.
        parts, depth = [], 0
        while (word := self.next()) is not None and (depth or word not in ("&&", "||", ")")):
            depth += word.count("(") - word.count(")")
            parts.append(word)
            self.at += 1
        return _each(
            expand(left, self.variables),
            expand("".join(parts), self.variables),
            lambda text, expression: re.search(expression, text) is not None,
        )


def _all(texts: Texts, holds: Callable[[str], bool]) -> bool | None:
    found = {None if text is None else holds(text) for text in texts}
    return found.pop() if len(found) == 1 else None


def _each(left: Texts, right: Texts, holds: Callable[[str, str], bool]) -> bool | None:
    found = {None if a is None or b is None else holds(a, b) for a in left for b in right}
    return found.pop() if len(found) == 1 else None


def holds(
    words: Sequence[str] | Sequence[Token], variables: Variables, exists: Callable[[str], bool], *, double: bool
) -> bool | None:
    """Whether a test holds.

    Args:
        words: What stands between the brackets, as it is written.
        variables: The shell's variables.
        exists: Whether a file is known to be there.
        double: Whether it is ``[[ ]]``, which knows patterns and ``&&``.
    """
    texts = [word.raw if isinstance(word, Token) else word for word in words]
    reader = _Reader([text for text in texts if text != "\n"], variables, exists, double)
    try:
        found = reader.either()
    except (ValueError, re.error):
        return None
    return found if reader.next() is None else None
