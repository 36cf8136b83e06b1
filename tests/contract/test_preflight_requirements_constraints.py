"""Constraint lines: those that constrain nothing, those of another Airflow, and the pins of this machine that do not count."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import hits
from test_preflight_requirements_rules import index, made, one  # noqa: F401 - fixtures


@pytest.mark.parametrize("target", ["/dev/null", "/usr/local/airflow/dags/empty.txt"])
def test_an_empty_constraint_file_switches_constraints_off(made, target: str) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    found = one("REQ006", made(f"--constraint {target}\nplain==1.0\n", {"dags/empty.txt": "# later\n\n"}))
    assert found.line == 1 and f"{target} holds no constraint" in found.message
    assert not hits("REQ006", made("--constraint /usr/local/airflow/dags/constraints.txt\nplain==1.0\n"))


def test_constraints_of_this_machine_are_none_of_mwaas(made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    capped = tmp_path / "capped.txt"
    capped.write_text("plain==1.0\n")
    space = made("# no --constraint here\nplain==1.1\n")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nconstraint = {capped}\n")
    space.variables |= {"PIP_CONFIG_FILE": str(config), "PIP_CONSTRAINT": str(capped), "PIP_NO_DEPS": "1"}
    assert one("REQ006", space).line == 1
    assert not hits("REQ001", space)


def test_a_constraint_that_the_startup_script_exports_counts(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    script = "#!/bin/bash\nexport PIP_CONSTRAINT=/usr/local/airflow/dags/mine.txt\n"
    files = {"startup/startup.sh": script, "dags/mine.txt": "plain==1.0\n"}
    assert "plain==1.0 is fixed" in one("REQ001", made("plain==1.1\n", files)).message
