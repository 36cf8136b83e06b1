"""A startup script as a list of simple commands, each with its line and the components it can run on.

No shell is started: a script installs software and must not run on the user's machine. What is read is what rules
need: words
without quotes, assignments, redirections, here-documents left out, command substitutions looked into.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

KEYWORDS = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "esac", "time", "function"}
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_REDIRECT = re.compile(r"(\d*)(>>|>\||>|<<<|<)")
# Words that run the command after them.
_PREFIXES = frozenset({"sudo", "env", "nohup", "command", "nice", "ionice", "stdbuf", "timeout"})


@dataclass(frozen=True)
class Token:
    """A word (``operator`` false) or an operator such as ``&&``; ``raw`` keeps the quotes."""

    text: str
    raw: str
    line: int
    operator: bool = False


@dataclass
class Command:
    """One simple command.

    Attributes:
        words: Words with quotes removed, assignments and redirections taken out.
        raw: The same words with their quotes.
        assignments: Leading ``NAME=value`` pairs.
        redirects: Targets of ``>`` and ``>>``.
        inputs: What stands behind ``<``, ``<<`` and ``<<<``.
        subshell: How many ``( )`` or ``$( )`` it lies in.
        after: The operator before it (``&&``, ``||``, ``|`` or empty).
        before: The operator behind it.
        keyword: Whether it is a bare keyword such as ``then``.
        components: Where it can run; filled in by ``components.assign``.
    """

    line: int
    words: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    assignments: list[tuple[str, str]] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    subshell: int = 0
    after: str = ""
    before: str = ""
    keyword: bool = False
    components: frozenset[str] = frozenset()

    @property
    def plain(self) -> list[str]:
        """The words without ``sudo``, ``env`` and the like before the command."""
        words = list(self.words)
        while words and words[0].rsplit("/", 1)[-1] in _PREFIXES:
            prefix = words.pop(0).rsplit("/", 1)[-1]
            while words and (words[0].startswith("-") or "=" in words[0].split("/", 1)[0]):
                words.pop(0)
            if prefix == "timeout" and words:
                words.pop(0)
        return words

    @property
    def name(self) -> str:
        """The command's own name, without folder."""
        plain = self.plain
        return plain[0].rsplit("/", 1)[-1] if plain else ""

    @property
    def arguments(self) -> list[str]:
        """What follows the name."""
        return self.plain[1:]

    @property
    def sudo(self) -> bool:
        """Whether it runs as root."""
        return bool(self.words) and self.words[0].rsplit("/", 1)[-1] == "sudo"


def tokens(text: str, line: int = 1) -> list[Token]:
    """Split shell text into words and operators; here-documents and comments vanish, an open quote ends at the end."""
    return _Scanner(text, line).scan()


