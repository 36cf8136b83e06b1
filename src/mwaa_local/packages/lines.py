"""The syntax of a requirements file, as pip's own reader has it: joined lines, comments, ``${VAR}``, options.

Sources: pip's documentation "Requirements File Format"; spec/07 B2 for ``${VAR}``; spec/10 section 4.1 for decoding.
"""

from __future__ import annotations

import codecs
import optparse
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_STRONG_HASHES = ("sha256", "sha384", "sha512")
_VARIABLE = re.compile(r"(?P<whole>\$\{(?P<name>[A-Z0-9_]+)\})")


UNREADABLE = (UnicodeError, LookupError)
"""What :func:`decode` may raise, for whoever reads a file with it."""


class LineError(Exception):
    """A line pip would refuse; the text says why."""


@dataclass(frozen=True)
class Line:
    """One logical line.

    Attributes:
        number: Number of its first physical line, from 1.
        text: The requirement part, variables expanded; empty for a line of options only.
        options: The parsed options; lists and strings as pip's parser has them.
    """

    number: int
    text: str
    options: optparse.Values


def decode(data: bytes) -> str:
    """The text of a file: byte-order mark, else a ``coding:`` comment in the first two lines, else UTF-8.

    Raises:
        UnicodeError: the bytes are not in that encoding.
        LookupError: the comment names an unknown encoding.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding)
    for line in data.split(b"\n")[:2]:
        if line[:1] == b"#" and (found := _CODING.search(line)):
            return data.decode(found.group(1).decode("ascii"))
    # MWAA's containers run in a UTF-8 locale; a machine in another one must not change the verdict.
    return data.decode("utf-8")


def has_constraints(text: str) -> bool:
    """MWAA's own test for "a constraint is given" (spec/10 section 4.1).

    A line that holds ``-c `` or ``--constraint `` anywhere counts, comments included; ``--constraint=URL`` does not.
    """
    return any("-c " in line or "--constraint " in line for line in text.splitlines())


def lines(text: str, environment: Mapping[str, str]) -> Iterator[Line]:
    """The logical lines of a file.

    Raises:
        LineError: with ``number`` as second argument: options pip does not know, or quotes that do not close.
    """
    for number, joined in _joined(text):
        plain = _COMMENT.sub("", joined).strip()
        if not plain:
            continue
        expanded = expand(plain, environment)
        requirement, options = _divide(expanded)
        if not options:
            yield Line(number, requirement, NO_OPTIONS)
            continue
        try:
            words = shlex.split(options)
        except ValueError as error:
            raise LineError(f"cannot be split into options: {error}", number) from error
        try:
            # Words behind the options of a line without a requirement: pip passes over them.
            values, _ = _PARSER.parse_args(words, values=_parser_defaults())
            _refuse_values(values)
        except LineError as error:
            raise LineError(str(error), number) from error
        yield Line(number, requirement, values)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``${NAME}`` replaced where the variable is set; only capitals, digits and underscores, as pip has it."""
    for whole, name in _VARIABLE.findall(text):
        value = environment.get(name)
        if value:
            text = text.replace(whole, value)
    return text


def _joined(text: str) -> Iterator[tuple[int, str]]:
    first = 0
    pending: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.endswith("\\") or _COMMENT.match(line):
            if _COMMENT.match(line):
                line = " " + line  # a comment ends a continued line (pip: "always append a space")
            if pending:
                pending.append(line)
                yield first, "".join(pending)
                pending = []
            else:
                yield number, line
        else:
            if not pending:
                first = number
            pending.append(line.strip("\\"))
    if pending:
        yield first, "".join(pending)


def _divide(line: str) -> tuple[str, str]:
    words = line.split(" ")
    for index, word in enumerate(words):
        if word.startswith("-"):
            return " ".join(words[:index]).strip(), " ".join(words[index:])
    return line, ""


def _refuse_values(options: optparse.Values) -> None:
    """What pip refuses of the values of options, whatever the requirement.

    Raises:
        LineError: A hash without its kind, of a weak kind, or a setting without its value.
    """
    for value in options.hashes:
        kind, sign, _ = value.partition(":")
        if not sign:
            raise LineError(f"--hash {value} names no kind of hash: --hash=sha256:...")
        if kind not in _STRONG_HASHES:
            raise LineError(f"--hash {value}: pip takes {', '.join(_STRONG_HASHES)} only")
    for value in options.config_settings:
        if "=" not in value:
            raise LineError(f"--config-settings {value} is not of the form KEY=VALUE")


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        raise LineError(msg)

    def exit(self, status: int = 0, msg: str | None = None) -> NoReturn:
        raise LineError(msg or f"option ends pip with status {status}")


def _parser() -> _Parser:
    """pip's options of a requirements file; abbreviations such as ``--extra-index`` work, as in pip."""
    parser = _Parser(add_help_option=False)
    add = parser.add_option
    add("-i", "--index-url", "--pypi-url", dest="index_url")
    add("--extra-index-url", dest="extra_index_urls", action="append", default=[])
    add("--no-index", dest="no_index", action="store_true", default=False)
    add("-c", "--constraint", dest="constraints", action="append", default=[])
    add("-r", "--requirement", dest="requirements", action="append", default=[])
    add("-e", "--editable", dest="editables", action="append", default=[])
    add("-f", "--find-links", dest="find_links", action="append", default=[])
    add("--no-binary", dest="no_binary", action="append", default=[])
    add("--only-binary", dest="only_binary", action="append", default=[])
    add("--prefer-binary", dest="prefer_binary", action="store_true", default=False)
    add("--require-hashes", dest="require_hashes", action="store_true", default=False)
    add("--pre", dest="pre", action="store_true", default=False)
    add("--trusted-host", dest="trusted_hosts", action="append", default=[])
    add("--use-feature", dest="features", action="append", default=[])
    add("--global-option", dest="global_options", action="append", default=[])
    add("--config-settings", "--config-setting", "-C", dest="config_settings", action="append", default=[])
    add("--hash", dest="hashes", action="append", default=[])
    return parser


_PARSER = _parser()


def _parser_defaults() -> optparse.Values:
    """Fresh defaults: optparse appends to the very lists it was given."""
    values = _PARSER.get_default_values()
    for name, value in vars(values).items():
        if isinstance(value, list):
            setattr(values, name, list(value))
    return values


NO_OPTIONS = _parser_defaults()
