"""One place decides what to do about a failed import: a table of errors, and what there is beside the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import hits, imported, workspace

from mwaa_local.preflight.advice import advice
from mwaa_local.preflight.advice.advice import Raised, advise
from mwaa_local.preflight.advice.facts import Facts
from mwaa_local.preflight.imports import ImportProblem

AMAZON = "apache_airflow_providers_amazon-9.0.0"
# A site-packages folder in small: file, content.
INSTALLED = {
    "airflow/__init__.py": "",
    "airflow/models/__init__.py": "class DagBag:\n    pass\n",
    "airflow/models/param.py": "class Param:\n    pass\n",
    "airflow/utils/task_group.py": "class TaskGroup:\n    pass\n",
    "airflow/sdk/__init__.py": '__all__ = ["Asset", "Param"]\n',
    "airflow/sdk/definitions/asset.py": "class Asset:\n    pass\n",
    "airflow/providers/amazon/aws/operators/s3.py": "class S3CreateBucketOperator:\n    pass\n",
    "airflow/providers/amazon/aws/operators/ecs.py": "class EcsRunTaskOperator:\n    pass\n",
    f"{AMAZON}.dist-info/RECORD": "airflow/providers/amazon/aws/operators/s3.py,,\n",
    "dagfactory/__init__.py": "",
    "dagfactory/core.py": "",
    "dag_factory-0.19.0.dist-info/RECORD": "dagfactory/__init__.py,,\ndagfactory/core.py,,\n",
    "pandas/__init__.py": "class DataFrame:\n    pass\n",
    "pandas-2.1.4.dist-info/RECORD": "pandas/__init__.py,,\n",
    "kafka/__init__.py": "class KafkaProducer:\n    pass\n",
    "kafka_python-2.0.dist-info/RECORD": "kafka/__init__.py,,\n",
    "PyYAML-6.0.dist-info/RECORD": "yaml/__init__.py,,\n",
}
PROJECT = {
    "dags/d.py": "from airflow.providers.amazon.aws.operators.s3_bucket import S3CreateBucketOperator\nfrom airflow.datasets import Dataset\n",
    "dags/common/db.py": "def connect():\n    pass\n",
    "dags/team/helpers.py": "",
    "dags/kafka.py": "",
    "dags/Settings.py": "",
    "dags/sql/load.sql": "",
    "dags/conf.yml": "",
    "plugins/fiscal.py": "from airflow.plugins_manager import AirflowPlugin\nclass P(AirflowPlugin):\n    name = 'fiscal'\n",
    "plugins/shared/tools.py": "",
    "include/queries.py": "",
    "include/big.sql": "",
}
# Airflow, error, words of the advice; a leading "!" says what it must not say.
TABLE = [
    ("3.2.1", "ModuleNotFoundError: No module named 'nowhere'", ["add the package that has nowhere"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'sklearn.linear_model'", ["scikit-learn"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'google.cloud.bigquery_storage'", ["google-cloud-bigquery-storage"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'dags'", ["leave the prefix dags out", "!add the package"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'dags.common'", ["leave the prefix out: from common import", "!add the package"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'dags.common.db'", ["leave the prefix out: from common.db"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'plugins.shared'", ["leave the prefix out: from shared", "!add the package"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'project.dags.common'", ["leave the prefix out: from common"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'helpers'", ["dags/team/helpers.py is imported as team.helpers"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'include'", ["not uploaded", "!add the package"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'include.queries'", ["include/queries.py is not uploaded"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'settings'", ["spelled Settings"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'kafka.errors'; 'kafka' is not a package", ["dags/kafka.py", "rename"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'distutils'", ["Python 3.12 has no distutils", "!requirements"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'airflow.sdk'", ["written for Airflow 3", "airflow.decorators", "!add the package"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'airflow.sdk.definitions'", ["written for Airflow 3"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'airflow.providers.standard'", ["written for Airflow 3", "airflow.operators"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'airflow.macros.fiscal'", ["macros.fiscal", "from fiscal import", "!add the package"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'airflow.operators.fiscal'", ["from fiscal import"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'airflow.operators.dummy'", ["airflow.providers.standard.operators.empty"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'airflow.nonsense'", ["Airflow 3.2.1 has no airflow.nonsense", "!add the package"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'airflow.providers.apache.spark'", ["add apache-airflow-providers-apache-spark"]),
    ("3.2.1", "ModuleNotFoundError: No module named 'airflow.providers.snowflake.hooks'", ["add apache-airflow-providers-snowflake"]),
    ("2.10.3", "ModuleNotFoundError: No module named 'airflow.providers.amazon.aws.operators.s3_bucket'", ["amazon 9.0.0 has S3CreateBucketOperator in airflow.providers.amazon.aws.operators.s3", "!add"]),
    ("2.10.3", "ImportError: cannot import name 'ECSOperator' from 'airflow.providers.amazon.aws.operators.ecs' (x.py)", ["pin a version of apache-airflow-providers-amazon"]),
    ("2.10.3", "ImportError: cannot import name 'TaskGroup' from 'airflow.models' (x.py)", ["it is in airflow.utils.task_group"]),
    ("3.2.1", "ImportError: cannot import name 'Asset' from 'airflow.models' (x.py)", ["airflow.sdk"]),
    ("3.2.1", "ImportError: cannot import name 'days_ago' from 'airflow.utils.dates' (x.py)", ["Airflow 3 has no airflow.utils.dates"]),
    ("3.2.1", "ImportError: cannot import name 'conect' from 'common.db' (x.py)", ["dags/common/db.py has no conect; it has connect"]),
    ("3.2.1", "ImportError: cannot import name 'Frame' from 'pandas' (x.py)", ["pandas 2.1.4 has no Frame", "!add the package"]),
    ("3.2.1", "ImportError: cannot import name 'KafkaProducer' from partially initialized module 'kafka' (most likely due to a circular import)", ["dags/kafka.py hides the installed kafka"]),
    ("3.2.1", "ImportError: cannot import name 'a' from partially initialized module 'team.helpers' (most likely due to a circular import)", ["import each other"]),
    ("3.2.1", "ImportError: attempted relative import with no known parent package", ["whole path"]),
    ("3.2.1", "ImportError: libodbc.so.2: cannot open shared object file", ["operating system"]),
    ("3.2.1", "AttributeError: module 'pandas' has no attribute 'append'", ["pandas 2.1.4", "pin a version"]),
    ("3.2.1", "AttributeError: 'NoneType' object has no attribute 'split'", ["NoneType has no split", "!package"]),
    ("3.2.1", "NameError: name 'timedelta' is not defined", ["from datetime import timedelta", "!package"]),
    ("2.10.3", "NameError: name 'DAG' is not defined", ["import DAG from airflow"]),
    ("3.2.1", "NameError: name 'my_task' is not defined. Did you mean: 'mytask'?", ["mend its spelling", "!package"]),
    ("3.2.1", "TypeError: DAG.__init__() got an unexpected keyword argument 'schedule_interval'", ["use schedule"]),
    ("2.10.3", "TypeError: DAG.__init__() got an unexpected keyword argument 'schedul'", ["did you mean schedule"]),
    ("3.2.1", "TypeError: Variable.get() got an unexpected keyword argument 'default_var'", ["the argument is default"]),
    ("2.10.3", "TypeError: Variable.get() got an unexpected keyword argument 'default'", ["the argument is default_var"]),
    ("3.2.1", "TypeError: BashOperator.__init__() missing 1 required keyword-only argument: 'bash_command'", ["arguments that the message names"]),
    ("3.2.1", "TypeError: Invalid arguments were passed to BashOperator (task_id: a). Invalid arguments were:\n**kwargs: {'provide_context': True}", ["Airflow 3 has no argument provide_context"]),
    ("2.10.3", "airflow.exceptions.AirflowException: Invalid arguments were passed to BashOperator (task_id: a). Invalid arguments were:\n**kwargs: {'comand': 'x'}", ["no argument comand"]),
    ("2.10.3", "airflow.exceptions.AirflowException: missing keyword argument 'bash_command'", ["the argument bash_command"]),
    ("2.10.3", "airflow.exceptions.AirflowException: DAG is not allowed to define a Schedule, if there are any required params without default values", ["schedule=None", "!package"]),
    ("3.2.1", "ValueError: Dag 'x' is not allowed to define a Schedule, as there are required params without default values", ["schedule=None"]),
    ("3.2.1", "botocore.exceptions.ParamValidationError: Parameter validation failed:\nInvalid type for parameter Bucket", ["what the call gives AWS"]),
    ("3.2.1", "airflow.sdk.exceptions.ParamValidationError: Invalid input for param a", ["mend the Param"]),
    ("3.2.1", "airflow.exceptions.AirflowDagCycleException: Cycle detected in DAG", ["no cycles"]),
    ("3.2.1", "airflow.exceptions.DuplicateTaskIdFound: Task id 'a' has already been added to the DAG", ["own task_id"]),
    ("3.2.1", "airflow.exceptions.AirflowTimetableInvalid: [0 0 * *] is not acceptable", ["mend the schedule"]),
    ("2.10.3", "airflow.exceptions.AirflowException: DAG is missing the start_date parameter", ["start_date"]),
    ("3.2.1", "RuntimeError: Direct database access via the ORM is not allowed in Airflow 3.0", ["airflow.sdk"]),
    ("3.2.1", "FileNotFoundError: [Errno 2] No such file or directory: 'conf.yml'", ["relative path counts from /usr/local/airflow"]),
    ("3.2.1", "FileNotFoundError: [Errno 2] No such file or directory: '/home/me/dags/load.sql'", ["/usr/local/airflow/dags/sql/load.sql"]),
    ("3.2.1", "FileNotFoundError: [Errno 2] No such file or directory: 'include/big.sql'", ["not uploaded"]),
    ("3.2.1", "PermissionError: [Errno 13] Permission denied: '/usr/local/airflow/x'", ["/tmp"]),
    ("3.2.1", "ValueError: invalid literal for int() with base 10: 'a'", ["no package is missing", "!add"]),
    ("3.2.1", "TypeError: unsupported operand type(s) for >>: 'int' and 'str'", ["no package is missing", "!add"]),
    ("3.2.1", "KeyError: 'retries'", ["'retries'", "!package"]),
    ("3.2.1", "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", ["mend the file or text"]),
    ("3.2.1", "the process ended with 3 before it could answer", ["exit()"]),
    ("3.2.1", "the process died of signal 9", ["memory"]),
    ("3.2.1", "RecursionError: maximum recursion depth exceeded", ["without end"]),
]  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    project, site = tmp_path / "project", tmp_path / "lib/python3.12/site-packages"
    for root, files in ((project, PROJECT), (site, INSTALLED)):
        for name, text in files.items():
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    return project, site


def facts(places: tuple[Path, Path], version: str) -> Facts:
    project, site = places
    return Facts(version, "3.12", project, project / "dags", project / "plugins", site)


@pytest.mark.parametrize(("version", "error", "words"), TABLE, ids=[f"{row[0]}-{row[1][:70]}" for row in TABLE])
def test_advice(version: str, error: str, words: list[str], places: tuple[Path, Path]) -> None:
    file = places[0] / "dags/d.py"
    line = 1 if "s3_bucket" in error else 0
    said = advise(Raised(error, file, line, file), facts(places, version))
    for word in words:
        assert (word[1:] not in said) if word.startswith("!") else (word in said), said


@pytest.mark.parametrize(
    ("statement", "missed", "words"),
    [
        ("from dags.common.db import connect", "dags", "leave the prefix out: from common.db import"),
        ("from dags import common", "dags", "leave the prefix out: from common import"),
        ("import plugins.shared.tools", "plugins", "leave the prefix out: from shared.tools import"),
        ("from project.dags.common.db import connect", "project", "leave the prefix out: from common.db import"),
        ("from include.queries import sql", "include", "include/queries.py is not uploaded"),
        ("from dags.nothing import x", "dags", "leave the prefix dags out"),
    ],
)
def test_the_statement_says_what_python_does_not(
    statement: str, missed: str, words: str, places: tuple[Path, Path]
) -> None:
    file = places[0] / "dags/other.py"
    file.write_text(f"\n{statement}\n")
    said = advise(Raised(f"ModuleNotFoundError: No module named '{missed}'", file, 2, file), facts(places, "3.2.1"))
    assert words in said, said


def test_there_are_forty() -> None:
    assert len(TABLE) >= 40
    assert len({row[1] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ImportError: cannot import name 'DagBag' from 'airflow' (x)", ["written for another Airflow than 3.2.1"]),
        ("ModuleNotFoundError: No module named 'airflow.utils.helpers'", ["take a version of dag-factory made for it"]),
        ("ModuleNotFoundError: No module named 'jsonpath'", ["it needs jsonpath", "add the package that has jsonpath"]),
        ("AttributeError: module 'pandas' has no attribute 'Panel'", ["does not fit pandas 2.1.4"]),
    ],
)
def test_an_import_error_inside_a_package_names_it(error: str, words: list[str], places: tuple[Path, Path]) -> None:
    inside = places[1] / "dagfactory/core.py"
    said = advise(Raised(error, places[0] / "dags/d.py", 1, inside), facts(places, "3.2.1"))
    assert said.startswith("dag-factory 0.19.0 itself fails (dagfactory/core.py)")
    for word in words:
        assert word in said


def test_a_value_that_a_package_refuses_is_no_fault_of_the_package(places: tuple[Path, Path]) -> None:
    raised = Raised("ValueError: bad", places[0] / "dags/d.py", 1, places[1] / "dagfactory/core.py")
    said = advise(raised, facts(places, "3.2.1"))
    assert said == "it was raised in dag-factory 0.19.0 (dagfactory/core.py): look at what the line gives it"


def test_all_of_the_message_is_told(tmp_path: Path) -> None:
    path = tmp_path / "dags/d.py"
    space = workspace(tmp_path, {"dags/d.py": "# airflow dag\n"})
    text = "botocore.exceptions.ParamValidationError: Parameter validation failed:"
    whole = f"{text}\nInvalid type for parameter Bucket, value: 5, type: <class 'int'>"
    imported(space, "dags/d.py", problems=(ImportProblem(text, path, 1, message=whole),))
    (found,) = hits("DAG002", space)
    assert "Invalid type for parameter Bucket, value: 5" in found.message
    assert "\n" not in found.message
    assert "package" not in found.fix
    assert advice.told("x" * 5000).endswith(" …")


def test_what_no_value_decides_is_certain() -> None:
    for text in ("NameError: name 'x' is not defined", "TypeError: f() got an unexpected keyword argument 'a'"):
        assert advice.certain(text)
    for text in (
        "KeyError: 'x'",
        "TypeError: unsupported operand",
        "AttributeError: 'str' object has no attribute 'x'",
    ):
        assert not advice.certain(text)
