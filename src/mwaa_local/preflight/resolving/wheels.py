"""Which archives fit MWAA's machine: Linux x86_64, the version's Python, the C library of the base OS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from mwaa_local.catalog.packaging_facts import packaging_facts

# Names from before tags carried the C library's version.
_LEGACY = {(2, 17): "manylinux2014_{arch}", (2, 12): "manylinux2010_{arch}", (2, 5): "manylinux1_{arch}"}
_OLDEST_GLIBC = (2, 5)
_PLATFORM = re.compile(r"(\w+?)-manylinux_(\d+)_(\d+)")


@cache
def platforms() -> tuple[str, ...]:
    """Platform tags that MWAA's container accepts, best first (spec/10 section 5)."""
    found = _PLATFORM.fullmatch(packaging_facts().target_platform)
    assert found, "the catalog names a manylinux platform"
    arch, major, minor = found[1], int(found[2]), int(found[3])
    out = []
    for number in range(minor, _OLDEST_GLIBC[1] - 1, -1):
        out.append(f"manylinux_{major}_{number}_{arch}")
        if legacy := _LEGACY.get((major, number)):
            out.append(legacy.format(arch=arch))
    return (*out, f"linux_{arch}")


@cache
def tags(python: str) -> tuple[Tag, ...]:
    """Wheel tags that fit, best first.

    Args:
        python: Minor version, ``3.12``.
    """
    major, minor = (int(part) for part in python.split(".")[:2])
    names = list(platforms())
    return (
        *cpython_tags((major, minor), platforms=names),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=names),
    )


@cache
def _ranks(python: str) -> dict[Tag, int]:
    return {tag: rank for rank, tag in enumerate(tags(python))}


def rank(filename: str, python: str) -> int | None:
    """How well a wheel fits, 0 for the best; ``None`` where it cannot be installed.

    Args:
        filename: The wheel's file name.
        python: Minor version, ``3.12``.
    """
    try:
        offered = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return None
    known = _ranks(python)
    return min((known[tag] for tag in offered if tag in known), default=None)


def sorted_by_fit(filenames: Iterable[str], python: str) -> list[str]:
    """The wheels of one release that fit, the one pip would take first."""
    fitting = [(place, name) for name in filenames if (place := rank(name, python)) is not None]
    return [name for _, name in sorted(fitting)]
