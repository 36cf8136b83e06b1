"""Commands of a set that was built in one folder and lives in another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mwaa_local.packages.install import relocatable_scripts

BODY = "import sys\nprint('ran', *sys.argv[1:])\n"


def heads(python: str) -> dict[str, str]:
    """First lines as pip and uv write them, by what makes them so."""
    return {
        "plain": f"#!{python}\n",
        "with an option": f"#!{python} -E\n",
        "too long for the kernel": f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n",
        "with a blank": f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n",
    }


@pytest.mark.parametrize("kind", sorted(heads("")))
def test_a_command_runs_after_its_set_was_renamed(kind: str, tmp_path: Path) -> None:
    built = tmp_path / ".partial-1" / "bin"
    built.mkdir(parents=True)
    (built / "python3").symlink_to(sys.executable)
    tool = built / "tool"
    tool.write_text(heads(str(built / "python3"))[kind] + BODY)
    tool.chmod(0o755)
    shared = tmp_path / "shared"
    shared.hardlink_to(tool)
    before = shared.read_text()
    relocatable_scripts(built.parent)
    place = built.parent.rename(tmp_path / "a place with blanks")
    done = subprocess.run([place / "bin" / "tool", "a b", "c"], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("ran a b c\n", "")
    assert shared.read_text() == before, "a file that another set shares is not written into"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho hi\n", "#!/usr/bin/python3\nx\n", "\x7fELF", ""])
def test_what_names_another_program_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "tool"
    tool.write_text(text)
    relocatable_scripts(tmp_path)
    assert tool.read_text() == text
