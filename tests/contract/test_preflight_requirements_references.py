"""A line whose file or address cannot be had: one finding on it, and the other lines are checked all the same."""

from __future__ import annotations

import pytest
from preflight_support import outcomes
from test_preflight_requirements_rules import index, made, one  # noqa: F401 - fixtures

from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Hit, Severity, Unchecked

RULES = [rule.id for rule in registry.rules() if rule.id.startswith("REQ")]


@pytest.mark.parametrize(
    "line",
    [
        "aiobotocore @ file:///C:/b/abs_a5b3a1f/croot/aiobotocore_1682/work",
        "pkg @ file:///nonexistent",
        "-e .",
        "./local",
        r"C:\work\pkg-1.0-py3-none-any.whl",
        "pkg @ C:/work/pkg",
        "_libgcc_mutex=0.1=main",
        "bad @ file:///usr/local/airflow/plugins/bad-1.0-py3-none-any.whl",
        "/usr/local/airflow/plugins/bad-1.0.tar.gz",
    ],
)
def test_one_error_on_the_line_and_no_rule_that_breaks(made, line: str) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    broken = {"plugins/bad-1.0-py3-none-any.whl": "no archive", "plugins/bad-1.0.tar.gz": "no archive"}
    # A project of the user's own beside the workflow files is not what MWAA's home folder holds.
    space = made(f"library==2.0\n{line}\n", {**broken, "pyproject.toml": "[project]\nname='p'\nversion='1'\n"})
    told = [item for rule in RULES for item in outcomes(rule, space)]
    assert not [item for item in told if isinstance(item, Unchecked)], told
    wrong = [item for item in told if isinstance(item, Hit) and item.severity in (None, Severity.ERROR) and item.line]
    assert [item.line for item in wrong] == [2]
    assert one("REQ003", space).line == 2


@pytest.mark.parametrize(
    "line",
    [
        "pkg @ http://127.0.0.1:9/pkg-1.0-py3-none-any.whl",
        "http://127.0.0.1:9/pkg-1.0.tar.gz",
        "-e git+http://127.0.0.1:9/a/b.git@v1#egg=b",
        "b @ git+http://127.0.0.1:9/a/b.git",
    ],
)
def test_an_address_out_of_reach_is_a_warning_and_the_rest_is_resolved(made, line: str) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    space = made(f"closed-pin==2.0\n{line}\n")
    found = one("REQ003", space)
    assert (found.line, found.severity) == (2, Severity.WARNING)
    assert one("REQ001", space).fix == "write closed-pin==1.0"
    (told,) = [item for item in outcomes("REQ001", space) if isinstance(item, Unchecked)]
    assert "line 2" in told.what


def test_a_project_that_does_not_build_is_told_of_its_line(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    project = {"dags/project/setup.py": "raise SystemExit('this never builds')\n"}
    assert one("REQ004", made("library==2.0\n/usr/local/airflow/dags/project\n", project)).line == 2
