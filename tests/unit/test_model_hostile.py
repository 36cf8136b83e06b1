"""Definitions that are no mistakes of spelling: tags, aliases, numbers without end. One error each, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from patience import Stopwatch

from mwaa_local.errors import DefinitionError
from mwaa_local.model import definition, document
from mwaa_local.preflight.readings import definition as reading

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
VALUES = [
    "!foo bar",
    "!!python/name:os.system",
    "!!python/object/apply:os.system [id]",
    "!!int abc",
    "!!float x",
    "!!timestamp x",
    "!!bool maybe",
    "!!binary '%%%'",
    "!!set {a: 1}",
    "!!omap [1]",
    "!!null x",
    "{<<: 3}",
    "{<<: [1]}",
    "{? [a, b] : c}",
    "{? {a: b} : c}",
    "&x [*x]",
    "&x {a: *x}",
    "9" * 5000,
    "-" + "9" * 5000,
    "1e999999",
    ".nan",
    ".inf",
    "-.inf",
    '"a\\0b"',
    "'" + "x" * 100_000 + "'",
    "[" * 400 + "]" * 400,
    "2001-13-45",
    "12:99:99999999999999999999",
    "0x" + "f" * 6000,
    "~",
    "",
    "{}",
    "[]",
]
FIELDS = [
    "Name",
    "MinWorkers",
    "Tags",
    "NetworkConfiguration",
    "Local",
]
DOCUMENTS = [
    *(f"{field}: {value}" for field in FIELDS for value in VALUES),
    *(f"Tags: {{a: {value}}}" for value in VALUES if "\n" not in value),
    *(f"Local: {{ResourceFactor: {value}}}" for value in VALUES),
    *(f"Local: {{Paths: {{Dags: {value}}}}}" for value in VALUES),
    *(f"AirflowConfigurationOptions: {{core.parallelism: {value}}}" for value in VALUES),
    *(f"{value}: x" for value in VALUES if value),
    BOMB + "\nName: *i",
    BOMB + "\nTags: *i",
    "? [a, b]\n: c",
    "? {a: b}\n: c",
    "<<: 3",
    "&a Name: *a",
    "%TAG ! !\n--- !x",
    "[" * 100_000,
    "- " * 5000,
    "\0",
    "\ufeffName: x\0",
    "Name: x\n---\nName: y",
    "{" * 3000,
    "Name: " + "x" * 100_000,
    "x" * 100_000 + ": y",
]


@pytest.mark.parametrize("chosen", range(8))
def test_every_definition_is_read_or_refused_in_a_few_lines(chosen: int, tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    watch = Stopwatch()
    for text in DOCUMENTS[chosen::8]:
        path.write_text(text, encoding="utf-8")
        refused = False
        try:
            definition.load(tmp_path, variables={})
        except DefinitionError as error:
            refused = True
            assert str(path) in error.where, text[:80]
            assert len(str(error)) < 3000, text[:80]
        told = reading.read(tmp_path, {}, {})
        assert sum(len(str(issue)) for issue in told.issues) < 20_000, text[:80]
        assert told.issues or not refused, f"validate passes what up refuses: {text[:80]}"
    assert watch.given() < 30


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("Name: local\nTags: {a: !foo b}", "Tags a cannot be read", 2),
        ("Name: local\n\nMinWorkers: !!int abc", "MinWorkers cannot be read", 3),
        ("Name: &x [*x]", "Name holds itself, or more than 10000 values", 1),
        (BOMB.replace("\n", "\n") + "\nName: *i", "unknown field a", 1),
        ('Local:\n  Paths:\n    Dags: "a\\0b"', "Local.Paths.Dags holds a NUL character", 3),
        ("Local:\n  ResourceFactor: .nan", "Local.ResourceFactor nan is no number", 2),
        ("? [a, b]\n: c", "a field's name must be text", 1),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, what: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        document.parse(path)
    assert caught.value.what == what
    assert caught.value.where == f"{path}:{line}"


def test_a_bomb_in_a_known_field_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mwaa.yaml"
    lists = [line.partition(": ")[2] for line in BOMB.splitlines()]
    path.write_text(f"Tags: {{key: [{', '.join(lists)}]}}", encoding="utf-8")
    watch = Stopwatch()
    with pytest.raises(DefinitionError, match="holds itself, or more than"):
        document.parse(path)
    assert watch.given() < 2
