"""One database per major version; what `up` says when it changes over."""

from __future__ import annotations

from dataclasses import replace
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
    return replace(environment, version=version(wanted))


def test_a_database_goes_up_within_its_major_and_never_back(environment: model.Environment, tmp_path: Path) -> None:
    databases = Databases(tmp_path)
    databases.refuse_older(at(environment, "2.10.3"))
    databases.note("2.10.3")
    databases.refuse_older(at(environment, "2.11.0"))
    databases.note("2.11.0")
    with pytest.raises(EngineError, match=r"2\.11\.0 database, which Airflow 2\.10\.3 cannot") as caught:
        databases.refuse_older(at(environment, "2.10.3"))
    assert "make reset" in caught.value.hint and "DAG runs" in caught.value.hint
    databases.refuse_older(at(environment, "3.2.1"))
    assert (databases.version("3.2.1"), databases.version("2.10.3")) == (None, "2.11.0")


def test_what_is_told(environment: model.Environment, tmp_path: Path) -> None:
    databases = Databases(tmp_path)
    new, old = at(environment, "3.2.1"), at(environment, "2.10.3")
    assert switch_notes(new, databases, None) == ["made an empty database of Airflow 3.2.1"]
    databases.note("3.2.1")
    assert switch_notes(new, databases, "3.2.1") == []
    assert switch_notes(old, databases, "3.2.1") == [
        "made an empty database of Airflow 2.10.3; that of Airflow 3.2.1 stays as it is"
    ]
    databases.note("2.10.3")
    assert switch_notes(old, databases, "2.10.3") == []
    assert switch_notes(new, databases, "2.10.3") == [
        "back on the database of Airflow 3.2.1; that of Airflow 2.10.3 stays as it is"
    ]
