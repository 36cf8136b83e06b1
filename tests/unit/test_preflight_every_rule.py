"""Each rule has the smallest workspace that makes it speak: it does, and every other rule is silent."""

from __future__ import annotations

import dataclasses
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from preflight_support import DAG, imported, write

from mwaa_local import catalog
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.requirements import Reading
from mwaa_local.packages.sets import PackageSet as InstalledSet
from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Hit, Severity, Unchecked
from mwaa_local.preflight.imports import QUEUE, FileImport, ImportProblem, Imports
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.types import Archive, Package, Resolution
from mwaa_local.preflight.sets import PackageSet
from mwaa_local.preflight.workspace import Workspace

HEAD = "from datetime import datetime\n\nfrom airflow.sdk import DAG\n\n"
PLUGIN = 'from airflow.plugins_manager import AirflowPlugin\n\n\nclass P(AirflowPlugin):\n    name = "p"\n'
PINNED = "plain==1.0\n"
WHEEL = Archive("plain-1.0-py3-none-any.whl", "https://x/plain-1.0-py3-none-any.whl", 1000)
CONSTRAINTS = "".join(f"filler-{number}==1\n" for number in range(20)) + "library==2.0\n"
OWN = "--constraint /usr/local/airflow/dags/constraints.txt\n"
NEXT = "Metadata-Version: 2.1\nName: x\nVersion: 2.0\nRequires-Dist: apache-airflow>=9\n"
FOREIGN = "--constraint /usr/local/airflow/dags/constraints-2.9.2-py3.12.txt\n"

Files = Mapping[str, str | bytes]
Answer = Callable[[Reading], Resolution]


def option(name: str, value: str) -> dict[str, str | bytes]:
    return {"mwaa.yaml": f'AirflowConfigurationOptions:\n  {name}: "{value}"\n'}


def dag(text: str) -> dict[str, str | bytes]:
    return {"dags/d.py": HEAD + text}


def script(text: str) -> dict[str, str | bytes]:
    return {"startup/startup.sh": text}


def plugin(text: str = PLUGIN, name: str = "p.py") -> dict[str, str | bytes]:
    return {f"plugins/{name}": text}


def zipped(names: Mapping[str, str], mode: int = 0o644) -> Callable[[Workspace], None]:
    def make(space: Workspace) -> None:
        space.project.mkdir(exist_ok=True)
        with zipfile.ZipFile(space.project / "plugins.zip", "w") as archive:
            for name, text in names.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFREG | mode) << 16
                archive.writestr(info, text)

    return make


def made(**result: Any) -> Callable[[Workspace], None]:
    """Pretend that dags/d.py was imported with a result."""
    return lambda space: imported(space, "dags/d.py", **{"dags": ({"id": "one", "tasks": []},), **result})


def failing_plugin(space: Workspace) -> None:
    bad = FileImport("worker", 0.1, False, (ImportProblem("ValueError: x", space.project / "plugins/p.py", 1),), ())
    space.__dict__["imports"] = Imports(PackageSet(Path("python"), True), plugins={"worker": bad})


def twins(space: Workspace) -> None:
    for name in ("dags/d.py", "dags/e.py"):
        imported(space, name, dags=({"id": "one", "tasks": []},))


def out_of_support(space: Workspace) -> None:
    reading = space.definition
    version = dataclasses.replace(reading.environment.version, offered="ended")
    environment = reading.environment.having(version=version)
    space.__dict__["definition"] = dataclasses.replace(reading, environment=environment)


def link(space: Workspace) -> None:
    (space.project / "dags/l.py").symlink_to("/etc/hostname")


def shellcheck(space: Workspace) -> None:
    notes = '[{"code": 2154, "level": "warning", "line": 1, "message": "x"}]'
    tool = write(space.project, {"bin/shellcheck": f"#!/bin/sh\ncat > /dev/null\necho '{notes}'\n"}) / "bin/shellcheck"
    tool.chmod(0o755)
    os.environ["PATH"] = f"{tool.parent}:{os.environ['PATH']}"


def gives(**package: Any) -> Answer:
    return lambda reading: Resolution({"plain": Package("plain", "1.0", **{"archive": WHEEL, **package})}, {})


PLAIN = gives()


