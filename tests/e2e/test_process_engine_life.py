"""The life of an environment in the process engine: up, adopt, change, heal, down, reset. On both Airflow majors."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from patience import Stopwatch
from process_engine_support import AIRFLOW, Running, wait
from versions_support import one_of

from mwaa_local.catalog.airflow_names import option_of, variable_of
from mwaa_local.cli.config import as_started, not_applied, planned
from mwaa_local.cli.context import Settings
from mwaa_local.engines.layout import Layout
from mwaa_local.engines.process import console, keeper_client, postgres
from mwaa_local.errors import EngineError, MachineError, MwaaLocalError, RequirementsError, StartupScriptError
from mwaa_local.ground import processes
from mwaa_local.model import secrets
from mwaa_local.runtime.airflow_options import as_airflow_reads

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not processes.LINUX, reason="reads /proc")]


@pytest.fixture(scope="module", params=one_of("3.2.1", "2.10.3"))
def env(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An environment that is up; tests leave it up and whole."""
    running = Running(tmp_path_factory.mktemp("project"), request.param)
    running.up()
    yield running
    running.engine.reset()
    assert not running.processes(), "reset leaves no process"


@pytest.mark.first_look
def test_comes_up_from_nothing_and_runs_a_dag(env: Running) -> None:
    states = {state.name: state for state in env.engine.components()}
    assert set(states) == {"postgres", "aws", "guardian", "keeper", "site-keeper", *AIRFLOW}
    assert {state.state for state in states.values()} == {"healthy"}
    total = sum(state.memory_bytes or 0 for state in states.values())
    print({name: round((state.memory_bytes or 0) / 1e6) for name, state in states.items()}, round(total / 1e6))
    assert 0 < total < 1.25e9, "idle memory of the whole environment"
    run = env.run_dag("two_tasks")
    tasks = env.api.task_instances("two_tasks", run)
    assert [task.state for task in tasks] == ["success", "success"]
    wait(lambda: any("home is /usr/local/airflow" in line for line in env.api.task_log("two_tasks", run, tasks[0])), 30)
    log = "\n".join(env.api.task_log("two_tasks", run, tasks[0]))
    assert f"link is {env.engine.addresses().web}/" in log, log  # type: ignore[union-attr]


@pytest.mark.first_look
def test_an_unchanged_up_returns_at_once_and_touches_nothing(env: Running) -> None:
    before = env.pids()
    watch = Stopwatch()
    result = env.up()
    assert watch.given() < 2.0
    assert result.changes == []
    assert env.pids() == before


def test_a_saved_dag_restarts_nothing(env: Running) -> None:
    before = env.pids()
    (env.project / "dags" / "late.py").write_text(
        (env.project / "dags" / "two.py").read_text().replace("two_tasks", "late")
    )
    assert env.up().changes == []
    wait(lambda: "late" in {dag.id for dag in env.api.dags()}, 60)
    assert env.pids() == before


def test_a_changed_plugin_restarts_the_three_components_only(env: Running) -> None:
    before = env.pids()
    (env.project / "plugins" / "greet.py").write_text("WORD = 'hello'\n")
    result = env.up()
    assert result.changes == ["plugins added: restarted webserver, scheduler, worker"]
    after = env.pids()
    assert {name for name in after if after[name] != before[name]} == AIRFLOW
    assert {state.restarts for state in env.engine.components()} == {0}, "a wished restart is not counted as a failure"


def test_a_changed_option_is_named_and_takes_effect(env: Running) -> None:
    (env.project / "mwaa.yaml").write_text(
        "AirflowConfigurationOptions:\n  core.default_task_retries: '7'\n  webserver.base_url: my-custom-domain.com\n"
        f"  {OLD_NAMES[env.version][0]}: '77'\n"
    )
    changes = env.up().changes
    assert "AIRFLOW__CORE__DEFAULT_TASK_RETRIES changed: restarted webserver, scheduler, worker" in changes
    assert "AIRFLOW__WEBSERVER__BASE_URL changed: restarted webserver, scheduler, worker" in changes
    assert len(changes) == 3
    out = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            str(env.project),
            env.version,
            "worker",
            "airflow",
            "config",
            "get-value",
            "core",
            "default_task_retries",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert out.stdout.strip().splitlines()[-1:] == ["7"], out


OLD_NAMES = {
    "3.2.1": ("scheduler.dag_dir_list_interval", "dag_processor.refresh_interval"),
    "2.10.3": ("core.dag_concurrency", "core.max_active_tasks_per_dag"),
}
READ = """
import json, sys
from airflow.configuration import conf, AirflowConfigException
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
values = {}
for option in json.load(open(sys.argv[1])):
    try:
        values[option] = conf.get(*option.rsplit(".", 1))
    except AirflowConfigException:
        values[option] = None
json.dump(values, open(sys.argv[2], "w"))
"""


