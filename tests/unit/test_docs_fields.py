"""The page of fields is made from the catalog, and says what the model does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mwaa_local.model import definition, reference

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/mwaa-yaml.md"


def test_the_page_is_the_catalogs() -> None:
    """Renew it with: python -m mwaa_local.model.reference"""
    text = PAGE.read_text(encoding="utf-8")
    assert reference.page(text) == text


def test_its_defaults_are_those_of_an_empty_definition(tmp_path: Path) -> None:
    rows = [line.split(" | ") for line in reference.table().splitlines() if line.startswith("| `")]
    told = {row[0].removeprefix("| ").strip("`"): row[2].partition(" (")[0] for row in rows}
    made = definition.load(tmp_path, flags={"EnvironmentClass": "mw1.small"}, variables={})
    assert told["AirflowVersion"] == made.version.airflow
    assert (told["MinWorkers"], told["MaxWorkers"]) == (str(made.spec.min_workers), str(made.spec.max_workers))
    assert (told["MinWebservers"], told["MaxWebservers"]) == (
        str(made.spec.min_webservers),
        str(made.spec.max_webservers),
    )
    assert told["Schedulers"] == str(made.spec.schedulers)
    assert (told["Local.Region"], told["Local.MaxPluginsBytes"]) == (
        made.local.region,
        str(made.local.max_plugins_bytes),
    )
    assert {told["LoggingConfiguration.*.LogLevel"]} == {one.level for one in made.spec.logging.values()}
    assert {told["LoggingConfiguration.*.Enabled"]} == {str(one.enabled).lower() for one in made.spec.logging.values()}
    assert (told["Name"], told["Local.Engine"]) == (made.name, made.local.engine)


def test_a_page_without_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match="is not in the page"):
        reference.page("# mwaa.yaml\n")