def fails(kind: Any, **more: Any) -> Answer:
    def answer(reading: Reading) -> Resolution:
        raise UnmetRequirementsError("it fails", kind=kind, **more)

    return answer


def broken_image(space: Workspace) -> None:
    found = resolve.outcome(space)
    assert found is not None
    base = InstalledSet(space.project / "base", "k", "3.2.1", "3.12.1", "base", "k")
    info = base.site_packages / "needs_plain-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: needs-plain\nVersion: 1.0\nRequires-Dist: plain<1\n")
    resolution = Resolution({"plain": Package("plain", "1.0", WHEEL)}, {"plain": "0.9"})
    situation = dataclasses.replace(found.situation, base=base)
    resolve._memory[space] = dataclasses.replace(found, resolution=resolution, situation=situation)


@dataclass(frozen=True)
class Case:
    """Files, what happens to the workspace before the rules run, and what the resolver answers."""

    files: Files = field(default_factory=dict)
    then: Callable[[Workspace], None] = lambda space: None
    version: str = "3.2.1"
    answer: Answer = PLAIN
    constraints: bool = True


def requirements(text: str, answer: Answer = PLAIN, own: bool = True, **more: Any) -> Case:
    files = {"dags/constraints.txt": CONSTRAINTS, "requirements/requirements.txt": (OWN if own else "") + text}
    return Case({**files, **more.pop("files", {})}, answer=answer, **more)


