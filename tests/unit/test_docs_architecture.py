"""docs/development/architecture.md names the rooms that there are, in the order that the import contracts hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/development/architecture.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src/mwaa_local"


def rooms() -> list[set[str]]:
    """The page's rooms, line by line."""
    table = PAGE.partition("## Rooms")[2].partition("Beside them")[0]
    return [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines() if row.startswith("| `")]


def test_every_room_is_there_and_no_other() -> None:
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert set().union(*rooms()) == there


def test_the_order_is_that_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    wanted = [{name.strip().removeprefix("mwaa_local.") for name in layer.split("|")} for layer in layers]
    assert rooms() == [layer for layer in wanted if layer != {"errors"}]


def test_every_file_that_it_names_is_there() -> None:
    for name in re.findall(r"`((?:\w+/)+[\w.<>]+|\w+\.toml)`", PAGE):
        if "<" in name or name.startswith(("src/", ".mwaa", "tests/")):
            continue
        places = [ROOT / name, SOURCE / name, SOURCE / "catalog/data" / name]
        assert any(place.exists() for place in places), name
    for name in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs/development" / name).resolve().exists(), name