@pytest.mark.parametrize("component", sorted(AIRFLOW))
def test_config_is_what_the_running_component_reads(env: Running, component: str, tmp_path: Path) -> None:
    started = env.engine.variables(component)
    assert started is not None
    merged = as_started(planned(env.environment, component, env.engine.exports(component)), started)
    read = as_airflow_reads(merged.values, env.version)
    assert not not_applied(env.environment, started)
    asked, answers, script = tmp_path / "asked", tmp_path / "answers", tmp_path / "read.py"
    script.write_text(READ)
    wanted = [option_of(name) for name in read if name.startswith("AIRFLOW__")]
    asked.write_text(json.dumps(wanted))
    words = ["python3", str(script), str(asked), str(answers)]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(env.project), env.version, component, *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done
    said = json.loads(answers.read_text())
    wrong = {
        name: (read[variable_of(name)].value, said[name])
        for name in wanted
        if read[variable_of(name)].value != (said[name] or "")
        # Airflow makes a key of its own where nobody sets one.
        and not (name.endswith("secret_key") and not read[variable_of(name)].value)
    }
    assert not wrong, "config, Airflow"
    assert said[OLD_NAMES[env.version][1]] == "77"
    assert said["api.base_url" if env.version[0] == "3" else "webserver.base_url"] == "https://my-custom-domain.com"


def test_the_custom_domain_is_answered_and_linked_to(env: Running) -> None:
    """spec/01 section 9, CD-1: what a reverse proxy of the user's would ask for."""
    address = urlsplit(env.engine.addresses().web)  # type: ignore[union-attr]

    def get(path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=60)
        connection.request("GET", path, headers={"Host": "my-custom-domain.com", "X-Forwarded-Proto": "https"})
        return connection.getresponse()

    first = get("/")
    assert first.status in (200, 302), "what a load balancer's health check takes"
    assert (first.getheader("Location") or "/").startswith(("/", "https://my-custom-domain.com/"))
    if env.version[0] == "3":
        login = get("/auth/token/login")
        assert (login.status, login.getheader("Location")) == (307, "https://my-custom-domain.com")
    run = env.run_dag("two_tasks")
    task = env.api.task_instances("two_tasks", run)[0]
    wait(
        lambda: any(
            "link is https://my-custom-domain.com/" in line for line in env.api.task_log("two_tasks", run, task)
        ),
        30,
    )


RUN = """
import os, sys
from pathlib import Path
from mwaa_local import model
from mwaa_local.engines.process.engine import ProcessEngine
project, version, component, *argv = sys.argv[1:]
environment = model.load(Path(project), flags={"AirflowVersion": version, "Local.Engine": "process"}, variables={})
sys.exit(ProcessEngine(environment, dict(os.environ)).run(component, argv, interactive=False))
"""


@pytest.mark.parametrize("component", sorted(AIRFLOW))
def test_run_keeps_the_exit_code_and_sees_mwaas_paths(env: Running, component: str, tmp_path: Path) -> None:
    assert env.engine.run(component, ["bash", "-c", "exit 37"], interactive=False) == 37
    # Files of the workspace under MWAA's path, Airflow's own command on PATH, and the component's own variables.
    test = (
        'test -f /usr/local/airflow/dags/two.py && airflow version >&2 && test "$MWAA_AIRFLOW_COMPONENT" = ' + component
    )
    assert env.engine.run(component, ["bash", "-c", test], interactive=False) == 0
    given = tmp_path / "in"
    given.write_text("word")
    assert env.engine.run(component, ["grep", "-qx", "word"], interactive=False, stdin=given) == 0
    assert env.engine.run(component, ["bash", "-c", "kill -9 $$"], interactive=False) == 128 + signal.SIGKILL
    with pytest.raises(EngineError, match="nothing can be run"):
        env.engine.run("postgres", ["true"], interactive=False)


def test_restart_takes_one_component_only(env: Running) -> None:
    from process_engine_support import Silent

    before = env.pids()
    env.engine.restart("worker", Silent())
    after = env.pids()
    assert {name for name in after if after[name] != before[name]} == {"worker"}
    assert env.component("worker").state == "healthy"
    with pytest.raises(EngineError, match="no component 'nosuch'"):
        env.engine.restart("nosuch", Silent())


@pytest.mark.parametrize("name", ["worker", "scheduler", "webserver", "aws", "guardian", "postgres"])
def test_a_killed_component_heals_by_itself(env: Running, name: str) -> None:
    env.healthy()
    pid = env.component(name).pid
    assert pid is not None
    children = processes.tree([pid]) - {pid}
    os.kill(pid, signal.SIGKILL)
    wait(lambda: env.component(name).pid not in (None, pid), 30, lambda: env.component(name))
    env.healthy()
    assert env.component(name).restarts >= 1
    assert not children & set(processes.parents()), "nothing of the killed one lives on"
    env.run_dag("two_tasks")


