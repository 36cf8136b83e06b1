"""What an installed Airflow says of itself: its options, how it reads them, where its migrations end, what it misses.

Used by ``add_version.py`` to write the catalog's files, and by the contract tests to hold them against the package.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mwaa_local import catalog

_SECONDS = 180

# Looking makes folders below AIRFLOW_HOME, so it is a scratch one, and MWAA's is written in its place. What providers
# define counts from 2.7 on, when they began to say it in a form that Airflow reads.
_PREAMBLE = """
import json
from airflow.configuration import conf
try:
    from airflow.providers_manager import ProvidersManager
    ProvidersManager().initialize_providers_configuration()
except (ImportError, AttributeError):
    pass
"""
_DEFAULTS = """
try:
    described = conf.configuration_description
except AttributeError:
    described = None
if described is None:
    import yaml, airflow.configuration as c
    try:
        rows = c.default_config_yaml()
    except AttributeError:
        rows = []
    if isinstance(rows, dict):
        rows = [dict(row, name=name) for name, row in rows.items()]
    def named(options):
        return {option["name"]: option for option in options} if isinstance(options, list) else options
    described = {row["name"]: {"options": named(row["options"])} for row in rows}
def default(section, name, option):
    if hasattr(conf, "get_default_value"):
        return conf.get_default_value(section, name)
    if conf.airflow_defaults.has_option(section, name):
        return conf.airflow_defaults.get(section, name)
    return option.get("default")
print(json.dumps({
    section + "." + name: str(value) if (value is not None) else ""
    for section, row in described.items()
    for name, option in (row.get("options") or {}).items() if option
    for value in [default(section, name, option)]
}))
"""
_NAMES = """
print(json.dumps({
    "renamed": {".".join(new): ".".join(old[:2]) for new, old in conf.deprecated_options.items()},
    "sections": {new: old[0] for new, old in getattr(conf, "deprecated_sections", {}).items()},
    "replaced": {
        section + "." + name: {
            "pattern": row[0].pattern.decode() if isinstance(row[0].pattern, bytes) else row[0].pattern, "value": row[1]
        }
        for section, rows in conf.deprecated_values.items() for name, row in rows.items() if hasattr(row[0], "pattern")
    },
    "sensitive": sorted(".".join(name) for name in getattr(conf, "sensitive_config_values", ())),
}))
"""
_HEADS = """
import json, os
import airflow
from alembic.config import Config
from alembic.script import ScriptDirectory
config = Config()
config.set_main_option("script_location", os.path.join(os.path.dirname(airflow.__file__), "migrations"))
print(json.dumps(ScriptDirectory.from_config(config).get_heads()))
"""
_MISSING = """
import json, sys
try:
    from importlib import metadata
except ImportError:
    import importlib_metadata as metadata
try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ImportError:
    print("{}"); sys.exit()
found = {canonicalize_name(dist.metadata["Name"]) for dist in metadata.distributions()}
missing = {}
for dist in metadata.distributions():
    for line in dist.requires or []:
        try:
            need = Requirement(line)
        except Exception:
            continue
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(need.name) not in found:
            missing.setdefault(canonicalize_name(need.name), []).append(dist.metadata["Name"])
print(json.dumps(missing))
"""


def defaults(python: Path) -> dict[str, str]:
    """``section.option`` to Airflow's default; secrets that are new in each process are left empty."""
    values, home = _ask(python, _PREAMBLE + _DEFAULTS)
    values = {name: value.replace(home, catalog.limits().home) for name, value in values.items()}
    return {name: "" if name.endswith(("secret_key", "fernet_key")) else value for name, value in values.items()}


def names(python: Path) -> dict[str, Any]:
    """Old names of options and sections, values that are replaced, and which are sensitive."""
    found: dict[str, Any] = _ask(python, _PREAMBLE + _NAMES)[0]
    for row in found["replaced"].values():
        row["pattern"] = row["pattern"].replace(r"\z", r"\Z")  # RE2 writes the end of the text as \z, Python as \Z
    return found


def heads(python: Path) -> list[str]:
    """Where Airflow's own migrations end."""
    return list(_ask(python, _HEADS)[0])


def missing(python: Path) -> dict[str, list[str]]:
    """Packages that an installed one requires and that are not there, with those that require them."""
    return dict(_ask(python, _MISSING)[0])


def _ask(python: Path, code: str) -> tuple[Any, str]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", code],
            env={"PATH": os.environ["PATH"], "HOME": home, "AIRFLOW_HOME": home},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{python} cannot say it:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]), home


def write_defaults(version: str, values: Mapping[str, str]) -> None:
    """The catalog's file of :func:`defaults`."""
    head = f"# Airflow {version}'s own defaults with MWAA's AIRFLOW_HOME; written by tools/add_version.py.\n"
    lines = [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in sorted(values.items())]
    _place("airflow_defaults", version).write_text(head + "".join(lines), encoding="utf-8")


def write_names(version: str, said: Mapping[str, Any]) -> None:
    """The catalog's file of :func:`names`."""
    lines = [f"# How Airflow {version} reads its options; written by tools/add_version.py.\n"]
    lines.append(f"sensitive = {json.dumps(said['sensitive'], indent=2)}\n")
    for table in ("renamed", "sections"):
        lines.append(f"\n[{table}]\n")
        lines += [f"{json.dumps(new)} = {json.dumps(old)}\n" for new, old in sorted(said[table].items())]
    lines.append("\n[replaced]\n")
    for name, row in sorted(said["replaced"].items()):
        value = f"pattern = {json.dumps(row['pattern'])}, value = {json.dumps(row['value'])}"
        lines.append(f"{json.dumps(name)} = {{ {value} }}\n")
    _place("airflow_names", version).write_text("".join(lines), encoding="utf-8")


def _place(folder: str, version: str) -> Path:
    return Path(catalog.__file__).parent / "data" / folder / f"{version}.toml"
