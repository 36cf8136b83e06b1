"""The syntax of a requirements file: decoding, MWAA's constraint scan, variables, options, entries."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from mwaa_local.packages import lines
from mwaa_local.packages.entries import Entry, parse_entry
from mwaa_local.packages.paths import locate, redact, shown


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (codecs.BOM_UTF8 + "ä==1".encode(), "ä==1"),
        (codecs.BOM_UTF16_LE + "ä==1".encode("utf-16-le"), "ä==1"),
        (codecs.BOM_UTF32_LE + "ä==1".encode("utf-32-le"), "ä==1"),
        (b"# -*- coding: latin-1 -*-\n\xe4==1", "# -*- coding: latin-1 -*-\nä==1"),
        ("ä==1".encode(), "ä==1"),
    ],
)
def test_a_file_is_decoded_by_its_mark_or_its_coding_comment(data: bytes, expected: str) -> None:
    assert lines.decode(data) == expected


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        lines.decode(b"foo\xff\xfe==1")


# spec/10 section 4.1, each row "[run]" on the image's own code.
@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("-c file.txt", True),
        ("--constraint file.txt", True),
        ("# -c file.txt", True),
        ("# -c ", True),
        ("foo-c bar", True),
        ("requests\n  --constraint x\n", True),
        ("--constraint=file.txt", False),
        ("-cfile.txt", False),
        ("-c\tfile.txt", False),
        ("--constraint", False),
        ("", False),
    ],
)
def test_the_constraint_scan_is_mwaas_own_substring_rule(text: str, counts: bool) -> None:
    assert lines.has_constraints(text) is counts


def test_only_capital_variables_that_are_set_are_expanded() -> None:
    values = {"USER_1": "u", "lower": "x", "EMPTY": ""}
    assert (
        lines.expand("${USER_1} ${lower} $USER_1 ${UNSET} ${EMPTY}", values) == "u ${lower} $USER_1 ${UNSET} ${EMPTY}"
    )


def test_lines_are_joined_and_comments_dropped_with_their_numbers_kept() -> None:
    text = "# first\nrequests \\\n  ==2.0  # why\n\nfoo#bar\nbaz \\\n# comment ends it\nlast\n"
    assert [(line.number, " ".join(line.text.split())) for line in lines.lines(text, {})] == [
        (2, "requests ==2.0"),
        (5, "foo#bar"),
        (6, "baz"),
        (8, "last"),
    ]


def test_windows_line_ends_are_no_part_of_a_requirement() -> None:
    assert [line.text for line in lines.lines("a==1\r\nb==2\r\n", {})] == ["a==1", "b==2"]


def test_options_of_one_line_do_not_leak_into_the_next() -> None:
    first, second = lines.lines("a==1 --hash=sha256:00 --hash sha256:11\nb==1 --hash=sha256:22\n", {})
    assert first.options.hashes == ["sha256:00", "sha256:11"]
    assert second.options.hashes == ["sha256:22"]
    assert lines.NO_OPTIONS.hashes == []


@pytest.mark.parametrize("text", ["--user", "--no-such-option x", "-r", "a==1 --hash 'open"])
def test_an_option_pip_does_not_take_in_a_file_names_its_line(text: str) -> None:
    with pytest.raises(lines.LineError) as caught:
        list(lines.lines(f"ok==1\n{text}\n", {}))
    assert caught.value.args[1] == 2


def entry(text: str, home: Path, path_map: dict[str, Path] | None = None) -> Entry:
    (line,) = lines.lines(text, {})
    return parse_entry(line, "r.txt", path_map or {"/usr/local/airflow": home}, home)


def test_names_extras_and_markers(tmp_path: Path) -> None:
    found = entry("Apache_Airflow[amazon, http] == 3.2.1 ; python_version > '3.8'", tmp_path)
    assert (found.name, str(found.specifier), found.kind) == ("apache-airflow", "==3.2.1", "index")
    assert found.marker == 'python_version > "3.8"'
    assert found.at == "-r r.txt (line 1)"


def test_a_wheel_of_the_plugins_folder_is_found_where_the_folder_really_is(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    real = tmp_path / "plugins" / "foo_bar-1.0-py3-none-any.whl"
    real.touch()
    for text in (
        "/usr/local/airflow/plugins/foo_bar-1.0-py3-none-any.whl",
        "./plugins/foo_bar-1.0-py3-none-any.whl",
        "plugins/foo_bar-1.0-py3-none-any.whl",
        "file:///usr/local/airflow/plugins/foo_bar-1.0-py3-none-any.whl",
        "foo-bar @ file:///usr/local/airflow/plugins/foo_bar-1.0-py3-none-any.whl",
    ):
        found = entry(text, tmp_path)
        assert (found.kind, found.name, found.local) == ("path", "foo-bar", real), text
        assert str(real) in found.given


def test_urls_and_repositories_are_told_apart(tmp_path: Path) -> None:
    assert entry("https://host.example/foo-1.0-py3-none-any.whl", tmp_path).kind == "url"
    vcs = entry("git+https://host.example/team/foo.git@v1#egg=foo", tmp_path)
    assert (vcs.kind, vcs.name, vcs.given) == ("vcs", "foo", "foo @ git+https://host.example/team/foo.git@v1")
    assert entry("-e git+https://host.example/team/foo.git#egg=foo", tmp_path).editable


@pytest.mark.parametrize("text", ["requests=2.0", "two words", "-e nothing-here", "x[==1"])
def test_lines_pip_refuses_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(lines.LineError):
        entry(text, tmp_path)


def test_paths_are_translated_at_folder_borders_only(tmp_path: Path) -> None:
    path_map = {"/usr/local/airflow": tmp_path, "/usr/local/airflow/dags": tmp_path / "elsewhere"}
    assert locate("/usr/local/airflow/plugins/x", path_map) == tmp_path / "plugins/x"
    assert locate("/usr/local/airflow/dags/x", path_map) == tmp_path / "elsewhere/x"
    assert locate("/usr/local/airflow2/x", path_map) == Path("/usr/local/airflow2/x")
    assert shown(tmp_path / "elsewhere/x", path_map) == "/usr/local/airflow/dags/x"
    assert shown(Path("/opt/x"), path_map) == "/opt/x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://me:pa%40ss@host.example/simple now", "see https://****@host.example/simple now"),
        ("https://token@host/a https://b:c@host2/", "https://****@host/a https://****@host2/"),
        ("https://me:p@ss@w@host/simple", "https://****@host/simple"),
        ("https://:secret@host:8443/", "https://****@host:8443/"),
        ("git+ssh://git@host/x", "git+ssh://git@host/x"),
        ("https://host/path@1", "https://host/path@1"),
        ("git+https://git:secret@host/x", "git+https://****@host/x"),
        ("no address", "no address"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, expected: str) -> None:
    assert redact(text) == expected