def test_down_keeps_the_data(env: Running) -> None:
    run = env.run_dag("two_tasks")
    env.engine.down(timeout_s=60)
    assert env.engine.addresses() is None
    assert {state.state for state in env.engine.components()} == {"stopped"}
    assert not env.processes()
    env.engine.down(timeout_s=60)  # again: nothing to do, no error
    result = env.up()
    # A port may have been taken by another program meanwhile; nothing else may count as a change.
    assert [change for change in result.changes if "port" not in change] == []
    assert env.api.run_state("two_tasks", run) == "success"


def test_another_major_version_has_its_own_database(env: Running) -> None:
    if env.version != "3.2.1":
        pytest.skip("once is enough: it goes there and back")
    run = env.run_dag("two_tasks")
    other = Running(env.project, "2.10.3")
    assert "made an empty database of Airflow 2.10.3; that of Airflow 3.2.1 stays as it is" in other.up().changes
    assert {dag.id for dag in other.api.dags()} <= {"two_tasks", "late"}
    # What looks at a running environment looks at what runs, whatever the definition says.
    looked, *_ = Settings(env.project, {"Local.Engine": "process"}, dict(os.environ)).running()
    assert (looked.version.airflow, env.environment.version.airflow) == ("2.10.3", "3.2.1")
    second = other.run_dag("two_tasks")
    assert "back on the database of Airflow 3.2.1; that of Airflow 2.10.3 stays as it is" in env.up().changes
    assert env.api.run_state("two_tasks", run) == "success"
    with pytest.raises(MwaaLocalError):
        env.api.run_state("two_tasks", second)


def test_a_killed_keeper_leaves_nothing_and_the_next_up_recovers(env: Running) -> None:
    keeper = keeper_client.pid(Layout(env.environment.state))
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    wait(lambda: not keeper_client.runs(Layout(env.environment.state)), 5)
    env.up()
    env.healthy()
    env.run_dag("two_tasks")
    assert keeper_client.pid(Layout(env.environment.state)) != keeper


def test_logs_end_with_the_last_lines_and_follow(env: Running) -> None:
    lines = list(env.engine.logs("webserver", follow=False, lines=5))
    assert 1 <= len(lines) <= 5
    assert lines == console.tail(Layout(env.environment.state).log("webserver"), 5)
    seen: list[str] = []

    def read() -> None:
        for line in env.engine.logs("postgres", follow=True, lines=0):
            seen.append(line)
            return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(0.3)
    with pytest.raises(Exception, match="authentication"):
        _wrong_password(env)
    reader.join(10)
    assert seen and "authentication" in seen[0]
    with pytest.raises(EngineError, match="no component"):
        env.engine.logs("nosuch", follow=False, lines=1)


def _wrong_password(env: Running) -> None:
    from mwaa_local.engines import plan
    from mwaa_local.engines.process import postgres

    made = plan.read(Layout(env.environment.state).plan)
    assert made is not None
    with postgres.connection(made.facts["ports"]["postgres"], "wrong"):
        pass


def test_a_fatal_startup_script_fails_quickly_with_its_lines(env: Running) -> None:
    script = env.project / "startup" / "startup.sh"
    script.write_text("set -e\necho about to fail\nfalse\n")
    watch = Stopwatch()
    try:
        with pytest.raises(StartupScriptError) as caught:
            env.up()
        assert watch.given() < 60
        assert "about to fail" in caught.value.why
        assert env.component("postgres").state == "healthy", "other parts keep running"
    finally:
        script.write_text("export GREETING=hello\n")
        env.up()
    assert env.engine.exports("worker") == {"GREETING": "hello"}
    run = env.run_dag("two_tasks")
    task = env.api.task_instances("two_tasks", run)[0]
    wait(lambda: any("greeting is hello" in line for line in env.api.task_log("two_tasks", run, task)), 30)
    script.unlink()
    assert env.up().changes == ["startup script removed: restarted webserver, scheduler, worker"]


def test_conflicting_requirements_leave_what_runs_until_they_are_allowed(env: Running) -> None:
    file = env.project / "requirements" / "requirements.txt"
    before = env.pids()
    file.write_text("six==1.0.0\nsix==1.16.0\n")
    try:
        with pytest.raises(RequirementsError, match="six") as caught:
            env.up()
        assert "what runs goes on with the packages it has" in caught.value.why
        assert env.pids() == before, "nothing was stopped for a set that cannot be had"
        env.flags["Local.AllowFailedRequirements"] = True
        allowed = env.up()
        assert {state.state for state in allowed.components} == {"healthy"}
        assert allowed.verdicts == [] and allowed.warnings
        assert allowed.changes == ["requirements.txt added: restarted webserver, scheduler, worker"]
        env.flags.pop("Local.AllowFailedRequirements")
        result = env.up()
        assert result.changes == []
        assert len(result.verdicts) == 1, "three components, one verdict"
        assert result.verdicts[0].id == "requirements"
        assert "six" in str(result.verdicts[0])
    finally:
        env.flags.pop("Local.AllowFailedRequirements", None)
        file.unlink()
        assert env.up().verdicts == []


