"""The catalog's table of Airflow's own defaults, against what each real Airflow says of itself.

`python tests/contract/test_catalog_airflow_defaults.py` writes the tables anew, from the installed base sets.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from mwaa_airflow_support import airflow_python

from mwaa_local import catalog
from mwaa_local.catalog.airflow_defaults import airflow_defaults

DATA = Path(catalog.__file__).parent / "data/airflow_defaults"
# Looking makes folders below AIRFLOW_HOME, so it is a scratch one, and MWAA's is written in its place.
READ = """
import json
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
print(json.dumps({
    f"{section}.{name}": str(value) if (value := conf.get_default_value(section, name)) is not None else ""
    for section, described in conf.configuration_description.items()
    for name, option in (described.get("options") or {}).items() if option
}))
"""


def told(version: str) -> dict[str, str]:
    """What Airflow says, with the secrets that are new in each process left empty."""
    python = airflow_python(version)
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", READ],
            env={"PATH": os.environ["PATH"], "HOME": home, "AIRFLOW_HOME": home},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        text = done.stdout.strip().splitlines()[-1].replace(home, catalog.limits().home)
    values: dict[str, str] = json.loads(text)
    return {name: "" if name.endswith(("secret_key", "fernet_key")) else value for name, value in values.items()}


@pytest.mark.parametrize("version", catalog.version_names())
def test_the_table_is_what_airflow_says(version: str) -> None:
    assert dict(airflow_defaults(version)) == told(version)


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for version in catalog.version_names():
        head = f"# Airflow {version}'s own defaults with MWAA's AIRFLOW_HOME; written by tests/contract/{Path(__file__).name}.\n"
        lines = [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in sorted(told(version).items())]
        (DATA / f"{version}.toml").write_text(head + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
