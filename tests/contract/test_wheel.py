"""What an installation without the repository has."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from mwaa_local.engines.docker.image import assets
from mwaa_local.packages import uv_tool

ROOT = Path(__file__).parents[2]


def test_a_wheel_has_everything_that_runs_and_what_docker_needs_but_the_build_context(tmp_path: Path) -> None:
    words = [uv_tool.binary(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = set(archive.namelist())
    for package in ("mwaa_local", "mwaa_airflow", "mwaa"):
        sources = {
            str(path.relative_to(ROOT / "src"))
            for path in (ROOT / "src" / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources <= names, sources - names
    found = assets(tmp_path / "site/mwaa_local")
    assert found.context is None, "no image can be built from it"
    assert found.compose.read_bytes() == (ROOT / "compose.yaml").read_bytes()
    assert found.trust.read_bytes() == (ROOT / "docker/compose.ca.yaml").read_bytes()
