"""How every command ends, over a fake engine: 0 good, 1 failed, 2 wrong use, 130 interrupted, a child's own code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from cli_support import HEALTHY, CommandLine, command_line

from mwaa_local.engines.protocol import ComponentState
from mwaa_local.errors import EngineError, RequirementsError
from mwaa_local.preflight.packaging import build as packaging_build
from mwaa_local.preflight.packaging import package as packaging

__all__ = ["command_line"]
FAILED = RequirementsError("requirements were not installed", why="pyyaml cannot be had", hint="mend line 1")


# -- up ----------------------------------------------------------------------------------------------------------------


def test_up_is_good(command_line: CommandLine) -> None:
    done = command_line("up")
    assert (done.code, command_line.engine.methods()) == (0, ["prepare", "up"])
    assert "http://127.0.0.1:1" in done.out


def test_up_with_failed_requirements_fails_and_shows_them(command_line: CommandLine) -> None:
    command_line.engine.verdicts = [FAILED]
    for words in (["up"], ["up", "--json"]):
        done = command_line(*words)
        assert done.code == 1
        assert "requirements were not installed" in done.err
    assert json.loads(done.out)["verdicts"][0]["what"] == "requirements were not installed"


@pytest.mark.parametrize("how", ["option", "definition"])
def test_up_ends_well_where_failed_requirements_are_allowed(command_line: CommandLine, how: str) -> None:
    command_line.engine.verdicts = [FAILED]
    if how == "definition":
        (command_line.project / "mwaa.yaml").write_text("Local: {AllowFailedRequirements: true}\n")
    done = command_line("up", *(["--allow-failed-requirements"] if how == "option" else []))
    assert done.code == 0
    assert "requirements were not installed" in done.err, "allowed, but still said"


@pytest.mark.parametrize("method", ["prepare", "up"])
def test_up_ends_1_with_the_engines_one_error(command_line: CommandLine, method: str) -> None:
    command_line.engine.raises[method] = EngineError("the port is taken", where="8080", hint="free it")
    done = command_line("up")
    assert done.code == 1
    assert "the port is taken" in done.err and "free it" in done.err
    assert done.out == ""


def test_up_says_the_engines_warnings(command_line: CommandLine) -> None:
    command_line.engine.warnings = ["startup.sh of worker ended with 1"]
    done = command_line("up")
    assert done.code == 0
    assert "startup.sh of worker ended with 1" in done.err


def test_up_passes_its_patience_and_version_on(command_line: CommandLine) -> None:
    command_line("up", "--timeout", "7", "--airflow-version", "2.10.3")
    assert dict(command_line.engine.asked)["up"] == 7
    assert dict(command_line.engine.asked)["prepare"] == "2.10.3"
    command_line("up")
    assert command_line.engine.asked[-1] == ("up", 300)


@pytest.mark.parametrize("words", [["up"], ["down"], ["restart"], ["status"], ["shell", "worker"], ["reset", "--yes"]])
def test_ctrl_c_ends_130_without_a_traceback(command_line: CommandLine, words: list[str]) -> None:
    methods = ("up", "down", "restart", "components", "run", "reset")
    command_line.engine.raises = dict.fromkeys(methods, KeyboardInterrupt())
    done = command_line(*words)
    assert done.code == 130
    assert "interrupted" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", [["up"], ["down"], ["status"], ["logs"], ["config"]])
def test_a_fault_of_our_own_ends_1_and_asks_for_a_report(command_line: CommandLine, words: list[str]) -> None:
    methods = ("up", "down", "components", "addresses")
    command_line.engine.raises = dict.fromkeys(methods, ZeroDivisionError("by zero"))
    done = command_line(*words)
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    [["up"], ["down"], ["restart"], ["status"], ["logs"], ["env"], ["config"], ["shell"], ["airflow", "version"]],
)
def test_a_definition_mwaa_refuses_ends_2_before_anything_is_touched(
    command_line: CommandLine, words: list[str]
) -> None:
    (command_line.project / "mwaa.yaml").write_text("EnvironmentClass: mw1.huge\n")
    done = command_line(*words)
    assert done.code == 2
    assert "mwaa.yaml:1" in done.err
    assert command_line.engine.asked == []


# -- down, restart, reset ----------------------------------------------------------------------------------------------


def test_down(command_line: CommandLine) -> None:
    assert command_line("down").code == 0
    assert command_line.engine.asked[-1] == ("down", 100)
    command_line.engine.raises["down"] = EngineError("the worker does not stop")
    done = command_line("down", "--timeout", "3")
    assert (done.code, command_line.engine.asked[-1]) == (1, ("down", 3))
    assert "the worker does not stop" in done.err


def test_down_can_leave_the_site(command_line: CommandLine) -> None:
    assert command_line("down", "--keep-site").code == 0
    assert command_line.engine.asked[-1] == ("down", (100, "keep_site"))


def test_another_environment_is_named_before_or_after_the_command(command_line: CommandLine) -> None:
    for words in (("--name", "b", "up"), ("up", "--name", "b"), ("--name", "c", "up", "--name", "b")):
        done = command_line(*words)
        assert done.code == 0 and "b: Airflow" in done.err
    done = command_line("up", "--name", "1b")
    assert done.code == 2 and "--name" in done.err


def test_restart(command_line: CommandLine) -> None:
    assert command_line("restart").code == 0
    assert [words for name, words in command_line.engine.asked if name == "restart"] == [
        "scheduler", "worker", "webserver",
    ]  # fmt: skip
    assert command_line("restart", "aws").code == 0
    unknown = command_line("restart", "wroker")
    assert unknown.code == 2
    assert "worker" in unknown.err
    command_line.engine.raises["restart"] = EngineError("it is not healthy within 90 s")
    assert command_line("restart", "worker").code == 1


def test_reset(command_line: CommandLine) -> None:
    assert command_line("reset").code == 2, "nobody can be asked here"
    assert "reset" not in command_line.engine.methods()
    assert command_line("reset", "--yes").code == 0
    assert command_line.engine.methods() == ["reset"]
    command_line.engine.raises["reset"] = EngineError("a volume is in use")
    assert command_line("reset", "-y").code == 1


# -- inside ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 7, 126, 127, 137])
def test_a_childs_exit_code_passes_through(command_line: CommandLine, code: int) -> None:
    command_line.engine.code = code
    assert command_line("airflow", "dags", "list").code == code
    assert command_line("shell", "worker", "-c", "exit 7").code == code
    ran = [words for name, words in command_line.engine.asked if name == "run"]
    words = ["env", "MWAA_LOCAL__LOG_TO_STDERR=true", "airflow", "dags", "list"]
    assert ran == [("scheduler", words), ("worker", ["bash", "-c", "exit 7"])]


@pytest.mark.parametrize("words", [["airflow", "version"], ["shell", "worker"], ["restart"], ["env"]])
def test_what_needs_a_running_environment_ends_1_without_one(command_line: CommandLine, words: list[str]) -> None:
    command_line.engine.runs = False
    done = command_line(*words)
    assert done.code == 1
    assert "does not run" in done.err and "mwaa-local up" in done.err
    assert command_line.engine.methods() == []


# -- looks -------------------------------------------------------------------------------------------------------------


def test_status_without_an_environment(command_line: CommandLine) -> None:
    command_line.engine.runs, command_line.engine.states = False, []
    done = command_line("status", "--json")
    assert json.loads(done.out)["components"] == []
    assert done.code == 1, "nothing runs"


@pytest.mark.parametrize("state", ["unhealthy", "failed", "restarting", "stopped"])
def test_status_ends_1_while_a_component_is_not_healthy(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    assert command_line("status").code == 0
    command_line.engine.states = [*HEALTHY[:-1], ComponentState("webserver", state, detail="it ended with exit code 3")]  # type: ignore[arg-type]
    done = command_line("status")
    assert done.code == 1
    assert "it ended with exit code 3" in done.out


def test_logs(command_line: CommandLine) -> None:
    command_line.engine.lines = ["first", "second"]
    done = command_line("logs", "worker")
    assert (done.code, done.out.split()) == (0, ["first", "second"])
    command_line.engine.raises["logs"] = EngineError("no component wroker")
    assert command_line("logs", "wroker").code == 2


def test_env(command_line: CommandLine) -> None:
    done = command_line("env")
    assert done.code == 0
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:2" in done.out.replace("'", "")


# -- nobody reads any more ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["versions", "--json"], ["versions"]])
def test_a_reader_that_goes_away_ends_the_command_quietly(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mwaa_local", *words], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_child_or_server_that_hangs_up_is_an_error_with_words_and_not_the_silent_end_of_the_tool(
    command_line: CommandLine,
) -> None:
    before = signal.getsignal(signal.SIGPIPE)
    command_line.engine.raises["up"] = BrokenPipeError(32, "Broken pipe")
    done = command_line("up")
    assert done.code == 1
    assert "a child or a server closed the connection" in done.err
    assert signal.getsignal(signal.SIGPIPE) == before == signal.SIG_IGN, "a child that reads no input must not end us"


def test_config_of_what_there_is_not(command_line: CommandLine) -> None:
    done = command_line("config", "--component", "wroker")
    assert (done.code, done.out) == (2, "")
    assert "scheduler, worker, webserver" in " ".join(done.err.split())
    command_line.engine.runs = False
    done = command_line("config", "core.no_such_option")
    assert (done.code, done.out) == (2, "")
    said = " ".join(done.err.split())
    assert "neither Airflow nor a provider" in said
    assert "mwaa-local airflow config get-value core no_such_option" in said


def test_up_names_the_log_files_where_there_are_any(command_line: CommandLine) -> None:
    assert f"files in {command_line.project}" in command_line("up").out
    command_line.engine.name = "docker"
    assert "files in" not in command_line("up").out


@pytest.mark.parametrize("build", [True, False])
def test_package_builds_wheels_in_the_environments_image_only_when_asked(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, build: bool
) -> None:
    given: list[Any] = []

    def package(_workspace: Any, folder: Any, **words: Any) -> Any:
        given.append((folder, words))
        raise EngineError("so far")

    monkeypatch.setattr(packaging, "package", package)
    monkeypatch.setattr(packaging_build, "docker_image", lambda name, _settings: ("image", name))
    done = command_line("package", "--wheels", *(["--build"] if build else []))
    assert done.code == 1
    folder, words = given[0]
    assert folder.is_relative_to(command_line.project)
    assert words["image"] == (("image", "mwaa-local:3.2.1-al2023") if build else None)
    assert (words["wheels"], words["build"], words["check"]) == (True, build, True)
    assert command_line("package", "--build").code == 2, "nothing to build"
