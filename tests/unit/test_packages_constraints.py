"""The sources of constraints, in their order, with their words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mwaa_local import catalog
from mwaa_local.packages import constraints, fetch
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.pip_settings import PipSettings
from packages_support import serve

OFFICIAL = "# a comment\n" + "".join(f"package-{number}==1.{number}\n" for number in range(30))
OTHER = OFFICIAL.replace("package", "other")
V = catalog.version("3.2.1")
# Airflow versions that MWAA never had, and that a constraint line may name all the same.
OTHERS = "3.1.0", "3.12"
# Port 9 of the loopback is closed: an address that refuses at once.
CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"


def test_the_official_file_is_fetched_once_and_kept(tmp_path: Path) -> None:
    with serve({"/c-3.1.0/c-3.12.txt": OFFICIAL}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
        first = finder.for_airflow(*OTHERS)
        second = finder.for_airflow(*OTHERS)
    assert first.kind == second.kind == "official"
    assert first.text == second.text == OFFICIAL
    assert first.cut_off is None
    assert server.asked == ["/c-3.1.0/c-3.12.txt"]
    # Kept beyond the server's life.
    assert ConstraintFinder(tmp_path, address=CLOSED).for_airflow(*OTHERS).text == OFFICIAL


def test_a_page_that_is_no_constraint_file_is_not_kept(tmp_path: Path) -> None:
    with serve({"/c-3.1.0/c-3.12.txt": "<html>please log in</html>"}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
        with pytest.raises(UnmetRequirementsError) as caught:
            finder.for_airflow(*OTHERS)
    assert "does not answer with a constraint file" in caught.value.why
    assert not list((tmp_path / "constraints").glob("constraints-*"))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked; none answers."""
    asked: list[str] = []

    def fetch_nothing(_self: ConstraintFinder, url: str) -> str:
        asked.append(url)
        raise fetch.UnreachableError(url)

    monkeypatch.setattr(ConstraintFinder, "_fetch", fetch_nothing)
    return asked


def test_the_users_folder_comes_first_and_the_catalog_second_and_nothing_is_fetched(
    tmp_path: Path, fetched: list[str]
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "constraints-3.2.1-py3.12.txt").write_text(OTHER)
    finder = ConstraintFinder(tmp_path / "cache", folder=folder)
    first = finder.for_airflow("3.2.1", "3.12")
    assert (first.kind, first.text, first.cut_off) == ("folder", OTHER, None)
    second = finder.for_airflow("2.10.3", "3.11")
    assert fetched == []
    known = catalog.constraint_pins("2.10.3")
    assert known is not None
    assert (second.kind, second.cut_off, second.notes) == ("catalog", None, ())
    assert constraints.pins(second.text) == dict(known.pins)
    assert "pandas" in known.pins and "pandas" not in catalog.version("2.10.3").packages, "not the image's alone"


