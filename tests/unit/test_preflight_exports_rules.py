"""Failed imports and the variables that the startup script exports: judged, explained, or not judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import imported, outcomes, script, workspace

from mwaa_local.preflight import imports
from mwaa_local.preflight.findings import Hit, Unchecked
from mwaa_local.preflight.imports import PLACEHOLDER, ImportProblem, Request, startup_variables
from mwaa_local.preflight.workspace import Workspace

WORKER_ONLY = 'if [[ "$MWAA_AIRFLOW_COMPONENT" != "worker" ]]; then exit 0; fi\nexport STAGE=uat\n'
READS = 'import os\n# airflow dag\nSTAGE = os.environ["STAGE"]\n'
TRACE = 'File "/x/os.py", line 1, in __getitem__\n'


def failed(folder: Path, text: str, dag: str, problem: str, traceback: str = TRACE) -> Hit | Unchecked:
    space = workspace(folder, script(text) | {"dags/d.py": dag})
    imported(space, "dags/d.py", problems=(ImportProblem(problem, folder / "dags/d.py", 3, traceback),))
    (found,) = outcomes("DAG002", space)
    return found


def test_a_variable_of_another_component_is_missing_where_dag_files_are_parsed(tmp_path: Path) -> None:
    found = failed(tmp_path, WORKER_ONLY, READS, "KeyError: 'STAGE'")
    assert isinstance(found, Hit)
    assert found.fix == (
        "startup/startup.sh line 2 exports STAGE on worker only; "
        "DAG files are parsed in the scheduler component: export it on scheduler too"
    )


def test_what_a_missing_variable_breaks_later_is_explained_too(tmp_path: Path) -> None:
    dag = 'import os\n# airflow dag\nSTAGE = os.getenv("STAGE").lower()\n'
    found = failed(tmp_path, WORKER_ONLY, dag, "AttributeError: 'NoneType' object has no attribute 'lower'", "")
    assert isinstance(found, Hit)
    assert "on worker only" in found.fix


def test_a_variable_that_nobody_exports(tmp_path: Path) -> None:
    found = failed(tmp_path, "export OTHER=1\n", READS, "KeyError: 'STAGE'")
    assert isinstance(found, Hit)
    assert found.fix.startswith("export STAGE in the startup script")
    other = failed(tmp_path / "b", "export OTHER=1\n", "# airflow dag\nx = {}['STAGE']\n", "KeyError: 'STAGE'", "")
    assert isinstance(other, Hit)
    assert "startup script" not in other.fix


@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        ("set -a\nsource /opt/app.env\n", "KeyError: 'STAGE'", "line 2 may set what it reads"),
        ("eval $(cat x)\n", "ValueError: no stage", "line 1 may set"),
        ("eval $(cat x)\n", "AttributeError: 'NoneType' object has no attribute 'lower'", "line 1 may set"),
        ("export STAGE=$(aws ssm get-parameter)\n", f"KeyError: '{PLACEHOLDER}'", "depends on STAGE"),
        ("export STAGE=$(date +%u)\n", "ValueError: invalid literal for int()", "depends on STAGE"),
        ("aws s3 ls || exit 0\nexport STAGE=dev\n", "KeyError: 'dev'", "depends on STAGE"),
    ],
)
def test_what_depends_on_a_run_of_the_script_is_not_judged(tmp_path: Path, text: str, problem: str, words: str) -> None:
    found = failed(tmp_path, text, READS, problem, "")
    assert isinstance(found, Unchecked)
    assert words in found.why
    assert problem in found.why


@pytest.mark.parametrize(
    ("text", "dag", "problem"),
    [
        ("source /opt/app.env\n", READS, "ModuleNotFoundError: No module named 'x'"),
        ("source /opt/app.env\n", READS, "TypeError: DAG.__init__() got an unexpected keyword argument 'x'"),
        ("source /opt/app.env\n", "# airflow dag\nx = 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("export STAGE=$(date)\n", "# airflow dag\nimport os\nx = os.environ['OTHER']\n", "KeyError: 'OTHER'"),
        ("export BUILD=$(date)\n", READS + 'print(os.environ["BUILD"])\n', "KeyError: 'STAGE'"),
        ("export STAGE=dev\n", READS, "ValueError: dev"),
    ],
)
def test_what_no_variable_decides_stays_an_error(tmp_path: Path, text: str, dag: str, problem: str) -> None:
    assert isinstance(failed(tmp_path, text, dag, problem, ""), Hit)


def test_a_plugin_is_judged_by_the_components_it_failed_in(tmp_path: Path) -> None:
    plugin = 'import os\nSTAGE = os.environ["STAGE"]\n'
    space = workspace(tmp_path, script(WORKER_ONLY) | {"plugins/p.py": plugin})
    problem = ImportProblem("KeyError: 'STAGE'", tmp_path / "plugins/p.py", 2, TRACE)
    results = {
        name: imports.FileImport(name, 0.1, False, (problem,) if name != "worker" else (), ())
        for name in imports.COMPONENTS
    }
    space.__dict__["imports"] = imports.Imports(None, plugins=results)
    (found,) = outcomes("PLG008", space)
    assert isinstance(found, Hit)
    assert "in scheduler and webserver" in found.message
    assert "exports STAGE on worker only" in found.fix


def test_each_component_is_given_its_own_exports(tmp_path: Path) -> None:
    text = "export BOTH=1\n[[ $MWAA_AIRFLOW_COMPONENT == worker ]] || exit 0\nexport STAGE=uat MWAA_ENV_NAME=mine\n"
    space: Workspace = workspace(tmp_path, script(text))
    assert startup_variables(space.startup, "3.2.1") == {"BOTH": "1"}
    assert startup_variables(space.startup, "3.2.1", "worker") == {"BOTH": "1", "STAGE": "uat", "MWAA_ENV_NAME": "mine"}
    request = Request(space.environment, tmp_path, tmp_path, [], True, [], space.startup, 1.0)
    scheduler = imports.variables(request, tmp_path)
    assert (scheduler["MWAA_ENV_NAME"], scheduler["MWAA_AIRFLOW_COMPONENT"]) == (space.environment.name, "scheduler")
    assert imports._changes(request, tmp_path, "worker") == {
        "STAGE": "uat", "MWAA_ENV_NAME": "mine", "MWAA_AIRFLOW_COMPONENT": "worker", "MWAA_COMMAND": "worker",
    }  # fmt: skip
    assert imports._changes(request, tmp_path, "scheduler") == {}


def test_the_script_sees_options_and_the_environments_name(tmp_path: Path) -> None:
    text = "[[ $MWAA_ENV_NAME == prod* ]] && export KIND=prod || export KIND=$AIRFLOW__FOO__BAR\n"
    definition = "Name: prod-1\nAirflowConfigurationOptions:\n  foo.bar: x\n"
    space: Workspace = workspace(tmp_path, script(text) | {"mwaa.yaml": definition})
    assert startup_variables(space.startup, "3.2.1")["KIND"] == "prod"
    other: Workspace = workspace(tmp_path / "b", script(text) | {"mwaa.yaml": definition.replace("prod-1", "dev")})
    assert startup_variables(other.startup, "3.2.1")["KIND"] == "x"
