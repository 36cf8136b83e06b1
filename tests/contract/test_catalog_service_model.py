"""AWS's newest service model of MWAA is the one that the catalog holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mwaa_local.catalog import _data, fields, service_model
from mwaa_local.catalog.fields import SERVICE_MODEL

pytestmark = pytest.mark.contract


def test_the_newest_model_says_what_the_catalog_holds(tmp_path: Path) -> None:
    """Renew it with: python -m mwaa_local.catalog.service_model FOLDER, then look at what changed."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), "botocore"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    version, model = service_model.installed(tmp_path)
    told = service_model.derive(model)
    held = _data.read_json(SERVICE_MODEL)
    assert told == held["fields"], f"botocore {version} differs from {held['botocore']}"
    assert set(told) <= set(fields())
