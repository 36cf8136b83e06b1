"""Imports in real package sets of both major versions: what Airflow says is what the report says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from patience import Stopwatch
from preflight_sets import VERSIONS, base_python, workspace

from mwaa_local.catalog.parsing import parsing
from mwaa_local.preflight import imports, registry
from mwaa_local.preflight.findings import Hit
from mwaa_local.preflight.imports import QUEUE, Imports
from mwaa_local.preflight.workspace import Workspace

HEAD = """from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.sensors.filesystem import FileSensor
except ImportError:
    from airflow import DAG
    from airflow.operators.bash import BashOperator
    from airflow.sensors.filesystem import FileSensor
"""
PLAIN = (
    HEAD
    + 'with DAG("{id}", schedule=None, start_date=datetime(2024, 1, 1)):\n    BashOperator(task_id="t", bash_command="true")\n'
)


def dag(identity: str, before: str = "", task: str = "") -> str:
    return HEAD + before + PLAIN[len(HEAD) :].format(id=identity) + (f"    {task}\n" if task else "")


def hits(rule: str, space: Workspace) -> list[Hit]:
    return [item for item in registry.rule(rule).check(space) if isinstance(item, Hit)]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_becomes_of_dag_files(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run over many files: each ends as it would in the DAG processor, and none sees another's leftovers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    arrived = threading.Event()

    def wait() -> None:
        listener.settimeout(60)
        try:
            listener.accept()
            arrived.set()
        except OSError:
            pass

    threading.Thread(target=wait, daemon=True).start()
    files = {
        "dags/good.py": dag("good"),
        "dags/no_airflow_word.py": "x = 1 / 0\n",
        "dags/missing.py": dag("missing", "import surely_not_there\n"),
        "dags/syntax.py": "# airflow dag\nx = (\n",
        "dags/twin_a.py": dag("twin"),
        "dags/twin_b.py": dag("twin"),
        "dags/queue.py": dag("queue", task='BashOperator(task_id="q", bash_command="true", queue="big")'),
        "dags/net.py": dag("net", f'import socket\nsocket.create_connection(("127.0.0.1", {port}), 2)\n'),
        "dags/dns.py": dag("dns", 'import urllib.request\nurllib.request.urlopen("https://example.com", timeout=2)\n'),
        "dags/child.py": dag("child", f'import subprocess, sys\nsubprocess.run([sys.executable, "-c", "import socket; socket.create_connection((\'127.0.0.1\', {port}), 2)"])\n'),
        "dags/variable.py": dag("variable", 'from airflow.models import Variable\nx = Variable.get("stage")\ny = Variable.get("other", "given")\nassert y == "given"\n'),
        "dags/connection.py": dag("connection", 'try:\n    from airflow.sdk import BaseHook\nexcept ImportError:\n    from airflow.hooks.base import BaseHook\nhost = BaseHook.get_connection("db").host\n'),
        "dags/helper.py": "# airflow dag helpers\nVALUE = 3\n",
        "dags/check.py": "VALUE = 5\n",
        "dags/uses_check.py": dag("uses_check", "import check\nassert check.VALUE == 5\n"),
        "dags/uses_helper.py": dag("uses_helper", "import helper\nassert helper.VALUE == 3\nhelper.VALUE = 4\n"),
        "dags/uses_helper_too.py": dag("uses_helper_too", "import helper\nassert helper.VALUE == 3\nhelper.VALUE = 4\n"),
        "dags/home.py": dag("home", 'import os\nassert open(os.environ["AIRFLOW_HOME"] + "/dags/data.txt").read() == "x"\n'),
        "dags/data.txt": "x",
        "dags/exported.py": dag("exported", 'import os\nassert os.environ["STAGE"] == "dev"\nassert os.environ["AIRFLOW__FOO__USER"] == "bob"\nassert "SECRET_OF_MINE" not in os.environ\n'),
        "dags/exits.py": dag("exits", "import os\nos._exit(3)\n"),
        "dags/dies.py": dag("dies", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"),
        "dags/prints.py": dag("prints", 'print("x" * 100000)\n'),
        "dags/long.py": dag("long", task='BashOperator(task_id="l", bash_command="true", execution_timeout=timedelta(hours=13))'),
        "dags/poke.py": dag("poke", task='FileSensor(task_id="p", filepath="x", timeout=50000)'),
        "dags/cycle.py": dag("cycle", task='a = BashOperator(task_id="a", bash_command="true")\n    a >> BashOperator(task_id="b", bash_command="true") >> a'),
        "dags/unstorable.py": dag("unstorable", "from airflow.timetables.base import Timetable\nclass Mine(Timetable):\n    pass\n").replace("schedule=None", "schedule=Mine()"),
        "startup/startup.sh": "export STAGE=dev\n",
        "mwaa.yaml": "AirflowConfigurationOptions:\n  foo.user: bob\n",
    }  # fmt: skip
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    space = workspace(tmp_path, files, version)
    result = space.imports
    listener.close()
    assert not result.unchecked
    by_name = {path.name: item for path, item in result.dags.items()}

    def words(name: str) -> list[str]:
        return [problem.text for problem in by_name[name].problems]

    fine = (
        "good",
        "twin_a",
        "twin_b",
        "queue",
        "variable",
        "connection",
        "helper",
        "uses_helper",
        "uses_helper_too",
        "uses_check",
        "home",
        "exported",
        "prints",
        "long",
        "poke",
    )
    for name in fine:
        assert words(f"{name}.py") == [], name
    assert "no_airflow_word.py" not in by_name
    assert words("missing.py") == ["ModuleNotFoundError: No module named 'surely_not_there'"]
    assert [(problem.file, problem.line) for problem in by_name["missing.py"].problems] == [
        (tmp_path / "dags/missing.py", 10)
    ]
    assert words("syntax.py")[0].startswith("SyntaxError")
    assert "before it could answer" in words("exits.py")[0]
    assert "signal 9" in words("dies.py")[0]
    assert "ycl" in words("cycle.py")[0]
    assert words("unstorable.py"), "a DAG that cannot be stored is an import error on MWAA"

    # Connections are refused and named with the line; not even a child process gets out where namespaces are to be had.
    assert [(item.target, item.line) for item in by_name["net.py"].accesses] == [(f"127.0.0.1:{port}", 11)]
    assert [(item.target, item.line) for item in by_name["dns.py"].accesses] == [("example.com:443", 11)]
    if result.view.get("network_cut"):
        assert not arrived.is_set()

    assert [(item.kind, item.target, item.line) for item in by_name["variable.py"].accesses] == [
        ("variable", "stage", 11),
        ("variable", "other", 12),
    ]
    assert [(item.kind, item.target) for item in by_name["connection.py"].accesses] == [("connection", "db")]
    assert {task["queue"] for item in by_name["queue.py"].dags for task in item["tasks"]} == {QUEUE, "big"}

    # And the rules say it.
    assert [(item.file and item.file.name, item.line) for item in hits("DAG002", space)] == [
        ("cycle.py", 0),
        ("dies.py", 0),
        ("exits.py", 0),
        ("missing.py", 10),
        ("unstorable.py", 13),
    ]
    assert [item.file and item.file.name for item in hits("DAG001", space)] == ["syntax.py"]
    assert [item.file and item.file.name for item in hits("DAG004", space)] == ["twin_b.py"]
    assert [item.file and item.file.name for item in hits("DAG005", space)] == ["queue.py"]
    assert [item.file and item.file.name for item in hits("DAG006", space)] == ["dns.py", "net.py"]
    assert [item.file and item.file.name for item in hits("DAG007", space)] == [
        "connection.py",
        "variable.py",
        "variable.py",
    ]
    assert [item.file and item.file.name for item in hits("DAG011", space)] == ["helper.py"]
    assert [item.file and item.file.name for item in hits("DAG013", space)] == ["long.py", "poke.py"]


def test_mwaas_home_is_in_its_place(version: str, tmp_path: Path) -> None:
    """Hard-coded paths of MWAA's containers work while a file is imported, where this Linux lets users make namespaces."""
    text = dag(
        "hard",
        'assert open("/usr/local/airflow/dags/data.txt").read() == "x"\nopen("/usr/local/airflow/plugins/p.py").close()\n',
    )
    space = workspace(tmp_path, {"dags/hard.py": text, "dags/data.txt": "x", "plugins/p.py": "x = 1\n"}, version)
    if not space.imports.view.get("home_mounted"):
        pytest.skip("this system lets users make no namespaces")
    assert not hits("DAG002", space)


