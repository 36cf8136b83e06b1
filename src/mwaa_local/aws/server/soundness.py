"""The AWS endpoint's whole state on disk: looked at without changing it, mended as far as that loses nothing more."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mwaa_local.aws.server import objects, statefiles
from mwaa_local.aws.server.journal import SEAL, generations, read_journal
from mwaa_local.errors import MachineError
from mwaa_local.ground import atomic
from mwaa_local.ground.damage import Damage

# Beside the journals, not among them: it must outlive their folder.
_OPENED = "opened"
_PARTS = ("services", "s3", "journal", "sent")
JOURNALLED = ("sqs", "cloudwatch_logs")


def check(state: Path) -> list[Damage]:
    """Everything that is not as it was written; empty for a folder that was never used.

    Args:
        state: The endpoint's folder.
    """
    services, journals = state / "services", state / "journal"
    found = [*statefiles.check(services), *objects.check(state / "s3", services)]
    for name in JOURNALLED:
        read = read_journal(journals, name, covered=statefiles.covered(services, name))
        found += read.damage
        if not read.damage and not read.last and not read.covered and (state / _OPENED).exists():
            found.append(Damage(journals, f"has no journal of {name}, and there was one"))
    return found


def note_opened(state: Path) -> None:
    """Note that the journals were begun: from now on each has a file at least."""
    if not (state / _OPENED).exists():
        atomic.replace(state / _OPENED, b"")


def kept(state: Path) -> list[str]:
    """The services that something is kept of."""
    folder = state / "journal"
    begun = [name for name in JOURNALLED if folder.is_dir() and generations(folder, name)]
    return sorted({*statefiles.services(state / "services"), *begun})


def repair(state: Path) -> list[str]:
    """Make the folder one that the endpoint starts on, with everything that can be read.

    The caller has copied the folder, and no endpoint runs on it.

    Returns:
        One sentence for each thing done; says what is lost.

    Raises:
        OSError: Something cannot be read or written.
    """
    done = []
    for damage in statefiles.check(state / "services"):
        done.append(_state_file(damage.path))
    for name in JOURNALLED:
        done += _journal(state, name)
    for damage in objects.check(state / "s3", state / "services"):
        done.append(_object(damage))
    return done


def _state_file(path: Path) -> str:
    if path.name == statefiles.MANIFEST:
        names = json.dumps({"services": statefiles.services(path.parent)}).encode()
        atomic.replace(path, names)
        return f"{path.name}: written anew from the state files that are there"
    before = path.with_name(path.name + statefiles.BEFORE)
    if path.is_dir():
        path.rename(path.with_name(path.name + ".aside"))
    if before.is_file() and not statefiles.fault(before):
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(before.stat().st_mtime))
        atomic.replace(path, before.read_bytes())
        whole = path.stem in JOURNALLED
        after = "what came after is in the journal" if whole else "what was changed after that is lost"
        return f"{path.name}: taken back to the state file of {written}; {after}"
    path.unlink(missing_ok=True)
    named = statefiles.manifest(path.parent) - {path.stem}
    atomic.replace(path.parent / statefiles.MANIFEST, json.dumps({"services": sorted(named)}).encode())
    return f"{path.name}: there is no whole one before it; {path.stem} begins empty"


def _journal(state: Path, name: str) -> list[str]:
    folder = state / "journal"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    covered = statefiles.covered(state / "services", name)
    read = read_journal(folder, name, covered=covered)
    done = []
    lines: dict[Path, set[int]] = {}
    for damage in read.damage:
        path = damage.path
        if damage.line:
            lines.setdefault(path, set()).add(damage.line)
        elif damage.unreadable:
            path.rename(path.with_name(f"aside.{path.name}"))
            path.touch(mode=0o600)
            done.append(f"{path.name}: put aside; what it held of {name} is lost")
        elif path.exists():
            done.append(f"{path.name}: what was cut off is lost ({damage.what})")
        else:
            path.touch(mode=0o600)
            done.append(f"{path.name}: goes on without it; what it held of {name} is lost")
    for path, numbers in lines.items():
        kept = [line for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if number not in numbers]
        atomic.replace(path, b"\n".join(kept))
        done.append(f"{path.name}: left out {len(numbers)} records that cannot be read; {len(read.records)} are whole")
    if done:  # what the last clean stop noted holds no longer
        (folder / f"{name}.{SEAL}").unlink(missing_ok=True)
    # A gap before the first or between two: fill what the touch above has not.
    have = {number for number, _path in generations(folder, name)}
    if not have and (state / _OPENED).exists():
        (folder / f"{name}.{covered + 1:08d}.journal").touch(mode=0o600)
        done.append(f"journal of {name}: begins empty; what was answered since its last snapshot is lost")
    for number in range(covered + 1, max(have, default=0)):
        if number not in have:
            (folder / f"{name}.{number:08d}.journal").touch(mode=0o600)
    return done


def _object(damage: Damage) -> str:
    path = damage.path
    data = path.with_name(path.name.removesuffix(objects.SIDE))
    note = data.with_name(data.name + objects.SIDE)
    if not data.exists() and not note.exists():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return f"bucket {path.name}: begins empty"
    for one in (data, note):
        one.unlink(missing_ok=True)
    return f"object {path.parent.name}/{path.name}: left out ({damage.what}); what is there of it is in the copy"


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m mwaa_local.aws.server.soundness --state DIR [--repair]``: prints one JSON document.

    For a volume of Docker, from a container of its own. The copy is made beside the data, in the volume.
    """
    parser = argparse.ArgumentParser(
        prog="mwaa_local.aws.server.soundness", description="Look at the AWS endpoint's data."
    )
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--repair", action="store_true", help="mend what can be mended, after a copy")
    given = parser.parse_args(arguments)
    state, place, done = given.state, "", []
    try:
        if given.repair and check(state):
            copy = state / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}"
            for name in _PARTS:
                if (state / name).is_dir():
                    atomic.copy_tree(state / name, copy / name)
            place, done = str(copy), repair(state)
        damage = [{"path": str(one.path), "line": one.line, "what": one.what} for one in check(state)]
    except (MachineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"kept": kept(state), "damage": damage, "repaired": done, "copy": place}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
