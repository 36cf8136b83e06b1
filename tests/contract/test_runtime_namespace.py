"""The mount namespace on real Linux: as whoever runs the tests, as an unprivileged user, and refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mwaa_local
from mwaa_local.runtime import namespace
from mwaa_local.runtime.namespace import Bind, NotAllowedError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has namespaces")

LOOK = """
import json, os, socket, subprocess, sys
from pathlib import Path
from mwaa_local.runtime import namespace
base = Path(sys.argv[1])
placement = namespace.enter(
    namespace.describe("ip-127-3-0-7"), home=base / "home", scratch=base / "scratch",
    binds=[namespace.Bind(base / "dags", "dags")])
def tries(path):
    try:
        Path(path).write_text("x")
        return ""
    except OSError as error:
        return error.strerror
print(json.dumps({
    "mode": placement.mode, "home": str(placement.home), "detail": placement.detail, "cwd": os.getcwd(),
    "dags": sorted(os.listdir("/usr/local/airflow/dags")) if placement.mode == "mount" else None,
    "write_dags": tries(placement.home / "dags" / "new.py"), "write_home": tries(placement.home / "new.txt"),
    "hostname": socket.gethostname(), "fqdn": socket.getfqdn(), "address": socket.gethostbyname(socket.gethostname()),
    "prefixed": [socket.getaddrinfo(word + ".127.0.0.1", 80)[0][4][0] for word in ("api", "env", "ops")]
        if placement.mode == "mount" else None,
    "usr_local": sorted(os.listdir("/usr/local")), "uid": os.getuid(),
    "child": subprocess.run(["sh", "-c", "id -u; cat /usr/local/airflow/new.txt"], capture_output=True, text=True).stdout}),
    flush=True)
if len(sys.argv) > 2:
    sys.stdin.readline()
"""

JOIN = """
import json, os, sys
from mwaa_local.runtime import namespace
joined = namespace.join(int(sys.argv[1]))
print(json.dumps([joined, os.path.exists("/usr/local/airflow/new.txt"), os.uname().nodename]))
"""


def look(folder: Path, words: list[str], script: str = LOOK) -> subprocess.Popen[str]:
    paths = [str(Path(mwaa_local.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [*words, "-c", script, str(folder)],
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return json.loads(output)


def workspace(folder: Path) -> Path:
    (folder / "dags").mkdir(parents=True)
    (folder / "dags" / "a.py").write_text("")
    return folder


def expect(found: dict[str, Any], folder: Path) -> None:
    assert (found["mode"], found["detail"]) == ("mount", "")
    assert found["home"] == found["cwd"] == "/usr/local/airflow"
    assert found["dags"] == ["a.py"]
    assert found["write_dags"] == "Read-only file system"
    assert found["write_home"] == ""
    assert found["hostname"] == found["fqdn"] == "ip-127-3-0-7"
    assert found["address"] == "127.3.0.7"
    assert found["prefixed"] == ["127.0.0.1"] * 3, "botocore of 2.10.3 puts a word before the AWS endpoint's host"
    assert found["child"] == f"{found['uid']}\nx"
    assert {path.name for path in Path("/usr/local").iterdir()} | {"airflow"} == set(found["usr_local"])
    assert (folder / "home" / "new.txt").read_text() == "x"
    # Nothing of it is seen outside, and nothing was written there.
    assert not Path("/usr/local/airflow/new.txt").exists()
    assert os.uname().nodename != "ip-127-3-0-7"
    assert [path.name for path in (folder / "dags").iterdir()] == ["a.py"]


def reachable_python() -> str | None:
    """An interpreter that any user can start: the tests' own may lie in a private home."""
    for name in (sys.executable, "/usr/bin/python3.13", "/usr/bin/python3.12", "/usr/bin/python3.11"):
        words = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", name, "-c", "import tomllib"]
        if Path(name).exists() and subprocess.run(words, capture_output=True, check=False, cwd="/").returncode == 0:
            return name
    return None


def namespaces_allowed() -> bool:
    words = ["unshare", "--mount", "--uts"] if os.getuid() == 0 else ["unshare", "--user", "--mount", "--uts"]
    return subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not namespaces_allowed(), reason="this machine allows no mount namespace")
class TestAllowed:
    """Where the system allows it."""

    def test_home_appears_at_mwaas_path(self, tmp_path: Path) -> None:
        folder = workspace(tmp_path / "work")
        expect(answer(look(folder, [sys.executable])), folder)

    @pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="changing the user needs root")
    def test_an_unprivileged_user_gets_the_same(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        python = reachable_python()
        if python is None:
            pytest.skip("no Python 3.11 that every user can start")
        root = Path(
            subprocess.run(
                ["mktemp", "-d", "/tmp/mwaa-local-ns-XXXXXX"], capture_output=True, text=True, check=True
            ).stdout.strip()
        )
        try:
            folder = workspace(root / "work")
            root.chmod(0o755)
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, 12345, 12345)
            words = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", python]
            found = answer(look(folder, words))
            assert found["uid"] == 12345
            expect(found, folder)
        finally:
            shutil.rmtree(root)

    def test_another_process_can_join(self, tmp_path: Path) -> None:
        folder = workspace(tmp_path / "work")
        first = look(folder, [sys.executable], LOOK.replace("len(sys.argv) > 2", "True"))
        assert first.stdout is not None
        assert json.loads(first.stdout.readline())["mode"] == "mount"
        second = look(Path(str(first.pid)), [sys.executable], JOIN)
        assert answer(second) == [True, True, "ip-127-3-0-7"]
        first.communicate("\n", timeout=10)


def test_a_refusal_links_the_folders_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotAllowedError("unshare: Operation not permitted")

    monkeypatch.setattr(namespace, "_call", refuse)
    monkeypatch.chdir(tmp_path)
    folder = workspace(tmp_path / "work")
    home = folder / "home"
    placement = namespace.enter(
        namespace.describe("ip-127-3-0-7"), home=home, scratch=folder / "s", binds=[Bind(folder / "dags", "dags")]
    )
    assert (placement.mode, placement.home) == ("folder", home)
    assert "Operation not permitted" in placement.detail
    assert str((home / "dags").readlink()) == str(folder / "dags")
    again = namespace.enter("", home=home, scratch=folder / "s", binds=[Bind(folder / "dags", "dags")])
    assert again.mode == "folder"
    assert [path.name for path in (home / "dags").iterdir()] == ["a.py"]


def test_joining_a_process_without_a_namespace_is_refused() -> None:
    assert namespace.join(os.getpid()) is False
    assert namespace.join(2**22 - 1) is False
