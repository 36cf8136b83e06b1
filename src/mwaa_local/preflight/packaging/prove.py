"""The proof of a package: pip installs it as MWAA would, with the network off, into a fresh base set."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.packages import child, listing, store
from mwaa_local.packages.sets import PackageSet
from mwaa_local.preflight.packaging import archive as packaging_archive

_TIMEOUT_S = 540.0
_ISOLATION = ("unshare", "--user", "--map-root-user", "--net", "--")


@dataclass(frozen=True)
class Proof:
    """What installing showed.

    Attributes:
        ok: Everything was installed, in the versions that were resolved.
        network_off: pip had no route to anywhere.
        installed: What the installation changed, canonical name to version.
        seconds: How long pip took.
        why: What went wrong, or why it could not be tried; empty for a proof.
    """

    ok: bool
    network_off: bool
    installed: Mapping[str, str]
    seconds: float
    why: str = ""


@cache
def can_isolate() -> bool:
    """Whether a process without network can be made here."""
    try:
        return child.ask([*_ISOLATION, "true"], env={"PATH": os.defpath}, timeout_s=10).returncode == 0
    except OSError:
        return False


def prove(
    archive: Path, requirements: Path, base: PackageSet | None, version: catalog.Version, expected: Mapping[str, str]
) -> Proof:
    """Install a packaged requirements file from its ``plugins.zip``.

    Args:
        archive: ``plugins.zip``.
        requirements: ``packaged-requirements.txt``.
        base: The version's base set; it is copied, never changed.
        version: Airflow's version.
        expected: What has to be installed, canonical name to version.

    Raises:
        OSError: the disk is full.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Proof(
            False, False, {}, 0, f"wheels for MWAA cannot be installed on {platform.system()} {platform.machine()}"
        )
    if base is None or base.minor != version.python:
        return Proof(
            False,
            False,
            {},
            0,
            f"the packages of Airflow {version.airflow} on Python {version.python} are not installed here",
        )
    off = can_isolate()
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        home = Path(scratch)
        folder = home / "set"
        folder.mkdir()
        store.clone(base.path, folder)
        packaging_archive.unpack(archive, home / "plugins")
        # pip runs where MWAA's paths do not exist; nothing else of the file is touched.
        given = home / "requirements.txt"
        given.write_text(
            requirements.read_text(encoding="utf-8").replace(f"{catalog.limits().home}/", f"{home}/"), encoding="utf-8"
        )
        essential = home / "essential.txt"
        essential.write_text("".join(f"{name}=={pin}\n" for name, pin in version.essential.items()), encoding="utf-8")
        env = {
            "PATH": os.defpath, "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_PROGRESS_BAR": "off", "PIP_ROOT_USER_ACTION": "ignore",
        }  # fmt: skip
        before = listing.installed(folder / base.site_packages.relative_to(base.path))
        python = folder / "bin" / "python"
        argv: list[str | Path] = [
            *(_ISOLATION if off else ()),
            *child.python(python, "-m", "pip", "install", "--no-compile", "-c", essential, "-r", given),
        ]
        begin = time.monotonic()
        done = child.run(argv, env=env, cwd=home, timeout_s=_TIMEOUT_S)
        seconds = time.monotonic() - begin
        after = listing.installed(folder / base.site_packages.relative_to(base.path))
        changed = {change.name: change.after for change in listing.diff(before, after) if change.after}
        shutil.rmtree(folder, ignore_errors=True)
    if done.code != 0:
        why = "\n".join(line for line in done.lines if line.startswith("ERROR"))[:1500] or done.text[-1500:]
        return Proof(False, off, changed, seconds, why)
    wrong = {
        name: (version_, changed.get(name)) for name, version_ in expected.items() if changed.get(name) != version_
    }
    if wrong:
        why = ", ".join(f"{name} {got or 'missing'} instead of {wanted}" for name, (wanted, got) in wrong.items())
        return Proof(False, off, changed, seconds, why)
    return Proof(True, off, changed, seconds)
