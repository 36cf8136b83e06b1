"""The verdict on every file of the corpus is the one pip itself gave (``tests/fixtures/requirements/regenerate.py``). Needs an index."""

from __future__ import annotations

import os
import sys
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from mwaa_local import catalog
from mwaa_local.errors import MachineError
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import pip_settings
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.base import ensure_base
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.uv_tool import Uv
from mwaa_local.preflight.resolving import pip as resolve_pip
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.types import Resolution, Situation

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "requirements"))
import corpus

CASES = list(corpus.cases())
CUT_OFF = date.fromisoformat(corpus.CUT_OFF) - timedelta(days=1)
# Slow for pip, or about nothing that pip and uv could see differently.
ASKED_OF_PIP = (
    "3.2.1/hash-wrong",
    "3.2.1/wheels-without-index",
    "2.10.3/flask-upgrade",
    "2.10.3/pip-itself",
    "2.11.0/not-excluded",
)


def test_the_corpus_is_large_and_every_file_has_a_verdict() -> None:
    assert len(CASES) >= 60
    for version in ("3.2.1", "2.10.3", "2.11.0"):
        verdicts = [case.verdict["ok"] for case in CASES if case.version == version]
        assert len(verdicts) >= 8 and True in verdicts and False in verdicts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.make_home(tmp_path_factory.mktemp("corpus") / "airflow")


def variables() -> dict[str, str]:
    """This machine's way to an index, without sources of its own that MWAA would not have."""
    own = {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "UV_EXTRA_INDEX_URL"}
    return {name: value for name, value in os.environ.items() if name not in own} | {"PIP_CONFIG_FILE": os.devnull}


@cache
def situation(name: str) -> Situation:
    version, place, env = catalog.version(name), cache_folder(os.environ), variables()
    try:
        base = ensure_base(version, place, environment=env)
    except MachineError as error:
        pytest.skip(f"no Python for it: {error.what}")
    except UnmetRequirementsError as error:
        pytest.skip(f"the package index is not reachable: {error.where}")
    if base.minor != version.python:
        pytest.skip(f"the verdicts are for Python {version.python}")
    present = {str(canonicalize_name(package)): pin for package, pin in version.packages.items()}
    return Situation(version, Uv(place, env, pip_settings.read(env)), base, 200.0, present)


def reading(case: corpus.Case, home: Path, where: Situation) -> reader.Reading:
    finder = ConstraintFinder(
        home / "cache", corpus.ROOT / "constraints", {}, address="http://127.0.0.1:9/{airflow}/{python}"
    )
    # The official address is served from the folder too.
    for path in (corpus.ROOT / "constraints").iterdir():
        kept = home / "cache" / "constraints" / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())
    return reader.read(
        case.path, version=where.version, environment=corpus.VARIABLES, path_map={corpus.HOME: home}, finder=finder,
        settings=where.uv.settings,
    )  # fmt: skip


def compare(case: corpus.Case, found: Resolution | UnmetRequirementsError) -> None:
    if isinstance(found, UnmetRequirementsError):
        if found.kind == "network":
            pytest.skip(f"the package index is not reachable: {found.where}")
        assert not case.verdict["ok"], f"pip installs it; here: {found}"
        return
    assert case.verdict["ok"], f"pip says {case.verdict['says']}"
    assert {name: item.version for name, item in found.changes.items()} == case.verdict["installs"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_verdict_is_pips(case: corpus.Case, home: Path) -> None:
    where = situation(case.version)
    try:
        found: Resolution | UnmetRequirementsError = resolve_uv.resolve(
            reading(case, home, where), where, cut_off=CUT_OFF
        )
    except UnmetRequirementsError as error:
        found = error
    compare(case, found)


@pytest.mark.parametrize("case", [case for case in CASES if str(case) in ASKED_OF_PIP], ids=str)
def test_pip_can_be_asked_itself(case: corpus.Case, home: Path) -> None:
    where = situation(case.version)
    try:
        found: Resolution | UnmetRequirementsError = resolve_pip.resolve(
            reading(case, home, where), where, cut_off=CUT_OFF
        )
    except UnmetRequirementsError as error:
        found = error
    compare(case, found)
