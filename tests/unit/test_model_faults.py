"""A fault of the definition is data: its code, its fields, its value and its line; nobody reads its sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mwaa_local.errors import DefinitionError
from mwaa_local.model import definition, document
from mwaa_local.model.checks import Place, line_of

OPTIONS = "AirflowConfigurationOptions"
# The document, and its fault: code, fields, value, line.
FAULTS: list[tuple[str, tuple[str, tuple[str, ...], Any, int]]] = [
    ("a: ]", ("unreadable", (), None, 1)),
    ("- a", ("unreadable", (), None, 1)),
    ("Nmae: x", ("unknown", ("Nmae",), None, 1)),
    ("Name: a\nName: b", ("unknown", ("Name",), None, 2)),
    ("Local:\n  Paths:\n    Dag: x", ("unknown", ("Local.Paths.Dag",), None, 3)),
    ("Local:\n  ? [a]\n  : b", ("unknown", ("Local",), None, 2)),
    ("? [a]\n: b", ("unknown", ("",), None, 1)),
    ("Name: [a]", ("value", ("Name",), ["a"], 1)),
    ("Name: 1x", ("value", ("Name",), "1x", 1)),
    ("MaxWorkers: many", ("value", ("MaxWorkers",), "many", 1)),
    ("Local: {ResourceFactor: -1}", ("value", ("Local.ResourceFactor",), -1, 1)),
    ("Local: 3", ("value", ("Local",), None, 1)),
    ("Tags: 3", ("value", ("Tags",), None, 1)),
    ("Tags:\n  a: {b: c}", ("value", ("Tags.a",), None, 2)),
    ("Name: !!int abc", ("value", ("Name",), None, 1)),
    (f"{OPTIONS}:\n  core.x: ''", ("value", (f"{OPTIONS}.core.x",), None, 2)),
    (f"{OPTIONS}:\n  Core.X: a", ("value", (f"{OPTIONS}.Core.X",), None, 2)),
    (f"{OPTIONS}:\n  core.multi_team: a", ("locked", (f"{OPTIONS}.core.multi_team",), None, 2)),
    (f"{OPTIONS}:\n  webserver.base_url: http://a", ("domain", (f"{OPTIONS}.webserver.base_url",), "http://a", 2)),
    (
        f"WebserverAccessMode: PUBLIC_ONLY\n{OPTIONS}:\n  webserver.base_url: a.example.com",
        ("domain", ("WebserverAccessMode", f"{OPTIONS}.webserver.base_url"), None, 3),
    ),
    ("MinWorkers: 3\nMaxWorkers: 2", ("count", ("MinWorkers", "MaxWorkers"), None, 1)),
    ("MaxWorkers: 3\nEnvironmentClass: mw1.micro", ("count", ("MaxWorkers",), 3, 1)),
    ("AirflowVersion: 2.10.3\nWebserverAccessMode: PUBLIC_AND_PRIVATE", ("access", ("WebserverAccessMode",), None, 2)),
    ("Local: {AwsServices: [mainframe]}", ("value", ("Local.AwsServices",), "mainframe", 1)),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS, ids=[text.replace("\n", " ") for text, _ in FAULTS])
def test_a_fault_has_code_fields_value_and_line(text: str, fault: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text(text)
    with pytest.raises(DefinitionError) as told:
        definition.load(tmp_path, variables={})
    error = told.value
    assert (error.code, error.fields, error.value, line_of(error.where)) == fault
    assert error.as_dict() | {"code": fault[0], "fields": list(fault[1])} == error.as_dict()


@pytest.mark.parametrize(
    ("flags", "variables", "fields"),
    [
        ({"MaxWorkers": "many"}, {}, ("MaxWorkers",)),
        ({}, {"MWAA_LOCAL_MAX_WORKERS": "many"}, ("MaxWorkers",)),
        ({}, {"MWAA_LOCAL_AWS_CONTAINERS": "perhaps"}, ("Local.AwsContainers",)),
        ({"Nmae": "x"}, {}, ("Nmae",)),
    ],
)
def test_a_fault_of_a_flag_or_variable_stands_on_no_line(
    flags: dict[str, str], variables: dict[str, str], fields: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError) as told:
        definition.load(tmp_path, flags=flags, variables=variables)
    assert (told.value.fields, line_of(told.value.where)) == (fields, 0)
    assert told.value.code in ("value", "unknown")


def test_all_faults_of_a_file_are_collected_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    path.write_text(
        "Name: ok\nNmae: x\nMaxWorkers: many\nTags: {a: b, c: {}, d: e}\n"
        "LoggingConfiguration:\n  TaskLogs: {Enabled: 3, LogLevel: INFO}\nLocal: {Ports: {Web: 8081, Wbe: 1}}\n"
    )
    faults: list[DefinitionError] = []
    values = document.parse(path, faults)
    assert [(fault.code, *fault.fields) for fault in faults] == [
        ("unknown", "Nmae"),
        ("value", "MaxWorkers"),
        ("value", "Tags.c"),
        ("value", "LoggingConfiguration.TaskLogs.Enabled"),
        ("unknown", "Local.Ports.Wbe"),
    ]
    assert {name: value.value for name, value in values.items() if name != "Tags"} == {
        "Name": "ok",
        "LoggingConfiguration.TaskLogs.LogLevel": "INFO",
        "Local.Ports.Web": 8081,
    }
    assert {key: item.value for key, item in values["Tags"].value.items()} == {"a": "b", "d": "e"}


def test_a_map_has_a_most_of_members(tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    for count, good in ((50, True), (51, False)):
        path.write_text("Tags:\n" + "".join(f"  k{number}: v\n" for number in range(count)))
        faults: list[DefinitionError] = []
        document.parse(path, faults)
        assert [fault.what for fault in faults] == ([] if good else ["Tags has 51 members"])


def test_a_place_is_text_that_knows_its_line() -> None:
    place = Place.of("mwaa.yaml", 12)
    assert (place, place.line, line_of(place)) == ("mwaa.yaml:12", 12, 12)
    assert line_of("mwaa.yaml:12") == 0, "a text is not read"
