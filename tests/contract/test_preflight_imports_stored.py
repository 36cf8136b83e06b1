"""What Airflow does with a DAG file after the import: serialise, store; and what it answers while the file is read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from preflight_sets import VERSIONS, base_python, workspace

from mwaa_local.preflight import imports, registry
from mwaa_local.preflight.findings import Hit
from mwaa_local.preflight.imports import FileImport
from mwaa_local.preflight.workspace import Workspace

pytestmark = pytest.mark.contract
HEAD = """from datetime import datetime
try:
    from airflow.sdk import DAG, BaseHook, Connection, Param, Variable
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow import DAG
    from airflow.hooks.base import BaseHook
    from airflow.models import Connection, Param, Variable
    from airflow.operators.bash import BashOperator
"""
SUBDAG = """
from airflow.operators.subdag import SubDagOperator
def sub(parent, child):
    made = DAG(f"{parent}.{child}", start_date=datetime(2024, 1, 1), schedule=None)
    BashOperator(task_id="i", bash_command="true", dag=made)
    return made
with DAG("outer", schedule=None, start_date=datetime(2024, 1, 1)):
    SubDagOperator(task_id="s", subdag=sub("outer", "s"))
"""


def dag(identity: str, arguments: str = "", before: str = "") -> str:
    return (
        f"{HEAD}{before}\nwith DAG('{identity}', schedule=None, start_date=datetime(2024, 1, 1){arguments}):\n"
        "    BashOperator(task_id='t', bash_command='true')\n"
    )


# What the DAG processor does not survive: nobody catches it, and the UI says nothing.
LOST = {
    "owner_list": dag("owner_list", ", default_args={'owner': ['a', 'b']}"),
    "owner_number": dag("owner_number", ", default_args={'owner': 5}"),
    "nul": dag("nul", ", description='a\\0b'"),
    "two": dag("fine") + dag("lost", ", default_args={'owner': ['a']}").replace(HEAD, ""),
}
# What Airflow shows as an import error.
SHOWN = {
    "timetable": dag("timetable", before="from airflow.timetables.base import Timetable\nclass Mine(Timetable):\n    pass\n").replace("schedule=None", "schedule=Mine()"),
    "tag": dag("tag", f", tags=['{'x' * 120}']"),
    "needed": dag("needed", ", params={'a': Param(type='string')}").replace("schedule=None", "schedule='@daily'"),
}  # fmt: skip
GOOD = {
    "tags": dag("tags", ", tags=['a', 'b', 'a']"),
    "needed_later": dag("needed_later", ", params={'a': Param(type='string')}"),
    "access": dag("access", ", access_control={'OurTeam': {'can_read'}}"),
    "no_pool": dag("no_pool", ", default_args={'pool': 'ours'}"),
    "written": dag("written", before="Variable.set('k', '7')\nassert Variable.get('k') == '7'\n"),
    "read": dag("read", before="assert Variable.get('a', deserialize_json=True) == {}\nVariable.get('b')\n"),
    "connection": dag("connection", before="found = BaseHook.get_connection('db')\nassert found.host\nfound.get_uri()\nassert isinstance(found, Connection)\n"),
}  # fmt: skip
# The other major's name of an argument: accepted by a lax placeholder, a TypeError in Airflow.
STRICT = {
    "keyword": "Variable.get('a', {other}='z')",
    "none": "Variable.get()",
    "many": "Variable.get('a', 'z', True, None, 4, 5)",
    "hook": "BaseHook.get_connection('db', session=None)",
    "hook_none": "BaseHook.get_connection()",
}


@pytest.fixture(scope="module", params=VERSIONS)
def space(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    version = str(request.param)
    ours, other = ("default_var", "default") if version.startswith("2") else ("default", "default_var")
    files = {f"dags/{name}.py": text for name, text in {**LOST, **SHOWN, **GOOD}.items()}
    for name, call in STRICT.items():
        files[f"dags/strict_{name}.py"] = dag(
            name, before=f"Variable.get('other', {ours}=None)\n{call.format(other=other)}\n"
        )
    files["dags/named.py"] = dag("named", before=f"assert Variable.get('a', {ours}='z') == 'z'\n")
    files["dags/pool.py"] = dag(
        "pool", before="from airflow.models import Pool\nassert Pool.get_pool('default_pool').slots == 128\n"
    )
    files["dags/rows.py"] = dag(
        "rows",
        before="from airflow.models import DagRun\nfrom airflow.settings import Session\nassert Session().query(DagRun).count() == 0\n",
    )
    if version.startswith("2"):
        files["dags/subdag.py"] = HEAD + SUBDAG
    return workspace(tmp_path_factory.mktemp("stored"), files, version)


def of(space: Workspace, name: str) -> FileImport:
    return next(item for path, item in space.imports.dags.items() if path.stem == name)


def hits(space: Workspace, name: str) -> list[Hit]:
    found = registry.rule("DAG002").check(space)
    return [item for item in found if isinstance(item, Hit) and item.file and item.file.stem == name]


def test_what_airflow_keeps_is_no_finding(space: Workspace) -> None:
    assert not space.imports.unchecked
    names = [*GOOD, "named", *(["subdag", "pool", "rows"] if space.version.series == "2" else [])]
    for name in names:
        assert [problem.message for problem in of(space, name).problems] == [], name
        assert not hits(space, name)


def test_a_dag_that_is_lost_when_it_is_stored(space: Workspace) -> None:
    for name in LOST:
        (problem,) = of(space, name).problems
        assert problem.stage == "store", name
        (hit,) = hits(space, name)
        end = "no DAG file is read any more" if space.version.series == "3" else "the UI says nothing"
        assert end in hit.message
        assert hit.line, "the line that names the DAG"
        assert f"the DAG {problem.dag}" in hit.message
    assert of(space, "two").problems[0].dag == "lost"
    assert "unhashable type: 'list'" in hits(space, "owner_list")[0].message
    assert "owner='ann, bob'" in hits(space, "owner_list")[0].fix
    assert "PostgreSQL refuses it" in hits(space, "nul")[0].fix
    assert "dag.description: A string literal cannot contain NUL" in hits(space, "nul")[0].message


def test_a_dag_that_airflow_shows_as_broken(space: Workspace) -> None:
    for name in SHOWN:
        assert [problem.stage in ("import", "serialise") for problem in of(space, name).problems] == [True], name
        assert hits(space, name)
    assert of(space, "timetable").problems[0].stage == "serialise"
    assert "in a plugin" in hits(space, "timetable")[0].fix


def test_look_ups_are_as_strict_as_airflows_own(space: Workspace) -> None:
    for name in STRICT:
        (problem,) = of(space, f"strict_{name}").problems
        assert problem.text.startswith("TypeError: "), (name, problem.text)
        assert "() " in problem.text
        assert hits(space, f"strict_{name}"), "it is wrong whatever the variable's value is"


def test_airflow_3_takes_the_database_away(space: Workspace) -> None:
    if space.version.series == "2":
        pytest.skip("Airflow 2 lets a DAG file look into the database")
    for name in ("pool", "rows"):
        assert "Direct database access via the ORM is not allowed" in of(space, name).problems[0].text


SIGNATURES = """
import inspect, json, sys
sys.path.insert(0, sys.argv[1])
import airflow, airflow.models
import mwaa_inside_values as values
class Recorder:
    def read(self, *told): pass
def shapes():
    found = {}
    for kind, module, owner, name in values.LOOK_UPS:
        cls = values.attribute(module, owner)
        if cls is not None and hasattr(cls, name):
            function = getattr(cls, name)
            found[f"{module}.{owner}.{name}"] = [str(inspect.signature(function)), inspect.iscoroutinefunction(function)]
    return found
before = shapes()
values.guard_values(Recorder())
print(json.dumps([before, shapes()]))
"""


@pytest.mark.parametrize("version", ["2.10.3", "2.11.0", "3.2.1"])
def test_stand_ins_have_the_real_signatures(version: str) -> None:
    inside = Path(imports.__file__).parent / "inside"
    done = subprocess.run(
        [str(base_python(version)), "-I", "-B", "-c", SIGNATURES, str(inside)],
        capture_output=True, text=True, timeout=200, check=False, env={"AIRFLOW_HOME": "/nonexistent", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert done.stdout, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before == after
    assert len(before) == (5 if version.startswith("3") else 2), before
