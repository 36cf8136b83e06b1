"""Names of the container images everything is built from, with exact tags."""

from __future__ import annotations

from mwaa_local.catalog import _data
from mwaa_local.catalog.versions import Version


def base_image(base: str, version: Version) -> str:
    """The image that a base of ours starts from.

    Args:
        base: ``al2023`` or ``debian``.
        version: Some bases carry the Python of an Airflow version in their tag.
    """
    return str(_data.read("os_packages.toml")["images"][base]).format(python_patch=version.python_patch)


def postgres_image() -> str:
    """The image of the metadata database."""
    return str(_data.read("os_packages.toml")["images"]["postgres"])
