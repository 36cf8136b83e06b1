"""The verdict of pip itself: ``pip install --dry-run`` in the version's base set. Slower; ``Local.Resolver: pip`` asks for it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from mwaa_local.packages import child, explain, inputs, uv_tool
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.requirements import Reading
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
    settings, indexes = situation.uv.settings, reading.indexes
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
        env = situation.uv.variables(None) | {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(situation.uv.cache / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_EXTRA_INDEX_URL": " ".join(indexes.extra),
            "PIP_FIND_LINKS": " ".join(indexes.find_links),
            "PIP_TRUSTED_HOST": " ".join(indexes.trusted_hosts),
            "PIP_CERT": settings.cert or "",
            "PIP_INDEX_URL": indexes.default or "",
            "PIP_NO_INDEX": "1" if indexes.no_index else "",
        }
        done = child.run(
            argv,
            env={name: value for name, value in env.items() if value},
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
