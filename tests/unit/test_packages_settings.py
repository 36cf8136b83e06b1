"""pip's configuration as pip reads it, and what uv is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from mwaa_local.packages import pip_settings
from mwaa_local.packages.indexes import Indexes
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.uv_tool import Uv, resolver_options


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose account has a home folder of the test's."""

    class Account:
        pw_dir = str(tmp_path / "account")

    monkeypatch.setattr("pwd.getpwuid", lambda number: Account)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_variables_beat_the_install_section_and_that_beats_the_global_one(machine: Path) -> None:
    write(
        machine / "account/.config/pip/pip.conf",
        "[install]\nextra-index-url = https://i.example/\n[global]\nextra-index-url = https://g.example/\n"
        "index_url = https://main.example/\ntrusted-host =\n    a.example\n    b.example\n",
    )
    found = pip_settings.read({"XDG_CONFIG_DIRS": str(machine)})
    assert found.extra_index_urls == ("https://i.example/",)
    assert found.index_url == "https://main.example/"
    assert found.trusted_hosts == ("a.example", "b.example")
    named = pip_settings.read({"XDG_CONFIG_DIRS": str(machine), "PIP_EXTRA_INDEX_URL": "https://1/ https://2/"})
    assert named.extra_index_urls == ("https://1/", "https://2/")


def test_the_components_own_home_counts_after_the_accounts(machine: Path) -> None:
    write(machine / "account/.config/pip/pip.conf", "[global]\ntimeout = 5\nretries = 7\n")
    write(machine / "home/.pip/pip.conf", "[global]\ntimeout = 9\n")
    found = pip_settings.read({"HOME": str(machine / "home"), "XDG_CONFIG_DIRS": str(machine)})
    assert (found.timeout, found.retries) == (9.0, 7)


def test_a_named_file_replaces_the_users_and_devnull_all(machine: Path) -> None:
    write(machine / "account/.config/pip/pip.conf", "[global]\nindex-url = https://user.example/\n")
    write(machine / "named.conf", "[global]\nno-index = true\n")
    found = pip_settings.read({"PIP_CONFIG_FILE": str(machine / "named.conf"), "XDG_CONFIG_DIRS": str(machine)})
    assert (found.index_url, found.no_index) == (None, True)
    assert pip_settings.read({"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"}) == PipSettings()


def test_a_broken_file_does_not_break_the_start(machine: Path) -> None:
    write(machine / "account/.config/pip/pip.conf", "no section\n\x00")
    broken = pip_settings.read({"XDG_CONFIG_DIRS": str(machine)})
    (machine / "account/.config/pip/pip.conf").unlink()
    assert broken == pip_settings.read({"XDG_CONFIG_DIRS": str(machine)})


def test_uvs_own_index_variables_count_where_pip_says_nothing(machine: Path) -> None:
    variables = {"PIP_CONFIG_FILE": "/dev/null", "UV_DEFAULT_INDEX": "https://uv.example/", "UV_FIND_LINKS": "/a,/b"}
    found = pip_settings.read(variables)
    assert (found.index_url, found.find_links) == ("https://uv.example/", ("/a", "/b"))
    assert pip_settings.read({**variables, "PIP_INDEX_URL": "https://pip.example/"}).index_url == "https://pip.example/"


def test_uv_toml_of_the_user_counts_where_nothing_else_says_anything(machine: Path) -> None:
    write(
        machine / "account/.config/uv/uv.toml",
        'extra-index-url = ["https://more.example/"]\n[[index]]\nurl = "https://main.example/"\ndefault = true\n'
        '[[index]]\nurl = "https://team.example/"\n[[index]]\nname = "x"\nurl = "https://x.example/"\nexplicit = true\n',
    )
    variables = {"PIP_CONFIG_FILE": "/dev/null"}
    found = pip_settings.read(variables)
    assert found.index_url == "https://main.example/"
    assert found.extra_index_urls == ("https://team.example/", "https://more.example/")
    assert pip_settings.read({**variables, "PIP_INDEX_URL": "https://pip/"}).index_url == "https://pip/"
    assert pip_settings.read({**variables, "UV_NO_CONFIG": "1"}).index_url is None


