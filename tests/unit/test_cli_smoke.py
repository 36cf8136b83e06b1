"""How ``smoke`` ends and what it leaves: over a fake engine and a small Airflow that answers over HTTP."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_api_support import FakeAirflow, listening
from cli_support import CommandLine, FakeEngine, command_line

from mwaa_local.cli import smoke as smoke_command
from mwaa_local.engines.protocol import Addresses
from mwaa_local.errors import EngineError, RequirementsError

__all__ = ["command_line"]
FAILED = RequirementsError("requirements were not installed", why="pyyaml cannot be had", hint="mend line 1")


@pytest.fixture
def airflow(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAirflow]:
    """The Airflow of the fake engine, which does not run when the test begins."""
    fake = FakeAirflow(3)
    fake.add("hello")
    (command_line.project / "dags").mkdir()
    command_line.engine.runs = False
    with listening(fake) as address:
        addresses = Addresses(address, "http://127.0.0.1:2", "bucket", "3.2.1")
        monkeypatch.setattr(FakeEngine, "_addresses", lambda _engine: addresses)
        yield fake


def junit(command_line: CommandLine) -> ET.Element:
    return ET.parse(command_line.project / "smoke.xml").getroot()


@pytest.fixture
def smoke(command_line: CommandLine) -> Any:
    return lambda *words: command_line("smoke", "--junit", str(command_line.project / "smoke.xml"), *words)


def test_all_succeeded_ends_0_and_takes_down_what_it_brought_up(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow
) -> None:
    done = smoke("--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["passed"] is True
    assert command_line.engine.methods() == ["prepare", "up", "down"]
    assert junit(command_line).find(".//failure") is None
    assert "smoke passed: 1 of 1 runs succeeded" in smoke().out


def test_what_ran_before_is_left_running(smoke: Any, command_line: CommandLine, airflow: FakeAirflow) -> None:
    command_line.engine.runs = True
    assert smoke().code == 0
    assert "down" not in command_line.engine.methods()


def test_keep_leaves_it_up_and_gives_the_schedules_back(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str | None] = []
    up = FakeEngine.up

    def noting(engine: FakeEngine, environment: Any, *words: Any, **more: Any) -> Any:
        wanted.append(environment.spec.options.get("scheduler.use_job_schedule"))
        return up(engine, environment, *words, **more)

    monkeypatch.setattr(FakeEngine, "up", noting)
    done = smoke("--keep")
    assert (done.code, command_line.engine.runs) == (0, True)
    assert "down" not in command_line.engine.methods()
    assert wanted == ["False", None], "no schedule runs during the test, every schedule after it"


@pytest.mark.parametrize("state", ["failed"])
def test_a_run_that_fails_ends_1(smoke: Any, command_line: CommandLine, airflow: FakeAirflow, state: str) -> None:
    airflow.ends["hello"] = state
    done = smoke()
    assert done.code == 1
    assert "smoke failed: 0 of 1 runs succeeded" in done.out
    assert "KeyError: 'month'" in done.out
    assert junit(command_line).find(".//failure") is not None
    assert command_line.engine.methods()[-1] == "down"


def test_a_run_that_does_not_end_in_time_ends_1(smoke: Any, command_line: CommandLine, airflow: FakeAirflow) -> None:
    airflow.ends["hello"] = "running"
    done = smoke("--timeout", "1")
    assert done.code == 1
    assert "hello" in done.out


def test_an_import_error_ends_1_and_nothing_is_run(smoke: Any, command_line: CommandLine, airflow: FakeAirflow) -> None:
    airflow.errors.append({"filename": "/dags/bad.py", "stack_trace": "Traceback\nKeyError: 'x'"})
    done = smoke()
    assert done.code == 1
    assert "import error: /dags/bad.py: KeyError: 'x'" in done.err
    assert airflow.triggered == []
    assert junit(command_line).find(".//failure") is not None


def test_a_dag_that_was_named_runs_although_another_file_is_broken_and_it_still_ends_1(
    smoke: Any, airflow: FakeAirflow
) -> None:
    airflow.errors.append({"filename": "/dags/bad.py", "stack_trace": "Traceback\nKeyError: 'x'"})
    done = smoke("--dag", "hello")
    assert done.code == 1
    assert [dag for dag, _body in airflow.triggered] == ["hello"]


def test_failed_requirements_end_1_although_every_run_succeeds(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow
) -> None:
    command_line.engine.verdicts = [FAILED]
    done = smoke("--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert document["passed"] is False
    assert "requirements were not installed" in document["problems"][0]
    assert junit(command_line).find(".//failure") is not None
    (command_line.project / "mwaa.yaml").write_text("Local: {AllowFailedRequirements: true}\n")
    assert smoke().code == 0, "the definition accepts it"


def test_an_environment_that_does_not_come_up_ends_2_with_its_error_and_leaves_nothing(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow
) -> None:
    command_line.engine.raises["up"] = EngineError("the port is taken", where="8080", hint="free it")
    done = smoke()
    assert done.code == 2
    assert "the port is taken" in done.err and "free it" in done.err
    assert command_line.engine.methods()[-1] == "down"
    failure = junit(command_line).find(".//failure")
    assert failure is not None and "the port is taken" in ET.tostring(failure, "unicode")


def test_a_web_server_that_is_gone_is_an_error_and_no_success(smoke: Any, command_line: CommandLine) -> None:
    """Nobody listens where the engine says Airflow is."""
    command_line.engine.runs = False
    (command_line.project / "dags").mkdir()
    done = smoke()
    assert done.code == 1
    assert "does not answer" in done.err
    assert "passed" not in done.out
    failure = junit(command_line).find(".//failure")
    assert failure is not None and "does not answer" in ET.tostring(failure, "unicode")
    assert command_line.engine.methods()[-1] == "down"


def test_nothing_to_run_is_wrong_use(smoke: Any, command_line: CommandLine, airflow: FakeAirflow) -> None:
    done = smoke("--dag", "helo")
    assert done.code == 2
    assert "DAG 'helo' does not exist" in done.err
    assert smoke("--tag", "none").code == 2


@pytest.mark.parametrize("conf", ["{", "[1]", '"text"'])
def test_conf_that_is_no_object_ends_2_before_anything_is_brought_up(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow, conf: str
) -> None:
    assert smoke("--conf", conf).code == 2
    assert command_line.engine.asked == []


def test_conf_reaches_the_runs(smoke: Any, airflow: FakeAirflow) -> None:
    assert smoke("--conf", '{"month": 3}').code == 0
    assert airflow.triggered[0][1]["conf"] == {"month": 3}


def test_an_interrupted_test_ends_130_reports_and_takes_the_environment_down(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_words: Any, **_more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(smoke_command.smoke_runs, "run", interrupted)
    done = smoke()
    assert done.code == 130
    assert command_line.engine.methods()[-1] == "down"
    assert (command_line.project / "smoke.xml").exists()


def test_a_reader_that_goes_away_leaves_no_environment_behind(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_words: Any, **_more: Any) -> Any:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(smoke_command, "_show_run", gone)
    assert smoke().code == 1
    assert command_line.engine.methods()[-1] == "down"


def test_the_report_is_written_where_asked(command_line: CommandLine, airflow: FakeAirflow, tmp_path: Path) -> None:
    place = tmp_path / "reports" / "deep" / "smoke.xml"
    assert command_line("smoke", "--junit", str(place)).code == 0
    assert ET.parse(place).getroot().tag in ("testsuite", "testsuites")


def test_a_report_that_cannot_be_written_leaves_no_environment_running(
    command_line: CommandLine, airflow: FakeAirflow, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = command_line("smoke", "--junit", str(tmp_path / "file" / "smoke.xml"))
    assert done.code == 1
    assert "the report cannot be written" in done.err
    assert command_line.engine.methods()[-1] == "down"


def test_runs_get_the_slots_of_the_workers_and_what_is_left_of_the_time(
    smoke: Any, command_line: CommandLine, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command_line.project / "mwaa.yaml").write_text("MinWorkers: 2\nMaxWorkers: 9\n")
    clock = iter([0.0, 0.0, *[30.0 * number for number in range(1, 50)]])
    monkeypatch.setattr(smoke_command.time, "monotonic", lambda: next(clock))
    given: dict[str, Any] = {}
    run = smoke_command.smoke_runs.run

    def noting(*words: Any, **more: Any) -> Any:
        given.update(more)
        monkeypatch.undo()
        return run(*words, **{**more, "timeout_s": 20.0})

    monkeypatch.setattr(smoke_command.smoke_runs, "run", noting)
    monkeypatch.setattr(smoke_command.smoke_test, "wait_until_parsed", _parsed)
    smoke("--timeout", "100")
    assert given["slots"] == 2 * 5, "mw1.small: five tasks a worker (spec/04 section 1.2)"
    assert given["timeout_s"] < 100, "what parsing took is not given twice"


def _parsed(api: Any, *_: Any, **__: Any) -> Any:
    return api.dags(), []
