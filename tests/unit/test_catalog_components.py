"""What a component runs, by version: by hand, from spec/10 and the history that Airflow's own release notes tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mwaa_local import catalog
from mwaa_local.catalog import _data, component_processes, has, migration_words, web

SOURCES = Path(__file__).parents[2] / "src" / "mwaa_local"
# Also versions that MWAA had before and that may come back with the next ones.
RUNS = {
    ("scheduler", "1.10.12"): ["scheduler"],
    ("scheduler", "2.1.4"): ["scheduler"],
    ("scheduler", "2.2.2"): ["scheduler"],  # spec/09 section 1: no triggerer before 2.7.2
    ("scheduler", "2.6.3"): ["scheduler"],
    ("scheduler", "2.7.2"): ["scheduler", "triggerer"],
    ("scheduler", "2.8.1"): ["scheduler", "triggerer"],
    ("scheduler", "2.9.2"): ["scheduler", "dag-processor", "triggerer"],
    ("scheduler", "2.10.3"): ["scheduler", "dag-processor", "triggerer"],
    ("scheduler", "3.2.1"): ["scheduler", "dag-processor", "triggerer"],
    ("worker", "1.10.12"): ["worker"],
    ("worker", "2.0.2"): ["celery worker"],
    ("worker", "3.2.1"): ["celery worker"],
    ("webserver", "1.10.12"): ["webserver"],
    ("webserver", "2.11.0"): ["webserver"],
    ("webserver", "3.0.6"): ["api-server"],
    ("webserver", "3.2.1"): ["api-server"],
    ("migrate-db", "3.2.1"): [],
    ("guardian", "3.2.1"): [],
}


@pytest.mark.parametrize(("component", "version"), RUNS)
def test_the_processes_of_a_component(component: str, version: str) -> None:
    found = component_processes(component, version)
    assert [" ".join(facts.words) for facts in found] == RUNS[component, version]
    assert len({facts.name for facts in found}) == len(found), "rows of one name must not overlap"


@pytest.mark.parametrize("version", catalog.version_names())
def test_what_is_known_of_each_process(version: str) -> None:
    known = {
        facts.name: facts
        for name in ("scheduler", "worker", "webserver")
        for facts in component_processes(name, version)
    }
    there = {"scheduler", "worker", "webserver"}
    there |= {"triggerer"} if version not in ("2.6.3", "2.5.1", "2.4.3") else set()
    there |= {"dag-processor"} if version not in ("2.8.1", "2.7.2", "2.6.3", "2.5.1", "2.4.3") else set()
    jobs = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
    assert {name: facts.job for name, facts in known.items()} == {name: jobs.get(name, "") for name in there}
    assert {name for name, facts in known.items() if facts.serves} == {"triggerer", "worker"} & there
    assert {name: facts.option for name, facts in known.items() if facts.option} == dict.fromkeys(
        there & {"triggerer"}, "mwaa.triggerer_enabled"
    )
    assert {name: facts.log for name, facts in known.items()} == {name: name.replace("-", "").upper() for name in there}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.10.12", "upgradedb"),
        ("2.0.2", "db upgrade"),
        ("2.6.3", "db upgrade"),
        ("2.7.2", "db migrate"),
        ("3.2.1", "db migrate"),
    ],
)
def test_the_words_of_the_migration(version: str, words: str) -> None:
    assert " ".join(migration_words(version)) == words


@pytest.mark.parametrize(
    ("version", "option", "health", "rest"),
    [
        ("3.2.1", "AIRFLOW__API__", "/api/v2/monitor/health", "/api/v2"),
        ("3.0.6", "AIRFLOW__API__", "/api/v2/monitor/health", "/api/v2"),
        ("2.10.3", "AIRFLOW__WEBSERVER__WEB_SERVER_", "/health", "/api/v1"),
    ],
)
def test_the_web_servers_addresses(version: str, option: str, health: str, rest: str) -> None:
    found = web(version)
    assert (found.host, found.port, found.health, found.rest) == (f"{option}HOST", f"{option}PORT", health, rest)
    assert found.base_url == f"{option.removesuffix('WEB_SERVER_')}BASE_URL"
    assert bool(found.token) is bool(found.warm_up) is version.startswith("3")


TRAITS = {  # the oldest version with it, the newest without it; or the other way round
    "task_sdk": ("3.0.6", "2.11.0"),
    "removals_of_3": ("3.0.6", "2.11.0"),
    "ui_of_3": ("3.0.6", "2.11.0"),
    "catchup_by_default": ("2.11.0", "3.0.6"),
    "pool_that_shrinks_kills": ("3.0.6", "2.11.0"),
    "unstorable_dag_ends_processor": ("3.0.6", "2.11.0"),
    "python_path_with_files": ("2.9.2", "2.10.1"),
    "web_config_in_home": ("2.6.3", "2.7.2"),
    "script_lines_keep_their_level": ("3.0.6", "3.2.1"),
    "public_and_private": ("3.2.1", "3.0.6"),
    "multi_team": ("3.3.1", "3.2.1"),
}


def test_every_trait_is_held_by_hand() -> None:
    assert set(TRAITS) == set(_data.read("components.toml")["traits"])
    assert {name: (has(yes, name), has(no, name)) for name, (yes, no) in TRAITS.items()} == dict.fromkeys(
        TRAITS, (True, False)
    )
    with pytest.raises(KeyError):
        has("3.2.1", "anything")


def test_code_asks_the_catalog_what_a_version_is_like() -> None:
    """No number of a version outside the catalog: a new one is data (design section 2)."""
    told = []
    for path in sorted(SOURCES.rglob("*.py")):
        if path.is_relative_to(SOURCES / "catalog"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(r"\bversion\.(major|minor)\b|\.matches\(\s*[\"']|\bversion\.series\s*(==|!=|<|>|in\b)", line):
                told.append(f"{path.relative_to(SOURCES)}:{number}: {line.strip()}")
    assert told == []


def test_every_trait_that_code_asks_for_is_known() -> None:
    asked = {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"\.has\(\"(\w+)\"\)|\bhas\(airflow, \"(\w+)\"\)", path.read_text(encoding="utf-8"))
        for name in name
        if name
    }
    assert asked == set(TRAITS), "one that nobody asks for is not needed"
