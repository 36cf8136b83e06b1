"""PLG010: wheels for another machine or Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mwaa_local.catalog.packaging_facts import packaging_facts
from mwaa_local.preflight.findings import Area, Hit, Severity
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.workspace import Workspace

_LEGACY = ("manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64")


def _glibc() -> tuple[int, int]:
    """The C library of MWAA's base; a wheel may ask for that or an older one."""
    major, minor = packaging_facts().target_platform.rpartition("manylinux_")[2].split("_")
    return int(major), int(minor)


def check(workspace: Workspace) -> Iterator[Hit]:
    for source in workspace.plugin_sources:
        for entry in source.files:
            if entry.base.endswith(".whl"):
                fault = fault_of(entry.base, workspace.version.python)
                if fault:
                    yield Hit(f"{entry.base}: {fault}", entry.path, excerpt=entry.name, key=entry.base)


def fault_of(name: str, python: str) -> str:
    """Why a wheel cannot be installed on MWAA, by its name; empty when it can."""
    parts = name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        return "its name is not that of a wheel"
    pythons, abis, platforms = (part.split(".") for part in parts[-3:])
    if not any(_platform(tag) for tag in platforms):
        return f"it is made for {'.'.join(platforms)}, MWAA runs on Linux x86_64 with glibc {_glibc()[0]}.{_glibc()[1]}"
    minor = int(python.split(".")[1])
    if not any(_python(tag, abi, minor) for tag in pythons for abi in abis):
        return f"it is made for {'.'.join(pythons)}-{'.'.join(abis)}, this version runs Python {python}"
    return ""


def _platform(tag: str) -> bool:
    if tag in ("any", "linux_x86_64", *_LEGACY):
        return True
    match = re.fullmatch(r"manylinux_(\d+)_(\d+)_x86_64", tag)
    return match is not None and (int(match.group(1)), int(match.group(2))) <= _glibc()


def _python(tag: str, abi: str, minor: int) -> bool:
    match = re.fullmatch(r"(py|cp)(\d)(\d*)", tag)
    if match is None or match.group(2) != "3":
        return False
    wanted = int(match.group(3)) if match.group(3) else 0
    if abi == "none":
        return wanted <= minor
    if abi == "abi3":
        return wanted <= minor
    return wanted == minor and abi.startswith(f"cp3{minor}") and not abi.endswith("t")


RULE = Rule(
    id="PLG010",
    severity=Severity.ERROR,
    area=Area.PLUGINS,
    title="Wheel for another target",
    why=(
        "pip in the container takes only wheels for Linux x86_64 and the version's Python; one downloaded on a "
        "Mac or for another Python is passed over, and with --no-index the whole installation fails"
    ),
    source="spec/07 B2.3 and B2.5, spec/01 section 5.2",
    fix="Download it for the target: `mwaa-local package --wheels`",
    check=check,
)
