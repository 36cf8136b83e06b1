"""A docker program that answers from a table and remembers what it was asked."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mwaa_local import model
from mwaa_local.model import Environment

_PROGRAM = """#!{python} -IS
import json, sys, time
from pathlib import Path
here = Path({here!r})
words = sys.argv[1:]
with (here / "asked").open("a") as file:
    file.write(json.dumps(words) + "\\n")
for prefix, answer in json.loads((here / "answers").read_text()):
    if words[: len(prefix)] == prefix:
        time.sleep(answer.get("seconds", 0))
        sys.stdout.buffer.write(bytes.fromhex(answer["bytes"]) if "bytes" in answer else answer.get("out", "").encode())
        sys.stderr.write(answer.get("err", ""))
        sys.exit(answer.get("code", 0))
sys.stderr.write("the fake knows nothing of " + repr(words))
sys.exit(99)
"""

DAEMON_DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@dataclass
class FakeDocker:
    """The fake's folder."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """A caller's variables that find this program and no other."""
        return {"PATH": str(self.folder), "HOME": str(self.folder), "MWAA_LOCAL_CACHE_DIR": str(self.folder / "cache")}

    def answer(self, words: str, out: str = "", **more: Any) -> None:
        """Answer commands that begin with these words; the newest answer counts."""
        path = self.folder / "answers"
        known = json.loads(path.read_text())
        path.write_text(json.dumps([[words.split(), {"out": out, **more}], *known]))

    @property
    def asked(self) -> list[list[str]]:
        """Every command so far, oldest first."""
        path = self.folder / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def forget(self) -> None:
        """Begin a new list of commands."""
        (self.folder / "asked").unlink(missing_ok=True)


def make(folder: Path) -> FakeDocker:
    """A fake whose daemon answers and has Compose."""
    folder.mkdir(parents=True)
    (folder / "answers").write_text("[]")
    program = folder / "docker"
    program.write_text(_PROGRAM.format(python=sys.executable, here=str(folder)))
    program.chmod(0o755)
    fake = FakeDocker(folder)
    fake.answer("info", '"26.1.5" 2')
    fake.answer("compose version", "2.26.1-4\n")
    return fake


def image(name: str, context: str = "", identity: str = "") -> dict[str, Any]:
    """One image as ``docker image inspect`` describes it."""
    labels = {"io.mwaa-local.context": context} if context else {}
    return {"Id": identity or f"sha256:{name}", "RepoTags": [name], "RepoDigests": [], "Config": {"Labels": labels}}


def container(name: str, number: int = 1, **state: Any) -> dict[str, Any]:
    """One container as ``docker inspect`` describes it: running and healthy unless said otherwise."""
    running = {
        "Status": "running",
        "Pid": 999_999_999,
        "ExitCode": 0,
        "StartedAt": "2026-01-01T00:00:00.5Z",
        "Health": {"Status": "healthy", "Log": []},
    }
    return {
        "Id": f"id-{name}-{number}",
        "Image": "sha256:image",
        "RestartCount": state.pop("RestartCount", 0),
        "State": {**running, **state},
        "HostConfig": {"PortBindings": {}, "Memory": 0},
        "Config": {
            "Labels": {
                "com.docker.compose.service": name,
                "com.docker.compose.container-number": str(number),
                "com.docker.compose.oneoff": "False",
            }
        },
    }


def project(folder: Path, text: str = "") -> Environment:
    """A small environment with one of each workflow file; files that are there stay."""
    for name in ("dags", "plugins", "requirements", "startup"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    texts = {
        "requirements/requirements.txt": "humanize\n",
        "startup/startup.sh": "export A=1\n",
        "plugins/p.py": "x = 1\n",
    }
    for name, content in texts.items():
        if not (folder / name).exists():
            (folder / name).write_text(content)
    (folder / "mwaa.yaml").write_text(f"Name: fake\n{text}")
    return model.load(folder, flags={}, variables={})
