"""Small truths of the packages, each with one value that a careless edit would change."""

from __future__ import annotations

import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from mwaa_local import catalog, packages
from mwaa_local.packages import (
    constraints,
    explain,
    fetch,
    fingerprint,
    listing,
    merged_index,
    paths,
    pip_settings,
    pythons,
    requirements,
    store,
)
from mwaa_local.packages.constraints import ConstraintFinder, pins
from mwaa_local.packages.entries import Entry
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading

FILE = "requirements.txt"


def lines(*texts: str, markers: dict[str, str] | None = None) -> Reading:
    """A reading of plain lines."""
    entries = []
    for number, text in enumerate(texts, start=1):
        name = text.split("=")[0].split("<")[0].split(">")[0]
        marker = (markers or {}).get(name, "")
        entries.append(Entry(FILE, number, text, "index", text, name, SpecifierSet(text[len(name) :]), marker))
    return Reading(Path(FILE), FILE, tuple(entries))


# -- two lines of one file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "clash"),
    [
        (("a==1", "a==2"), ["a==2"]),
        (("a==1", "a==1"), []),
        (("a==1", "a>=1"), []),
        (("a==1", "a>1"), ["a>1"]),
        (("a==1.*", "a==2"), []),  # a wildcard names no version: the resolver decides
        (("a>=1", "a<1"), []),
        (("a==1", "b==2"), []),
        (("a==1", "a==1.0"), []),
    ],
)
def test_two_lines_that_exclude_each_other(texts: tuple[str, ...], clash: list[str]) -> None:
    assert [item.requirement for item in explain.direct_conflicts(lines(*texts), "3.12")] == clash


def test_a_line_for_another_python_is_no_rival() -> None:
    one = lines("a==1", "b==2", markers={"a": "python_version < '3.8'"})
    two = lines("a==2")
    both = replace(one, entries=(*one.entries, *two.entries))
    assert explain.direct_conflicts(both, "3.12") == ()
    assert [item.requirement for item in explain.direct_conflicts(both, "3.7")] == ["a==2"]


# -- an index that is left out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "out", "kept"),
    [
        ("no-match", "unreachable", "network"),
        ("other", "unreachable", "network"),
        ("no-match", "refused", "no-match"),
        ("conflict", "unreachable", "conflict"),
        ("build", "unreachable", "build"),
    ],
)
def test_only_a_silent_index_makes_a_missing_package_a_fault_of_the_network(kind: Any, out: str, kept: str) -> None:
    class Left:
        def __init__(self) -> None:
            self.kind, self.url = out, "https://i.example/simple/"

        def __str__(self) -> str:
            return f"{self.url} is left out"

    whole = explain.without(UnmetRequirementsError("none", kind=kind, why="because", hint="look"), [Left()])  # type: ignore[list-item]
    assert whole.kind == kept
    assert whole.why.splitlines() == ["https://i.example/simple/ is left out", "because"]
    assert ("look" in whole.hint) == (kept != "network")


def test_a_full_disk_says_so_where_the_tool_said_nothing() -> None:
    assert explain.disk_full("x").why == "No space left on device"
    assert explain.disk_full("x", ["a", "b", "c", "d"]).why == "b\nc\nd"


# -- how a place is reached --------------------------------------------------------------------------------------------

PROXIES: list[tuple[dict[str, str], str, str | None]] = [
    ({"http_proxy": "http://p"}, "i.example", None),
    ({"https_proxy": "http://p"}, "i.example", "http://p"),
    ({"HTTPS_PROXY": "http://p"}, "i.example", "http://p"),
    ({"https_proxy": "http://low", "HTTPS_PROXY": "http://high"}, "i.example", "http://low"),
    ({"all_proxy": "http://p"}, "i.example", "http://p"),
    ({"ALL_PROXY": "http://p"}, "i.example", "http://p"),
    ({"https_proxy": "http://p", "no_proxy": "*"}, "i.example", None),
    ({"https_proxy": "http://p", "no_proxy": "a, i.example"}, "i.example", None),
    ({"https_proxy": "http://p", "NO_PROXY": ".example"}, "i.example", None),
    ({"https_proxy": "http://p", "NO_PROXY": "xample"}, "i.example", "http://p"),
    ({"https_proxy": "http://p", "NO_PROXY": "i.example"}, "j.i.example", None),
    ({"https_proxy": "http://p", "NO_PROXY": "j.i.example"}, "i.example", "http://p"),
]


@pytest.mark.parametrize(("environment", "host", "https"), PROXIES)
def test_the_proxy_of_a_host(environment: dict[str, str], host: str, https: str | None) -> None:
    assert fetch.proxies(environment, PipSettings(), host).get("https") == https
    own = fetch.proxies(environment, PipSettings(proxy="http://pip"), host)
    assert own == {"http": "http://pip", "https": "http://pip"}, "pip's own setting knows no exception"


