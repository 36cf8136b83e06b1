"""What any `mwaa.yaml`, any variable and any secrets file may do: be read, or be refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mwaa_local.catalog import fields
from mwaa_local.errors import DefinitionError
from mwaa_local.model import load
from mwaa_local.model.definition import variable_name
from mwaa_local.model.secrets import load_or_create

PATHS = sorted(path for path in fields() if "*" not in path)


def refused(folder: Path, text: str | bytes) -> DefinitionError:
    (folder / "mwaa.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DefinitionError) as caught:
        load(folder)
    return caught.value


# -- any document ------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """Fields that exist, with values of any kind."""
    made: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=4, unique=True)):
        *heads, leaf = path.split(".")
        place = made
        for head in heads:
            place = place.setdefault(head, {})
            if not isinstance(place, dict):
                break
        else:
            place[leaf] = draw(VALUES)
    return made


@settings(max_examples=150, deadline=None, derandomize=True)
@given(documents() | VALUES)
def test_every_document_is_read_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "documents"
    folder.mkdir(exist_ok=True)
    (folder / "mwaa.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        environment = load(folder)
    except DefinitionError as error:
        assert error.what
        assert "mwaa.yaml" in error.where, error
    else:
        assert 1 <= environment.spec.min_workers <= environment.spec.max_workers
        assert environment.spec.min_webservers <= environment.spec.max_webservers


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "bytes"
    folder.mkdir(exist_ok=True)
    (folder / "mwaa.yaml").write_bytes(content)
    try:
        load(folder)
    except DefinitionError as error:
        assert "mwaa.yaml" in error.where


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(PATHS), st.text(max_size=12).filter(lambda text: "\0" not in text))
def test_any_variable_is_read_or_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, path: str, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "empty"
    folder.mkdir(exist_ok=True)
    try:
        load(folder, variables={variable_name(path): text})
    except DefinitionError as error:
        assert error.what and error.where


# -- single words ------------------------------------------------------------------------------------------------------


def test_what_is_no_text_is_said_so(tmp_path: Path) -> None:
    error = refused(tmp_path, b"Name: \xff\xfe\n")
    assert error.what == "mwaa.yaml is not UTF-8 text"
    assert error.where.endswith("mwaa.yaml")


@pytest.mark.parametrize("value", ["[1, 2]", "text", "5"])
def test_options_and_tags_are_mappings(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, f"Name: a\nAirflowConfigurationOptions: {value}\n")
    assert error.what == "AirflowConfigurationOptions must be a mapping"
    assert error.where.endswith("mwaa.yaml:2")


def test_every_option_is_looked_at_and_not_only_those_before_an_empty_one(tmp_path: Path) -> None:
    error = refused(tmp_path, 'AirflowConfigurationOptions:\n  webserver.base_url: ""\n  Core.Parallelism: "4"\n')
    assert "Core.Parallelism" in error.what
    assert error.where.endswith("mwaa.yaml:3")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        ("MinWebservers", "MaxWebservers", "MinWebservers: 4\nMaxWebservers: 3\n"),
        ("MinWorkers", "MaxWorkers", "MinWorkers: 4\nMaxWorkers: 3\n"),
    ],
)
def test_a_minimum_is_not_above_its_maximum(tmp_path: Path, low: str, high: str, text: str) -> None:
    error = refused(tmp_path, f"AirflowVersion: 2.10.3\n{text}")
    assert error.what == f"{low} 4 is greater than {high} 3"


def test_a_minimum_above_the_default_maximum_raises_it(tmp_path: Path) -> None:
    """The guide gives 10 as the default maximum (spec/01 section 5); a greater minimum is not refused for that."""
    (tmp_path / "mwaa.yaml").write_text("MinWorkers: 12\n")
    environment = load(tmp_path)
    assert (environment.spec.min_workers, environment.spec.max_workers) == (12, 12)
    (tmp_path / "mwaa.yaml").write_text("MinWorkers: 10\n")
    assert load(tmp_path).spec.max_workers == 10


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("Local.ResourceFactor", "0.5", 0.5),
        ("Local.ResourceFactor", "2", 2.0),
    ],
)
def test_numbers_of_variables(tmp_path: Path, path: str, text: str, value: float) -> None:
    assert load(tmp_path, variables={variable_name(path): text}).local.resource_factor == value


@pytest.mark.parametrize(
    ("class_", "processes"), [("mw1.micro", 1), ("mw1.small", 1), ("mw1.medium", 3), ("mw1.large", 7)]
)
def test_parsing_processes_by_class(tmp_path: Path, class_: str, processes: int) -> None:
    """spec/07 B1.2: (2 x vCPU of the scheduler) - 1, one at least."""
    (tmp_path / "mwaa.yaml").write_text(f"EnvironmentClass: {class_}\n")
    assert load(tmp_path).spec.parsing_processes == processes


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_secrets_are_long_enough_and_shown_nowhere(tmp_path: Path) -> None:
    """The lengths are those of what reads them: Fernet's 32 bytes, 256 bits for cookies, 128 for the database."""
    import base64

    made = load_or_create(tmp_path / "secrets.json")
    assert len(base64.urlsafe_b64decode(made.fernet_key)) == 32
    assert len(base64.urlsafe_b64decode(made.web_secret + "==")) == 32
    assert len(made.database_password) == 32 and made.database_password.isalnum()
    shown = f"{made!r} {made!s}"
    for value in json.loads((tmp_path / "secrets.json").read_text()).values():
        assert value not in shown
    other = load_or_create(tmp_path / "other.json")
    assert other != made
