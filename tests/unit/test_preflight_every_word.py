"""Every word that a rule knows, by hand: one line for each, and which of those lines the rule names."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import hits, script, workspace

from mwaa_local.preflight.findings import Severity
from mwaa_local.preflight.workspace import Workspace

HEAD = (
    "import datetime as d, os, shutil, socket, urllib.request\nfrom datetime import date, datetime\n\n"
    "import boto3, httpx, paramiko, pendulum, psycopg2, requests, urllib3\nfrom airflow.sdk import DAG, Variable\n"
    "from airflow.utils import timezone\nfrom airflow.hooks.base import BaseHook\nfrom airflow.models import Connection\n"
)
HOME = "/usr/local/airflow"

# rule, lines it names, lines it passes over; in a startup script
SCRIPTS: list[tuple[str, list[str], list[str]]] = [
    (
        "SUP006",
        [f"{tool} {word} -y" for tool in ("sudo yum", "sudo dnf") for word in ("update", "upgrade", "distro-sync")]
        + ["yum -y update", "yum update -y --exclude=kernel"],
        [
            "yum update -y libaio", "yum install -y a", "rpm update", "dnf -y",
            "yum update -y --exclude=python3", "yum update -x=python*", "yum -x python* update", "yum update --exclude python3*",
        ],
    ),
    (
        "SUP009",
        ["sleep 300", "tail -f x", "tail -F x", "tail --follow x", "python3 -m http.server", "python -m http.server 80", "read A",
         "while :; do", "while [ 1 ]; do", "while (( 1 )); do"],
        ["tail -f x &", "tail x", "python3 -m http.server &", "read -t 3 A", "echo a | read A", "read A < x", "( read A )",
         "sleep x", "while [ -f x ]; do", "sleep 400 &"],
    ),
    (
        "SUP010",
        [f"sudo yum {word} a" for word in ("install", "update", "upgrade", "remove", "erase", "groupinstall")]
        + [f"sudo dnf {word} a" for word in ("install", "update", "upgrade", "remove", "groupinstall")]
        + ["pip uninstall a", "pip3 uninstall a", "dnf --setopt=a install b"],
        ["sudo yum list", "pip install a", "pip uninstall -y a", "yum install -qy a", "dnf install --assumeyes a",
         "pip3 uninstall --yes a", "yes | yum install a", "yum search install-me"],
    ),
    (
        "SUP011",
        [f"{word} x" for word in ("yum", "dnf", "rpm", "ldconfig", "alternatives", "update-ca-trust", "update-crypto-policies")]
        + ["chown a /etc/x", "mkdir /opt/x", "touch /etc/x", "tee /etc/x", "rm -f /etc/x", "chmod 755 /etc/x", "ln -s a /usr/bin/a",
           "cp a /etc/x", "mv a /etc/x", "install a /usr/bin/a", "echo a > /etc/x", "mkdir a /opt/x"],
        [f"yum {word}" for word in ("list", "info", "search", "repolist", "--version", "check-update", "provides")]
        + ["rpm -q a", "rpm -qa", "chown a b", f"chown a {HOME}/b", "mkdir /tmp/x", "mkdir /var/tmp/x", "echo a > /dev/null",
           "sudo yum install a", "cp /etc/x a", f"touch {HOME}/x", "chmod /etc/x a", "cat /etc/x", "mkdir x"],
    ),
    (
        "SUP013",
        [f"export {name}=1" for name in ("PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_CONSTRAINT", "PIP_NO_DEPS", "PIP_TARGET",
                                         "PIP_PREFIX", "PIP_USER", "MWAA_ESSENTIAL_CONSTRAINTS_FILE")],
        [f"export {name}=1" for name in ("PIP_EXTRA_INDEX_URL", "PIP_CACHE_DIR", "PIP_TRUSTED_HOST")] + ["PIP_USERS=1"],
    ),
    (
        "SUP014",
        [f"{word} {HOME}/dags/x" for word in ("mkdir", "touch", "tee", "cp a", "mv a", "ln -s a", "install a", "unzip a -d", "git clone a")]
        + ["touch dags/x", "touch $AIRFLOW_HOME/dags", "touch ${AIRFLOW_HOME}/dags/x", "touch ~/dags/x", "touch $HOME/dags/x",
           f"echo a >> {HOME}/dags/x"],
        [f"ls {HOME}/dags", "touch dagster/x", "touch my-dags/x", f"cp {HOME}/dags/x /tmp/x", "touch /tmp/dags/x", "touch"],
    ),
    (
        "SUP017",
        ["A_B=1", "TOKEN=x", "AB=", "A_B=1; echo $A_BC", "A_B=1; echo A_B"],
        ["export A_B=1", "a_b=1", "A=1", "A_b=1", "PATH=/x", "IFS=,", "PS1=x", "LD_LIBRARY_PATH=/x", "A_B=1; echo $A_B",
         "A_B=1; echo ${A_B}x", "A_B=1; echo ${#A_B}", "A_B=1; echo ${!A_B}", "A_B=1 env", "( A_B=1 )", "A_B=1; export A_B"],
    ),
    (
        "SUP016",
        ["pip install celery", "pip3 install -q celery", "python -m pip install Celery==5", "pip install x celery[redis]",
         "pip install x", "pip install -U x"],
        ["pip install --target /tmp/x celery", "pip download celery", "python3 -m venv v && v/bin/pip install celery", "pip list"],
    ),
]  # fmt: skip
# the same in a DAG file, behind HEAD
DAGS: list[tuple[str, list[str], list[str]]] = [
    (
        "DAG006",
        ["requests.get('u')", "urllib.request.urlopen('u')", "httpx.get('u')", "socket.create_connection(('a', 1))",
         "urllib3.request('GET', 'u')", "boto3.client('s3').list_buckets()", "boto3.resource('s3').meta()",
         "psycopg2.connect('d')", "paramiko.SSHClient()"],
        ["requests.Session()", "requests.Request('GET')", "requests.adapters.HTTPAdapter()", "requests.auth.HTTPBasicAuth('a', 'b')",
         "httpx.Client()", "httpx.Timeout(3)", "urllib3.disable_warnings()", "urllib.request.Request('u')", "boto3.client('s3')",
         "socket.gethostname()"],
    ),
    (
        "DAG007",
        ["Variable.get('a')", "BaseHook.get_connection('a')", "Connection.get('a')", "Connection.get_connection_from_secrets('a')"],
        ["Variable.set('a', 'b')", "os.environ.get('a')", "BaseHook()"],
    ),
    (
        "DAG012",
        [f"open('{HOME}/dags/x', '{mode}')" for mode in ("w", "a", "x", "wb", "r+")]
        + [f"open('{HOME}/plugins/x', mode='w')", "open(__file__, 'w')", f"os.makedirs('{HOME}/dags/x')", f"os.mkdir('{HOME}/dags/x')",
           f"shutil.copy('a', '{HOME}/dags/x')", f"shutil.copyfile('a', '{HOME}/dags/x')", f"shutil.move('a', '{HOME}/dags/x')",
           f"frame.to_csv('{HOME}/dags/x')", f"frame.to_parquet('{HOME}/dags/x')", f"frame.to_json('{HOME}/dags/x')",
           f"frame.to_excel('{HOME}/dags/x')"]
        + [f"Path('{HOME}/dags/x').{method}()" for method in ("write_text", "write_bytes", "mkdir", "touch")]
        + [f"Bash(bash_command='echo > {HOME}/dags/x')", "Bash(bash_command='echo >> $AIRFLOW_HOME/dags/x')",
           "Bash(bash_command='echo >${AIRFLOW_HOME}/dags/x')"],
        [f"open('{HOME}/dags/x')", f"open('{HOME}/dags/x', 'rb')", f"open('{HOME}/dagster/x', 'w')", "open('/tmp/x', 'w')",
         f"shutil.copy('{HOME}/dags/x', '/tmp/x')", f"Path('{HOME}/dags/x').read_text()", f"os.listdir('{HOME}/dags')",
         f"Bash(bash_command='cat {HOME}/dags/x')", "frame.to_csv()"],
    ),
    (
        "DAG018",
        [f"from airflow.anywhere import {name}" for name in ("create_session", "provide_session", "create_session_async")]
        + [f"from airflow.settings import {name}" for name in ("Session", "NonScopedSession", "engine")],
        ["from airflow.settings import json", "from elsewhere import create_session", "from airflow.models import DagRun as D"],
    ),
    (
        "DAG015",
        [f"DAG('a', start_date={now}())" for now in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today",
         "pendulum.now", "pendulum.today", "pendulum.yesterday", "timezone.utcnow")]
        + ["X = {'start_date': d.datetime.now()}"],
        ["DAG('a', end_date=datetime.now())", "datetime.now()", "DAG('a', start_date=datetime(2024, 1, 1))", "X = {'end': datetime.now()}"],
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the file decides; no package set is asked."""
    monkeypatch.setattr(Workspace, "imports", type("None_", (), {"dags": {}})())


