"""Real package sets for the tests of the preflight's imports: those `up` uses, installed when they are missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mwaa_local.catalog import version
from mwaa_local.model import Environment
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import ensure_base
from mwaa_local.preflight.sets import PackageSet
from mwaa_local.preflight.workspace import Workspace

VERSIONS = ("3.2.1", "2.10.3")


@cache
def base_python(name: str) -> Path:
    """The Python of a version's base set."""
    return ensure_base(version(name), cache_folder(os.environ), environment=dict(os.environ)).interpreter


def locate(environment: Environment, _variables: Mapping[str, str], _exports: Mapping[str, str]) -> PackageSet:
    """The base set, whatever requirements.txt says."""
    return PackageSet(base_python(environment.version.airflow), None)


def workspace(folder: Path, files: Mapping[str, str], name: str) -> Workspace:
    """A workspace that is really imported."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return Workspace(folder, flags={"AirflowVersion": name}, variables={"PATH": os.environ["PATH"]}, locate=locate)
