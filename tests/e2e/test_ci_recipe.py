"""The CI workflow in docs/how-to/smoke-in-ci.md does what it says: its shell steps are run, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from tool import ROOT, WORKFLOW

pytestmark = pytest.mark.timeout(900)


@pytest.mark.first_look
def test_the_smoke_workflow_of_the_docs(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/smoke-in-ci.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    steps = yaml.safe_load(block)["jobs"]["smoke"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) == 2
    for name in WORKFLOW:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "MWAA_LOCAL_SOURCE": str(ROOT), "CI": "true"}
    for script in scripts:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    report = tmp_path / "reports/smoke.xml"
    suite = ET.parse(report).getroot()
    assert int(suite.get("tests", "0")) >= 6
    assert suite.get("failures") == "0"
    assert not subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout, (
        "left running"
    )
