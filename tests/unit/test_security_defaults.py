"""What keeps an environment to its own machine and its own user."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mwaa_airflow import webserver_config
from mwaa_local.model import definition
from mwaa_local.model.secrets import Secrets
from mwaa_local.observability.airflow_api import ImportFailure
from mwaa_local.observability.smoke_results import RunResult, SmokeResult
from mwaa_local.runtime import environment
from mwaa_local.runtime.inputs import Wiring, variables_for
from mwaa_local.runtime.reading import read_inputs

HOST = {"3.2.1": "AIRFLOW__API__HOST", "2.11.0": "AIRFLOW__WEBSERVER__WEB_SERVER_HOST", "2.10.3": "AIRFLOW__WEBSERVER__WEB_SERVER_HOST"}  # fmt: skip


def wiring(folder: Path, **more: Any) -> Wiring:
    return Wiring(
        database_host="127.0.0.1", database_port=5432, database_name="airflow", database_user="airflow",
        secrets=Secrets("key", "secret", "airflow"), aws_endpoint="http://127.0.0.1:4566",
        queue_url="http://127.0.0.1:4566/000000000000/airflow-celery-local", api_server_url="http://127.0.0.1:8080",
        web_url="http://127.0.0.1:8080", web_port=8080, hostname="here", home=folder, run_dir=folder, cache_dir=folder,
        base_set=folder, **more,
    )  # fmt: skip


def web_variables(
    folder: Path, version: str, *, options: str = "", script: dict[str, str] | None = None
) -> dict[str, str]:
    (folder / "dags").mkdir(exist_ok=True)
    (folder / "mwaa.yaml").write_text(f"AirflowVersion: {version}\n{options}", encoding="utf-8")
    given = variables_for(definition.load(folder, variables={}), "webserver", wiring(folder))
    inputs = read_inputs("webserver", given)
    exports = {**environment.script_environment(inputs), **(script or {})}
    return environment.effective(inputs, exports).variables


@pytest.mark.parametrize("version", HOST)
def test_the_process_engines_web_server_is_on_loopback(tmp_path: Path, version: str) -> None:
    """Nobody signs in, so no other machine may reach it."""
    found = web_variables(tmp_path, version)
    assert found[HOST[version]] == "127.0.0.1"


@pytest.mark.parametrize("version", HOST)
def test_neither_a_script_nor_an_option_puts_it_on_all_interfaces(tmp_path: Path, version: str) -> None:
    option = {"3.2.1": "api.host", "2.11.0": "webserver.web_server_host", "2.10.3": "webserver.web_server_host"}[
        version
    ]
    found = web_variables(
        tmp_path,
        version,
        options=f'AirflowConfigurationOptions: {{{option}: "0.0.0.0"}}\n',
        script={HOST[version]: "0.0.0.0"},
    )
    assert found[HOST[version]] == "127.0.0.1"


class Iam:
    """The security manager of MWAA's plugin."""


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-AppBuilder's constants and MWAA's plugin, which are not installed here."""
    for name, values in {
        "flask_appbuilder": {}, "flask_appbuilder.const": {"AUTH_DB": 1, "AUTH_REMOTE_USER": 3},
        "aws_mwaa": {}, "aws_mwaa.iam": {"IamSecurityManager": Iam},
    }.items():  # fmt: skip
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("2.10.3", "none", {"AUTH_TYPE": 1, "AUTH_ROLE_PUBLIC": "Admin"}),
        ("2.11.0", "NONE", {"AUTH_TYPE": 1, "AUTH_ROLE_PUBLIC": "Admin"}),
        ("2.10.3", "", {"AUTH_TYPE": 1}),
        ("2.10.3", "testing", {"AUTH_TYPE": 1}),
        ("2.10.3", "mwaa-iam", {"AUTH_TYPE": 3, "SECURITY_MANAGER_CLASS": Iam}),
        ("3.2.1", "none", {"AUTH_TYPE": 1}),
        ("3.2.1", "mwaa-iam", {"AUTH_TYPE": 3, "SECURITY_MANAGER_CLASS": Iam}),
    ],
)
@pytest.mark.usefixtures("builder")
def test_who_may_do_what_without_signing_in(
    monkeypatch: pytest.MonkeyPatch, version: str, kind: str, expected: dict[str, Any]
) -> None:
    """spec/10 section 7.9: everybody is an administrator only on 2.x and only where nobody signs in."""
    monkeypatch.setenv("AIRFLOW_VERSION", version)
    monkeypatch.setenv("MWAA__CORE__AUTH_TYPE", kind)
    monkeypatch.delenv("MWAA__WEBSERVER__WTF_CSRF_ENABLED", raising=False)
    assert webserver_config.build() == {"WTF_CSRF_ENABLED": True, "WTF_CSRF_TIME_LIMIT": None, **expected}


GOOD, BAD = RunResult("a", "r", "success", 1.0), RunResult("b", "r", "failed", 1.0)


@pytest.mark.parametrize(
    ("result", "passed"),
    [
        (SmokeResult((), (GOOD,)), True),
        (SmokeResult((), (GOOD, BAD)), False),
        (SmokeResult((), (RunResult("c", "r", "timeout", 1.0),)), False),
        (SmokeResult((ImportFailure("/dags/x.py", "Traceback"),), (GOOD,)), False),
        (SmokeResult((), (GOOD,), ("requirements were not installed",)), False),
    ],
)
def test_a_smoke_test_passes_only_where_nothing_at_all_failed(result: SmokeResult, passed: bool) -> None:
    assert result.passed is passed
    assert result.as_dict()["passed"] is passed
