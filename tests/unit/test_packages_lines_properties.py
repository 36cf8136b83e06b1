"""Requirement lines of any shape: read as pip's own reader and ``packaging`` read them, or refused in a planned way."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pip._internal.req import req_file

from mwaa_local.catalog import version
from mwaa_local.packages import lines, requirements
from mwaa_local.packages.constraints import ConstraintFinder, pins
from mwaa_local.packages.entries import parse_entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.pip_settings import PipSettings

FAST = settings(max_examples=100, deadline=None, derandomize=True, database=None)
HOME = "/usr/local/airflow"
VARIABLES = {"USER": "me", "EMPTY": "", "A1": "b c"}

names = st.sampled_from(["a", "Foo_Bar", "apache-airflow", "x.y", "z1"])
versions = st.sampled_from(["1", "1.0", "2.0rc1", "1!3", "2024.1.post1", "1.*"])
specifiers = st.lists(
    st.tuples(st.sampled_from(["==", ">=", "<", "~=", "!=", "==="]), versions).map("".join), max_size=2
).map(",".join)
extras = st.sampled_from(["", "[x]", "[x, Y_z]", " [x]"])
markers = st.sampled_from(
    ["", " ; python_version < '3.9'", ";sys_platform=='win32'", "; extra == 'x' and os_name=='nt'"]
)
blanks = st.sampled_from(["", " ", "  ", "\t"])
wanted = st.tuples(names, extras, blanks, specifiers, markers).map("".join)
options = st.sampled_from(
    [
        "--pre", "--no-index", "-i https://i/s", "--index-url=https://i/s", "--extra-index-url https://e/s", "--extra-index https://e/s",
        "-f /w", "--find-links=/w", "-r more.txt", "-c c.txt", "--constraint=c.txt", "-e ./p", "-e git+https://h/r#egg=e",
        "--no-binary :all:", "--only-binary=a,b", "--prefer-binary", "--require-hashes", "--trusted-host h", "--hash=sha256:00",
        "--hash sha256:11", "--global-option=x", "--config-settings=a=b", "--user", "--upgrade", "-U", "-r", "--hash", "--h", "'open",
        "--hash=md5:00", "--hash=nothing", "--hash=sha512:a:b", "--config-settings=x",
        "--pre=1", "-ihttps://i/s", "-", "--", "word",
    ]
)  # fmt: skip
paths = st.sampled_from(
    ["./p", "../p", "/opt/p", "a.whl", "./a-1.0-py3-none-any.whl", "p/[x]", ".", "..", "~", "\\p", "a@b"]
)
urls = st.sampled_from(["https://h/a-1.0.tar.gz", "file:///w/a.zip", "git+ssh://git@h/r.git@v1#egg=a[x]&subdirectory=s", "a @ https://h/a.zip", "a@file:///w/a", "x @ nothing", "HTTPS://h/a-1-py3-none-any.whl ; os_name=='nt'"])  # fmt: skip
noise = st.text(alphabet=" \t#\\$-{}USERa1=<>;,@[]/.:'\"\r\x0b\x0c\x1c\x85\u2028é\0", max_size=12)
pieces = st.one_of(wanted, options, paths, urls, noise, st.just("${USER}"), st.just("${A1}${EMPTY}${NONE}"))
ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\\\n", " \\\n", "  # why\n", " #\\\n", ""])
text_lines = st.tuples(st.lists(pieces, min_size=1, max_size=3), st.sampled_from(["", " ", "  "]), ends)
files = st.lists(text_lines.map(lambda parts: parts[1].join(parts[0]) + parts[2]), max_size=5).map("".join)


def pips(text: str) -> list[tuple[int, str, Any]]:
    """What pip reads, line by line."""
    parse = req_file.get_line_parser(None)
    return [(number, *parse(line)) for number, line in req_file.preprocess(text)]


@FAST
@given(files)
@example("--pre word\n")
@example("a==1 --hash=md5:00\n")
@example("a==1 --hash=00\n")
@example("a==1 --config-settings=x\n")
@example("a==1 \\\n# comment\nb\n")
@example("a \\\n\\\n")
@example("\x85a\x0cb\x1cc\u2028d")
def test_any_file_is_read_as_pip_reads_it(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in VARIABLES.items():
            patched.setenv(name, value)
        patched.delenv("NONE", raising=False)
        try:
            expected = pips(text)
        except req_file.OptionParsingError:
            expected = None
    try:
        found = list(lines.lines(text, VARIABLES))
    except lines.LineError as error:
        assert expected is None, error
        assert isinstance(error.args[1], int)
        return
    assert expected is not None, "pip refuses an option here"
    assert [(line.number, line.text) for line in found] == [(number, args.strip()) for number, args, _ in expected]
    for line, (_, _, opts) in zip(found, expected, strict=True):
        mine = line.options
        assert (mine.index_url, bool(mine.no_index), bool(mine.pre)) == (
            opts.index_url,
            bool(opts.no_index),
            bool(opts.pre),
        )
        assert bool(mine.require_hashes) == bool(opts.require_hashes)
        assert bool(mine.prefer_binary) == bool(opts.prefer_binary)
        assert mine.extra_index_urls == (opts.extra_index_urls or [])
        assert mine.find_links == (opts.find_links or [])
        assert mine.constraints == (opts.constraints or [])
        assert mine.requirements == (opts.requirements or [])
        assert mine.editables == (opts.editables or [])
        assert mine.trusted_hosts == (opts.trusted_hosts or [])
        hashes = [f"{kind}:{digest}" for kind, digests in (opts.hashes or {}).items() for digest in digests]
        assert sorted(mine.hashes) == sorted(hashes)


@FAST
@given(wanted)
def test_a_requirement_means_what_packaging_says(text: str) -> None:
    (line,) = lines.lines(text, {})
    try:
        expected = Requirement(text.strip())
    except InvalidRequirement:
        expected = None
    try:
        found = parse_entry(line, "r.txt", {}, HOME)
    except lines.LineError as error:
        assert expected is None
        assert error.args[1] == 1
        return
    assert expected is not None
    assert (found.kind, found.name) == ("index", canonicalize_name(expected.name))
    assert found.specifier == expected.specifier
    assert found.marker == str(expected.marker or "")
    assert Requirement(found.given).extras == expected.extras
    for python in ("3.8", "3.12"):
        environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        assert found.applies(python) is (expected.marker is None or expected.marker.evaluate(environment))


@FAST
@given(files)
@example("-e \n")
@example("-e git+https://h/r#egg=\n")
@example("a @ file://[\n")
@example("https://[/a.whl\n")
@example("./\0\n")
def test_an_entry_is_parsed_or_refused_with_its_line(text: str) -> None:
    try:
        for line in lines.lines(text, VARIABLES):
            if line.text or line.options.editables:
                entry = parse_entry(line, "r.txt", {HOME: Path("/nowhere")}, HOME)
                assert entry.line == line.number
                assert entry.editable is (not line.text)
                assert (entry.local is not None) is (entry.kind == "path")
                assert isinstance(entry.applies("3.12"), bool)
                assert isinstance(entry.unusable, str)
    except lines.LineError as error:
        assert len(error.args) == 2 and isinstance(error.args[1], int)


@FAST
@given(st.one_of(files.map(str.encode), st.binary(max_size=60), files.map(lambda text: text.encode("utf-16"))))
@example(b"# -*- coding: nonsense -*-\n")
@example(b"# coding: rot13\na==1\n")
@example(b"# coding: base64\na==1\n")
@example(b"# coding: idna\n\xff==1\n")
@example(b"\xff\xfea")
def test_a_whole_file_is_read_or_refused_in_words(data: bytes) -> None:
    found = version("3.2.1")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda path: data)
        patched.setattr(
            ConstraintFinder, "image_file", lambda finder, of: requirements.constraints.essential(of, {}, {})
        )
        finder = ConstraintFinder(Path("/nowhere"), address="http://127.0.0.1:9/{airflow}/{python}")
        try:
            reading = requirements.read(
                Path("/nowhere/r.txt"), version=found, environment=VARIABLES, path_map={}, finder=finder,
                settings=PipSettings(),
            )  # fmt: skip
        except UnmetRequirementsError as error:
            assert error.kind in ("syntax", "network")
            assert error.what and error.where
            return
    assert all(entry.line >= 1 for entry in reading.entries)
    assert reading.injected is not lines.has_constraints(lines.decode(data))


@FAST
@given(st.lists(st.tuples(names, st.sampled_from(["==", ">=", "==="]), versions, st.sampled_from(["", " ; os_name=='nt'", "  # x", " --hash=sha256:0"])), max_size=6))  # fmt: skip
def test_pins_are_the_exact_lines_without_a_marker(rows: list[tuple[str, str, str, str]]) -> None:
    text = "\n".join("".join(row) for row in rows)
    expected = {
        canonicalize_name(name): number
        for name, sign, number, tail in rows
        if sign in ("==", "===") and "*" not in number and ";" not in tail
    }
    assert pins(text) == expected


@FAST
@given(st.text(alphabet="-c onstrai=\n#\t\r", max_size=30))
def test_the_constraint_scan_is_a_search_line_by_line(text: str) -> None:
    assert lines.has_constraints(text) is any("-c " in line or "--constraint " in line for line in text.splitlines())


@FAST
@given(st.text(alphabet="${}USERA1EMPTYx ", max_size=20))
def test_variables_are_replaced_as_pip_does(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in VARIABLES.items():
            patched.setenv(name, value)
        for name in {part.strip("${} ") for part in text.split("}")} - set(VARIABLES):
            if name and "=" not in name:
                patched.delenv(name, raising=False)
        ((_, expected),) = req_file.expand_env_variables(iter([(1, text)]))
    assert lines.expand(text, VARIABLES) == expected


def test_options_that_pip_takes_are_all_known() -> None:
    known = {string for factory in (*req_file.SUPPORTED_OPTIONS, *req_file.SUPPORTED_OPTIONS_REQ)
             for string in (*factory()._long_opts, *factory()._short_opts)}  # fmt: skip
    for string in sorted(known):
        text = shlex.join([string]) if factory_takes_nothing(string) else f"{string} sha256:{'0' * 64}"
        list(lines.lines(text.replace("sha256:", "k=sha256:") if "config" in string or string == "-C" else text, {}))


def factory_takes_nothing(string: str) -> bool:
    return any(
        string in (*made._long_opts, *made._short_opts) and not made.takes_value()
        for made in (factory() for factory in (*req_file.SUPPORTED_OPTIONS, *req_file.SUPPORTED_OPTIONS_REQ))
    )