def test_time_outs(version: str, tmp_path: Path) -> None:
    """Airflow's own time-out of an import, and the kill of one that swallows it."""
    files = {
        "dags/slow.py": dag("slow", "import time\ntime.sleep(60)\n"),
        "dags/stubborn.py": dag(
            "stubborn",
            "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass\n",
        ),
        "dags/good.py": dag("good"),
        "mwaa.yaml": f"AirflowConfigurationOptions:\n  core.dagbag_import_timeout: '2'\n  {parsing(version).processor_timeout_option}: '4'\n",
    }
    watch = Stopwatch()
    space = workspace(tmp_path, files, version)
    found = {item.file.name: item for item in hits("DAG003", space) if item.file}
    assert sorted(found) == ["slow.py", "stubborn.py"]
    assert found["slow.py"].line == 11
    assert not hits("DAG002", space)
    assert watch.given() < 60


def test_plugins(version: str, tmp_path: Path) -> None:
    plugin = (
        "from airflow.plugins_manager import AirflowPlugin\n{before}\nclass P(AirflowPlugin):\n    name = '{name}'\n"
    )
    files = {
        "plugins/good.py": plugin.format(before="", name="good"),
        "plugins/missing.py": plugin.format(before="import surely_not_there", name="missing"),
        "plugins/web_only.py": plugin.format(
            before="import os\nif os.environ['MWAA_AIRFLOW_COMPONENT'] == 'webserver':\n    raise ValueError('no')",
            name="web",
        ),
        "plugins/stage.py": plugin.format(before="import os\nos.environ['STAGE']", name="stage"),
        "startup/startup.sh": "[[ $MWAA_AIRFLOW_COMPONENT == worker ]] || exit 0\nexport STAGE=uat\n",
        "plugins/airflow_local_settings.py": "1 / 0\n",
        "plugins/.airflowignore": "airflow_local_settings.py\n",
        "dags/good.py": dag("good"),
    }
    space = workspace(tmp_path, files, version)
    found = sorted((item.file.name, item.line, item.message) for item in hits("PLG008", space) if item.file)
    assert found == [
        (
            "missing.py",
            2,
            "the plugin cannot be imported in every component: ModuleNotFoundError: No module named 'surely_not_there'",
        ),
        ("stage.py", 3, "the plugin cannot be imported in scheduler and webserver: KeyError: 'STAGE'"),
        ("web_only.py", 4, "the plugin cannot be imported in webserver: ValueError: no"),
    ]
    assert {item["name"] for item in space.imports.plugins["worker"].plugins} == {"good", "stage", "web"}
    (settings,) = hits("PLG015", space)
    assert "ZeroDivisionError" in settings.message


