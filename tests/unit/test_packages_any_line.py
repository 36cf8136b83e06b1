"""Any line that a requirements file may hold: read as pip's grammar has it, or refused with its number."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mwaa_local.packages.entries import parse_entry
from mwaa_local.packages.lines import LineError, decode, expand, has_constraints, lines

PIECES = (
    "requests", "Flask_AppBuilder", "apache-airflow-providers-amazon[pandas]", "==1.0", ">=2,<3", "~=1.4.2", " ", "  ", "\t",
    "; python_version < '3.12'", "#", " # why", "\\", "-c ", "--constraint=", "-r other.txt", "--hash=sha256:ab", "-e .",
    "--index-url https://x/simple", "${HOME}", "$HOME", "./a.whl", "a-1.0-py3-none-any.whl", "git+https://x/y.git@main",
    " @ https://x/y.zip", "'", '"', "=", "--", "-", "ü", "\x0c", "[extra]", "\ufeff",
)  # fmt: skip
LINE = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
DOCUMENT = st.lists(LINE, max_size=5).map("\n".join)
SLOW = settings(max_examples=300, deadline=None, derandomize=True)


@SLOW
@given(DOCUMENT | st.text(max_size=40))
def test_every_document_is_read_or_one_line_of_it_is_refused(text: str) -> None:
    last = 0
    try:
        for line in lines(text, {"HOME": "/usr/local/airflow"}):
            assert last < line.number <= text.count("\n") + text.count("\x0c") + text.count("\r") + 20
            last = line.number
            assert line.text == line.text.strip()
            if line.text or line.options.editables:
                parse_entry(line, "requirements.txt", {}, "/usr/local/airflow")
    except LineError as error:
        assert str(error.args[0])
        assert isinstance(error.args[1], int) and error.args[1] >= 1


@SLOW
@given(st.sampled_from(PIECES[:3]), st.sampled_from(["", "==1.0", ">=2,<3", "~=1.4.2", "===x"]), LINE)
def test_a_requirement_means_what_packaging_says_it_means(name: str, specifier: str, rest: str) -> None:
    text = f"{name}{specifier}{rest}".replace("\\", "").partition("#")[0]
    try:
        theirs: Requirement | None = Requirement(re.split(r"\s--?\w", text)[0])
    except InvalidRequirement:
        theirs = None
    try:
        found = list(lines(text, {}))
        entries = [parse_entry(line, "r.txt", {}, "/home") for line in found if line.text]
    except LineError:
        return
    if theirs is None or theirs.url or len(entries) != 1 or entries[0].kind != "index":
        return
    assert entries[0].name == canonicalize_name(theirs.name)
    assert entries[0].specifier == theirs.specifier
    assert entries[0].marker == str(theirs.marker or "")


@SLOW
@given(DOCUMENT)
def test_a_continued_line_is_one_line_that_counts_from_its_first(text: str) -> None:
    """pip joins lines that end with a backslash before it looks for comments."""
    given_text = "requests \\\n" + "  ==2.0\n" + text
    try:
        first = next(lines(given_text, {}))
    except LineError:
        return
    assert (first.number, first.text) == (1, "requests   ==2.0")


@SLOW
@given(st.binary(max_size=50), st.sampled_from(["", "undefined", "idna", "hex", "latin-1", "utf-16", "x"]))
def test_bytes_are_decoded_or_refused_as_python_refuses_them(data: bytes, encoding: str) -> None:
    with contextlib.suppress(UnicodeError, LookupError):
        assert isinstance(decode(f"# coding: {encoding}\n".encode() + data if encoding else data), str)


@SLOW
@given(st.dictionaries(st.sampled_from(["A", "B_1", "c", "HOME"]), st.sampled_from(["", "x", "${A}", "$"])), LINE)
def test_only_set_capital_names_in_braces_are_replaced(environment: dict[str, str], text: str) -> None:
    given_text = f"${{A}}|${{c}}|$A|{text.replace('$', '')}"
    done = expand(given_text, environment)
    wanted = environment.get("A") or "${A}"
    assert done.startswith(f"{wanted}|${{c}}|$A|") or wanted == "${A}"
    assert done.split("|")[1:3] == ["${c}", "$A"]


@SLOW
@given(DOCUMENT)
def test_mwaas_own_look_for_a_constraint(text: str) -> None:
    """spec/10 section 4.1: any line with the text, comments included; another spelling does not count."""
    assert has_constraints(text) == ("-c " in text or "--constraint " in text)
    assert has_constraints(text + "\n# -c x")
    assert not has_constraints("--constraint=x\n-cx")


def test_a_file_that_is_named_in_a_line_need_not_be_there(tmp_path: Path) -> None:
    (line,) = lines("./nowhere-1.0-py3-none-any.whl", {})
    entry = parse_entry(line, "r.txt", {}, str(tmp_path))
    assert (entry.kind, entry.name, entry.local) == ("path", "nowhere", tmp_path / "nowhere-1.0-py3-none-any.whl")
