"""The catalog's tables of how Airflow reads its options, against what each real Airflow says of itself.

`python tests/contract/test_catalog_airflow_names.py` writes the tables anew, from the installed base sets.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from mwaa_airflow_support import airflow_python

from mwaa_local import catalog
from mwaa_local.catalog.airflow_names import option_names

DATA = Path(catalog.__file__).parent / "data/airflow_names"
READ = """
import json
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
print(json.dumps({
    "renamed": {".".join(new): ".".join(old[:2]) for new, old in conf.deprecated_options.items()},
    "sections": {new: old[0] for new, old in conf.deprecated_sections.items()},
    "replaced": {
        f"{section}.{name}": {"pattern": row[0].pattern, "value": row[1]}
        for section, rows in conf.deprecated_values.items() for name, row in rows.items()
    },
    "sensitive": sorted(".".join(name) for name in conf.sensitive_config_values),
}))
"""


def told(version: str) -> dict[str, Any]:
    """What Airflow says."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(airflow_python(version)), "-W", "ignore", "-c", READ],
            env={"PATH": os.environ["PATH"], "HOME": home, "AIRFLOW_HOME": home},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    for row in found["replaced"].values():
        # RE2 writes the end of the text as \\z, Python as \\Z.
        row["pattern"] = row["pattern"].decode() if isinstance(row["pattern"], bytes) else row["pattern"]
        row["pattern"] = row["pattern"].replace(r"\z", r"\Z")
    return found


@pytest.mark.parametrize("version", catalog.version_names())
def test_the_tables_are_what_airflow_says(version: str) -> None:
    names, said = option_names(version), told(version)
    assert dict(names.renamed) == said["renamed"]
    assert dict(names.sections) == said["sections"]
    assert {name: {"pattern": row.pattern, "value": row.value} for name, row in names.replaced.items()} == said[
        "replaced"
    ]
    assert sorted(names.sensitive) == said["sensitive"]


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for version in catalog.version_names():
        said = told(version)
        lines = [f"# How Airflow {version} reads its options; written by tests/contract/{Path(__file__).name}.\n"]
        lines.append(f"sensitive = {json.dumps(said['sensitive'], indent=2)}\n")
        for table in ("renamed", "sections"):
            lines.append(f"\n[{table}]\n")
            lines += [f"{json.dumps(new)} = {json.dumps(old)}\n" for new, old in sorted(said[table].items())]
        lines.append("\n[replaced]\n")
        for name, row in sorted(said["replaced"].items()):
            value = f"pattern = {json.dumps(row['pattern'])}, value = {json.dumps(row['value'])}"
            lines.append(f"{json.dumps(name)} = {{ {value} }}\n")
        (DATA / f"{version}.toml").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