def test_archives_and_files_that_are_passed_over(version: str, tmp_path: Path) -> None:
    """A DAG archive is imported as Airflow does it; a loader that safe mode skips is named with the DAGs it would give."""
    make = (
        HEAD
        + "def build(name):\n    with DAG(name, schedule=None, start_date=datetime(2024, 1, 1)) as made:\n        pass\n    return made\n"
    )
    files = {
        "dags/load.py": "from helpers.make import build\n\nmade = build('behind')\n",
        "dags/quiet.py": "from helpers.make import DAG\n\nbroken = 1 / 0\n",
        "dags/script.py": "import pendulum\nopen(__file__ + '.ran', 'w')\n",
        "dags/helpers/__init__.py": "",
        "dags/helpers/make.py": make,
        "dags/.airflowignore": "helpers\n",
    }
    space = workspace(tmp_path, files, version)
    with zipfile.ZipFile(tmp_path / "dags/broken.zip", "w") as archive:
        archive.writestr("bad.py", dag("packed_bad", "import surely_not_there\n"))
    with zipfile.ZipFile(tmp_path / "dags/packed.zip", "w") as archive:
        archive.writestr("good.py", dag("packed_good", "from inner.values import VALUE\n"))
        archive.writestr("inner/__init__.py", "")
        archive.writestr("inner/values.py", "VALUE = 1\n")
    packed = tmp_path / "dags/packed.zip"
    assert [item["id"] for item in space.imports.dags[packed].dags] == ["packed_good"]
    (broken,) = hits("DAG002", space)
    assert (broken.file, broken.line) == (tmp_path / "dags/broken.zip/bad.py", 10)
    (passed,) = hits("DAG010", space)
    assert passed.file == tmp_path / "dags/load.py"
    assert "imported, it gives the DAG behind" in passed.message
    assert not (tmp_path / "dags/script.py.ran").exists()  # nothing of it can make a DAG: it is not run


