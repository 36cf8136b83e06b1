"""Every sentence of uv's that the tool reads, said by the real uv: a release that says it otherwise fails here."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexes_support import OTHER, File, Index, sdist, serving, wheel
from mwaa_local.packages import explain, install, narrate, prereleases
from mwaa_local.packages.uv_tool import binary
from mwaa_local.preflight.resolving import uv as resolve_uv
from packages_support import HERE

pytestmark = pytest.mark.contract


def broken(name: str, code: str) -> File:
    """A source archive whose build ends with this code."""
    made = sdist(name, "1.0")
    stem = f"{name}-1.0"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        files = {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": code + "\n",
        }
        for path, text in files.items():
            info = tarfile.TarInfo(f"{stem}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return File(made.name, out.getvalue())


def uv(tmp_path: Path, text: str, *options: str, command: str = "compile", **variables: str) -> str:
    """Everything uv says about a requirements file."""
    file = tmp_path / "requirements.in"
    file.write_text(text)
    words = {
        "compile": ["pip", "compile", "--no-header", "--python-version", HERE],
        "install": ["pip", "install", "--target", str(tmp_path / "target"), "-r"],
    }[command]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache"),
           "UV_NO_CONFIG": "1", "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "3", **variables}  # fmt: skip
    done = subprocess.run(
        [str(binary()), "--color", "never", *words, str(file), "--python", sys.executable, *options],
        env=env, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path,
    )  # fmt: skip
    return done.stderr + done.stdout


@dataclass
class Said:
    """A situation and what must be read from uv's words about it."""

    text: str
    files: tuple[File, ...]
    read: Callable[[str], object]
    expected: object
    options: tuple[str, ...] = ()
    command: str = "compile"
    status: int = 0


def names(pattern: re.Pattern[str]) -> Callable[[str], set[str]]:
    return lambda text: {group for found in pattern.findall(text) for group in found if group}


def first(pattern: re.Pattern[str]) -> Callable[[str], tuple[str | None, ...] | None]:
    return lambda text: found.groups() if (found := pattern.search(text)) else None


ALPHA = wheel("alpha", "1.0")
SAID = {
    "a name that no index has": Said("gamma", (ALPHA,), names(explain._NO_MATCH), {"gamma"}),
    "a version that is not there": Said("alpha==9", (ALPHA,), names(explain._NO_MATCH), {"alpha"}),
    "a range above every version": Said("alpha>=2", (ALPHA,), names(explain._NO_MATCH), {"alpha"}),
    "no wheel for this Python": Said(
        "alpha==1.0", (wheel("alpha", "1.0", OTHER),), names(explain._NO_MATCH), {"alpha"}
    ),
    "what a package needs": Said(
        "beta\nalpha==1.0", (ALPHA, wheel("alpha", "2.0"), wheel("beta", "1.0", needs=("alpha>=2",))),
        lambda text: {(name, wanted.rstrip(",")) for name, wanted in explain._NEEDS.findall(text)},
        {("alpha", ">=2")},
    ),
    "what one version of a package needs": Said(
        "beta==1.0\nalpha==1.0", (ALPHA, wheel("alpha", "2.0"), wheel("beta", "1.0", needs=("alpha>=2",))),
        lambda text: {(name, wanted.rstrip(",")) for name, wanted in explain._NEEDS.findall(text)},
        {("alpha", ">=2")},
    ),
    "no solution": Said("alpha==9", (ALPHA,), lambda text: "No solution found" in text, True),
    "a build that fails": Said(
        "bad==1.0", (broken("bad", "raise SystemExit(3)"),), first(explain._BUILD), ("bad", "1.0")
    ),
    "what a build lacks": Said(
        "bad==1.0", (broken("bad", "import numpy_of_nobody"),),
        lambda text: bool(explain._BUILD.search(text)) and "numpy_of_nobody" in text, True,
    ),
    "a source archive that may not be built": Said(
        "src==1.0", (sdist("src", "1.0"),),
        lambda text: any(sign in text for sign in ("no usable wheels", "no wheels", "building from source")), True,
        ("--no-build",),
    ),
    "another hash": Said(
        "alpha==1.0 --hash=sha256:" + "0" * 64, (ALPHA,), lambda text: "Hash mismatch" in text, True,
        ("--require-hashes",), "install",
    ),
    "a withdrawn release": Said(
        "alpha==1.0", (wheel("alpha", "1.0", yanked="bad news"),), first(resolve_uv._YANKED),
        ("alpha", "1.0", "bad news"),
    ),
    "an index that is out of order": Said(
        "alpha", (ALPHA,), lambda text: bool(explain._FETCH.search(text)), True, status=503
    ),
    "without a network": Said(
        "alpha", (), lambda text: any(sign in text for sign in resolve_uv._UNSEEN), True, ("--offline",)
    ),
    "upload dates that an index does not tell": Said(
        "alpha", (ALPHA,), lambda text: narrate.DATELESS in text, True, ("--exclude-newer", "2025-01-01")
    ),
    "a pre-release that a dependency asks for": Said(
        "beta", (wheel("alpha", "2.0rc1"), wheel("beta", "1.0", needs=("alpha>=2.0rc1",))),
        lambda text: prereleases.ASKED.findall(text), ["alpha"], ("--prerelease", "explicit"),
    ),
    "a project with nothing but pre-releases": Said(
        "beta", (wheel("alpha", "2.0rc1"), wheel("beta", "1.0", needs=("alpha",))),
        lambda text: set(prereleases.NOTHING_ELSE.findall(text)), {"alpha"}, ("--prerelease", "explicit"),
    ),
    "a version that is not there is no project without releases": Said(
        "beta", (wheel("alpha", "1.0"), wheel("beta", "1.0", needs=("alpha>=2",))),
        lambda text: prereleases.NOTHING_ELSE.findall(text), [], ("--prerelease", "explicit"),
    ),
    "what was installed": Said(
        "alpha", (wheel("alpha", "1.0"),), lambda text: install._INSTALLED.findall(text), [("alpha", "1.0")], (), "install",
    ),
    "what is being built": Said(
        "src==1.0", (sdist("src", "1.0"),),
        lambda text: {found[1] for line in text.splitlines() if (found := narrate._UV.match(line))} & {"Building", "Built"},
        {"Building", "Built"}, (), "install",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_uv_says_what_is_read(tmp_path: Path, name: str) -> None:
    said = SAID[name]
    index = Index("main", status=said.status).add(*said.files)
    with serving(index):
        text = uv(tmp_path, said.text + "\n", "--index-url", index.url, *said.options, command=said.command)
    assert said.read(text) == said.expected, text


def test_a_port_on_which_nobody_listens(tmp_path: Path) -> None:
    text = uv(tmp_path, "alpha\n", "--index-url", "http://127.0.0.1:9/simple")
    assert explain._NETWORK.search(text), text
    found = explain._FETCH.search(text)
    assert found and "127.0.0.1:9" in found[1], text


def test_only_releases_whose_words_are_known_are_installed() -> None:
    said = subprocess.run([str(binary()), "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    minor = tuple(int(part) for part in said.split()[1].split(".")[:2])
    assert (0, 9) <= minor < (0, 14), "raise the bound in pyproject.toml together with these tests"
