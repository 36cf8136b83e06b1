"""The startup script: spec/10 section 3.3 row by row, time limits, output, and what the process engine refuses."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from patience import Stopwatch, gone, until

from mwaa_local.catalog import version
from mwaa_local.errors import StartupScriptError
from mwaa_local.runtime import startup
from mwaa_local.runtime.startup import ScriptResult

BASE = {"PATH": "/usr/bin:/bin", "GIVEN": "1"}


def run(folder: Path, text: str, lines: list[str] | None = None, **more: float | bool | str) -> ScriptResult:
    script = folder / "startup.sh"
    script.write_bytes(text.encode())
    options = {"limit_seconds": 20.0, "patience_seconds": 2.0, "refuse_commands": False, **more}
    emit = (lines if lines is not None else []).append
    return startup.run(script, home=folder, environment=BASE, folder=folder / "run", emit=emit, **options)  # type: ignore[arg-type]


# (script, exit status) where the exports survive: spec/10 section 3.3, rows 1 to 6.
SAVED = {
    "falls off the end": ("export A=1\n", 0),
    "exit 3": ("export A=1\nexit 3\necho never\n", 3),
    "exit 0": ("export A=1\nexit 0\n", 0),
    "cmd || exit 1": ("export A=1\nfalse || exit 1\necho never\n", 1),
    "exit in a function": ("f() { export A=1; exit 2; }\nf\necho never\n", 2),
    "exit in an if": ("export A=1\nif true; then exit 4; fi\necho never\n", 4),
    "return 9": ("export A=1\nreturn 9\necho never\n", 9),
    "subshell exit": ("export A=1\n( exit 4 )\n", 0),
    "last command fails": ("export A=1\nfalse\n", 1),
    "syntax error": ("export A=1\nif then fi (\n", 2),
    "noclobber": ("export A=1\nset -o noclobber\n", 0),
    "set -e without a failure": ("set -e\nexport A=1\n", 0),
}


@pytest.mark.parametrize(("text", "status"), SAVED.values(), ids=SAVED)
def test_exports_survive(tmp_path: Path, text: str, status: int) -> None:
    lines: list[str] = []
    result = run(tmp_path, text, lines)
    assert result.check(tmp_path)["A"] == "1"
    assert result.exports is not None
    assert not result.timed_out
    assert result.exports["GIVEN"] == "1"
    assert result.exit_status == status
    assert "never" not in lines


# Where they are lost, which is fatal: rows 7 to 11.
LOST = {
    "set -e and a command fails": "export A=1\nset -e\nfalse\n",
    "set -u and an unset variable": "export A=1\nset -u\necho $NOPE\n",
    "builtin exit": "export A=1\nbuiltin exit 0\n",
    "backslash exit": "export A=1\n\\exit 0\n",
    "exec program": "export A=1\nexec true\n",
    "kills itself": "export A=1\nkill -9 $$\n",
    "PATH without the system's folders": "export A=1\nexport PATH=/nowhere\n",
}


@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_exports_are_lost(tmp_path: Path, text: str) -> None:
    result = run(tmp_path, text)
    assert result.exports is None
    with pytest.raises(StartupScriptError) as caught:
        result.check(tmp_path / "startup.sh")
    assert caught.value.why
    assert caught.value.hint


def test_a_stale_capture_is_never_used_again(tmp_path: Path) -> None:
    assert run(tmp_path, "export A=1\n").exports is not None
    (tmp_path / "run" / "environment").write_bytes(b"A=stale\0PATH=/usr/bin\0")
    assert run(tmp_path, "set -e\nfalse\n").exports is None


def test_the_capture_with_its_secrets_is_not_left_behind(tmp_path: Path) -> None:
    run(tmp_path, "export A=1\n")
    assert not (tmp_path / "run" / "environment").exists()
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0


def test_values_may_hold_anything_and_only_exports_count(tmp_path: Path) -> None:
    text = "export MULTI=$'a\\nb=c'\nexport EQ='x=y'\nexport EMPTY=\nPLAIN=1\nunset GIVEN\ncd /\n"
    exports = run(tmp_path, text).exports
    assert exports is not None
    assert (exports["MULTI"], exports["EQ"], exports["EMPTY"]) == ("a\nb=c", "x=y", "")
    assert "PLAIN" not in exports
    assert "GIVEN" not in exports


def test_runs_under_bash_in_the_home_folder_without_an_execute_bit(tmp_path: Path) -> None:
    lines: list[str] = []
    result = run(tmp_path, '#!/bin/sh\nif [[ "$PWD" == /*/* ]]; then echo "in $PWD"; fi\nmkdir made\n', lines)
    assert result.exports is not None
    assert lines == [f"in {tmp_path}"]
    assert (tmp_path / "made").is_dir()
    assert not (tmp_path / "startup.sh").stat().st_mode & 0o111


def test_windows_line_ends_are_run_as_mwaa_does_and_explained(tmp_path: Path) -> None:
    result = run(tmp_path, "export A=1\r\nexport B=2\r\n")
    assert result.exports is not None
    assert result.exports["A"] == "1\r"
    assert "Windows line ends" in result.notes[0]
    assert not run(tmp_path, "export A=1\n").notes


def test_a_hanging_script_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    watch = Stopwatch()
    result = run(tmp_path, "sleep 321 &\necho $! > pid\nsleep 321\n", limit_seconds=0.4, patience_seconds=0.5)
    assert result.timed_out
    assert result.exports is None
    assert "still running" in result.why_lost
    assert watch.given() < 8
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_ignores_sigterm_does_not_outlive_a_script_that_was_stopped(tmp_path: Path) -> None:
    ignoring = "(trap '' TERM; exec sleep 321) &\necho $! > pid\nsleep 0.1\nsleep 321\n"
    assert run(tmp_path, ignoring, limit_seconds=0.4, patience_seconds=30.0).timed_out
    assert gone(int((tmp_path / "pid").read_text()), seconds=1.0)


def test_a_script_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    watch = Stopwatch()
    result = run(tmp_path, "trap '' TERM\nwhile :; do sleep 0.05; done\n", limit_seconds=0.2, patience_seconds=0.3)
    assert result.timed_out
    assert result.exit_status == -9
    assert watch.given() < 8


def test_the_end_is_noticed_promptly(tmp_path: Path) -> None:
    assert run(tmp_path, "export A=1\n").seconds < 2  # MWAA looks once a minute


def test_megabytes_without_a_line_end_neither_block_nor_grow(tmp_path: Path) -> None:
    lines: list[str] = []
    result = run(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x\necho\nseq 20000\nexport A=1\n", lines)
    assert result.exports is not None
    assert max(map(len, lines)) <= 16_384
    assert sum(len(line) for line in lines if line.startswith("x")) == 3_000_000
    assert lines[-1] == "20000"
    assert len(result.tail) <= 20
    assert max(map(len, result.tail)) <= 400


def test_a_background_process_that_keeps_the_pipe_does_not_hold_the_boot(tmp_path: Path) -> None:
    lines: list[str] = []
    result = run(tmp_path, "export A=1\n(until [ -e go ]; do sleep 0.05; done; echo late) &\n", lines)
    assert result.exports is not None
    (tmp_path / "go").touch()
    until(lambda: lines == ["late"])  # it was not killed by a closed pipe


def test_output_without_an_end_is_stopped_at_the_limit(tmp_path: Path) -> None:
    watch = Stopwatch()
    result = run(tmp_path, "yes\n", limit_seconds=0.4, patience_seconds=0.5)
    assert result.timed_out
    assert watch.given() < 8


def test_a_background_process_that_never_stops_writing_does_not_hold_the_boot(tmp_path: Path) -> None:
    watch = Stopwatch()
    result = run(tmp_path, "yes &\necho $! > pid\nexport A=1\n", limit_seconds=8.0)
    try:
        assert result.exports is not None
        assert not result.timed_out
        assert watch.given() < 8
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_commands_that_change_the_machine_are_refused(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "sudo yum install -y libaio\necho status $?\nyum -y update\nexport PATH=/opt/tool:$PATH\n"
    result = run(tmp_path, text, lines, refuse_commands=True)
    assert result.refused == ("sudo yum install -y libaio", "yum -y update")
    assert "mwaa-local: refused `sudo yum install -y libaio`" in lines[0]
    assert "status 1" in lines
    assert result.exports is not None
    assert result.exports["PATH"] == "/opt/tool:/usr/bin:/bin"  # without our own folder
    commands = run(tmp_path, "echo $PATH > path\n", refuse_commands=True, commands="/own/bin")
    assert "/own/bin" in (tmp_path / "path").read_text()
    assert commands.exports is not None
    assert commands.exports["PATH"] == BASE["PATH"]
    allowed = run(tmp_path, "command -v sudo || true\n", refuse_commands=False)
    assert allowed.refused == ()


def test_verification_names_what_is_not_as_in_the_image(tmp_path: Path) -> None:
    """spec/10 sections 3.5 and 3.6."""
    site = tmp_path / "lib" / "python3.12" / "site-packages"
    for name in ("apache_airflow-3.2.1.dist-info", "watchtower-3.4.0.dist-info"):
        (site / name).mkdir(parents=True)
    assert startup.verify(version("3.2.1"), tmp_path) == [
        "Executing post startup script verification",
        "Post startup script verification completed",
    ]
    assert startup.verify(version("2.10.3"), tmp_path)[1:-1] == [
        "Validation Error: Python version 3.11 expected",
        "Validation Error: apache-airflow version 2.10.3 expected",
        "Validation Error: watchtower version 3.3.1 expected",
    ]


def test_the_images_line_about_the_time() -> None:
    assert startup.time_line(0.0041) == "Startup script execution time: 0.00 seconds."


def test_status_holds_names_not_values(tmp_path: Path) -> None:
    result = run(tmp_path, "export TOKEN=s3cret\nexit 5\n")
    kept = result.as_dict(variables=["TOKEN"], restored=["AWS_REGION"])
    assert "s3cret" not in str(kept)
    assert "s3cret" not in repr(result)
    assert kept["exit_status"] == 5
    assert (kept["variables"], kept["restored"]) == (["TOKEN"], ["AWS_REGION"])


def test_bash_is_there_for_these_tests() -> None:
    assert subprocess.run(["bash", "-c", "exit 3"], check=False).returncode == 3


def test_a_script_is_asked_to_end_before_it_is_killed_and_its_output_came_so_far(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "trap 'echo asked; exit 9' TERM\necho begun\nsleep 600 & wait\n"
    result = run(tmp_path, text, lines, limit_seconds=0.3, patience_seconds=20.0)
    assert lines == ["begun", "asked"]
    assert result.tail == ("begun", "asked")
    assert result.timed_out
    assert result.seconds < 15, "it ended by itself"


def test_one_that_ends_in_time_is_not_said_to_have_been_stopped(tmp_path: Path) -> None:
    result = run(tmp_path, "echo one\nprintf two\n")
    assert not result.timed_out
    assert result.tail == ("one", "two"), "the last line needs no end"
    assert result.why_lost == ""
    lost = run(tmp_path, "exec false\n")
    assert (lost.timed_out, lost.exit_status, lost.exports) == (False, 1, None)
    assert lost.why_lost.endswith("(bash ended with status 1)")


def test_few_lines_and_few_characters_of_them_are_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    result = run(tmp_path, "for i in $(seq 30); do echo line $i; done; printf '%0500d\\r\\n' 0\n", lines)
    assert result.tail[0] == "line 12" and len(result.tail) == 20
    assert result.tail[-1] == "0" * 400
    assert lines[-1] == "0" * 500


def test_the_error_of_a_lost_environment_ends_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "startup.sh"
    lost = run(tmp_path, "for i in $(seq 12); do echo line $i; done\nset -e\nfalse\n")
    with pytest.raises(StartupScriptError) as caught:
        lost.check(script)
    assert caught.value.where == str(script)
    assert caught.value.why.splitlines()[1:] == [f"line {number}" for number in range(5, 13)]
    kept = run(tmp_path, "export A=1\n")
    assert kept.check(script)["A"] == "1"


def test_a_path_without_the_systems_folders_loses_the_environment(tmp_path: Path) -> None:
    """MWAA saves it with a program from /usr/bin."""
    assert "PATH has lost the system's folders" in run(tmp_path, "export PATH=/nowhere\n").why_lost
    kept = run(tmp_path, "export PATH=/nowhere:$PATH\n", refuse_commands=True, commands="/own/bin")
    assert kept.exports is not None
    assert kept.exports["PATH"] == "/nowhere:/usr/bin:/bin", "folders of ours are taken out again"


def test_without_bash_it_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup.shutil, "which", lambda _name: None)
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) != "/bin/bash" and exists(path))
    with pytest.raises(StartupScriptError, match="needs bash"):
        run(tmp_path, "true\n")


def test_what_it_is_started_with(tmp_path: Path) -> None:
    result = run(tmp_path, 'echo "$PWD"; read x || echo no input; echo error >&2; ps -o pid= -o sid= -p $$\n')
    pid, session = result.tail[3].split()
    assert result.tail[:3] == (str(tmp_path), "no input", "error")
    assert pid == session, "a group of its own, which can be ended whole"
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
