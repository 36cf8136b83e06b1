"""Running an installer on a folder: uv, or the set's own pip."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from mwaa_local.packages import child, explain, merged_index, pip_tool, uv_tool
from mwaa_local.packages.failure import Conflict, UnmetRequirementsError
from mwaa_local.packages.index_sources import LeftOut
from mwaa_local.packages.inputs import Inputs
from mwaa_local.packages.listing import Change
from mwaa_local.packages.narrate import DATELESS, UNDATED, Emit, progress
from mwaa_local.packages.paths import redact
from mwaa_local.packages.prereleases import PreReleases
from mwaa_local.packages.requirements import Reading, names
from mwaa_local.packages.uv_tool import Uv

# uv's report of what it put into the folder.
_INSTALLED = re.compile(r"^ \+ ([\w.-]+)==(\S+)", re.MULTILINE)


def requirements(
    prefix: Path,
    reading: Reading,
    inputs: Inputs,
    *,
    uv: Uv,
    resolver: str,
    python: str,
    timeout_s: float,
    lock: int,
    emit: Emit,
    shipped: Sequence[Path] = (),
) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """Install requirements into a clone of the base set.

    Args:
        prefix: The clone.
        reading: The requirements.
        inputs: The files written from them.
        uv: How uv is run.
        resolver: ``uv`` or ``pip``.
        python: The clone's Python, ``3.12.1``.
        timeout_s: Limit in seconds.
        lock: Descriptor of the set's lock, which the installer inherits.
        emit: Takes lines in pip's form.
        shipped: The environment's own folders.

    Returns:
        Notes for the user, and package indexes that were passed over.

    Raises:
        UnmetRequirementsError: they cannot be resolved, fetched, built or written in time.
    """
    deadline = time.monotonic() + timeout_s
    cut_off = uv_tool.cut_off_of(reading)
    notes: tuple[str, ...] = ()
    warned: set[str] = set()
    allowed = PreReleases(reading, free=uv.settings.pre)
    while True:
        left_out: tuple[LeftOut, ...] = ()
        if resolver == "pip":
            done = _pip(prefix, reading, inputs, uv, cut_off, deadline, lock, emit)
        else:
            done, left_out, undated = _uv(prefix, reading, inputs, uv, cut_off, deadline, lock, emit, shipped, allowed)
            if undated and cut_off is not None:
                notes = tuple(dict.fromkeys((*notes, UNDATED.format(cut_off=cut_off))))
        for item in left_out:
            if item.url not in warned:
                emit(f"WARNING: {item}")
                warned.add(item.url)
        if done.code == 0 and not done.timed_out:
            if resolver == "uv" and (strays := allowed.refuse(dict(_INSTALLED.findall(done.text)))):
                _remove(prefix, strays, uv, deadline, lock)
                continue
            return notes, left_out
        if not done.timed_out and allowed.learn(done.text):
            continue
        if cut_off is not None and not done.timed_out and _dateless(done.text):
            notes = (f"the index does not say when files were uploaded: the cut-off {cut_off} could not be applied",)
            emit(f"WARNING: {notes[0]}")
            cut_off = None
            continue
        if cut_off is not None and not done.timed_out:
            cut_off = None  # a line asks for what is newer than the release; the date only stands in for pins
            continue
        minor = ".".join(python.split(".")[:2])
        failure = explain.failure(
            inputs.translate(done.text), reading, python=minor, timed_out_s=timeout_s if done.timed_out else None
        )
        raise allowed.told(explain.without(failure, left_out))


def check_hashes(reading: Reading, changes: Sequence[Change]) -> None:
    """pip's rule of ``--require-hashes``: whatever is installed has a hash in the file; what was there needs none.

    Raises:
        UnmetRequirementsError: something was installed without one.
    """
    if not reading.require_hashes:
        return
    with_hash = names([entry for entry in reading.entries if entry.hashes])
    missing = [change for change in changes if change.after and change.name not in with_hash]
    if not missing:
        return
    listed = ", ".join(f"{change.name}=={change.after}" for change in missing)
    places = {entry.name: entry for entry in reading.entries}
    named = [places[change.name] for change in missing if change.name in places]
    raise UnmetRequirementsError(
        f"Hashes are required in --require-hashes mode, but they are missing from some requirements: {listed}",
        kind="hash",
        where=reading.shown,
        why="as soon as one requirement has a hash, every package that is installed needs one",
        hint="add the lines with `--hash=sha256:...` (pip-compile --generate-hashes writes them), or remove all hashes",
        conflicts=[Conflict(entry.file, entry.line, redact(entry.text)) for entry in named],
        packages=[change.name for change in missing],
    )


def _uv(
    prefix: Path,
    reading: Reading,
    inputs: Inputs,
    uv: Uv,
    cut_off: date | None,
    deadline: float,
    lock: int,
    emit: Emit,
    shipped: Sequence[Path],
    allowed: PreReleases,
) -> tuple[child.Finished, tuple[LeftOut, ...], bool]:
    argv: list[str | Path] = [uv_tool.binary(), "pip", "install", "--python", prefix / "bin" / "python"]
    # uv knows an archive of --find-links by its name; one rebuilt under the same name must be read again.
    fresh = {name for path in _shipped_archives(reading, shipped) if (name := _distribution(path))}
    argv += [word for name in sorted(fresh) for word in ("--refresh-package", name)]
    argv += [word for path in inputs.requirements for word in ("--requirements", str(path))]
    argv += [word for path in inputs.constraints for word in ("--constraints", str(path))]
    asked_for = inputs.requirements[0].parent / "pre-releases.txt"
    asked_for.write_text(allowed.constraints(), encoding="utf-8")
    argv += ["--constraints", asked_for, *allowed.options()]
    with merged_index.opened(reading.indexes, uv) as offered:
        read = progress(emit)
        done = child.run(
            [*argv, *uv_tool.resolver_options(reading, uv.settings, cut_off, offered.indexes)],
            env={**uv.variables(offered.indexes, prefix), **offered.variables},
            cwd=inputs.requirements[0].parent,
            timeout_s=max(deadline - time.monotonic(), 0.1),
            keep_open=[lock],
            on_line=lambda line: read(offered.translate(inputs.translate(line))),
        )
        done = replace(done, lines=tuple(map(offered.translate, done.lines)))
        return done, offered.left_out(), offered.undated


def _remove(prefix: Path, names: Sequence[str], uv: Uv, deadline: float, lock: int) -> None:
    """Take packages out of the clone again."""
    child.run(
        [uv_tool.binary(), "pip", "uninstall", "--python", prefix / "bin" / "python", *names],
        env=uv.variables(), timeout_s=max(deadline - time.monotonic(), 0.1), keep_open=[lock],
    )  # fmt: skip


def _pip(
    prefix: Path,
    reading: Reading,
    inputs: Inputs,
    uv: Uv,
    cut_off: date | None,
    deadline: float,
    lock: int,
    emit: Emit,
) -> child.Finished:
    done = child.run(
        pip_tool.install_words(prefix, reading, inputs, uv.settings, cut_off),
        env=pip_tool.variables(uv, reading.indexes),
        cwd=inputs.requirements[0].parent,
        timeout_s=max(deadline - time.monotonic(), 0.1),
        keep_open=[lock],
        on_line=_translated(lambda line: emit(redact(line)), inputs),
    )
    if done.code == 0:
        relocatable_scripts(prefix)
    return done


def relocatable_scripts(prefix: Path) -> None:
    """Make scripts that name the build folder's Python find the one beside them instead: the folder is renamed."""
    python = re.escape(str(prefix / "bin").encode()) + rb"/(?P<python>python[\w.]*)"
    # A path too long for a first line, or with a blank, stands in a shell's command that is a string of Python's.
    line = re.compile(
        rb"#!"
        + python
        + rb"[^\n]*\n|#!/bin/sh\n'''exec' \"?"
        + python.replace(b"<python>", b"<long>")
        + rb"[^\n]*\n' '''\n"
    )
    for script in (prefix / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        data = script.read_bytes()
        if found := line.match(data):
            # Two lines that are a shell's command and a string of Python's: the form every installer uses for this.
            head = (
                b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/\''
                + (found["python"] or found["long"])
                + b"' \"$0\" \"$@\"\n' '''\n"
            )
            mode = script.stat().st_mode
            script.unlink()  # never write into a file that other sets share by a hard link
            script.write_bytes(head + data[found.end() :])
            script.chmod(mode)


def _shipped_archives(reading: Reading, shipped: Sequence[Path]) -> list[Path]:
    archives = [*reading.indexes.local_archives(), *(entry.local for entry in reading.entries if entry.local)]
    return [path for path in archives if any(path.is_relative_to(folder) for folder in shipped)]


def _distribution(path: Path) -> str | None:
    try:
        if path.suffix == ".whl":
            return parse_wheel_filename(path.name)[0]
        return parse_sdist_filename(path.name)[0]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _translated(read: Callable[[str], None], inputs: Inputs) -> Callable[[str], None]:
    return lambda line: read(inputs.translate(line))


def _dateless(text: str) -> bool:
    return DATELESS in text or ("upload-time" in text and "--uploaded-prior-to" in text)
