"""What every test may lean on: markers by folder, the choice of a first look, and a count of the rules that spoke."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER_MARKERS = ("contract", "e2e", "docker", "browser")
WHOLE = ("e2e", "docker", "browser")
_spoke: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--short``: what a first look needs."""
    parser.addoption("--short", action="store_true", help="of the whole environments, only those marked `first_look`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's folder says how much it needs."""
    short = config.getoption("--short")
    root = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(root).parts[0]
        if folder in FOLDER_MARKERS:
            item.add_marker(getattr(pytest.mark, folder))
        if short and folder in WHOLE and item.get_closest_marker("first_look") is None:
            item.add_marker(pytest.mark.skip(reason="more whole environments, an hour in all: make test-all"))


# -- every rule speaks in a test: counted while the tests run, for a name in a test's text proves nothing ---------------


@pytest.fixture(autouse=True, scope="session")
def _rules_are_counted() -> Iterator[None]:
    from mwaa_local.preflight import registry
    from mwaa_local.preflight.findings import Hit

    def counted(rule: Any, check: Any) -> Any:
        def run(workspace: Any) -> Iterator[Any]:
            for outcome in check(workspace):
                if isinstance(outcome, Hit):
                    _spoke.add(rule.id)
                yield outcome

        return run

    for rule in registry.rules():
        object.__setattr__(rule, "check", counted(rule, rule.check))  # rules are frozen
    yield


def _silent(config: pytest.Config) -> list[str]:
    """Rules that found nothing in any test, when the whole folder was run; a part of it proves nothing."""
    given = {Path(word).name for word in config.args}
    if config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False):
        return []
    from mwaa_local.preflight import registry

    # Requirements need an index to be judged by.
    wanted = {"unit": lambda name: not name.startswith("REQ"), "contract": lambda name: name.startswith("REQ")}
    folders = wanted if "tests" in given else given & set(wanted)
    ids = {rule.id for rule in registry.rules()}
    return sorted({name for folder in folders for name in ids if wanted[folder](name)} - _spoke)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What spoke in a process of pytest-xdist."""
    _spoke.update(getattr(node, "workeroutput", {}).get("rules", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what spoke here; fail the run in which a rule said nothing."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["rules"] = sorted(_spoke)
    elif session.exitstatus == 0 and _silent(session.config):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the silent rules."""
    silent = _silent(config)
    if silent and not terminalreporter.stats.get("failed"):
        terminalreporter.section("rules that no test makes speak", red=True)
        terminalreporter.line(", ".join(silent))
