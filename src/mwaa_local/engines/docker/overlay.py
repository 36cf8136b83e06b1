"""Writing a file that Compose lays over compose.yaml, with Compose's own YAML tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class Tagged:
    """A value with one of Compose's own YAML tags."""

    def __init__(self, tag: str, value: Any) -> None:
        self.tag, self.value = tag, value


class _Dumper(yaml.SafeDumper):
    """Writes :class:`Tagged` values; long lines stay whole."""


def _tagged(dumper: yaml.SafeDumper, item: Tagged) -> yaml.Node:
    if item.value is None:
        return dumper.represent_scalar(item.tag, "null")
    if isinstance(item.value, Mapping):
        return dumper.represent_mapping(item.tag, item.value)
    return dumper.represent_sequence(item.tag, item.value)


_Dumper.add_representer(Tagged, _tagged)


def dump(document: Mapping[str, Any]) -> str:
    """The file's text."""
    head = "# Written by mwaa-local up; laid over compose.yaml. Holds secrets.\n"
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=True, width=10**6, allow_unicode=True)