def test_what_airflow_discovers_is_what_is_imported(version: str, tmp_path: Path) -> None:
    """Our reading of .airflowignore and of the safe mode against Airflow's own, on patterns of every kind."""
    names = [
        "a.py", "b.py", "keep.py", "sub/a.py", "sub/keep.py", "sub/deep/a.py", "sub/deep/x_test.py", "other/a.py", "other/.hidden.py",
        "tests/a.py", "tests/deep/b.py", "data/readme.txt", "data/a.py", "odd name.py", "sub/other/a.py", "z/q.py",
    ]  # fmt: skip
    files = {f"dags/{name}": "# airflow dag\n" for name in names} | {"dags/plain.py": "x = 1\n"}
    glob = {
        "dags/.airflowignore": "b.py\n*_test.py\ntests/\n/other  # anchored\nsub/**/deep/\nz/*.py\n!keep.py\ndata/[ab].py\n\n",
        "dags/sub/.airflowignore": "keep.py\n/other\n",
    }
    regexp = {
        "dags/.airflowignore": "b.py\n.*_test\ntests/\n^other/\ndata/[ab]\\.py\nodd name\n[bad\n^(?!a).*keep\n",
        "dags/sub/.airflowignore": "sub/keep\n",
    }
    for syntax, patterns in (("glob", glob), ("regexp", regexp)):
        folder = tmp_path / syntax
        space = workspace(
            folder,
            files
            | patterns
            | {"mwaa.yaml": f"AirflowConfigurationOptions:\n  core.dag_ignore_file_syntax: {syntax}\n"},
            version,
        )
        for name in ("packed.zip", "sub/packed.whl", "tests/hidden.zip"):
            with zipfile.ZipFile(folder / "dags" / name, "w") as archive:
                archive.writestr("inside.py", "# airflow dag\n")
        document = _discover(space, version)
        archives = [item.path for item in space.dags.archives]
        listed = [path for path in space.dags.looked_at if path.suffix == ".py"]
        for kind, found in (("listed", (*listed, *archives)), ("parsed", space.dags.imported)):
            # Airflow 3 lists archives of any name, and then has no importer for these.
            theirs = [name for name in document[kind] if version[0] == "2" or not name.endswith(".whl")]
            assert sorted(map(str, found)) == sorted(theirs), (syntax, kind)


