"""What of an attempt to prepare a source archive is kept: facts of the package, never those of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mwaa_local import catalog
from mwaa_local.packages.child import Finished
from mwaa_local.packages.pip_settings import PipSettings
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.uv_tool import Uv
from mwaa_local.preflight.resolving import prepare as resolve_prepare
from mwaa_local.preflight.resolving.types import Archive, Package, Situation

REFUSALS = [
    "ERROR: Package 'old' requires a different Python: 3.12.13 not in '<3.12'",
    "RuntimeError: Cannot install on Python version 3.12.13; only versions >=3.6,<3.10 are supported.\n"
    "old does not support this version of Python",
    "      ModuleNotFoundError: No module named 'distutils'",
    "      AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean: 'zipimporter'?",
    "      SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?",
    "      error in old setup command: use_2to3 is invalid.",
    "ERROR: old-1.0.tar.gz does not appear to be a Python project: neither 'setup.py' nor 'pyproject.toml' found.",
]
HERE = [
    "/cache/package-sets/1/bin/python: No module named pip",
    "ModuleNotFoundError: No module named 'pip._internal'",
    "ERROR: Exception:\nTraceback (most recent call last):",
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    "OSError: [Errno 122] Disk quota exceeded",
    "PermissionError: [Errno 13] Permission denied: '/tmp/pip-build'",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n"
    "ERROR: No matching distribution found for setuptools>=40.8.0",
    "ERROR: HTTP error 503 while getting https://host/setuptools.whl",
    "MemoryError",
    "g++: fatal error: Killed signal terminated program cc1plus",
]
PERHAPS = [
    "      psycopg.h:1:10: fatal error: libpq-fe.h: No such file or directory",
    "      error: command 'gcc' failed: No such file or directory",
    "      Error: pg_config executable not found.",
    "      Exception: Can not find valid pkg-config name.",
    "      FileNotFoundError: [Errno 2] No such file or directory: 'requirements.txt'",
    # A compiler that is missing and an old module: who knows what came first.
    "      error: command 'gcc' failed\n      ModuleNotFoundError: No module named 'distutils'",
    "      KeyError: '__version__'",
]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *((text, "refused") for text in REFUSALS),
        *((text, "here") for text in HERE),
        *((text, "unknown") for text in PERHAPS),
    ],
)
def test_a_failure_is_told_apart(text: str, says: str) -> None:
    assert resolve_prepare.judge(1, False, text) == says


def test_an_end_that_pip_did_not_choose_says_nothing() -> None:
    assert resolve_prepare.judge(-9, False, "") == resolve_prepare.judge(1, True, "SyntaxError: x") == "here"
    assert resolve_prepare.judge(0, False, "Would install old-1.0") == "fine"


@pytest.mark.parametrize(
    ("code", "text", "refuses", "asked"),
    [
        (1, REFUSALS[0], True, 1),
        (0, "Would install old-1.0", False, 1),
        (1, HERE[0], False, 2),
        (1, HERE[3], False, 2),
        (1, PERHAPS[0], True, 2),
    ],
)
def test_only_facts_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str, refuses: bool, asked: int
) -> None:
    version = catalog.version("3.2.1")
    base = SimpleNamespace(minor=version.python, interpreter=Path("/nowhere/python"))
    situation = replace(
        Situation(version, Uv(tmp_path, {}, PipSettings())),
        base=base,  # type: ignore[arg-type]
    )
    archive = tmp_path / "old-1.0.tar.gz"
    archive.write_bytes(b"x")
    package = Package("old", "1.0", Archive(archive.name, str(archive), sha256="a" * 64, wheel=False))
    ran = []

    def run(*_: object, **__: object) -> Finished:
        ran.append(1)
        return Finished(code, tuple(text.splitlines()), 0.1, False)

    monkeypatch.setattr(resolve_prepare.child, "run", run)
    reading = Reading(tmp_path / "r.txt", "r.txt")
    for _ in range(2):
        assert (resolve_prepare.prepares(package, reading, situation) is not None) == refuses
    assert len(ran) == asked
