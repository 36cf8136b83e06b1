"""The files a resolver is given, with line numbers and names that lead back to the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.packages.requirements import Reading


@dataclass(frozen=True)
class Inputs:
    """Files for a resolver.

    Attributes:
        requirements: Requirement files; line N holds what line N of the user's file holds.
        constraints: Constraint files.
        shown: Path of each of them to the name the user knows.
    """

    requirements: tuple[Path, ...]
    constraints: tuple[Path, ...]
    shown: Mapping[str, str]

    def translate(self, line: str) -> str:
        """A line of a resolver's output with the user's own file names."""
        for path, name in self.shown.items():
            line = line.replace(path, name)
        return line


def write(reading: Reading, folder: Path) -> Inputs:
    """Write the files.

    Args:
        reading: What was read.
        folder: An empty folder that only this user can read: URLs may hold passwords.

    Raises:
        OSError: the disk is full.
    """
    per_file: dict[str, dict[int, str]] = {reading.shown: {}}
    for entry in reading.entries:
        # uv takes no repository as editable; pip clones it into a folder: the packages are the same.
        text = f"-e {entry.given}" if entry.editable and entry.kind != "vcs" else entry.given
        text += "".join(f" --hash={value}" for value in entry.hashes)
        per_file.setdefault(entry.file, {})[entry.line] = text
    shown: dict[str, str] = {}
    requirements: list[Path] = []
    for number, (name, texts) in enumerate(per_file.items()):
        path = folder / f"requirements-{number}.txt"
        path.write_text(
            "".join(texts.get(line, "") + "\n" for line in range(1, max(texts, default=0) + 1)), encoding="utf-8"
        )
        requirements.append(path)
        shown[str(path)] = name
    constraints: list[Path] = []
    for number, part in enumerate(reading.parts):
        path = folder / f"constraints-{number}.txt"
        path.write_text("".join(line + "\n" for line in part.lines), encoding="utf-8")
        constraints.append(path)
        shown[str(path)] = part.source.label
    return Inputs(tuple(requirements), tuple(constraints), shown)
