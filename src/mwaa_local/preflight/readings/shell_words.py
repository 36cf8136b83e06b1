"""What a word of a shell script can come to: quotes, variables, the common forms of ``${...}``.

A word has a few possible texts; ``None`` among them stands for one that only a run would tell.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

Texts: TypeAlias = tuple[str | None, ...]

# More possibilities than that are as good as none.
_MOST = 4
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_BRACED = re.compile(r"([A-Za-z_]\w*|[0-9]+|[@*#?$!-])(:?[-=+?]|,,?|\^\^?)?(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Variables(Protocol):
    """What a word asks of the shell that runs it."""

    def look_up(self, name: str) -> tuple[Texts, bool]:
        """Possible values of a variable, and whether it may be unset."""

    def assign(self, name: str, values: Texts) -> None:
        """``${name:=word}``."""


def few(texts: Iterable[str | None]) -> Texts:
    """Each possibility once, in order; too many become an unknown."""
    found = tuple(dict.fromkeys(texts))
    return found if len(found) <= _MOST else (None,)


def joined(parts: Iterable[Texts]) -> Texts:
    """Every text that parts one after the other can make."""
    whole: Texts = ("",)
    for part in parts:
        whole = few(None if left is None or right is None else left + right for left in whole for right in part)
    return whole


def expand(raw: str, variables: Variables, *, pattern: bool = False) -> Texts:
    """What a word can come to.

    Args:
        raw: The word as it is written.
        variables: The shell's variables.
        pattern: Keep quoted signs from meaning anything in a pattern.
    """
    return joined(_parts(raw, variables, (lambda text: glob.escape(text)) if pattern else (lambda text: text)))


def _parts(raw: str, variables: Variables, quoted: Callable[[str], str]) -> Iterable[Texts]:
    at = 0
    if re.match(r"~(/|$)", raw):
        yield variables.look_up("HOME")[0]
        at = 1
    while at < len(raw):
        char = raw[at]
        if char == "\\":
            yield (quoted(raw[at + 1 : at + 2]) if raw[at + 1 : at + 2] != "\n" else "",)
            at += 2
        elif char == "'":
            end = _end(raw, at + 1, "'")
            yield (quoted(raw[at + 1 : end]),)
            at = end + 1
        elif raw.startswith("$'", at):
            match = re.compile(r"\$'((?:[^'\\]|\\.)*)'?", re.DOTALL).match(raw, at)
            assert match is not None
            text = match.group(1)
            known = all(sign in _ESCAPES for sign in re.findall(r"\\(.)", text, re.DOTALL))
            yield (quoted(re.sub(r"\\(.)", lambda found: _ESCAPES[found.group(1)], text)) if known else None,)
            at = match.end()
        elif char == '"':
            end = _closing_quote(raw, at + 1)
            inner = joined(_double(raw[at + 1 : end], variables))
            yield tuple(None if text is None else quoted(text) for text in inner)
            at = end + 1
        elif char in "$`":
            texts, at = _dollar(raw, at, variables)
            yield texts
        else:
            yield (char,)
            at += 1


def _double(text: str, variables: Variables) -> Iterable[Texts]:
    at = 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
            yield (text[at + 1] if text[at + 1] != "\n" else "",)
            at += 2
        elif text[at] in "$`":
            texts, at = _dollar(text, at, variables)
            yield texts
        else:
            yield (text[at],)
            at += 1


def _dollar(text: str, at: int, variables: Variables) -> tuple[Texts, int]:
    """The possible texts of what begins with ``$`` or a backtick, and where it ends."""
    if text[at] == "`":
        return (None,), _end(text, at + 1, "`") + 1
    if text.startswith("$(", at):
        return (None,), _closing(text, at + 1, "(", ")")
    if text.startswith("${", at):
        end = _closing(text, at + 1, "{", "}")
        return _braced(text[at + 2 : end - 1], variables), end
    match = _NAME.match(text, at + 1)
    if match is None:
        return ("$",), at + 1
    return _value(match.group(), variables), match.end()


def _value(name: str, variables: Variables) -> Texts:
    values, unset = variables.look_up(name)
    return few((*values, *([""] if unset else [])))


def _braced(inner: str, variables: Variables) -> Texts:
    match = _BRACED.fullmatch(inner)
    if match is None:  # ${!name}, ${#name}
        return (None,)
    name, sign, rest = match.groups()
    values, unset = variables.look_up(name)
    if not sign:
        return _value(name, variables) if not rest else (None,)
    if sign[0] in ",^":
        change = {",,": str.lower, "^^": str.upper, ",": _first_lower, "^": _first_upper}[sign]
        return tuple(text and change(text) for text in _value(name, variables)) if not rest else (None,)
    empty_counts = sign.startswith(":")
    there = tuple(text for text in values if not (empty_counts and text == ""))
    missing = unset or len(there) < len(values) or (empty_counts and None in values)
    if sign.endswith("?"):
        return there or (None,)
    if sign.endswith("+"):
        other = expand(rest, variables)
        return few((*(other if there else ()), *([""] if missing else [])))
    other = expand(rest, variables) if missing else ()
    if sign.endswith("=") and missing:
        variables.assign(name, few((*there, *other)))
    return few((*there, *other))


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _end(text: str, at: int, sign: str) -> int:
    found = text.find(sign, at)
    return len(text) if found < 0 else found


def _closing_quote(text: str, at: int) -> int:
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 2
        elif text.startswith("${", at):
            at = _closing(text, at + 1, "{", "}")
        elif text.startswith("$(", at):
            at = _closing(text, at + 1, "(", ")")
        else:
            at += 1
    return min(at, len(text))


def _closing(text: str, at: int, opening: str, closing: str) -> int:
    """Behind the sign that closes the opening one at a place; quotes and nested ones count."""
    depth, quote = 0, ""
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                break
    return min(at, len(text))