def _discover(space: Workspace, version: str) -> dict[str, list[str]]:
    request = imports.Request(
        space.environment, space.dags.path, space.project / "plugins", None, False, (), None, 30, os.environ["PATH"]
    )
    home = space.project / "home"
    (home / "config").mkdir(parents=True)
    script = Path(imports.__file__).parent / "inside/check.py"
    document = {
        "dags": str(space.dags.path),
        "plugins": str(space.project / "plugins"),
        "home": str(home),
        "mwaa_home": "/usr/local/airflow",
        "python_path": [],
        "databases": str(home / "databases"),
        "files": None,
        "components": [],
        "settings": [],
        "silent": {},
        "safe_mode": True,
        "jobs": 2,
        "hard_timeout": 30,
        "preload": [],
    }
    done = subprocess.run(
        [str(base_python(version)), "-I", "-B", str(script)],
        input=json.dumps(document),
        env=imports.variables(request, home),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return next(
        {key: answer[key] for key in ("listed", "parsed")} for answer in answers if answer["kind"] == "discovered"
    )


def test_a_package_set_that_does_not_start_is_named(tmp_path: Path) -> None:
    from mwaa_local.preflight.sets import PackageSet

    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'broken installation' >&2\nexit 1\n")
    fake.chmod(0o755)
    space = workspace(tmp_path / "p", {"dags/d.py": dag("d")}, "3.2.1")
    space._locate = lambda *_: PackageSet(fake, None)
    result: Imports = space.imports
    assert "broken installation" in result.unchecked[0].why
    assert not result.dags


def test_the_catalog_says_what_the_versions_hold(version: str, tmp_path: Path) -> None:
    """Rows of airflow_code.toml and airflow_options.toml against the real packages."""
    code = """
import contextlib, importlib, inspect, json, sys, tomllib, warnings
warnings.simplefilter("ignore")
raw, options = (tomllib.load(open(name, "rb")) for name in sys.argv[1:3])
with contextlib.redirect_stdout(sys.stderr):
    def there(name, attribute=None):
        try:
            module = importlib.import_module(name)
            return attribute is None or hasattr(module, attribute)
        except Exception:
            return False
    found = {
        "modules": [name for name in raw["modules"] if there(name)],
        "names": [name for name in raw["names"] if there(*name.rsplit(".", 1))],
    }
    try:
        from airflow.sdk import DAG, BaseOperator
    except ImportError:
        from airflow.models import DAG, BaseOperator
    from airflow.plugins_manager import AirflowPlugin
    taken = inspect.signature(DAG.__init__).parameters
    found["dag_arguments"] = [name for name in raw["dag_arguments"] if name in taken]
    everything = {**taken, **inspect.signature(BaseOperator.__init__).parameters}
    found["idle"] = [name for name in raw["idle_arguments"] if name in everything]
    found["plugin"] = {kind: [name for name in names if hasattr(AirflowPlugin, name)] for kind, names in raw["plugin_attributes"].items()}
    from airflow.configuration import retrieve_configuration_description
    known = {section + "." + key for section, value in retrieve_configuration_description().items() for key in value["options"]}
    found["v2"] = [name for name in options["v2"] if name in known]
    found["v3"] = [name for name in options["v3"] if name in known]
print(json.dumps([raw, options, found]))
"""
    folder = Path(registry.__file__).parents[1] / "catalog/data"
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [str(base_python(version)), "-c", code, str(folder / "airflow_code.toml"), str(folder / "airflow_options.toml")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    raw, options, found = json.loads(done.stdout)
    if version.startswith("3"):
        assert found["modules"] == found["names"] == found["dag_arguments"] == found["v2"] == []
        assert found["v3"] == list(options["v3"])
        assert sorted(found["idle"]) == sorted(raw["idle_arguments"])
        assert found["plugin"]["gone"] == []
        assert found["plugin"]["new"] == raw["plugin_attributes"]["new"]
    else:
        assert found["modules"] == list(raw["modules"])
        assert found["names"] == list(raw["names"])
        assert found["dag_arguments"] == list(raw["dag_arguments"])
        assert found["v3"] == []
        assert found["v2"] == list(options["v2"])
        assert found["plugin"]["new"] == []
        assert found["plugin"]["v2_gone"] == []
    assert found["plugin"]["legacy"] == raw["plugin_attributes"]["legacy"]
