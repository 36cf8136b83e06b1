"""What botocore's service model says of each field of the MWAA API, kept as data: in ``data/``.

``python -m mwaa_local.catalog.service_model [FOLDER]`` writes it anew from the botocore installed in FOLDER (or beside
this tool); a contract test compares the two, so that a member, a length or a pattern that AWS adds is seen.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mwaa_local.catalog import _data
from mwaa_local.catalog.fields import SERVICE_MODEL

_API = "mwaa/2020-07-01"
# What may be asked for, then what GetEnvironment answers beside it.
_GIVEN, _ANSWERED = ("CreateEnvironmentInput", "UpdateEnvironmentInput"), "Environment"
# UpdateEnvironment has its own words for a part of a team list and of a network; they are its operation's affair.
_OTHER_FORMS = ("UpdateTeamsInput", "UpdateNetworkConfigurationInput")
_TYPES = {"double": "number", "timestamp": "any"}


def derive(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The constraints in a service model.

    Args:
        model: The parsed ``service-2.json`` of ``mwaa``.
    """
    shapes = model["shapes"]
    found: dict[str, dict[str, Any]] = {}
    for name in _GIVEN:
        found = dict(_members(shapes, name, "", ignored=False)) | found
    answered = dict(_members(shapes, _ANSWERED, "", ignored=True))
    return dict(sorted((answered | found).items()))


def _members(
    shapes: Mapping[str, Any], name: str, parent: str, *, ignored: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    shape = shapes[name]
    told = [reference["shape"] for reference in shape["members"].values()]
    # Members that are all alike (the five log types) are told once, under any name.
    alike = len(told) > 1 and len(set(told)) == 1 and shapes[told[0]]["type"] == "structure"
    if alike:
        yield from _members(shapes, told[0], f"{parent}.*", ignored=ignored)
    for member, reference in shape["members"].items():
        path = f"{parent}.{member}" if parent else member
        if reference["shape"] in _OTHER_FORMS:
            continue
        # Of the top only a name is required of every definition, and that has a default here.
        required = bool(parent) and member in shape.get("required", ())
        if alike:
            yield path, {"type": "any" if ignored else "object"}
            continue
        yield from _field(shapes, reference["shape"], path, required=required, ignored=ignored)


def _field(
    shapes: Mapping[str, Any], name: str, path: str, *, required: bool, ignored: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    shape = shapes[name]
    rule: dict[str, Any] = {"required": True} if required else {}
    rule |= {"ignored": True} if ignored else {}
    kind = shape["type"]
    if kind == "structure":
        yield path, {"type": "any" if ignored else "object", **rule}
        if not ignored or path.startswith("LoggingConfiguration"):
            yield from _members(shapes, name, path, ignored=ignored)
    elif kind == "map":
        key, value = shapes[shape["key"]["shape"]], shapes[shape["value"]["shape"]]
        rule |= _named("items", shape) | _named("length", key, "key_") | _pattern(key, "key_")
        if value["type"] == "structure":
            yield path, {"type": "object", **rule}
            yield f"{path}.*", {"type": "object", **({"ignored": True} if ignored else {})}
            yield from _members(shapes, shape["value"]["shape"], f"{path}.*", ignored=ignored)
        else:
            yield path, {"type": "map", **rule, **_named("length", value, "value_"), **_pattern(value, "value_")}
    elif kind == "list":
        item = shapes[shape["member"]["shape"]]
        yield path, {"type": "list", **rule, **_named("items", shape), **_named("length", item), **_pattern(item)}
    elif kind == "string":
        closed = {"allowed": shape["enum"]} if "enum" in shape else {**_named("length", shape), **_pattern(shape)}
        yield path, {"type": "string", **rule, **closed}
    elif kind == "integer":
        span = {label: shape[bound] for bound, label in (("min", "minimum"), ("max", "maximum")) if bound in shape}
        yield path, {"type": "integer", **rule, **span}
    else:
        yield path, {"type": _TYPES.get(kind, kind), **rule}


def _named(what: str, shape: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{bound}_{what}": shape[bound] for bound in ("min", "max") if bound in shape}


def _pattern(shape: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}pattern": shape["pattern"]} if "pattern" in shape else {}


def installed(folder: Path | None = None) -> tuple[str, dict[str, Any]]:
    """The version of an installed botocore and its model of ``mwaa``.

    Args:
        folder: Holds ``botocore/``; without it, this Python's.

    Raises:
        FileNotFoundError: There is no botocore.
    """
    if folder is None:
        spec = importlib.util.find_spec("botocore")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("botocore")
        folder = Path(spec.origin).parents[1]
    version = next(folder.glob("botocore-*.dist-info")).name.removeprefix("botocore-").removesuffix(".dist-info")
    base = folder / "botocore/data" / _API
    packed = base / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else (base / "service-2.json").read_bytes()
    return version, json.loads(text)


def main(arguments: list[str]) -> None:
    """Entry point; see the module's text."""
    version, model = installed(Path(arguments[0]) if arguments else None)
    text = json.dumps({"botocore": version, "fields": derive(model)}, indent=1)
    _data.path(SERVICE_MODEL).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
