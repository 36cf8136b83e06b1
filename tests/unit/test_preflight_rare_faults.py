"""Faults that few workspaces have, and rules that could not look: each is found or named all the same."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from preflight_support import DAG, hits, options, outcomes, script, workspace, write

from mwaa_local.errors import EngineError
from mwaa_local.packages import child
from mwaa_local.preflight import run
from mwaa_local.preflight.findings import Area, Severity, Unchecked
from mwaa_local.preflight.report import Rule
from mwaa_local.preflight.run import Request
from mwaa_local.preflight.workspace import Workspace

HEAD = "from airflow.sdk import DAG\nimport os\nimport shutil\nfrom pathlib import Path\n"
PLUGIN = 'from airflow.plugins_manager import AirflowPlugin\n\n\nclass P(AirflowPlugin):\n    name = "p"\n'
FOLDER = "/usr/local/airflow/dags"

# -- DAG012 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f'open("{FOLDER}/x", mode="w")', f"{FOLDER}/x"), (f'open("{FOLDER}/x", "a")', f"{FOLDER}/x"),
        (f'open("{FOLDER}/x", "rb+")', f"{FOLDER}/x"), (f'open("{FOLDER}/x", "x")', f"{FOLDER}/x"),
        (f'open("{FOLDER}/x", "rb")', ""), (f'open("{FOLDER}/x", mode="r")', ""), ('open()', ""),
        ('open("/usr/local/airflow/plugins/x", "w")', "/usr/local/airflow/plugins/x"), ('open("/usr/local/airflow/data", "w")', ""),
        ('open("/usr/local/airflow/dags2/x", "w")', ""), ('open("/usr/local/airflow/dags", "w")', "/usr/local/airflow/dags"),
        (f'Path("{FOLDER}/x").write_text("")', f"{FOLDER}/x"), (f'frame.to_csv("{FOLDER}/x.csv")', f"{FOLDER}/x.csv"),
        ("frame.to_csv()  # /dags", ""), (f'os.makedirs("{FOLDER}/new")', f"{FOLDER}/new"),
        (f'shutil.copy("/tmp/a", "{FOLDER}/a")', f"{FOLDER}/a"), (f'shutil.copy("{FOLDER}/a", "/tmp/a")', ""),
        ('open(os.path.join(os.path.dirname(__file__), "x"), "w")', "the folder of the DAG file"),
        (f'TARGET = "{FOLDER}/x"\nopen(TARGET, "w")', f"{FOLDER}/x"),
        ('HERE = Path(__file__).parent\n(HERE / "x").write_text("")', "the folder of the DAG file"),
        ('TARGET = "relative"  # /dags\nopen(TARGET, "w")', ""), ('open(unknown, "w")  # /dags', ""),
    ],
)  # fmt: skip
def test_what_is_written_to(line: str, shown: str, tmp_path: Path) -> None:
    found = hits("DAG012", workspace(tmp_path, {"dags/d.py": HEAD + line + "\n"}))
    assert [item.message for item in found] == ([f"this writes to {shown}"] if shown else [])


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (f"echo > {FOLDER}/x", True), (f"echo >> {FOLDER}/x", True), ("echo >$AIRFLOW_HOME/dags/x", True),
        ("echo > ${AIRFLOW_HOME}/dags/x", True), (f"cat {FOLDER}/x", False), ("echo > /tmp/dags", False),
    ],
)  # fmt: skip
def test_what_a_bash_command_writes_to(command: str, found: bool, tmp_path: Path) -> None:
    text = HEAD + f"BashOperator(task_id='a', bash_command='{command}')\n"
    assert [item.message for item in hits("DAG012", workspace(tmp_path, {"dags/d.py": text}))] == (
        ["the command writes into the DAG folder"] if found else []
    )


# -- DAG022 ------------------------------------------------------------------------------------------------------------


def test_links_to_folders(tmp_path: Path) -> None:
    write(tmp_path, {"dags/a/d.py": DAG, "shared/s.py": "X = 1\n"})
    (tmp_path / "dags/shared").symlink_to("../shared")
    (found,) = hits("DAG022", workspace(tmp_path, {}))
    assert (found.file, found.excerpt) == (tmp_path / "dags/shared", "../shared")
    report = run.validate(Request(tmp_path, paths=(tmp_path / "dags/a/d.py",), select=("DAG022",)))
    assert report.findings == (), "with named files only these are looked at"


# -- PLG013, PLG017 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('os.environ["A"] = "b"', 2), ('os.environ["A"] += "b"', 2), ('os.environ.update(A="b")', 2), ('os.environ.setdefault("A", "b")', 2),
        ('os.putenv("A", "b")', 2), ('if True:\n    os.environ["A"] = "b"', 3), ('def f():\n    os.environ["A"] = "b"', 0),
        ('os.environ.get("A")', 0), ('x = os.environ["A"]', 0), ('other["A"] = "b"', 0), ('x = y = 1', 0),
    ],
)  # fmt: skip
def test_a_plugin_that_sets_variables(body: str, line: int, tmp_path: Path) -> None:
    space = workspace(tmp_path, {"plugins/p.py": f"import os\n{body}\n{PLUGIN}"})
    assert [item.line for item in hits("PLG013", space)] == ([line] if line else [])


@pytest.mark.parametrize(
    ("value", "lazy"),
    [
        ("True", True),
        ("False", False),
        ("false", False),
        (" 0 ", False),
        ("no", False),
        ("off", False),
        ("f", False),
        ("1", True),
    ],
)
def test_plugins_that_are_loaded_at_once_may(value: str, lazy: bool, tmp_path: Path) -> None:
    files = {"plugins/p.py": f'import os\nos.environ["A"] = "b"\n{PLUGIN}'} | options(core__lazy_load_plugins=value)
    assert bool(hits("PLG013", workspace(tmp_path, files))) is lazy


def test_an_archive_beside_that_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/p.py": PLUGIN, "plugins.zip": b"PK nothing"})
    space = workspace(tmp_path, {})
    assert not hits("PLG017", space)
    assert hits("PLG001", space)


def test_a_finding_in_an_archive_names_the_archive_and_the_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
        archive.writestr("sub/p.py", f'import os\nos.environ["A"] = "b"\n{PLUGIN}')
        archive.writestr("airflow_local_settings.py", "def task_policy(task):\n    pass\n")
    report = run.validate(Request(tmp_path, select=("PLG013", "PLG015")))
    assert {(item.rule.id, item.path, item.excerpt) for item in report.findings} == {
        ("PLG013", "plugins.zip/sub/p.py", 'os.environ["A"] = "b"'),
        ("PLG015", "plugins.zip/airflow_local_settings.py", "def task_policy(task):"),
    }


# -- DEF010 ------------------------------------------------------------------------------------------------------------


def test_prefixes_and_class_paths_of_a_secrets_backend(tmp_path: Path) -> None:
    def found(**given: str) -> list[tuple[str, Severity | None, int]]:
        text = "AirflowConfigurationOptions:\n" + "".join(f"  secrets.{k}: '{v}'\n" for k, v in given.items())
        space = workspace(tmp_path, {"mwaa.yaml": text})
        return [(item.message.partition(" is ")[0], item.severity, item.line) for item in hits("DEF010", space)]

    good = '{"connections_prefix": "a", "variables_prefix": null}'
    assert found(backend="a.B", backend_kwargs=good) == []
    assert found(backend="a.B", backend_kwargs='{"connections_prefix": "", "x": ""}') == [
        ("secrets.backend_kwargs: connections_prefix", Severity.WARNING, 3)
    ]
    assert found(backend="Backend") == [("secrets.backend 'Backend'", None, 2)]
    assert found(backend_kwargs="{}") == [("secrets.backend_kwargs", Severity.WARNING, 2)]


# -- startup -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "text", "lines"),
    [
        ("SUP015", "unset PATH\n", [1]), ("SUP015", "unset A\n", []), ("SUP015", "PATH=/x\n", [1]), ("SUP015", "PATH=/x ls\n", []),
        ("SUP015", "(PATH=/x; ls)\n", []), ("SUP015", "export PATH\n", []), ("SUP015", "export PATH=$PATHS\n", [1]),
        ("SUP012", "sudo alternatives --set python3 /usr/bin/python3.9\n", [1]), ("SUP012", "sudo alternatives --set java x\n", []),
        ("SUP012", "conda create -n x\n", [1]), ("SUP012", "curl https://pyenv.run\n", [1]), ("SUP012", "curl -O https://x/Miniconda3.sh\n", [1]),
        ("SUP012", "sudo dnf install -y python3 python39 gcc\n", [1, 1]), ("SUP012", "sudo dnf remove python3.13\n", []),
        ("SUP012", "ln -s x /usr/bin/pip3\n", [1]), ("SUP012", "ln -s /usr/bin/python3 mine\n", []), ("SUP012", "ln\n", []),
        ("SUP003", "set -eu\n", [1, 1]), ("SUP003", "set -eo pipefail\n", [1]), ("SUP003", "set -o errexit -o nounset\n", [1, 1]),
        ("SUP003", "set -xo nounset\n", [1]), ("SUP003", "set -o\n", []), ("SUP003", "set -- -e\n", [1]), ("SUP003", "set +eu\n", []),
        ("SUP009", "sleep infinity\n", [1]), ("SUP009", "tail -F x\n", [1]), ("SUP009", "tail --follow x\n", [1]),
        ("SUP009", "python3 -m http.server\n", [1]), ("SUP009", "python3 -m http.server &\n", []), ("SUP009", "read A < x\n", []), ("SUP009", "read A <<< x\n", []), ("SUP009", "read A <<X\na\nX\nread B\n", [4]),
        ("SUP009", "read A > x\n", [1]), ("SUP009", "read A <x\nread B\n", [2]), ("SUP009", "echo a < x\nread B\n", [2]),
        ("SUP009", "(read A)\n", []), ("SUP009", "while :; do\n  sleep 1\ndone &\n", []), ("SUP009", "while [ 1 ]; do\n  sleep 1\ndone\n", [1]),
        ("SUP009", "while ((1)); do\n  return\ndone\n", []), ("SUP009", "while true\ndo\n  sleep 1\ndone\nexit 0\n", [1]),
    ],
)  # fmt: skip
def test_rare_lines_of_a_script(rule: str, text: str, lines: list[int], tmp_path: Path) -> None:
    assert [item.line for item in hits(rule, workspace(tmp_path, script(text)))] == lines


def test_without_bash_the_syntax_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "program", lambda *_: None)
    (missed,) = outcomes("SUP001", workspace(tmp_path, script("if\n")))
    assert isinstance(missed, Unchecked) and "no bash" in missed.why


@pytest.mark.parametrize(("rule", "why"), [("SUP001", "did not end in 10 s"), ("SUP019", "did not end in")])
def test_a_program_that_does_not_end_is_named(
    rule: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> object:
        raise TimeoutError

    monkeypatch.setattr(child, "program", lambda *_: "/bin/true")
    monkeypatch.setattr(child, "ask", ask)
    (missed,) = outcomes(rule, workspace(tmp_path, script("echo\n")))
    assert isinstance(missed, Unchecked) and why in missed.why


# -- the run -----------------------------------------------------------------------------------------------------------


def test_naming_the_project_itself_means_all_of_it(tmp_path: Path) -> None:
    write(tmp_path, script("exec true\n") | {"mwaa.yaml": "Nme: x\n"})
    named = run.validate(Request(tmp_path, paths=(tmp_path,)))
    assert (
        {item.rule.id for item in named.findings}
        == {item.rule.id for item in run.validate(Request(tmp_path)).findings}
        >= {"SUP004", "DEF002"}
    )


def test_naming_an_archive_that_is_not_used_looks_at_it(tmp_path: Path) -> None:
    write(tmp_path, {"plugins/p.py": PLUGIN, "plugins.zip": b"PK nothing"} | script("exec true\n"))
    report = run.validate(Request(tmp_path, paths=(tmp_path / "plugins.zip",)))
    assert [item.rule.id for item in report.findings] == ["PLG001"]


def test_a_foreseen_failure_of_a_rule_is_told_in_its_words(tmp_path: Path) -> None:
    def check(_: Workspace) -> list[object]:
        raise EngineError("it is away", why="no network", hint="plug it in")

    rule = Rule("DAG999", Severity.ERROR, Area.DAGS, "the title", "why", "spec/01", "fix", check)  # type: ignore[arg-type]
    with Workspace(tmp_path) as space:
        (missed,) = run._check(space, [rule]).unchecked
    assert (missed.what, missed.why, missed.hint, missed.rule) == (
        "the title",
        "it is away (no network)",
        "plug it in",
        "DAG999",
    )


def test_findings_come_by_area_file_line_and_rule(tmp_path: Path) -> None:
    write(tmp_path, {
        "mwaa.yaml": "Nme: x\nAlso: y\n",
        "dags/b.py": "# airflow dag\nx = (\n", "dags/a.py": HEAD + 'task(executor="X", queue="y")\ntask(queue="z")\n',
        "plugins/logging.py": "import os\n" + PLUGIN,
        **script("set -e\nexec true\nset -u\n"),
        "requirements/requirements.txt": "--index-url https://x.example.com\n",
    })  # fmt: skip
    rules = ("DEF002", "REQ012", "PLG014", "SUP003", "SUP004", "DAG001", "DAG005", "DAG017")
    report = run.validate(Request(tmp_path, select=rules))
    assert [(item.rule.id, item.place.rpartition("/")[2]) for item in report.findings] == [
        ("DEF002", "mwaa.yaml:1"), ("DEF002", "mwaa.yaml:2"), ("REQ012", "requirements.txt:1"), ("PLG014", "logging.py"),
        ("SUP003", "startup.sh:1"), ("SUP004", "startup.sh:2"), ("SUP003", "startup.sh:3"),
        ("DAG005", "a.py:5"), ("DAG017", "a.py:5"), ("DAG005", "a.py:6"), ("DAG001", "b.py:2"),
    ]  # fmt: skip
    assert set(report.rules) == set(rules) == set(report.timings)
