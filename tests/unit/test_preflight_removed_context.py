"""DAG026 and DAG018: what tasks took from their context and from the database, and Airflow 3 no longer gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import hits, workspace

from mwaa_local.catalog.upgrade import removed_context_keys
from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.readings.tasks import template_names

HEAD = """from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseOperator, get_current_context, task
"""
ERROR, WARNING = Severity.ERROR, Severity.WARNING

FOUND = [
    # templates
    ('BashOperator(task_id="a", bash_command="echo {{ execution_date }}")', {"execution_date": ERROR}),
    ('BashOperator(task_id="a", bash_command="{{next_ds}} {{ prev_ds_nodash|upper }}")',
     {"next_ds": ERROR, "prev_ds_nodash": ERROR}),
    ('BashOperator(task_id="a", bash_command="{{ execution_date.strftime(\'%Y\') }}")', {"execution_date": ERROR}),
    ('BashOperator(task_id="a", bash_command="{% if yesterday_ds %}x{% endif %}")', {"yesterday_ds": ERROR}),
    ('BashOperator(task_id="a", bash_command="{{ macros.ds_add(tomorrow_ds, 1) }}")', {"tomorrow_ds": ERROR}),
    ('BashOperator(task_id="a", bash_command="x", env={"D": "{{ next_execution_date }}"})',
     {"next_execution_date": ERROR}),
    ('BashOperator(task_id="a", bash_command=["x", "{{ prev_execution_date_success }}"])',
     {"prev_execution_date_success": ERROR}),
    ('C = "echo {{ tomorrow_ds_nodash }}"\nBashOperator(task_id="a", bash_command=C)', {"tomorrow_ds_nodash": ERROR}),
    ('X = 1\nBashOperator(task_id="a", bash_command=f"echo {X} {{{{ prev_ds }}}}")', {"prev_ds": ERROR}),
    ('BashOperator(task_id="a", bash_command="echo " + "{{ next_ds_nodash }}")', {"next_ds_nodash": ERROR}),
    ('BashOperator(task_id="a", bash_command="{{ conf.get(\'core\', \'x\') }}")', {"conf": ERROR}),
    ('BashOperator(task_id="a", bash_command="{{ triggering_dataset_events }}")', {"triggering_dataset_events": ERROR}),
    ('BashOperator.partial(task_id="a", env={"D": "{{ yesterday_ds_nodash }}"}).expand(bash_command=["x"])',
     {"yesterday_ds_nodash": ERROR}),
    ('def f(d):\n    pass\nPythonOperator(task_id="a", python_callable=f, op_kwargs={"d": "{{ execution_date }}"})',
     {"execution_date": ERROR}),
    ('M = load()\nDAG("d", user_defined_macros=M)\nBashOperator(task_id="a", bash_command="{{ next_ds }}")',
     {"next_ds": WARNING}),
    # keys
    ('def f(**kwargs):\n    kwargs["execution_date"]\nPythonOperator(task_id="a", python_callable=f)',
     {"execution_date": ERROR}),
    ('def f(**context):\n    return context.get("next_ds")\nPythonOperator(task_id="a", python_callable=f)',
     {"next_ds": WARNING}),
    ('@task\ndef f(**context):\n    return context["prev_ds"]', {"prev_ds": ERROR}),
    ('@task(retries=2)\ndef f():\n    c = get_current_context()\n    return c["conf"]', {"conf": ERROR}),
    ('@task\ndef f():\n    return get_current_context()["tomorrow_ds"]', {"tomorrow_ds": ERROR}),
    ('@task.branch\ndef f(**c):\n    return c["yesterday_ds"]', {"yesterday_ds": ERROR}),
    ('class O(BaseOperator):\n    def execute(self, context):\n        return context["execution_date"]',
     {"execution_date": ERROR}),
    ('def tell(context):\n    print(context["next_execution_date"])\n'
     'BashOperator(task_id="a", bash_command="x", on_failure_callback=tell)', {"next_execution_date": ERROR}),
    ('def tell(c):\n    print(c["prev_ds"])\nDAG("d", on_success_callback=[tell])', {"prev_ds": ERROR}),
    ('PythonOperator(task_id="a", python_callable=lambda **k: k["next_ds"])', {"next_ds": ERROR}),
    # arguments
    ('def f(execution_date):\n    pass\nPythonOperator(task_id="a", python_callable=f)', {"execution_date": ERROR}),
    ('def f(ds, next_ds=None, **_):\n    pass\nPythonOperator(task_id="a", python_callable=f)', {"next_ds": WARNING}),
    ('def f(*, prev_execution_date, **_):\n    pass\nPythonOperator(task_id="a", python_callable=f)',
     {"prev_execution_date": ERROR}),
    ('@task\ndef f(execution_date=None):\n    pass\nf()', {"execution_date": WARNING}),
]  # fmt: skip

NOT_FOUND = [
    'BashOperator(task_id="a", bash_command="echo {{ logical_date }} {{ ds }} {{ data_interval_end | ds }}")',
    'BashOperator(task_id="a", bash_command="echo {{ params.execution_date }} {{ dag_run.conf[\'x\'] }}")',
    'BashOperator(task_id="a", bash_command="echo {{ params[\'next_ds\'] }} {{ var.value.conf }}")',
    'BashOperator(task_id="a", bash_command="echo execution_date next_ds")',
    'BashOperator(task_id="a", bash_command="{% set next_ds = data_interval_end | ds %}{{ next_ds }}")',
    'BashOperator(task_id="a", bash_command="{% for conf in params.all %}{{ conf }}{% endfor %}")',
    'BashOperator(task_id="a", bash_command="{# {{ execution_date }} #}x")',
    'BashOperator(task_id="a", bash_command="{% raw %}{{ execution_date }}{% endraw %}")',
    'BashOperator(task_id="a", bash_command="{{ f(execution_date=ds) }}")',
    'BashOperator(task_id="a", bash_command="x", doc_md="uses {{ execution_date }}")',
    'DAG("d", user_defined_macros={"next_ds": 1})\nBashOperator(task_id="a", bash_command="{{ next_ds }}")',
    'print("{{ execution_date }}")',
    'next_ds = "x"\nprint(next_ds)',
    'def f(execution_date):\n    pass\nf(1)',
    'def f(execution_date):\n    pass\nPythonOperator(task_id="a", python_callable=f, op_kwargs={"execution_date": 1})',
    'def f(execution_date):\n    pass\nPythonOperator(task_id="a", python_callable=f, op_args=[1])',
    'def f(execution_date):\n    pass\nK = {}\nPythonOperator(task_id="a", python_callable=f, op_kwargs=K)',
    'def f(**k):\n    k["conf"]\nPythonOperator(task_id="a", python_callable=f, op_kwargs={"conf": 1})',
    '@task\ndef f(conf):\n    pass\nf(conf=1)',
    '@task\ndef f(conf):\n    pass\nf({"a": 1})',
    '@task\ndef f(conf):\n    pass\nf.partial(conf=1).expand(x=[1])',
    '@task.virtualenv\ndef f(execution_date=None):\n    pass\nf()',
    'def f(**kwargs):\n    kwargs["execution_date"]\nf(execution_date=1)',
    '@task\ndef f(**context):\n    return context["ti"], context["logical_date"], context["params"]["conf"]',
    'def helper(settings):\n    return settings["conf"]',
    'class Plain:\n    def execute(self, query):\n        return query',
]  # fmt: skip

MILD = [
    '@task\ndef f(**c):\n    try:\n        return c["execution_date"]\n    except KeyError:\n        return c["logical_date"]',
    '@task\ndef f(**c):\n    if "execution_date" in c:\n        return c["execution_date"]',
]


def found(folder: Path, code: str, version: str = "3.2.1") -> dict[str, Severity | None]:
    space = workspace(folder, {"dags/a.py": HEAD + code + "\n"}, version)
    return {item.key.split()[1]: item.severity for item in hits("DAG026", space)}


@pytest.mark.parametrize(("code", "expected"), FOUND)
def test_found(tmp_path: Path, code: str, expected: dict[str, Severity]) -> None:
    assert found(tmp_path, code) == expected
    assert found(tmp_path / "b", code, "2.10.3") == {}, "Airflow 2 gives it"


@pytest.mark.parametrize("code", NOT_FOUND)
def test_not_found(tmp_path: Path, code: str) -> None:
    assert found(tmp_path, code) == {}


@pytest.mark.parametrize("code", MILD)
def test_what_is_prepared_for_is_only_a_warning(tmp_path: Path, code: str) -> None:
    assert set(found(tmp_path, code).values()) == {WARNING}


@pytest.mark.parametrize("name", removed_context_keys())
def test_every_key_of_the_table(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, f'BashOperator(task_id="a", bash_command="{{{{ {name} }}}}")') == {name: ERROR}
    (hit,) = hits("DAG026", workspace(tmp_path, {"dags/a.py": f'{HEAD}@task\ndef f(**c):\n    c["{name}"]\n'}))
    assert hit.line == 6
    assert hit.fix and "|" not in hit.fix, "Python has no filters"


def test_names_of_a_template() -> None:
    assert template_names("{{ a.b(c, d=e) | f }} {% if g == 'h' %}{{ i[\"j\"] }}{% endif %}") >= {
        "a",
        "c",
        "e",
        "g",
        "i",
    }
    assert not template_names("{{ a.b }}") & {"b"}
    assert template_names("no template {a}") == frozenset()


DATABASE = [
    ("from airflow import settings\ns = settings.Session()", "airflow.settings.Session"),
    ("import airflow.settings\ndef f():\n    airflow.settings.Session()", "airflow.settings.Session"),
    ("from airflow.settings import Session", "airflow.settings.Session"),
    ("from airflow.utils.db import provide_session", "airflow.utils.db.provide_session"),
    ("from airflow.utils.session import create_session", "airflow.utils.session.create_session"),
    ("from airflow.models.base import provide_session", "airflow.models.base.provide_session"),
    ("from airflow.models import DagRun\ndef f():\n    DagRun.find(dag_id='x')", "DagRun.find"),
    ("from airflow.models.dagrun import DagRun\nDagRun.find_duplicate('a', 'b')", "DagRun.find_duplicate"),
    ("from airflow.models import TaskInstance as TI\ndef f(s):\n    TI.query", ""),
    ("def f(**c):\n    c['ti'].get_dagrun()", "get_dagrun()"),
    ("def f(ti):\n    ti.get_dagrun()", "get_dagrun()"),
    ("from airflow.models import DagRun\ndef f(session):\n    session.query(DagRun).all()", "session.query(DagRun)"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "key"), DATABASE)
def test_the_database_is_reached_in_many_ways(tmp_path: Path, code: str, key: str) -> None:
    told = [item.key for item in hits("DAG018", workspace(tmp_path, {"dags/a.py": "# airflow dag\n" + code + "\n"}))]
    assert told == ([key] if key else [])


@pytest.mark.parametrize(
    "code",
    [
        "import sqlalchemy\ndef f(session, Row):\n    session.query(Row)",
        "class DagRun:\n    def find(self):\n        pass\nDagRun().find()",
        "def find(x):\n    pass\nfind(1)",
        "try:\n    from airflow.settings import Session\nexcept ImportError:\n    Session = None",
        "from airflow.sdk import Variable\nVariable.get('x')",
    ],
)
def test_what_is_no_database_of_airflows(tmp_path: Path, code: str) -> None:
    assert not hits("DAG018", workspace(tmp_path, {"dags/a.py": "# airflow dag\n" + code + "\n"}))