CASES = {
    "DEF001": Case({"mwaa.yaml": "Name: [\n"}),
    "DEF002": Case({"mwaa.yaml": "Nme: x\n"}),
    "DEF003": Case({"mwaa.yaml": "MaxWorkers: many\n"}),
    "DEF004": Case(option("core.multi_team", "True")),
    "DEF005": Case({"mwaa.yaml": "MaxWorkers: 26\n"}),
    "DEF006": Case({"mwaa.yaml": "WebserverAccessMode: PUBLIC_AND_PRIVATE\n"}, version="2.10.3"),
    "DEF007": Case(option("celery.worker_concurrency", "4")),
    "DEF008": Case(option("core.check_slas", "True")),
    "DEF009": Case(option("celery.worker_autoscale", "5")),
    "DEF010": Case(option("secrets.backend_kwargs", "{}")),
    "DEF011": Case({"mwaa.yaml": "LoggingConfiguration:\n  TaskLogs: {Enabled: true, LogLevel: ERROR}\n"}),
    "DEF012": Case(option("webserver.base_url", "https://a.example.com/x")),
    "DEF013": Case(option("core.dagbag_import_timeout", "60")),
    "DEF014": Case({"mwaa.yaml": "RequirementsS3ObjectVersion: abc\n"}),
    "DEF015": Case({"mwaa.yaml": "KmsKey: alias/mine\n"}),
    "DEF016": Case({"mwaa.yaml": "AirflowVersion: 3.2.1\n"}, out_of_support),
    "DEF017": Case(option("smtp.smtp_port", "25")),
    "DEF018": Case({"mwaa.yaml": "Local:\n  Paths: {Dags: nowhere}\n"}),
    "REQ001": requirements("library==1.0\n", fails("conflict")),
    "REQ002": requirements(PINNED, fails("no-match", packages=["plain"])),
    "REQ003": requirements("plain=1.0\n"),
    "REQ004": requirements(PINNED, fails("build", packages=["plain"])),
    "REQ005": requirements(PINNED, own=False),
    "REQ006": requirements(PINNED + "# we do not use -c here\n", own=False),
    "REQ007": requirements(FOREIGN + PINNED, files={"dags/constraints-2.9.2-py3.12.txt": CONSTRAINTS}),
    "REQ008": requirements("plain>=1\n"),
    "REQ009": requirements(PINNED, gives(archive=Archive("plain-1.0.tar.gz", "https://x/p", 1000, wheel=False))),
    "REQ010": requirements(
        "pdf2image==1.17.0\n", lambda reading: Resolution({"pdf2image": Package("pdf2image", "1.17.0", WHEEL)}, {})
    ),
    "REQ011": requirements(PINNED, files={"mwaa.yaml": "WebserverAccessMode: PRIVATE_ONLY\n"}),
    "REQ012": requirements("--index-url https://i.example.com/simple\n" + PINNED),
    "REQ013": requirements(PINNED + "--extra-index-url http://plain.example.com/simple\n"),
    "REQ014": requirements(PINNED, gives(yanked="it deletes files")),
    "REQ015": requirements(
        "apache-airflow-providers-next==2.0\n",
        fails("conflict"),
    ),
    "REQ016": requirements("git+https://git.example.com/a/plain.git@v1#egg=plain\n"),
    "REQ017": requirements("plain==1.0 --hash=sha256:00\nother==1.0\n"),
    "REQ018": requirements("--extra-index-url https://${NOBODY}@i.example.com/simple\n" + PINNED),
    "REQ019": requirements(PINNED, gives(archive=dataclasses.replace(WHEEL, size=1_200_000_000))),
    "REQ020": Case(requirements(PINNED).files, broken_image),
    "REQ021": requirements(PINNED, own=False, constraints=False),
    "PLG001": Case({"plugins.zip": b"PK nothing"}),
    "PLG002": Case({}, zipped({"p.py": PLUGIN, "../x.txt": "x"})),
    "PLG003": Case({}, zipped({"plugins/p.py": PLUGIN})),
    "PLG004": Case({}, zipped({"p.py": PLUGIN, "run.sh": "echo\n"})),
    "PLG005": Case({"mwaa.yaml": "Local: {MaxPluginsBytes: 100}\n", "plugins/data.bin": b"x" * 101}),
    "PLG006": Case({}, zipped({"p.py": PLUGIN, "__MACOSX/._p.py": "x"})),
    "PLG007": Case(plugin() | plugin("X = 1\n", "h.py")),
    "PLG008": Case(plugin(), failing_plugin),
    "PLG009": Case(plugin(PLUGIN + "    admin_views = [1]\n")),
    "PLG010": Case({"plugins/a-1.0-cp312-cp312-macosx_11_0_arm64.whl": b""}),
    "PLG011": Case({"plugins/a-1.0.tar.gz": b""}),
    "PLG012": Case(plugin(PLUGIN.replace('name = "p"', "x = 1"))),
    "PLG013": Case(plugin('import os\nos.environ["A"] = "b"\n' + PLUGIN)),
    "PLG014": Case(plugin(PLUGIN, "logging.py")),
    "PLG015": Case({"dags/airflow_local_settings.py": "def task_policy(task):\n    pass\n"}),
    "PLG016": Case(plugin() | {"plugins/.airflowignore": "p.py\n"}),
    "PLG017": Case(plugin(), zipped({"p.py": PLUGIN + "# newer\n"})),
    "SUP001": Case(script("if true; then\necho b\n")),
    "SUP002": Case(script("echo a\r\necho b\r\n")),
    "SUP003": Case(script("set -e\n")),
    "SUP004": Case(script("exec python3 x.py\n")),
    "SUP005": Case(script("export AIRFLOW_HOME=/x\n")),
    "SUP006": Case(script("sudo yum update -y\n")),
    "SUP007": Case(script("which python3\n")),
    "SUP008": Case(script("curl x\n") | {"mwaa.yaml": "WebserverAccessMode: PRIVATE_ONLY\n"}),
    "SUP009": Case(script("sleep 300\n")),
    "SUP010": Case(script("sudo yum install gcc\n")),
    "SUP011": Case(script("dnf install -y gcc\n")),
    "SUP012": Case(script("sudo dnf install -y python3.13\n")),
    "SUP013": Case(script("export PIP_INDEX_URL=https://pypi.example.com/simple\n")),
    "SUP014": Case(script("cp /tmp/a /usr/local/airflow/dags/a\n")),
    "SUP015": Case(script("export PATH=/opt/bin\n")),
    "SUP016": Case(script("pip3 install requests\n")),
    "SUP017": Case(script("STAGE=dev\n")),
    "SUP018": Case(script("#!/usr/bin/env python3\necho\n")),
    "SUP019": Case(script("echo $B\n"), shellcheck),
    "DAG001": Case(dag("x = (\n")),
    "DAG002": Case(dag("import x\n"), made(dags=(), problems=(ImportProblem("ValueError: x", None, 0),))),
    "DAG003": Case(dag("x = 1\n"), made(seconds=12)),
    "DAG004": Case({"dags/d.py": DAG, "dags/e.py": DAG}, twins),
    "DAG005": Case(dag('BashOperator(task_id="a", queue="big")\n')),
    "DAG006": Case(dag("import requests\nrequests.get('https://x')\n")),
    "DAG007": Case(dag("from airflow.sdk import Variable\nx = Variable.get('k')\n")),
    "DAG008": Case(dag('DAG("a", schedule_interval=None)\n')),
    "DAG009": Case({"dags/d.py": "from airflow.utils.dates import days_ago  # dag\n"}),
    "DAG010": Case({"dags/d.py": "from mylib import make as DAG\n\nDAG('a')\n"}),
    "DAG011": Case(dag("x = 1\n"), made(dags=())),
    "DAG012": Case(dag('open("/usr/local/airflow/dags/x", "w")\n')),
    "DAG013": Case(dag("x = 1\n"), made(dags=({"id": "a", "tasks": [{"task": "t", "queue": QUEUE, "execution_timeout": 43201}]},))),
    "DAG014": Case(dag("x = 1\n"), made(dags=tuple({"id": str(number), "tasks": []} for number in range(1001)))),
    "DAG015": Case(dag('DAG("a", schedule=None, start_date=datetime.now())\n')),
    "DAG016": Case(dag("from email import mine\n") | {"dags/email.py": "def mine():\n    pass\n"}),
    "DAG017": Case(dag('task(executor="KubernetesExecutor")\n')),
    "DAG018": Case({"dags/d.py": "from airflow.utils.session import provide_session  # dag\n"}),
    "DAG019": Case(dag('DAG("a", schedule="@daily", start_date=datetime(2024, 1, 1))\n')),
    "DAG020": Case({"dags/d.py": "from airflow.decorators import dag\n\n\n@dag(schedule=None)\ndef x():\n    pass\n"}),
    "DAG021": Case(dag("BashOperator(task_id='a', sla=1)\n")),
    "DAG022": Case({"dags/d.py": DAG}, link),
    "DAG025": Case({"dags/d.py": DAG, "dags/.airflowignore": "(?!x)y\n"}, version="2.10.3"),
    "DAG026": Case(dag("from airflow.sdk import task\n\n\n@task\ndef f(**c):\n    c['execution_date']\n")),
}  # fmt: skip


