"""Packages from the configured index: the base sets of the catalog, and a requirement of each kind. Needs a network."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mwaa_local import catalog
from mwaa_local.errors import MachineError
from mwaa_local.packages import PackageSet, UnmetRequirementsError, ensure, ensure_base
from mwaa_local.packages.resolve import resolve

CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


# One of each major version: the others differ in data only, and each costs a hundred megabytes.
NEWEST = ("3.2.1", "2.10.3")


@pytest.fixture(scope="module", params=NEWEST)
def base(request: pytest.FixtureRequest, cache: Path) -> PackageSet:
    """The base set of a version, from the index this machine is configured for."""
    try:
        return ensure_base(catalog.version(request.param), cache, environment=dict(os.environ))
    except MachineError as error:
        pytest.skip(f"no Python for it: {error.what}")
    except UnmetRequirementsError as error:
        if error.kind == "network":
            pytest.skip(f"the package index is not reachable: {error.where}")
        raise


def install(text: str, base: PackageSet, cache: Path, lines: list[str] | None = None) -> PackageSet:
    home = cache / "home"
    (home / "requirements").mkdir(parents=True, exist_ok=True)
    file = home / "requirements" / "requirements.txt"
    file.write_text(text)
    return ensure(
        catalog.version(base.airflow), file, base=base, cache=cache, environment=dict(os.environ),
        path_map={"/usr/local/airflow": home}, constraint_address=CLOSED,
        emit=(lines if lines is not None else []).append,
    )  # fmt: skip


def test_the_base_set_is_the_image_to_the_last_version(base: PackageSet) -> None:
    version = catalog.version(base.airflow)
    from packaging.utils import canonicalize_name

    assert base.installed() == {str(canonicalize_name(name)): pin for name, pin in version.packages.items()}


def test_airflow_runs_from_it(base: PackageSet, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(base.bin / "airflow"), "version"], capture_output=True, text=True, timeout=120, check=False,
        env={"AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": os.defpath},
    )  # fmt: skip
    assert base.airflow in done.stdout, done.stderr


def test_a_requirement_comes_on_top_and_the_image_stays(base: PackageSet, cache: Path) -> None:
    found = install("icecream==2.1.3\nboto3\npsycopg2\n", base, cache)
    before, after = base.installed(), found.installed()
    assert after["icecream"] == "2.1.3"
    assert {name: after[name] for name in before} == before
    again = install("icecream==2.1.3\nboto3\npsycopg2\n", base, cache)
    assert not again.installed_now
    assert again.seconds < 2


@pytest.mark.parametrize(
    ("text", "pin"), [("celery==4.4.7\n", "celery"), ("# -c\napache-airflow==2.0.2\n", "apache-airflow")]
)
def test_what_mwaa_fixes_cannot_be_moved(base: PackageSet, cache: Path, text: str, pin: str) -> None:
    lines: list[str] = []
    with pytest.raises(UnmetRequirementsError) as caught:
        install(text, base, cache, lines)
    (conflict,) = caught.value.conflicts
    assert conflict.pin == f"{pin}=={catalog.version(base.airflow).essential[pin]}"
    assert conflict.source == "essential pins of MWAA"
    assert "ERROR: ResolutionImpossible" in lines


def test_a_name_that_is_not_in_the_index(base: PackageSet, cache: Path) -> None:
    lines: list[str] = []
    with pytest.raises(UnmetRequirementsError) as caught:
        install("boto3\nmwaa-local-no-such-thing==1.0.0\n", base, cache, lines)
    assert caught.value.kind == "no-match"
    file = "/usr/local/airflow/requirements/requirements.txt"
    assert (
        f"ERROR: No matching distribution found for mwaa-local-no-such-thing==1.0.0 (from -r {file} (line 2))" in lines
    )


def test_resolving_for_mwaas_machine_needs_no_installation(base: PackageSet, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_text("icecream==2.1.3\nboto3\n")
    version = catalog.version(base.airflow)
    found = resolve(version, file, cache=cache, environment=dict(os.environ), constraint_address=CLOSED)
    changed = {change.name for change in found.changes}
    assert "icecream" in changed
    assert not changed & set(base.installed())
    assert found.pins["boto3"] == version.packages["boto3"]
