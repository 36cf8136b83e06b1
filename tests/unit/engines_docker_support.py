"""A docker program that answers from a table and remembers what it was asked."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mwaa_local import model
from mwaa_local.model import Environment

# A shell and not Python: every test starts it a dozen times. One write for each command: several may ask at once.
_HEAD = """#!/bin/sh
printf '%s\\037' "$@" '
' >>'{here}/asked'
case "$* " in
"""
_CASE = """{words}' '*) /bin/sleep {seconds}; /bin/cat '{here}/{number}.out'; /bin/cat '{here}/{number}.err' >&2; exit {code};;
"""
_FOOT = """esac
echo "the fake knows nothing of $*" >&2
exit 99
"""

DAEMON_DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@dataclass
class FakeDocker:
    """The fake's folder."""

    folder: Path
    cases: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """A caller's variables that find this program and no other."""
        return {"PATH": str(self.folder), "HOME": str(self.folder), "MWAA_LOCAL_CACHE_DIR": str(self.folder / "cache")}

    def answer(self, words: str, out: str | bytes = "", *, err: str = "", code: int = 0, seconds: float = 0) -> None:
        """Answer commands that begin with these words; the newest answer counts."""
        number = len(self.cases)
        (self.folder / f"{number}.out").write_bytes(out if isinstance(out, bytes) else out.encode())
        (self.folder / f"{number}.err").write_text(err)
        case = _CASE.format(words=shlex.quote(words), seconds=seconds, here=self.folder, number=number, code=code)
        self.cases.append(case.replace("/bin/sleep 0; ", ""))
        text = _HEAD.format(here=self.folder) + "".join(reversed(self.cases)) + _FOOT
        program = self.folder / "docker"
        partial = self.folder / "docker.new"
        partial.write_text(text)
        partial.chmod(0o755)
        partial.replace(program)

    @property
    def asked(self) -> list[list[str]]:
        """Every command so far, oldest first."""
        path = self.folder / "asked"
        lines = path.read_text().split("\037\n\037") if path.exists() else []
        return [line.split("\037") for line in lines if line]

    def forget(self) -> None:
        """Begin a new list of commands."""
        (self.folder / "asked").unlink(missing_ok=True)


def make(folder: Path) -> FakeDocker:
    """A fake whose daemon answers and has Compose."""
    folder.mkdir(parents=True)
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