def test_a_certificate_of_the_settings_is_trusted_besides_the_machines(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        fetch.tls(PipSettings(cert=str(bundle)), "i.example")
    assert fetch.tls(PipSettings(cert=str(tmp_path / "none.pem")), "i.example").verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("host", "checked"), [("i.example", False), ("j.example", False), ("k.example", True), ("example", True)]
)
def test_a_trusted_host_alone_is_not_checked(host: str, checked: bool) -> None:
    made = fetch.tls(PipSettings(trusted_hosts=("i.example:8443",)), host, ["j.example"])
    assert made.check_hostname is checked
    assert made.verify_mode is (ssl.CERT_REQUIRED if checked else ssl.CERT_NONE)


@pytest.mark.parametrize(
    ("variables", "cert"),
    [
        ({"SSL_CERT_FILE": "/s"}, "/s"),
        ({"SSL_CERT_FILE": "/s", "CURL_CA_BUNDLE": "/c"}, "/c"),
        ({"SSL_CERT_FILE": "/s", "CURL_CA_BUNDLE": "/c", "REQUESTS_CA_BUNDLE": "/r"}, "/r"),
        ({"SSL_CERT_FILE": "/s", "CURL_CA_BUNDLE": "/c", "REQUESTS_CA_BUNDLE": "/r", "PIP_CERT": "/p"}, "/p"),
        ({}, None),
    ],
)
def test_the_certificates_of_the_environment(variables: dict[str, str], cert: str | None) -> None:
    assert pip_settings.read({**variables, "PIP_CONFIG_FILE": "/dev/null"}).cert == cert


# -- the indexes in pip's words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("indexes", "words"),
    [
        (Indexes(), []),
        (Indexes("https://a/"), ["Looking in indexes: https://a/"]),
        (Indexes("https://a/", ("https://u:p@b/",)), ["Looking in indexes: https://a/, https://****@b/"]),
        (Indexes(None, ("https://b/",)), ["Looking in indexes: (the public index), https://b/"]),
        (Indexes(None, find_links=("/w", "https://u:p@b/")), ["Looking in links: /w, https://****@b/"]),
    ],
)
def test_the_places_are_told_as_pip_tells_them(indexes: Indexes, words: list[str]) -> None:
    assert indexes.described() == words


def test_a_folder_with_links_counts_with_its_archives_alone(tmp_path: Path) -> None:
    for name in ("b-1-py3-none-any.whl", "a-1.tar.gz", "index.txt"):
        (tmp_path / name).write_text("")
    one = tmp_path / "b-1-py3-none-any.whl"
    assert [path.name for path in Indexes(find_links=(str(tmp_path), str(one))).local_archives()] == [
        "a-1.tar.gz",
        "b-1-py3-none-any.whl",
    ]


@pytest.mark.parametrize(
    ("indexes", "answer"),
    [
        (Indexes(), False),
        (Indexes("https://a/"), False),
        (Indexes("https://a/", ("https://b/",)), True),
        (Indexes("https://a/", find_links=("/w",)), True),
        (Indexes(None, ("https://b/",), no_index=True), False),
        (Indexes(None, find_links=("/w",), no_index=True), False),
        (Indexes(None, find_links=("HTTPS://w/",), no_index=True), True),
        (Indexes(None, find_links=("http://w/",), no_index=True), True),
    ],
)
def test_when_an_index_of_our_own_stands_between(indexes: Indexes, answer: bool) -> None:
    assert merged_index.needed(indexes) is answer


