"""What every test may lean on: markers by folder."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER_MARKERS = ("contract", "e2e", "docker", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's folder says how much it needs."""
    root = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(root).parts[0]
        if folder in FOLDER_MARKERS:
            item.add_marker(getattr(pytest.mark, folder))