def test_every_rule_has_its_case() -> None:
    assert sorted(CASES) == [rule.id for rule in registry.rules()]


@pytest.mark.parametrize("rule_id", CASES)
def test_only_this_rule_speaks(rule_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[rule_id]
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr(resolve.resolve_uv, "resolve", lambda reading, *_, **__: case.answer(reading))
    monkeypatch.setattr(resolve_conflict, "lookup", lambda wanted, situation: resolve_metadata.parse(NEXT))
    if not case.constraints:
        monkeypatch.setattr(catalog, "constraint_pins", lambda _airflow: None)
    if case.constraints:
        kept = {"3.2.1": "3.12", "2.10.3": "3.11"}
        write(tmp_path, {f"cache/constraints/constraints-{a}-py{p}.txt": CONSTRAINTS for a, p in kept.items()})
    variables = {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MWAA_LOCAL_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_CONFIG_FILE": "/dev/null", "HTTPS_PROXY": "http://127.0.0.1:9",
    }  # fmt: skip
    folder = write(tmp_path / "project", case.files)
    with Workspace(folder, flags={"AirflowVersion": case.version}, variables=variables) as space:
        space.__dict__["imports"] = Imports(None)
        case.then(space)
        said = {rule: list(rule.check(space)) for rule in registry.rules()}
        loud = {
            rule.id
            for rule, outcomes in said.items()
            for item in outcomes
            if isinstance(item, Hit) and (item.severity or rule.severity) is not Severity.INFO
        }
        speaks = {rule.id for rule, outcomes in said.items() if outcomes}
        told = [item for outcomes in said.values() for item in outcomes if isinstance(item, Unchecked)]
    assert rule_id in speaks
    assert loud <= {rule_id}, {rule.id: outcomes for rule, outcomes in said.items() if outcomes}
    assert [item.brief for item in told] == (["without Airflow's constraint file"] if rule_id == "REQ021" else [])