@pytest.mark.parametrize("word", ["1", "true", "YES"])
def test_the_network_comes_first_when_it_is_asked_to(
    tmp_path: Path, word: str, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = ConstraintFinder(tmp_path / "other", environment={constraints.REFRESH: word})
    offline = finder.for_airflow("3.2.1", "3.12")
    assert offline.kind == "catalog"
    assert "was not fetched" in offline.notes[0]
    assert fetched == [catalog.limits().constraint_url.format(airflow="3.2.1", python="3.12")]
    monkeypatch.setattr(ConstraintFinder, "_fetch", lambda _self, _url: OFFICIAL)
    for _ in range(2):
        found = ConstraintFinder(tmp_path, environment={constraints.REFRESH: word}).for_airflow("3.2.1", "3.12")
        assert (found.kind, found.text) == ("official", OFFICIAL)
    assert ConstraintFinder(tmp_path).for_airflow("3.2.1", "3.12").kind == "catalog", "only when it is asked to"


def test_a_version_for_another_python_has_the_images_pins_and_its_day(tmp_path: Path) -> None:
    found = ConstraintFinder(tmp_path, folder=tmp_path, address=CLOSED).for_airflow("2.10.3", "3.12")
    assert found.kind == "image"
    assert found.cut_off == catalog.version("2.10.3").airflow_release
    assert constraints.pins(found.text)["apache-airflow"] == "2.10.3"
    assert any("MWAA_CONSTRAINTS_DIR has no" in note for note in found.notes)
    assert any("Python 3.11, not 3.12" in note for note in found.notes)


def test_no_source_at_all_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        ConstraintFinder(tmp_path, address=CLOSED).for_airflow("1.9.9", "3.6")
    assert caught.value.kind == "network"
    assert "constraints-1.9.9-py3.6.txt" in caught.value.hint


def test_what_does_not_answer_is_asked_once_an_hour(tmp_path: Path) -> None:
    with serve({}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
        for _ in range(3):
            with pytest.raises(UnmetRequirementsError):
                finder.for_airflow(*OTHERS)
        assert len(server.asked) == 1
        server.texts["/c-3.1.0/c-3.12.txt"] = OFFICIAL
        fetch.forget(tmp_path / "constraints")
        assert finder.for_airflow(*OTHERS).kind == "official"


def test_an_address_that_never_answers_costs_the_limit_and_no_more(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        # The limit of a whole answer would outlast the test's own.
        with pytest.raises(fetch.UnreachableError, match="cannot be reached"):
            fetch.text(url, memory=tmp_path, environment={}, settings=PipSettings(), connect_s=0.3, total_s=900)
        with pytest.raises(fetch.UnreachableError, match="less than 1 h ago"):
            fetch.text(url, memory=tmp_path, environment={}, settings=PipSettings(), connect_s=30, total_s=60)


def test_airflows_own_address_is_served_from_the_three_sources(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "constraints-2.9.2-py3.11.txt").write_text(OTHER)
    finder = ConstraintFinder(tmp_path / "cache", folder=folder, address=CLOSED)
    url = catalog.limits().constraint_url.format(airflow="2.9.2", python="3.11")
    found = finder.for_url(url)
    assert (found.kind, found.airflow, found.python, found.text) == ("folder", "2.9.2", "3.11", OTHER)


def test_another_address_is_fetched_and_its_copy_serves_when_it_is_gone(tmp_path: Path) -> None:
    with serve({"/mine.txt": "a==1\n"}) as server:
        finder = ConstraintFinder(tmp_path)
        url = server.url.replace("http://", "http://me:secret@") + "/mine.txt"
        assert finder.for_url(url).text == "a==1\n"
        assert finder.for_url(url).text == "a==1\n"
        assert server.asked == ["/mine.txt"]
    (kept,) = (tmp_path / "constraints").glob("url-*.txt")
    import os

    os.utime(kept, (time.time() - 7200, time.time() - 7200))
    again = finder.for_url(url)
    assert again.text == "a==1\n"
    assert "copy of 2.0 h ago" in again.notes[0]
    assert "secret" not in str(again) + str(list((tmp_path / "constraints").iterdir()))
    kept.unlink()
    with pytest.raises(UnmetRequirementsError) as caught:
        finder.for_url(url)
    assert "secret" not in str(caught.value)


def test_the_images_file_has_the_images_edits(tmp_path: Path) -> None:
    name = "apache-airflow-providers-openlineage"
    finder = ConstraintFinder(tmp_path)
    assert constraints.pins(finder.image_file(V).text)[name] == "2.16.0"
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "constraints-3.2.1-py3.12.txt").write_text(OFFICIAL + f"{name}==2.14.0\n")
    finder = ConstraintFinder(tmp_path, folder=folder, address=CLOSED)
    assert constraints.pins(finder.image_file(V).text)[name] == "2.16.0"
    # A URL the user wrote is taken as it is.
    assert constraints.pins(finder.for_airflow("3.2.1", "3.12").text)[name] == "2.14.0"


def test_the_startup_script_may_swap_the_essential_pins(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("flask==1.0\n")
    path_map = {"/usr/local/airflow": tmp_path}
    own = constraints.essential(V, {}, path_map)
    assert constraints.pins(own.text)["flask"] == V.essential["Flask"]
    variables = {"MWAA_ESSENTIAL_CONSTRAINTS_FILE": "/usr/local/airflow/mine.txt"}
    assert constraints.pins(constraints.essential(V, variables, path_map).text) == {"flask": "1.0"}
    default = {"MWAA_ESSENTIAL_CONSTRAINTS_FILE": "/usr/local/airflow/.local/etc/mwaa_essential_constraints.txt"}
    assert constraints.essential(V, default, path_map) == own
    with pytest.raises(UnmetRequirementsError, match="essential"):
        constraints.essential(V, {"MWAA_ESSENTIAL_CONSTRAINTS_FILE": "/nowhere"}, path_map)
