"""Wheels without content that stand for packages of the image, so that a resolver can use what is installed there.

pip sees what is installed; a resolver that runs beside the environment does not. A release that is only source
(``psycopg2``), and every package of the image where no index may be asked (``--no-index``), is offered as such a wheel.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving.types import Situation

_TAG = "-py3-none-any.whl"
# Raise it when the wheels are made another way.
_FORMAT = 1


def write(folder: Path, situation: Situation, names: Iterable[str]) -> None:
    """Write a wheel for each of some packages of the image.

    Args:
        folder: An existing folder.
        situation: Versions of the image, and the base set whose metadata is copied where it is installed.
        names: Canonical names; without a base set only those that need no metadata make sense.
    """
    names = list(names)
    texts = resolve_metadata.installed(situation.base.site_packages, names) if situation.base else {}
    for name in names:
        version = situation.present[name]
        text = texts.get(name) or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        stem = file_name(name, situation).removesuffix(_TAG)
        with zipfile.ZipFile(folder / f"{stem}{_TAG}", "w") as archive:
            archive.writestr(f"{stem}.dist-info/METADATA", text)
            archive.writestr(
                f"{stem}.dist-info/WHEEL",
                "Wheel-Version: 1.0\nGenerator: mwaa-local\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{stem}.dist-info/RECORD", "")


def kept(situation: Situation) -> Path:
    """The folder with a wheel for each package of the base set: written once, so that uv's cache knows each of them.

    Args:
        situation: With a base set.

    Raises:
        OSError: the cache cannot be written.
    """
    assert situation.base is not None, "the caller looked"
    place = situation.uv.cache / "image-stubs" / f"{situation.base.key}-{_FORMAT}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=place.parent))
        write(partial, situation, situation.present)
        partial.chmod(0o755)
        try:
            partial.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(partial, ignore_errors=True)
            if not place.is_dir():
                raise
    return place


def file_name(name: str, situation: Situation) -> str:
    """The name of the wheel that stands for a package of the image."""
    return f"{str(canonicalize_name(name)).replace('-', '_')}-{situation.present[name]}{_TAG}"


def source_only(situation: Situation) -> list[str]:
    """Packages of the image that no index has as a wheel."""
    names = (str(canonicalize_name(name)) for name in situation.version.source_only_packages)
    return [name for name in names if name in situation.present]
