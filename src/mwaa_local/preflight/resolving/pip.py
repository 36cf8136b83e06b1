"""The verdict of pip itself: ``pip install --dry-run`` in the version's base set. Slower."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from mwaa_local.packages import child, explain, inputs, pip_tool, uv_tool
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.indexes import from_settings
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight.resolving.types import Archive, Package, Resolution, Situation


def resolve(reading: Reading, situation: Situation, *, cut_off: date | None = None) -> Resolution:
    """Ask pip.

    Args:
        reading: The file.
        situation: Needs the base set; the machine must be Linux x86_64, because pip sees the machine it runs on.
        cut_off: Newest upload date, if not that of the constraint source.

    Raises:
        UnmetRequirementsError: pip fails.
    """
    assert situation.base is not None, "the caller looked"
    begin = time.monotonic()
    newest = cut_off or uv_tool.cut_off_of(reading)
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        folder = Path(scratch)
        given = inputs.write(reading, folder)
        report = folder / "report.json"
        argv = pip_tool.install_words(situation.base.path, reading, given, situation.uv.settings, newest)
        argv += ["--dry-run", "--report", report]
        done = child.run(
            argv,
            env=pip_tool.variables(situation.uv, reading.indexes),
            cwd=folder,
            timeout_s=situation.timeout_s * 4,
        )
        if done.code != 0 or done.timed_out:
            raise explain.failure(
                given.translate(done.text),
                reading,
                python=situation.version.python,
                timed_out_s=situation.timeout_s * 4 if done.timed_out else None,
            )
        try:
            installs = json.loads(report.read_text(encoding="utf-8"))["install"]
        except (OSError, ValueError, KeyError) as error:
            raise UnmetRequirementsError(
                "pip wrote no report", kind="other", where=reading.shown, why=str(error)
            ) from error
    packages = {package.name: package for package in map(_package, installs)}
    kept = {name: Package(name, version) for name, version in situation.present.items() if name not in packages}
    return Resolution({**kept, **packages}, situation.present, seconds=time.monotonic() - begin, resolver="pip")


def plain_variables(situation: Situation) -> dict[str, str]:
    """What pip is told where no requirements file takes part: this machine's own way to an index."""
    return pip_tool.variables(situation.uv, from_settings(situation.uv.settings))


def _package(item: dict[str, Any]) -> Package:
    told, source = item["metadata"], item["download_info"]
    name = str(canonicalize_name(told["name"]))
    url = str(source["url"])
    file = unquote(urlsplit(url).path.rpartition("/")[2])
    local = url if "dir_info" in source or "vcs_info" in source or item.get("is_direct") else ""
    archive = None
    if "archive_info" in source:
        digest = source["archive_info"].get("hashes", {}).get("sha256", "")
        archive = Archive(file, url, None, digest, None, file.endswith(".whl"))
    reason = str(item.get("yanked_reason") or "") if item.get("is_yanked") else None
    wheels = (file,) if file.endswith(".whl") else ()
    return Package(name, told["version"], archive, wheels=wheels, yanked=reason, local=local)
