"""The verdict of pip itself: ``pip install --dry-run`` in the version's base set. Slower."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from mwaa_local.errors import MwaaLocalError
from mwaa_local.packages import child, explain, fetch, inputs, uv_tool
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.indexes import from_settings
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight import packaging_fetch
from mwaa_local.preflight.resolve_types import Archive, Package, Resolution, Situation


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
    settings = situation.uv.settings
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        folder = Path(scratch)
        given = inputs.write(reading, folder)
        report = folder / "report.json"
        argv: list[str | Path] = [situation.base.interpreter, "-m", "pip", "install", "--dry-run", "--report", report]
        argv += [word for path in given.requirements for word in ("-r", path)]
        argv += [word for path in given.constraints for word in ("-c", path)]
        argv += ["--pre"] if reading.pre or settings.pre else []
        argv += ["--prefer-binary"] if reading.prefer_binary else []
        argv += ["--require-hashes"] if reading.require_hashes else []
        argv += [word for value in reading.no_binary for word in ("--no-binary", value)]
        argv += [word for value in reading.only_binary for word in ("--only-binary", value)]
        argv += ["--uploaded-prior-to", f"{newest}T23:59:59Z"] if newest else []
        done = child.run(
            argv,
            env=_variables(reading, situation),
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


def prepares(package: Package, reading: Reading, situation: Situation) -> UnmetRequirementsError | None:
    """Why pip cannot even ask a source archive for its metadata; ``None`` where it can, or where nobody can tell here.

    uv reads what the archive says of itself; pip starts its build, which may refuse this Python. The answer is kept by
    the archive's digest.

    Args:
        package: A package whose archive is no wheel.
        reading: The file, for the lines of a failure.
        situation: Without a base set of MWAA's Python on Linux nothing is tried.
    """
    archive, base = package.archive, situation.base
    if archive is None or base is None or base.minor != situation.version.python or platform.system() != "Linux":
        return None
    kept = situation.uv.cache / "prepared" / f"{archive.sha256[:40]}-{base.minor}.txt"
    if archive.sha256 and kept.is_file():
        text = kept.read_text(encoding="utf-8")
    else:
        try:
            path = packaging_fetch.archive(archive, situation.uv)
        except (MwaaLocalError, OSError):
            return None
        argv: list[str | Path] = [
            base.interpreter,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--no-deps",
            "--ignore-installed",
            path,
        ]
        done = child.run(argv, env=_variables(reading, situation), timeout_s=situation.timeout_s)
        text = "" if done.code == 0 or done.timed_out else done.text
        if _network_failed(text):
            return None
        if archive.sha256 and not done.timed_out:
            fetch.write_atomically(kept, text)
    if not text:
        return None
    cause = explain.failure(text, reading, python=situation.version.python)
    what = (
        f"{package.name} {package.version} has no wheel for Python {situation.version.python}, and "
        "its source archive cannot be prepared"
    )
    return UnmetRequirementsError(
        what, kind="build", where=cause.where, why=cause.why, hint=f"take a version of {package.name} with a wheel",
        conflicts=cause.conflicts, explanation=cause.explanation, packages=[package.name],
    )  # fmt: skip


def _network_failed(text: str) -> bool:
    return any(
        sign in text
        for sign in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "Max retries exceeded")
    )


def plain_variables(situation: Situation) -> dict[str, str]:
    """What pip is told where no requirements file takes part: this machine's own way to an index."""
    return _variables(Reading(Path("requirements.txt"), "", indexes=from_settings(situation.uv.settings)), situation)


def _variables(reading: Reading, situation: Situation) -> dict[str, str]:
    """What pip is told by its environment: addresses may hold passwords, and other users can read commands."""
    settings, indexes = situation.uv.settings, reading.indexes
    env = situation.uv.variables(None) | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": str(situation.uv.cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_EXTRA_INDEX_URL": " ".join(indexes.extra),
        "PIP_FIND_LINKS": " ".join(indexes.find_links),
        "PIP_TRUSTED_HOST": " ".join(indexes.trusted_hosts),
        "PIP_CERT": settings.cert or "",
        "PIP_INDEX_URL": indexes.default or "",
        "PIP_NO_INDEX": "1" if indexes.no_index else "",
    }
    return {name: value for name, value in env.items() if value}


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