def test_uv_gets_the_environment_without_what_could_change_its_choice(tmp_path: Path) -> None:
    cert = tmp_path / "ca.pem"
    cert.touch()
    settings = PipSettings(cert=str(cert), proxy="http://proxy.example:1", timeout=300, retries=1, client_cert="/c.pem")
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/bin",
        "CFLAGS": "-O1",
        "PYTHONPATH": "/python",
        "VIRTUAL_ENV": "/venv",
        "UV_EXCLUDE_NEWER": "2020-01-01",
        "UV_HTTP_TIMEOUT": "7",
        "PIP_INDEX_URL": "https://x/",
        "AIRFLOW__FOO__PASS": "needed by a build",
    }
    out = Uv(tmp_path / "cache", environment, settings).variables(
        Indexes("https://a.example/", ("https://b.example/", "file:///x"))
    )
    assert out["UV_DEFAULT_INDEX"] == "https://a.example/"
    assert out["UV_INDEX"] == "https://b.example/ file:///x"
    assert out["SSL_CERT_FILE"] == str(cert)
    assert out["SSL_CLIENT_CERT"] == "/c.pem"
    assert out["HTTPS_PROXY"] == "http://proxy.example:1"
    assert out["UV_HTTP_TIMEOUT"] == "7"
    assert out["UV_HTTP_RETRIES"] == "1"
    assert out["UV_CACHE_DIR"] == str(tmp_path / "cache" / "uv")
    assert out["UV_NO_CONFIG"] == "1"
    assert {"CFLAGS", "AIRFLOW__FOO__PASS"} <= set(out)
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "UV_EXCLUDE_NEWER", "PIP_INDEX_URL"} & set(out)


def test_a_long_waiting_time_of_pip_is_bounded(tmp_path: Path) -> None:
    out = Uv(tmp_path, {}, PipSettings(timeout=600)).variables()
    assert out["UV_HTTP_TIMEOUT"] == "60"


def test_a_users_own_uv_cache_is_used(tmp_path: Path) -> None:
    assert Uv(tmp_path, {"UV_CACHE_DIR": "/their/cache"}, PipSettings()).cache_dir == Path("/their/cache")


def test_a_home_that_is_not_there_is_not_handed_on(tmp_path: Path) -> None:
    assert Uv(tmp_path, {"HOME": str(tmp_path / "none")}, PipSettings()).variables()["HOME"] != str(tmp_path / "none")


def test_pips_options_become_uvs() -> None:

    reading = Reading(
        Path("r"),
        "r",
        indexes=Indexes(find_links=("/l",), no_index=True, trusted_hosts=("h",)),
        no_binary=("a,b", ":none:", "c"),
        only_binary=(":all:",),
        pre=True,
    )
    found = resolver_options(reading, PipSettings(no_deps=True, upgrade=True), date(2026, 8, 20))
    pairs = list(pairwise(found))
    for pair in (
        ("--index-strategy", "unsafe-best-match"),
        ("--keyring-provider", "disabled"),
        ("--prerelease", "allow"),
        ("--find-links", "/l"),
        ("--allow-insecure-host", "h"),
        ("--no-binary", "c"),
        ("--only-binary", ":all:"),
        ("--exclude-newer", "2026-08-21T00:00:00Z"),
    ):
        assert pair in pairs
    assert {"--no-index", "--no-deps", "--upgrade"} <= set(found)
    assert ("--no-binary", "a") not in pairs


@pytest.mark.parametrize(
    "line",
    [
        "constraint = {root}/capped.txt",
        "no-deps = true",
        "pre = true",
        "upgrade = true",
        "require-hashes = true",
        "only-binary = :all:",
        "no-binary = :all:",
    ],
)
def test_what_this_machine_says_about_the_choice_of_packages_does_not_count(machine: Path, line: str) -> None:
    """MWAA has the file and what the startup script exports, spec/10 section 4.1, and nothing of this machine."""
    text = f"[global]\n{line.format(root=machine)}\nindex-url = https://main.example/\n"
    variables = {"XDG_CONFIG_DIRS": str(machine)}
    before = pip_settings.read(variables)
    write(machine / "account/.config/pip/pip.conf", text)
    found = pip_settings.read(variables)
    assert found == replace(before, index_url="https://main.example/")
    name, value = (word.strip() for word in text.splitlines()[1].split("="))
    exported = {**variables, f"PIP_{name.upper().replace('-', '_')}": value}
    assert pip_settings.read(exported) != found
    assert pip_settings.of_machine(exported) == variables
