"""The three sources of constraints, in their order, with their words."""

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
# Port 9 of the loopback is closed: an address that refuses at once.
CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"


def test_the_official_file_is_fetched_once_and_kept(tmp_path: Path) -> None:
    with serve({"/c-3.2.1/c-3.12.txt": OFFICIAL}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
        first = finder.for_airflow("3.2.1", "3.12")
        second = finder.for_airflow("3.2.1", "3.12")
    assert first.kind == second.kind == "official"
    assert first.text == second.text == OFFICIAL
    assert first.cut_off is None
    assert server.asked == ["/c-3.2.1/c-3.12.txt"]
    # Kept beyond the server's life.
    assert ConstraintFinder(tmp_path, address=CLOSED).for_airflow("3.2.1", "3.12").text == OFFICIAL


def test_a_page_that_is_no_constraint_file_is_not_kept(tmp_path: Path) -> None:
    with serve({"/c-3.2.1/c-3.12.txt": "<html>please log in</html>"}) as server:
        found = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt").for_airflow(
            "3.2.1", "3.12"
        )
    assert found.kind == "catalog"
    assert "does not answer with a constraint file" in found.notes[0]
    assert not list((tmp_path / "constraints").glob("constraints-*"))


def test_the_folder_comes_second_and_the_catalog_third(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "constraints-3.2.1-py3.12.txt").write_text(OTHER)
    finder = ConstraintFinder(tmp_path / "cache", folder=folder, address=CLOSED)
    second = finder.for_airflow("3.2.1", "3.12")
    assert (second.kind, second.text, second.cut_off) == ("folder", OTHER, None)
    third = finder.for_airflow("2.10.3", "3.11")
    assert third.kind == "catalog"
    assert third.cut_off == catalog.version("2.10.3").airflow_release
    assert constraints.pins(third.text)["apache-airflow"] == "2.10.3"
    assert any("MWAA_CONSTRAINTS_DIR has no" in note for note in third.notes)


def test_no_source_at_all_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        ConstraintFinder(tmp_path, address=CLOSED).for_airflow("1.9.9", "3.6")
    assert caught.value.kind == "network"
    assert "constraints-1.9.9-py3.6.txt" in caught.value.hint


def test_what_does_not_answer_is_asked_once_an_hour(tmp_path: Path) -> None:
    with serve({}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
        for _ in range(3):
            assert finder.for_airflow("3.2.1", "3.12").kind == "catalog"
        assert len(server.asked) == 1
        server.texts["/c-3.2.1/c-3.12.txt"] = OFFICIAL
        fetch.forget(tmp_path / "constraints")
        assert finder.for_airflow("3.2.1", "3.12").kind == "official"


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
    with serve({"/c-3.2.1/c-3.12.txt": OFFICIAL + f"{name}==2.14.0\n"}) as server:
        finder = ConstraintFinder(tmp_path, address=server.url + "/c-{airflow}/c-{python}.txt")
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