@pytest.mark.parametrize(("rule", "bad", "good"), SCRIPTS, ids=[row[0] for row in SCRIPTS])
def test_a_rule_of_the_startup_script_knows_these_words(
    rule: str, bad: list[str], good: list[str], tmp_path: Path
) -> None:
    for number, line in enumerate(bad):
        found = hits(rule, workspace(tmp_path / f"bad{number}", script(f"echo\n{line}\n")))
        assert [hit.line for hit in found] == [2], line
    for number, line in enumerate(good):
        assert hits(rule, workspace(tmp_path / f"good{number}", script(f"echo\n{line}\n"))) == [], line


@pytest.mark.parametrize(("rule", "bad", "good"), DAGS, ids=[row[0] for row in DAGS])
def test_a_rule_of_dags_knows_these_words(rule: str, bad: list[str], good: list[str], tmp_path: Path) -> None:
    text = HEAD + "".join(f"{line}\n" for line in [*good, "'and now those that are named'", *bad])
    first = HEAD.count("\n") + len(good) + 2
    found = hits(rule, workspace(tmp_path, {"dags/a.py": text}))
    lines = [hit.line for hit in found]
    assert sorted(lines) == list(range(first, first + len(bad))), [text.splitlines()[line - 1] for line in lines]


@pytest.mark.parametrize(
    ("text", "slept"),
    [("sleep 294\n", False), ("sleep 5m\n", True), ("sleep 294s\n", False), ("sleep 0.1h\n", True), ("sleep 1d\n", True),
     ("sleep infinity\n", True), ("sleep 4m 54\n", False), ("sleep 4m 55\n", True), ("sleep 150\nsleep 145\n", True)],
)  # fmt: skip
def test_the_time_that_a_script_sleeps(text: str, slept: bool, tmp_path: Path) -> None:
    """MWAA's wrapper asks it to end after 295 s and kills it 5 s later (spec/10 section 3.3)."""
    assert bool(hits("SUP009", workspace(tmp_path, script(text)))) is slept


def test_hooks_that_airflow_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["task_policy", "dag_policy", "task_instance_mutation_hook", "pod_mutation_hook", "get_airflow_context_vars",
             "get_dagbag_import_timeout"]  # fmt: skip
    monkeypatch.setattr(Workspace, "imports", type("None_", (), {"settings": {}})())
    text = "".join(f"def {name}(x): ...\n" for name in [*names, "my_own"])
    found = hits("PLG015", workspace(tmp_path, {"plugins/airflow_local_settings.py": text}))
    assert [hit.line for hit in found] == [1, 2, 3, 4, 5, 6]
    assert {hit.severity for hit in found} == {Severity.WARNING}, "the file itself runs"
    assert [name for name in names if any(name in hit.message for hit in found)] == names
