"""Small projects as strangers lay them out: each says in ``expected.json`` what MWAA does with it, and why it is here.

``must`` and ``must_not`` are rule ids or prefixes, a rule perhaps with the end of its place; ``must_not`` means errors
and warnings; ``archive`` is where the folder ``packed`` is to lie as a ``plugins.zip``.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mwaa_local.model.cache import cache_folder
from mwaa_local.preflight import run, sets
from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.report import Finding
from mwaa_local.preflight.run import Request

pytestmark = pytest.mark.contract
PROJECTS = Path(__file__).parents[1] / "fixtures/projects"


def fits(finding: Finding, wanted: str | list[str]) -> bool:
    rule, place = (wanted, "") if isinstance(wanted, str) else wanted
    at = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return finding.rule.id.startswith(rule) and (not place or place in (at.rpartition("/")[2], Path(finding.path).name))


@pytest.mark.parametrize("name", sorted(path.name for path in PROJECTS.iterdir()))
def test_the_verdict_on_a_project(name: str, tmp_path: Path) -> None:
    expected: dict[str, Any] = json.loads((PROJECTS / name / "expected.json").read_text(encoding="utf-8"))
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name, folder, ignore=shutil.ignore_patterns("expected.json", "packed", "__pycache__"))
    if "archive" in expected:
        archive = folder / expected["archive"]
        archive.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(archive, "w") as packed:
            for path in (PROJECTS / name / "packed").glob("*.py"):
                packed.write(path, path.name)
    variables = dict(os.environ)
    report = run.validate(Request(folder, variables=variables, locate=sets.locator(cache_folder(variables))))
    told = [item for item in report.findings if item.severity is not Severity.INFO]
    words = "\n".join(f"{item.rule.id} {item.path}:{item.line} {item.message}" for item in told)
    for wanted in expected["must"]:
        assert any(fits(item, wanted) for item in report.findings), f"{wanted} is missing ({expected['why']}):\n{words}"
    for unwanted in expected["must_not"]:
        assert not [item for item in told if fits(item, unwanted)], f"{unwanted} ({expected['why']}):\n{words}"
    missed = [item.what for item in report.unchecked if not item.brief]
    if expected["exit_code"] is not None:
        assert report.exit_code == expected["exit_code"], f"{words}\nnot checked: {missed}"