class _Scanner:
    def __init__(self, text: str, line: int) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = line
        self.found: list[Token] = []
        self.heredocs: list[tuple[str, bool]] = []

    def scan(self) -> list[Token]:
        text, size = self.text, len(self.text)
        while self.at < size:
            char = text[self.at]
            if char == "\n":
                self._operator("\n")
                self.line += 1
                self._skip_heredocs()
            elif char in " \t\r":
                self.at += 1
            elif text.startswith("\\\n", self.at):
                self.at += 2
                self.line += 1
            elif char == "#":
                end = text.find("\n", self.at)
                self.at = size if end < 0 else end
            elif text.startswith(("<<-", "<<"), self.at) and not text.startswith("<<<", self.at):
                self._heredoc()
            elif text.startswith(("&&", "||", ";;", "((", "))"), self.at):
                self._operator(text[self.at : self.at + 2])
            elif char in ";|()" or (char == "&" and not text.startswith("&>", self.at)):
                self._operator(char)
            else:
                self._word()
        return self.found

    def _operator(self, sign: str) -> None:
        self.found.append(Token(sign, sign, self.line, operator=True))
        self.at += len(sign)

    def _heredoc(self) -> None:
        match = re.compile(r"<<(-?)[ \t]*(\\?)(['\"]?)([^\s'\"|;&<>()]+)\3").match(self.text, self.at)
        if match is None:
            self.at += 2
            return
        self.heredocs.append((match.group(4), bool(match.group(1))))
        word = f"<<{match.group(4)}"
        self.found.append(Token(word, word, self.line))
        self.at = match.end()

    def _skip_heredocs(self) -> None:
        for word, tabs in self.heredocs:
            while self.at < len(self.text):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                content = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                self.line += 1
                if (content.lstrip("\t") if tabs else content) == word:
                    break
        self.heredocs.clear()

    def _word(self) -> None:
        begin, line = self.at, self.line
        parts: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "(" and self._joins(self.text[begin : self.at]):
                parts.append(self._balanced("(", ")"))
                continue
            if char in " \t\n;|()" or (
                char == "&" and self.text[self.at - 1 : self.at] != ">" and not self.text.startswith("&>", self.at)
            ):
                break
            if char == "\\":
                if self.text.startswith("\\\n", self.at):
                    self.line += 1
                else:
                    parts.append(self.text[self.at + 1 : self.at + 2])
                self.at += 2
            elif char == "'":
                end = self.text.find("'", self.at + 1)
                end = len(self.text) if end < 0 else end
                parts.append(self.text[self.at + 1 : end])
                self._advance(end + 1)
            elif char == '"':
                parts.append(self._double())
            elif char == "`":
                end = self.text.find("`", self.at + 1)
                end = len(self.text) if end < 0 else end
                parts.append(self._inner(self.at + 1, end, "`"))
            elif self.text.startswith("$(", self.at) and not self.text.startswith("$((", self.at):
                parts.append(self._substitution())
            elif self.text.startswith("${", self.at):
                parts.append(self._balanced("{", "}"))
            elif self.text.startswith("$((", self.at):
                parts.append(self._balanced("(", ")"))
            else:
                parts.append(char)
                self.at += 1
        if self.at == begin:  # nothing that belongs to a word: never stand still
            self.at += 1
            return
        self.found.append(Token("".join(parts), self.text[begin : self.at], line))

    @staticmethod
    def _joins(before: str) -> bool:
        """Whether a parenthesis goes on with the word before it: an array, or a process substitution."""
        return before in ("<", ">") or re.fullmatch(r"[A-Za-z_]\w*\+?=", before) is not None

    def _balanced(self, opening: str, closing: str) -> str:
        """The text up to the sign that closes the next opening one, and behind it; nested ones and quotes count."""
        begin, depth, quote = self.at, 0, ""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\":
                self._advance(self.at + 2)
                continue
            self._advance(self.at + 1)
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if depth == 0:
                    break
        return self.text[begin : self.at]

    def _advance(self, to: int) -> None:
        to = min(to, len(self.text))
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def _double(self) -> str:
        parts: list[str] = []
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self.text[self.at] == "\\":
                parts.append(self.text[self.at + 1 : self.at + 2])
                self._advance(self.at + 2)
            elif self.text.startswith("$(", self.at) and not self.text.startswith("$((", self.at):
                parts.append(self._substitution())
            elif self.text.startswith("${", self.at):
                parts.append(self._balanced("{", "}"))
            else:
                parts.append(self.text[self.at])
                self._advance(self.at + 1)
        self.at += 1
        return "".join(parts)

    def _substitution(self) -> str:
        depth, end = 0, self.at + 1
        quote = ""
        while end < len(self.text):
            char = self.text[end]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    break
            end += 1
        return self._inner(self.at + 2, end, "$(")

    def _inner(self, begin: int, end: int, kind: str) -> str:
        """Look into a command substitution: its commands run too, in a subshell of their own."""
        inner = self.text[begin:end]
        for token in (
            Token("$(", "$(", self.line, True),
            *tokens(inner, self.line),
            Token("$)", "$)", self.line, True),
        ):
            self.found.append(token)
        text = self.text[self.at : end + 1]
        self._advance(end + 1)
        return text if kind == "`" else f"$({inner})"


def commands(text: str) -> list[Command]:
    """The simple commands of a script, in order."""
    result: list[Command] = []
    depth = 0
    current = Command(line=1)
    after = ""
    outer: list[tuple[Command, str]] = []
    for token in tokens(text):
        if token.text == "$(" and token.operator:
            # A substitution stands in the middle of a command: its own commands come first, then the outer one goes on.
            outer.append((current, after))
            depth += 1
            current, after = Command(line=token.line, subshell=depth), ""
            continue
        if token.text == "$)" and token.operator and outer:
            if _filled(current):
                result.append(current)
            depth = max(depth - 1, 0)
            current, after = outer.pop()
            continue
        if token.operator:
            if token.text in ("(", ")"):
                depth = max(depth + (1 if token.text == "(" else -1), 0)
            current.before = token.text
            if _filled(current):
                result.append(current)
            after = (
                token.text
                if token.text in ("&&", "||", "|")
                else ("" if token.text != "\n" or _filled(current) else after)
            )
            current = Command(line=token.line, subshell=depth, after=after)
            continue
        if not current.words and not current.assignments:
            current.line = token.line
            current.subshell = depth
            if token.raw in KEYWORDS:
                result.append(
                    Command(
                        line=token.line, words=[token.raw], raw=[token.raw], subshell=depth, keyword=True, after=after
                    )
                )
                after = ""
                current = Command(line=token.line, subshell=depth)
                continue
        _add(current, token)
    if _filled(current):
        result.append(current)
    return result


def _filled(command: Command) -> bool:
    return bool(command.words or command.assignments or command.redirects)


def _add(command: Command, token: Token) -> None:
    assignment = _ASSIGNMENT.fullmatch(token.text)
    if assignment and not command.words and _ASSIGNMENT.match(token.raw):
        command.assignments.append((assignment.group(1), assignment.group(2)))
        return
    waiting = next((found for found in (command.redirects, command.inputs) if found and found[-1] == ""), None)
    if waiting is not None:
        waiting[-1] = token.text
        return
    redirect = _REDIRECT.match(token.raw) or re.match(r"(&)(>>|>)", token.raw)
    if redirect:
        target = command.inputs if redirect.group(2).startswith("<") else command.redirects
        target.append(token.text[redirect.end() :])
        return
    command.words.append(token.text)
    command.raw.append(token.raw)
