"""One database per major version; what `up` says when it changes over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mwaa_local import model
from mwaa_local.catalog import version
from mwaa_local.engines.databases import Databases, switch_notes
from mwaa_local.errors import EngineError


@pytest.fixture
def environment(tmp_path: Path) -> model.Environment:
    return model.load(tmp_path, flags={}, variables={})


def at(environment: model.Environment, wanted: str) -> model.Environment:
    return environment.having(version=version(wanted))


def test_a_database_goes_back_only_from_a_version_that_is_known(environment: model.Environment, tmp_path: Path) -> None:
    databases = Databases(tmp_path)
    databases.refuse_unknown(at(environment, "2.10.3"))
    databases.note("2.10.3")
    databases.refuse_unknown(at(environment, "2.11.0"))
    databases.note("2.11.0")
    databases.refuse_unknown(at(environment, "2.10.3"))
    databases.note("2.99.0")
    with pytest.raises(EngineError, match=r"2\.99\.0 database, which Airflow 2\.10\.3 cannot") as caught:
        databases.refuse_unknown(at(environment, "2.10.3"))
    assert "make reset" in caught.value.hint and "DAG runs" in caught.value.hint
    databases.refuse_unknown(at(environment, "3.2.1"))
    assert (databases.version("3.2.1"), databases.version("2.10.3")) == (None, "2.99.0")


def test_what_is_told(environment: model.Environment, tmp_path: Path) -> None:
    databases = Databases(tmp_path)
    new, old = at(environment, "3.2.1"), at(environment, "2.10.3")
    assert switch_notes(new, databases, None, made=True) == ["made an empty database of Airflow 3.2.1"]
    assert switch_notes(new, databases, None, made=False) == [], "what was found is not said to have been made"
    databases.note("3.2.1")
    assert switch_notes(new, databases, "3.2.1", made=False) == []
    assert switch_notes(old, databases, "3.2.1", made=True) == [
        "made an empty database of Airflow 2.10.3; that of Airflow 3.2.1 stays as it is"
    ]
    databases.note("2.10.3")
    assert switch_notes(old, databases, "2.10.3", made=False) == []
    assert switch_notes(new, databases, "2.10.3", made=False) == [
        "back on the database of Airflow 3.2.1; that of Airflow 2.10.3 stays as it is"
    ]


def _home(state: Path, series: str) -> Path:
    (state / f"postgres-{series}" / "data").mkdir(parents=True)
    return state / f"postgres-{series}"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"3": 3}', '{"3": "x"}', '{"2": "3.2.1"}', '{"3": "2.10.3"}', "{half", None]
)
def test_a_damaged_note_is_written_anew_from_the_databases(
    text: str | None, environment: model.Environment, tmp_path: Path
) -> None:
    """Which version a database is of decides how it is taken along."""
    databases = Databases(tmp_path)
    for series, airflow in (("3", "3.2.1"), ("2", "2.11.0")):
        _home(tmp_path, series)
        databases.note(airflow)
    assert databases.heal("3.2.1") == []
    if text is None:
        (tmp_path / "databases.json").unlink()
    else:
        (tmp_path / "databases.json").write_text(text)
    said = ["databases.json: written anew from what the databases say (Airflow 2.11.0, 3.2.1)"]
    assert databases.heal("3.2.1") == (said if text is not None else [])
    assert databases.heal("3.2.1") == []
    assert databases.version("2.10.3") == "2.11.0"


def test_a_database_of_an_unknown_version_is_not_given_to_any(tmp_path: Path) -> None:
    home = _home(tmp_path, "3")
    databases = Databases(tmp_path)
    assert databases.heal(None) == [], "a first `up` that was cut"
    assert not (tmp_path / "databases.json").exists()
    (tmp_path / "databases.json").write_text("{half")
    with pytest.raises(EngineError, match=r"Airflow 3\.x last is not known") as caught:
        databases.heal(None)
    assert str(tmp_path / "databases.json") == caught.value.where
    databases.heal("3.2.1")  # the last plan knows
    assert databases.version("3.0.6") == "3.2.1"
    databases.note("3.2.1")
    (tmp_path / "databases.json").unlink()
    databases.heal(None)
    assert databases.version("3.0.6") == "3.2.1", "and so does the database's own note"
    assert json.loads((home / "airflow_version.json").read_text()) == {"airflow_version": "3.2.1"}


def test_a_new_environment_needs_no_note(tmp_path: Path) -> None:
    assert Databases(tmp_path).heal(None) == []
    assert not list(tmp_path.iterdir())