def test_a_new_requirement_is_installed_before_anything_is_stopped(env: Running) -> None:
    if env.version != "3.2.1":
        pytest.skip("once is enough")
    file = env.project / "requirements" / "requirements.txt"
    file.write_text("cowsay==6.1\n")
    try:
        assert env.up().changes == ["requirements.txt added: restarted webserver, scheduler, worker"]
        for name in ("scheduler", "worker"):
            told = (env.component(name).status or {})["requirements"]
            assert (told["verdict"], told["installed"]) == ("ok", False), "the boot found it made"
    finally:
        file.unlink()
        env.up()


def test_two_projects_at_once_have_their_own_ports(env: Running, tmp_path: Path) -> None:
    if env.version != "3.2.1":
        pytest.skip("once is enough")
    other = Running(tmp_path / "other", env.version)
    try:
        result = other.up()
        mine = env.engine.addresses()
        assert mine is not None
        assert {result.addresses.web, result.addresses.aws}.isdisjoint({mine.web, mine.aws})
        assert any("port is" in change for change in result.changes), result.changes
        other.run_dag("two_tasks")
        env.run_dag("two_tasks")
        taken = int(mine.web.rpartition(":")[2])
        with pytest.raises(MachineError, match=f"port {taken} is taken"):
            Running(tmp_path / "third", env.version, {"Local.Ports.Web": taken}).up()
    finally:
        other.engine.reset()
    assert not other.processes()


def test_two_environments_of_one_project_share_its_endpoint(env: Running) -> None:
    """`mwaa-local up --name b`: its own database, queue and ports; the site ends with its last environment."""
    if env.version != "3.2.1":
        pytest.skip("once is enough")
    other = Running(env.project, env.version, {"Name": "b"})
    before = env.pids()
    try:
        result = other.up()
        mine = env.engine.addresses()
        assert mine is not None
        assert (result.addresses.aws, mine.aws) == (mine.aws, mine.aws)
        assert result.addresses.web != mine.web and result.addresses.bucket != mine.bucket
        assert env.pids() == before, "the first goes on as it was"
        run = other.run_dag("two_tasks")
        with pytest.raises(MwaaLocalError):
            env.api.run_state("two_tasks", run)
        other.engine.down(timeout_s=60)
        assert other.engine.addresses() is None
        env.healthy()
        env.run_dag("two_tasks")
        assert env.pids() == before
        other.up()
        assert other.api.run_state("two_tasks", run) == "success"
    finally:
        other.engine.reset()
    assert env.pids() == before


def test_a_kept_site_serves_the_next_up(env: Running) -> None:
    aws = env.component("aws").pid
    env.engine.down(timeout_s=60, keep_site=True)
    states = {item.name: item for item in env.engine.components()}
    assert {item.state for item in states.values() if not item.site} == {"stopped"}
    assert states["aws"].state == "healthy" and states["aws"].pid == aws
    env.up()
    assert env.component("aws").pid == aws


def test_killed_in_the_middle_of_up_and_the_next_up_recovers(env: Running, tmp_path: Path) -> None:
    if env.version != "3.2.1":
        pytest.skip("once is enough")
    env.engine.down(timeout_s=60)
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + UP
    for seconds in (0.35, 0.8, 3.0):
        child = subprocess.Popen([sys.executable, "-c", code, str(env.project), env.version], start_new_session=True)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(5)
    env.up()
    env.healthy()
    env.run_dag("two_tasks")


def test_a_database_behind_its_version_is_migrated_in_place(env: Running, tmp_path: Path) -> None:
    if env.version != "3.2.1":
        pytest.skip("once is enough")
    other = Running(tmp_path / "behind", env.version)
    layout = Layout(other.environment.state)
    try:
        # A cluster without any table: what an upgrade finds, only more so.
        postgres.create(layout.postgres("3"), password=secrets.load_or_create(layout.secrets).database_password)
        other.up()
        assert (layout.run("migrate-db") / "status.json").exists(), "the job ran"
        other.run_dag("two_tasks")
        (layout.run("migrate-db") / "status.json").unlink()
        other.engine.down(timeout_s=60)
        other.up()
        assert not (layout.run("migrate-db") / "status.json").exists(), "a current schema needs no migration"
    finally:
        other.engine.reset()


UP = """
from pathlib import Path
from process_engine_support import Running
Running(Path(sys.argv[1]), sys.argv[2]).up()
"""