@pytest.mark.parametrize("excepted", ["*", ".invalid", "invalid", ".", "a, *"])
def test_a_machine_that_excepts_everything_still_asks_our_index(excepted: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        out = merged_index._variables({name: excepted, "UV_HTTP_TIMEOUT": "30"}, "http://here", 12.0)
        assert {out[word] for word in merged_index._OTHER_PROXIES} == {""}
        assert out["UV_HTTP_TIMEOUT"] == "30"
    plain = merged_index._variables({"no_proxy": "localhost", "UV_HTTP_TIMEOUT": "3"}, "http://here", 11.2)
    assert not set(plain) & set(merged_index._OTHER_PROXIES)
    assert plain["UV_HTTP_TIMEOUT"] == "17"


# -- places ------------------------------------------------------------------------------------------------------------


def test_the_longest_place_of_the_map_counts_in_any_order() -> None:
    short, long = "/usr/local/airflow", "/usr/local/airflow/plugins"
    for order in ((short, long), (long, short)):
        known = {name: Path("/real") / name.rpartition("/")[2] for name in order}
        assert paths.locate(f"{long}/a.whl", known) == Path("/real/plugins/a.whl")
        assert paths.locate(f"{short}/dags/a.py", known) == Path("/real/airflow/dags/a.py")
        assert paths.locate("/usr/local/airflow-x/a", known) == Path("/usr/local/airflow-x/a")
        assert paths.locate(long, known) == Path("/real/plugins")


@pytest.mark.parametrize(
    ("text", "url", "vcs"),
    [(f"{word}:x", True, False) for word in ("http", "https", "file", "ftp", "HTTPS")]
    + [(f"{word}:x", True, True) for word in ("git", "svn")]
    + [(f"git+{word}:x", True, True) for word in ("http", "https", "ssh", "git", "file")]
    + [(f"hg+{word}:x", True, True) for word in ("http", "https", "ssh", "file")]
    + [(f"svn+{word}:x", True, True) for word in ("http", "https", "ssh", "svn", "file")]
    + [(f"bzr+{word}:x", True, True) for word in ("http", "https", "ssh", "sftp", "ftp", "lp", "file")]
    + [("hg:x", False, False), ("bzr:x", False, False), ("c:\\x", False, False), ("https", False, False)],
)
def test_what_pip_takes_for_a_url(text: str, url: bool, vcs: bool) -> None:
    assert paths.is_url(text) is url
    assert paths.is_vcs(text) is vcs


def test_the_packages_of_a_folder_are_read_from_the_names_of_their_notes(tmp_path: Path) -> None:
    for name in (
        "Foo_Bar-1.0.dist-info",
        "old-2-py3.9.egg-info",
        "a-1.data",
        "plain",
        "b-3.txt",
        "dist-info",
        "c.dist-info",
    ):
        (tmp_path / name).mkdir()
    assert listing.installed(tmp_path) == {"foo-bar": "1.0", "old": "2"}


@pytest.mark.parametrize("name", ["__pycache__", ".git", "build", ".venv", ".tox", "x.egg-info"])
def test_what_a_build_leaves_in_a_project_does_not_change_its_key(tmp_path: Path, name: str) -> None:
    (tmp_path / "setup.py").write_text("x")
    before = fingerprint.tree(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "a").write_text("a")
    assert fingerprint.tree(tmp_path) == before
    (tmp_path / "b").write_text("")
    assert fingerprint.tree(tmp_path) != before


# -- what a set of packages is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null", "{", "\xff"])
def test_a_folder_with_something_else_for_a_manifest_is_no_set(tmp_path: Path, text: str) -> None:
    (tmp_path / store.MANIFEST).write_text(text, encoding="latin-1")
    assert store.manifest(tmp_path) is None


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    store.write_manifest(tmp_path, {"b": 1, "a": [2]})
    assert store.manifest(tmp_path) == {"b": 1, "a": [2]}


# -- constraints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "official"), [(0, False), (19, False), (20, True), (21, True)])
def test_an_answer_with_too_few_pins_is_no_constraint_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, official: bool
) -> None:
    text = "".join(f"p{number}==1\n" for number in range(count))
    monkeypatch.setattr(ConstraintFinder, "_fetch", lambda self, url: text)
    found = ConstraintFinder(tmp_path).for_airflow("3.2.1", "3.13")  # what the catalog has no pins for
    assert (found.kind == "official") is official


def test_the_pins_of_the_catalog_leave_pip_to_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def none(self: ConstraintFinder, url: str) -> str:
        raise fetch.UnreachableError(url)

    monkeypatch.setattr(ConstraintFinder, "_fetch", none)
    version = catalog.version("3.2.1")
    found = ConstraintFinder(tmp_path).for_airflow(version.airflow, "3.13")
    assert "pip" in version.packages
    assert "pip" not in pins(found.text)
    assert pins(found.text).keys() == version.packages.keys() - {"pip"}


# -- the interpreters of a machine -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("python3.12", True),
        ("python3.11", False),
        ("python3", True),
        ("python", True),
        ("pyenv", True),
        ("python3.1", False),
    ],
)
def test_a_plain_name_may_be_any_python_and_a_full_one_only_its_own(tmp_path: Path, name: str, answer: bool) -> None:
    (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert pythons._may_be(tmp_path / "link", "3.12") is answer


def test_the_newest_patch_comes_first_by_its_number(tmp_path: Path) -> None:
    names = [
        "cpython-3.12.9-linux-x86_64-gnu",
        "cpython-3.12.10-linux-x86_64-gnu",
        "cpython-3.12-linux",
        "3.12.11",
        "3.12.2",
    ]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "3.12.99").write_text("a file")
    assert [path.name for path in pythons._newest_first(tmp_path.iterdir(), "3.12")] == [
        "3.12.11", "cpython-3.12.10-linux-x86_64-gnu", "cpython-3.12.9-linux-x86_64-gnu", "3.12.2", "cpython-3.12-linux",
    ]  # fmt: skip


def test_an_undated_reading_keeps_everything_but_the_date() -> None:
    source = constraints.ConstraintSource("catalog", "pins", "a==1", cut_off=date(2026, 1, 1))
    part = requirements.ConstraintPart(source, ("a==1",), pins("a==1"))
    whole = replace(lines("a"), parts=(part,))
    assert [item.source.cut_off for item in requirements.undated(whole).parts] == [None]
    assert requirements.undated(whole).parts[0].pins == part.pins


def test_the_room_hands_out_its_names_and_no_more_than_is_asked_for() -> None:
    """Every command starts a child; the resolver's half of the tool is a third of the command line's start."""
    for name in packages.__all__:
        assert getattr(packages, name).__name__ == {"find_python": "find"}.get(name, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        packages.nothing  # noqa: B018
    code = (
        "import sys, mwaa_local.cli.app; print(sorted(n for n in sys.modules if n.startswith('mwaa_local.packages.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['mwaa_local.packages.child']"
