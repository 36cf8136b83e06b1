"""What every test may lean on: markers by folder and the choice of a first look."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER_MARKERS = ("contract", "e2e", "docker", "browser")
WHOLE = ("e2e", "docker", "browser")


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
