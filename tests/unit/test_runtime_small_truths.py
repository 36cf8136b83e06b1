"""Small truths of the runtime and of what watches over it, each with one value that a careless edit would change."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runtime_support import ENDPOINT, inputs

from mwaa_local.errors import WorkflowFileError
from mwaa_local.ground import processes
from mwaa_local.guardian.watch import EndpointQueue, Guardian, OutageError, Queued
from mwaa_local.runtime import airflow_options, boot, crash, environment, namespace, plugins
from mwaa_local.runtime.status import Status

# -- a proxy of the company is not asked for what is on this machine ---------------------------------------------------


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"http_proxy": "http://p"}, "localhost,127.0.0.1"),
        ({"HTTPS_PROXY": "http://p"}, "localhost,127.0.0.1"),
        ({"all_proxy": "http://p"}, "localhost,127.0.0.1"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": "a,,b"}, "a,b,localhost,127.0.0.1"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "localhost"}, "localhost,127.0.0.1"),
        ({"https_proxy": "http://p", "NO_PROXY": "x", "no_proxy": "y"}, None),
        ({"NO_PROXY": "a"}, ""),
    ],
)
def test_what_is_on_this_machine_is_asked_without_the_proxy(given: dict[str, str], answer: str | None) -> None:
    found = dict(environment._without_proxy(inputs("worker", "3.2.1", None, **given)))
    if answer is None:
        assert found == {"NO_PROXY": "x,localhost,127.0.0.1", "no_proxy": "y,localhost,127.0.0.1"}
    else:
        assert found == ({"NO_PROXY": answer, "no_proxy": answer} if answer else {})


def test_a_host_of_the_endpoint_is_excepted_too() -> None:
    found = dict(environment._without_proxy(inputs(http_proxy="http://p", MWAA_LOCAL__AWS_ENDPOINT="http://aws:1")))
    assert found["NO_PROXY"].split(",")[:3] == ["localhost", "127.0.0.1", "aws"]


# -- the plugins -------------------------------------------------------------------------------------------------------


def archive(folder: Path, link: str) -> Path:
    path = folder / "plugins.zip"
    with zipfile.ZipFile(path, "w") as made:
        entry = zipfile.ZipInfo("one/link")
        entry.external_attr = 0o120777 << 16
        made.writestr(entry, link)
        made.writestr("two/a.py", "A = 1\n")
    return path


@pytest.mark.parametrize("link", ["a.py", "../two/a.py", "../two", "..", "x/../a"])
def test_a_link_inside_the_folder_is_kept(tmp_path: Path, link: str) -> None:
    assert plugins.unpack(archive(tmp_path, link), tmp_path / "plugins", cap_bytes=1000) == 2
    assert str((tmp_path / "plugins/one/link").readlink()) == link


@pytest.mark.parametrize("link", ["", "/etc/passwd", "../../x", "../../plugins.zip", "../two/../../x", "../.."])
def test_a_link_that_leads_out_is_refused_and_nothing_is_left(tmp_path: Path, link: str) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/old.py").write_text("")
    with pytest.raises(WorkflowFileError) as told:
        plugins.unpack(archive(tmp_path, link), tmp_path / "plugins", cap_bytes=1000)
    assert "leads out of the folder" in told.value.why
    assert [path.name for path in (tmp_path / "plugins").iterdir()] == ["old.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugins", "plugins.zip"]


@pytest.mark.parametrize("name", ["__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache"])
def test_what_tools_leave_in_the_folder_is_no_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "from" / name).mkdir(parents=True)
    (tmp_path / "from" / name / "a.py").write_text("")
    (tmp_path / "from/a.py").write_text("")
    assert plugins.mirror(tmp_path / "from", tmp_path / "to") == 1
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["a.py"]


def test_the_entry_over_the_most_that_are_taken_is_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_MAX_ENTRIES", 2)
    assert plugins.unpack(archive(tmp_path, "a.py"), tmp_path / "plugins", cap_bytes=1000) == 2
    monkeypatch.setattr(plugins, "_MAX_ENTRIES", 1)
    with pytest.raises(WorkflowFileError):
        plugins.unpack(archive(tmp_path, "a.py"), tmp_path / "plugins", cap_bytes=1000)


# -- the end of a process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-15, "was killed by SIGTERM"),
        (-9, "was killed by SIGKILL (the system does so when memory is short)"),
    ],
)
def test_the_end_of_a_process_in_words(code: int, words: str) -> None:
    assert crash._ended(code) == words


def test_a_fatal_error_of_python_is_the_last_thing_and_shown_alone() -> None:
    lines = ["Fatal Python error: Segmentation fault", *(f"line {number}" for number in range(50))]
    assert crash._exception(lines, 0) == (0, crash._exception(lines, 1)[1])
    assert "was killed by SIGSEGV" in crash._exception(lines, -11)[1]
    assert crash._matters(lines, {}) == lines[: crash._SHOWN_LINES]


# -- an option as Airflow reads it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "shown"),
    [(None, None), ("", ""), (" a ", "a"), ("\n  a\n    b\n", "a\nb"), ("a", "a")],
)
def test_a_default_of_several_lines_has_no_indents(default: str | None, shown: str | None) -> None:
    assert airflow_options._from_file(default) == shown


# -- a component's own host name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ip-10-0-1-2.ec2.internal", "10.0.1.2"),
        ("ip-10-0-1-2", "10.0.1.2"),
        ("ip-10-0-1", "127.0.1.1"),
        ("ip-10-0-1-2-3", "127.0.1.1"),
        ("my-own-host-name", "127.0.1.1"),
        ("host", "127.0.1.1"),
    ],
)
def test_a_host_name_of_mwaas_form_has_the_address_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(namespace, "_call", lambda *words: calls.append(words))
    monkeypatch.setattr(namespace, "_mount", lambda *words: calls.append(words))
    namespace._set_hostname(name, tmp_path / "scratch")
    assert calls[0] == ("sethostname", name.encode(), len(name))
    assert f"{address}\t{name}" in (tmp_path / "scratch/hosts").read_text().replace(" ", "\t")
    assert len(calls) == 2, "the file stands in for the machine's"


# -- what a boot leaves ------------------------------------------------------------------------------------------------


def test_the_files_of_the_metrics_are_written_where_they_are_wanted(tmp_path: Path) -> None:
    for wanted in ("true", "false"):
        given = inputs(
            MWAA__CLOUDWATCH_METRICS_INTEGRATION__ENABLED=wanted,
            MWAA__CLOUDWATCH_METRICS_INTEGRATION__CUSTOMER_CONFIG_PATH=str(tmp_path / wanted / "deep"),
        )
        boot._Boot(given, Status(tmp_path / "run", "worker"))._write_metrics_files()
        made = {path.name: path.read_text() for path in tmp_path.glob(f"{wanted}/deep/*")}
        assert made == (environment.metrics_files(given) if wanted == "true" else {})


def test_the_same_note_is_kept_once(tmp_path: Path) -> None:
    record = Status(tmp_path, "worker")
    for text in ("a", "b", "a"):
        record.note(text)
    assert json.loads((tmp_path / "status.json").read_text())["notes"] == ["a", "b"]


# -- the guardian ------------------------------------------------------------------------------------------------------


def test_an_outage_is_forgotten_when_it_is_over() -> None:
    down = [True, False]

    def rows(queues: list[str], older_than_s: float) -> list[Queued]:
        if down.pop(0):
            raise OutageError("database: gone")
        return []

    one = Guardian(SimpleNamespace(queued=rows), SimpleNamespace(), ["q"])
    assert one.look() == []
    assert one.outage == "database: gone"
    assert one.look() == []
    assert one.outage == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [((500, {"error": "no queue"}), "endpoint: no queue"), ((502, {}), "endpoint: 502")],
)
def test_an_answer_without_a_reason_tells_its_status(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, dict[str, str]], words: str
) -> None:
    one = EndpointQueue(ENDPOINT, "q", "us-east-1")
    monkeypatch.setattr(EndpointQueue, "_ask", lambda self, *words: answer)
    with pytest.raises(OutageError) as told:
        one.task_ids()
    assert str(told.value) == words
    assert one.send_again("x") == words.removeprefix("endpoint: ")


# -- the memory of processes -------------------------------------------------------------------------------------------


def test_the_memory_of_processes_that_are_gone_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "tree", lambda pids: [*pids, 8, 9])
    sizes = {7: None, 8: 10, 9: 5}
    monkeypatch.setattr(processes, "own_pss", sizes.get)
    assert processes.pss(7) == 15
    sizes.update({8: None, 9: None})
    assert processes.pss(7) is None
