"""Where an environment of the process engine keeps what: one place for the names of its folders and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Folders and files below one environment's state folder."""

    state: Path

    @property
    def plan(self) -> Path:
        """What the keeper shall run."""
        return self.state / "plan.json"

    @property
    def report(self) -> Path:
        """What the keeper says."""
        return self.state / "keeper.json"

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper for life."""
        return self.state / "keeper.lock"

    @property
    def up_lock(self) -> Path:
        """Held by a command that changes the environment."""
        return self.state / "up.lock"

    @property
    def secrets(self) -> Path:
        """Keys of the environment."""
        return self.state / "secrets.json"

    def postgres(self, major: str) -> Path:
        """The cluster with the database of one major version of Airflow."""
        return self.state / f"postgres-{major}"

    @property
    def aws(self) -> Path:
        """Data of the AWS endpoint."""
        return self.state / "aws"

    @property
    def logs(self) -> Path:
        """Console output."""
        return self.state / "logs"

    @property
    def desired(self) -> Path:
        """What was applied last."""
        return self.state / "desired.json"

    @property
    def digests(self) -> Path:
        """Memory of file digests."""
        return self.state / "digests.json"

    def hide(self) -> None:
        """Keep the state out of the user's version control, and to the user alone."""
        note = self.state.parent / ".gitignore"
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)  # keys, passwords and users' secrets lie in it
        if not note.exists():
            note.write_text("# Data of local environments; mwaa-local makes and removes them.\n*\n", encoding="utf-8")

    @property
    def homes(self) -> Path:
        """The components' home folders."""
        return self.state / "home"

    def home(self, component: str) -> Path:
        """What the component sees as ``/usr/local/airflow``."""
        return self.homes / component

    def run(self, component: str) -> Path:
        """The component's run folder: ``status.json``, heartbeats."""
        return self.state / "run" / component

    def log(self, component: str) -> Path:
        """The component's console output."""
        return self.logs / f"{component}.log"
