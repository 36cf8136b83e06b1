"""Rules about DAG files (spec/05 troubleshooting, spec/07 B1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import DAG, hits, imported, options, outcomes, workspace

from mwaa_local.preflight.findings import Severity, Unchecked
from mwaa_local.preflight.imports import QUEUE, Access, ImportProblem, Imports
from mwaa_local.preflight.sets import PackageSet

HEAD = "from datetime import datetime\n\nfrom airflow.sdk import DAG\n\n"


def dag(text: str) -> dict[str, str]:
    return {"dags/d.py": text}


# rule, version, text of dags/d.py, line, words, texts without the fault
CASES = [
    ("DAG001", "3.2.1", "x = (\n", 1, "never closed", [DAG]),
    ("DAG005", "2.10.3", HEAD + 'BashOperator(task_id="a", queue="default")\n', 5, "queue 'default'", [HEAD + 'BashOperator(task_id="a")\n', HEAD + 'send(queue="default")\n']),
    ("DAG005", "3.2.1", HEAD + 'default_args = {\n    "queue": "big",\n}\n', 6, "queue 'big'", [HEAD + 'default_args = {"queue": "default"}\n']),
    ("DAG006", "3.2.1", HEAD + "import requests\nrequests.get('https://x')\n", 6, "calls requests.get", [HEAD + "import requests\ndef f():\n    requests.get('https://x')\n", HEAD + "import requests\ns = requests.Session()\n"]),
    ("DAG006", "3.2.1", HEAD + "import boto3\nboto3.client('s3').list_buckets()\n", 6, "list_buckets", [HEAD + "import boto3\nc = boto3.client('s3')\n"]),
    ("DAG007", "3.2.1", HEAD + "from airflow.sdk import Variable\nx = Variable.get('k')\n", 6, "Variable.get('k')", [HEAD + "from airflow.sdk import Variable\n\n\n@task\ndef f():\n    return Variable.get('k')\n"]),
    ("DAG007", "2.10.3", HEAD + "from airflow.hooks.base import BaseHook\n\n\n@dag()\ndef f():\n    BaseHook.get_connection('c')\n", 10, "get_connection('c')", [HEAD + "f = lambda: Variable.get('x')\n"]),
    ("DAG008", "3.2.1", HEAD + 'DAG("a", schedule_interval="@daily")\n', 5, "no argument schedule_interval", [HEAD + 'DAG("a", schedule="@daily")\n', HEAD + 'thing(schedule_interval="@daily")\n']),
    ("DAG008", "3.2.1", HEAD + "PythonOperator(\n    task_id='a',\n    provide_context=True,\n)\n", 7, "provide_context", [HEAD + "PythonOperator(task_id='a')\n"]),
    ("DAG009", "3.2.1", "from airflow.operators.bash_operator import BashOperator\n", 1, "airflow.operators.bash_operator is gone", ["from airflow.providers.standard.operators.bash import BashOperator\n", "try:\n    from airflow.sdk import x\nexcept ImportError:\n    from airflow.operators.bash_operator import BashOperator\n"]),
    ("DAG009", "3.2.1", "from airflow.utils.dates import days_ago\n", 1, "days_ago is gone", ["from airflow.utils.timezone import utcnow\n"]),
    ("DAG010", "3.2.1", "from mylib import make as DAG\n\nDAG('a')\n", 3, "holds no 'airflow'", ["from mylib import make as DAG  # airflow\n\nDAG('a')\n", "from mylib import helper\n\nhelper('a')\n"]),
    ("DAG012", "3.2.1", HEAD + 'open("/usr/local/airflow/dags/x", "w")\n', 5, "writes to /usr/local/airflow/dags/x", [HEAD + 'open("/usr/local/airflow/dags/x")\n', HEAD + 'open("/tmp/x", "w")  # not /dags\n']),
    ("DAG012", "3.2.1", HEAD + "from pathlib import Path\n\n\ndef f():\n    (Path(__file__).parent / 'x').write_text('')\n", 9, "folder of the DAG file", [HEAD + "from pathlib import Path\n\nx = (Path(__file__).parent / 'x').read_text()\n"]),
    ("DAG015", "3.2.1", HEAD + 'DAG("a", start_date=datetime.now())\n', 5, "datetime.datetime.now()", [DAG, HEAD + "x = datetime.now()\n"]),
    ("DAG015", "3.2.1", HEAD + "import pendulum\ndefault_args = {'start_date': pendulum.now().subtract(days=1)}\n", 6, "pendulum.now()", [HEAD + "import pendulum\ndefault_args = {'start_date': pendulum.datetime(2024, 1, 1)}\n"]),
    ("DAG017", "3.2.1", HEAD + 'task(executor="KubernetesExecutor")\n', 5, "CeleryExecutor only", [HEAD + 'task(executor="CeleryExecutor")\n']),
    ("DAG018", "3.2.1", "from airflow.utils.session import provide_session  # dag\n", 1, "no access to the metadata database", ["from airflow.sdk import Variable  # dag\n"]),
    ("DAG019", "3.2.1", HEAD + 'DAG("a", schedule="@daily", start_date=datetime(2024, 1, 1))\n', 5, "catchup is not set: it is False", [DAG, HEAD + 'DAG("a", schedule="@daily", start_date=datetime(2024, 1, 1), catchup=False)\n']),
    ("DAG021", "3.2.1", HEAD + "BashOperator(task_id='a', sla=1)\n", 5, "sla is accepted", [HEAD + "BashOperator(task_id='a')\n"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "version", "bad", "line", "words", "good"), CASES, ids=[f"{case[0]}-{case[4][:20]}" for case in CASES]
)
def test_rule(rule: str, version: str, bad: str, line: int, words: str, good: list[str], tmp_path: Path) -> None:
    found = hits(rule, workspace(tmp_path / "bad", dag(bad), version))
    assert [(item.line, item.file and item.file.name) for item in found] == [(line, "d.py")], found
    assert words in found[0].message
    for number, text in enumerate(good):
        assert not hits(rule, workspace(tmp_path / f"good{number}", dag(text), version)), text


@pytest.mark.parametrize("rule", ["DAG008", "DAG009", "DAG018", "DAG020", "DAG021"])
def test_airflow_2_may_use_what_airflow_3_removed(rule: str, tmp_path: Path) -> None:
    text = 'from airflow.operators.bash_operator import BashOperator\nfrom airflow.utils.session import provide_session\nDAG("a", schedule_interval=None, sla_miss_callback=1)\n'
    assert not outcomes(rule, workspace(tmp_path, dag(text), "2.10.3"))


def test_removed_imports_in_plugins(tmp_path: Path) -> None:
    (found,) = hits("DAG009", workspace(tmp_path, {"plugins/p.py": "import airflow.utils.python_virtualenv\n"}))
    assert found.fix == "use airflow.providers.standard.utils.python_virtualenv"


def test_import_errors(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag("# airflow dag\nimport nowhere\n"))
    path = tmp_path / "dags/d.py"
    imported(space, "dags/d.py", problems=(ImportProblem("ModuleNotFoundError: No module named 'nowhere'", path, 2),))
    (found,) = hits("DAG002", space)
    assert (found.line, found.message) == (2, "import fails: ModuleNotFoundError: No module named 'nowhere'")
    assert "add the package that has nowhere" in found.fix
    imported(
        space,
        "dags/d.py",
        problems=(ImportProblem("ModuleNotFoundError: No module named 'airflow.providers.apache.spark'", path, 2),),
    )
    assert "apache-airflow-providers-apache-spark" in hits("DAG002", space)[0].fix
    imported(space, "dags/d.py")
    assert not outcomes("DAG002", space)


def test_an_import_error_is_said_once(tmp_path: Path) -> None:
    """What a removal explains, what the syntax rule says and what the cut network caused is not an import error as well."""
    path = tmp_path / "dags/d.py"
    space = workspace(tmp_path, dag("# dag\nfrom airflow.utils.dates import days_ago\n"))
    imported(space, "dags/d.py", problems=(ImportProblem("ImportError: cannot import name 'days_ago'", path, 2),))
    assert not outcomes("DAG002", space)
    assert hits("DAG009", space)
    imported(space, "dags/d.py", problems=(ImportProblem("SyntaxError: x", path, 1),))
    assert not outcomes("DAG002", space)
    assert hits("DAG001", space)
    imported(
        space,
        "dags/d.py",
        problems=(ImportProblem("OSError: no network", path, 1),),
        accesses=(Access("network", "x:443", path, 1),),
    )
    assert not outcomes("DAG002", space)
    assert hits("DAG006", space)


def test_a_removed_argument_claims_the_line_of_its_call(tmp_path: Path) -> None:
    path = tmp_path / "dags/d.py"
    space = workspace(
        tmp_path,
        dag(
            '# airflow\nDAG(\n    "a",\n    schedule_interval=None,\n)\ndefault_args = {"provide_context": True}\nBashOperator(task_id="a")\n'
        ),
    )
    assert [item.line for item in hits("DAG008", space)] == [4, 6]
    for line in (2, 7):
        imported(space, "dags/d.py", problems=(ImportProblem("TypeError: unexpected keyword argument", path, line),))
        assert not outcomes("DAG002", space)
    imported(space, "dags/d.py", problems=(ImportProblem("TypeError: something else", path, 1),))
    assert outcomes("DAG002", space)


def test_an_import_that_depends_on_a_variable_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "dags/d.py"
    space = workspace(tmp_path, dag("# airflow dag\n"))
    imported(
        space,
        "dags/d.py",
        problems=(ImportProblem("KeyError: 'x'", path, 1),),
        accesses=(Access("variable", "conf", path, 1),),
    )
    (missed,) = outcomes("DAG002", space)
    assert isinstance(missed, Unchecked)
    assert "variable conf" in missed.why
    assert hits("DAG007", space)


def test_failed_requirements_make_missing_modules_unchecked(tmp_path: Path) -> None:
    path = tmp_path / "dags/d.py"
    space = workspace(tmp_path, dag("# airflow dag\n"))
    imported(space, "dags/d.py", problems=(ImportProblem("ModuleNotFoundError: No module named 'x'", path, 1),))
    space.__dict__["imports"] = Imports(
        PackageSet(Path("python"), False, problem="a conflict"), dags=space.imports.dags
    )
    assert [type(item) for item in outcomes("DAG002", space)] == [Unchecked]


def test_what_could_not_be_imported_is_named(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag("# airflow dag\n"))
    space.__dict__["imports"] = Imports(None, unchecked=(Unchecked("imports", "no Python"),))
    assert outcomes("DAG002", space) == [Unchecked("imports", "no Python")]


def test_import_time(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag("# airflow dag\n"))
    imported(space, "dags/d.py", seconds=12)
    (found,) = hits("DAG003", space)
    assert found.severity is None
    assert "12.0 s" in found.message
    imported(space, "dags/d.py", seconds=40, late=True)
    assert hits("DAG003", space)[0].severity is Severity.ERROR
    imported(
        space,
        "dags/d.py",
        problems=(
            ImportProblem("airflow.exceptions.AirflowTaskTimeout: DagBag import timeout", tmp_path / "dags/d.py", 3),
        ),
    )
    assert hits("DAG003", space)[0].line == 3
    imported(space, "dags/d.py", seconds=2)
    assert not hits("DAG003", space)
    patient = workspace(tmp_path, options(core__dagbag_import_timeout="120"))
    imported(patient, "dags/d.py", seconds=12)
    assert not hits("DAG003", patient)


def test_duplicate_ids(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/a.py": DAG, "dags/b.py": DAG})
    imported(space, "dags/a.py", dags=({"id": "one", "tasks": []},))
    imported(space, "dags/b.py", dags=({"id": "one", "tasks": []},))
    (found,) = hits("DAG004", space)
    assert (found.message, found.line) == ("DAG id 'one' is also used in dags/a.py", 5)
    imported(space, "dags/b.py", dags=({"id": "two", "tasks": []},))
    assert not hits("DAG004", space)


def test_a_queue_that_tasks_really_carry(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag(HEAD + "QUEUE = 'big'\n"))
    imported(space, "dags/d.py", dags=({"id": "a", "tasks": [{"task": "t", "queue": "big"}]},))
    (found,) = hits("DAG005", space)
    assert "'big'" in found.message
    imported(space, "dags/d.py", dags=({"id": "a", "tasks": [{"task": "t", "queue": QUEUE}]},))
    assert not hits("DAG005", space)


def test_a_written_queue_that_no_task_carries(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag(HEAD + "settings = {'queue': 'work'}\n"))
    assert hits("DAG005", space)  # without an import nobody can tell
    imported(space, "dags/d.py", dags=({"id": "a", "tasks": [{"task": "t", "queue": QUEUE}]},))
    assert not hits("DAG005", space)


def test_a_hidden_dag_file_is_a_hint(tmp_path: Path) -> None:
    (found,) = hits(
        "DAG010", workspace(tmp_path, {"dags/d.py": DAG, "dags/e.py": DAG, "dags/.airflowignore": "d.py\n"})
    )
    assert found.severity is Severity.INFO


def test_files_without_a_dag(tmp_path: Path) -> None:
    space = workspace(tmp_path, {"dags/common/d.py": "# airflow dag helpers\n"})
    imported(space, "dags/common/d.py")
    (found,) = hits("DAG011", space)
    assert found.fix == "add common/d.py to dags/.airflowignore"
    imported(space, "dags/common/d.py", dags=({"id": "a", "tasks": []},))
    assert not hits("DAG011", space)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"task": "t", "execution_timeout": 50000}, "13.8889 hours"),
        ({"task": "t", "execution_timeout": 43200}, ""),
        ({"task": "t", "mode": "poke", "timeout": 86400}, "24 hours"),
        ({"task": "t", "mode": "reschedule", "timeout": 86400}, ""),
    ],
)
def test_long_tasks(task: dict[str, object], words: str, tmp_path: Path) -> None:
    space = workspace(tmp_path, dag(HEAD + "Op(\n    task_id='t')\n"))
    imported(space, "dags/d.py", dags=({"id": "a", "tasks": [task]},))
    found = hits("DAG013", space)
    assert len(found) == bool(words)
    assert all(words in item.message and item.line == 5 for item in found)


def test_a_sensor_with_airflows_own_timeout_is_a_hint(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag(HEAD))
    imported(space, "dags/d.py", dags=({"id": "a", "tasks": [{"task": "t", "mode": "poke", "timeout": 604800.0}]},))
    assert hits("DAG013", space)[0].severity is Severity.INFO


def test_capacity(tmp_path: Path) -> None:
    space = workspace(tmp_path, dag(HEAD) | {"mwaa.yaml": "EnvironmentClass: mw1.small\n"})
    imported(space, "dags/d.py", dags=tuple({"id": str(number), "tasks": []} for number in range(26)))
    (found,) = hits("DAG014", space)
    assert "26 DAGs on mw1.small" in found.message
    assert found.fix == "use mw1.medium, or fewer DAGs"
    imported(space, "dags/d.py", dags=tuple({"id": str(number), "tasks": []} for number in range(25)))
    assert not hits("DAG014", space)
    imported(space, "dags/d.py", seconds=31)
    assert "longer than the 30 s" in hits("DAG014", space)[0].message


def test_a_helper_hidden_by_pythons_own_module(tmp_path: Path) -> None:
    files = {"dags/d.py": HEAD + "from email import send_mine\n", "dags/email.py": "def send_mine():\n    pass\n"}
    (found,) = hits("DAG016", workspace(tmp_path / "a", files))
    assert (found.line, found.fix) == (5, "rename email.py")
    assert not hits(
        "DAG016", workspace(tmp_path / "b", files | {"dags/d.py": HEAD + "from email import message_from_string\n"})
    )


def test_links(tmp_path: Path) -> None:
    space = workspace(tmp_path / "a", {"dags/d.py": DAG, "dags/e.py": DAG})
    (tmp_path / "a/dags/in.py").symlink_to("e.py")
    assert not hits("DAG022", space)
    (tmp_path / "a/dags/out.py").symlink_to("/etc/hostname")
    (tmp_path / "a/dags/lost.py").symlink_to("nowhere.py")
    found = {item.file.name: item for item in hits("DAG022", workspace(tmp_path / "a", {})) if item.file}
    assert sorted(found) == ["lost.py", "out.py"]
    assert found["lost.py"].severity is Severity.ERROR


def test_ruffs_rules(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    text = "from airflow.datasets import Dataset\nfrom airflow.decorators import dag\n\nDataset('x')\n\n\n@dag()\ndef x():\n    pass\n"
    found = hits("DAG020", workspace(tmp_path, dag(text)))
    # The data set is DAG009's; what still works on Airflow 3 is a hint.
    assert [(item.line, item.severity) for item in found] == [(7, Severity.INFO)]
    assert "airflow.decorators.dag" in found[0].message
    assert not outcomes("DAG020", workspace(tmp_path / "b", dag(DAG)))


def test_a_broken_ruff_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin/ruff"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho broken >&2\nexit 2\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    (missed,) = outcomes("DAG020", workspace(tmp_path, dag(DAG)))
    assert isinstance(missed, Unchecked)


def test_an_empty_folder_has_no_findings(tmp_path: Path) -> None:
    from mwaa_local.preflight import registry

    space = workspace(tmp_path, {}, "2.10.3")
    assert not [
        item
        for rule in registry.rules()
        if rule.id[:3] in ("DAG", "PLG", "SUP", "DEF")
        for item in outcomes(rule.id, space)
    ]


def test_advice_about_a_removed_import_reads_as_a_sentence(tmp_path: Path) -> None:
    text = DAG + "from airflow.utils.decorators import apply_defaults\nfrom airflow.utils.dates import days_ago\n"
    found = hits("DAG009", workspace(tmp_path, {"dags/a.py": text}))
    assert [item.fix for item in found] == [
        "leave it out: nothing takes its place",
        "use a fixed start_date: datetime(2024, 1, 1)",
    ]
