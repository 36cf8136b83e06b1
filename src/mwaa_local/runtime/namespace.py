"""A mount namespace for one component of the process engine: its home appears at ``/usr/local/airflow``.

Hard-coded paths in DAGs then work with no root and no change to the machine (design section 7), and Python is where
MWAA has it. Root makes a plain mount namespace; anybody else a user namespace that maps the own id to itself. It must
be entered before the first thread starts, because Linux lets only a single-threaded process enter a user namespace.

Where Linux does not allow it (or on another system) the component keeps its home's real path, and ``status`` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mwaa_local.catalog import limits
from mwaa_local.runtime.interpreter import Shown

_NEWNS, _NEWUTS, _NEWUSER = 0x00020000, 0x04000000, 0x10000000
# botocore puts these words before a custom endpoint's host; that of 2.10.3 cannot be told not to (design section 9).
_PREFIXED = "127.0.0.1 " + " ".join(f"{word}.127.0.0.1" for word in ("api", "env", "ops"))
_RDONLY, _REMOUNT, _BIND, _REC, _SLAVE = 1, 32, 4096, 16384, 1 << 19
# statvfs flag -> mount flag, for those that a user namespace may not clear when it makes a mount read-only.
_LOCKED_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}


@dataclass(frozen=True)
class Bind:
    """A folder to show inside the home; ``place`` is relative to it."""

    source: Path
    place: str
    read_only: bool = True


@dataclass(frozen=True)
class Placement:
    """Where Airflow sees the component's home.

    Attributes:
        mode: ``mount`` (at MWAA's path), ``folder`` (at its real path) or ``image``.
        detail: Why it is not ``mount``; empty otherwise.
        python: Airflow's Python as it is seen there; ``None`` where only the package set's own path leads to it.
    """

    mode: str
    home: Path
    detail: str = ""
    python: Path | None = None

    def as_dict(self) -> dict[str, str]:
        """The member ``namespace`` of ``status.json``."""
        return {"mode": self.mode, "home": str(self.home), "detail": self.detail}


class NotAllowedError(Exception):
    """The system refuses a namespace; the text says why."""


def describe(hostname: str, home: str = "") -> str:
    """The text of ``MWAA_LOCAL__NAMESPACE``.

    Args:
        hostname: Host name inside, e.g. ``ip-127-3-0-7``: MWAA's hosts are named after their address (spec/08 section
        3.3). home: Path at which the home appears; MWAA's when empty.
    """
    return json.dumps({"hostname": hostname, "home": home or limits().home})


def enter(
    specification: str,
    *,
    home: Path,
    scratch: Path,
    binds: Sequence[Bind],
    python: Shown | None = None,
    tools: Mapping[str, Path] | None = None,
) -> Placement:
    """Enter a namespace where ``home`` appears at the wanted path, or link the folders where that is refused.

    Args:
        specification: Text of :func:`describe`; empty for none.
        home: The component's home on disk; made when missing.
        scratch: A folder of ours for what the namespace is built from.
        binds: Folders of the workspace to show inside the home.
        python: What to show at MWAA's prefix.
        tools: Commands to show beside it, by name.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not specification:
        return _link(home, binds, "no mount namespace was asked for")
    wanted = json.loads(specification)
    target = Path(wanted["home"])
    try:
        _unshare()
        _prepare_places(home, binds)
        _mount(None, "/", None, _REC | _SLAVE)
        _set_hostname(wanted["hostname"], scratch)
        if python is not None:
            _show_python(python, tools or {}, target, scratch)
        if target != home:
            _show(home, target, scratch)
        for bind in binds:
            _bind(bind.source, target / bind.place, read_only=bind.read_only)
    except NotAllowedError as error:
        return _link(home, binds, f"{target} cannot be shown here ({error}): DAGs must not rely on that path")
    os.chdir(target)
    return Placement("mount", target, python=python.path if python else None)


def join(pid: int) -> bool:
    """Enter the namespaces of a running component; false when it has none of its own, or may not be entered."""
    if not sys.platform.startswith("linux"):
        return False
    own, theirs = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    descriptors: list[int] = []
    try:
        for kind in ("user", "uts", "mnt"):  # user first: it brings the right to enter the others
            if (own / kind).readlink() != (theirs / kind).readlink():
                descriptors.append(os.open(theirs / kind, os.O_RDONLY | os.O_CLOEXEC))
        for descriptor in descriptors:
            _call("setns", descriptor, 0)
        return bool(descriptors)
    except (OSError, NotAllowedError):
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def show(source: Path, place: Path) -> None:
    """Show a folder at another place of the namespace this process is in; a later call covers an earlier one.

    Raises:
        NotAllowedError: the system refuses it.
        OSError: the place cannot be made.
    """
    place.mkdir(parents=True, exist_ok=True)
    _bind(source, place)


def _link(home: Path, binds: Sequence[Bind], detail: str) -> Placement:
    for bind in binds:
        place = home / bind.place
        if place.is_symlink():
            place.unlink()
        elif place.is_dir():
            with contextlib.suppress(OSError):
                place.rmdir()
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(bind.source)
    os.chdir(home)
    return Placement("folder", home, detail)


def _prepare_places(home: Path, binds: Sequence[Bind]) -> None:
    """A folder to mount on for each bind; a link of an earlier start without namespace gives way."""
    for bind in binds:
        place = home / bind.place
        if place.is_symlink():
            place.unlink()
        place.mkdir(parents=True, exist_ok=True)


def _unshare() -> None:
    if not sys.platform.startswith("linux"):
        raise NotAllowedError("only Linux has mount namespaces")
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with contextlib.suppress(NotAllowedError):
            _call("unshare", _NEWNS | _NEWUTS)
            return
    # Root without the right to mount (a container) may still have a user namespace.
    _call("unshare", _NEWUSER | _NEWNS | _NEWUTS)
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError as error:
        raise NotAllowedError(str(error)) from error


def _set_hostname(name: str, scratch: Path) -> None:
    """Take a host name and make it resolve to an address of its own: two names of one address would be mixed up."""
    encoded = name.encode()
    _call("sethostname", encoded, len(encoded))
    digits = name.split(".")[0].removeprefix("ip-").split("-")
    address = ".".join(digits) if len(digits) == 4 and all(part.isdigit() for part in digits) else "127.0.1.1"
    hosts = Path("/etc/hosts")
    if hosts.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        own = scratch / "hosts"
        given = hosts.read_text(encoding="utf-8", errors="replace")
        own.write_text(f"{address} {name}\n{_PREFIXED}\n{given}", encoding="utf-8")
        own.chmod(0o644)
        _bind(own, hosts)


def _show(home: Path, target: Path, scratch: Path) -> None:
    """Make ``home`` appear at ``target`` without writing outside our own folders."""
    if not target.is_dir():
        parent = next(folder for folder in target.parents if folder.is_dir())
        _cover(parent, scratch / "cover")
        target.mkdir(parents=True)
    _bind(home, target)


def _cover(folder: Path, scratch: Path) -> None:
    """Cover a folder with a copy in memory that shows the same entries and can take a new one."""
    _memory(scratch)
    for entry in os.scandir(folder):
        _copy(entry, scratch / entry.name)
    _bind(scratch, folder)


def _show_python(python: Shown, tools: Mapping[str, Path], target: Path, scratch: Path) -> None:
    """Cover MWAA's prefix with a copy in memory in which the interpreter lies as ``make install`` puts it.

    The folders that take entries of ours are made anew, and keep this machine's other entries.
    """
    prefix, tree = Path(limits().python_prefix), scratch / "prefix"
    inside = [Path(place) for place in (*python.files, *python.empty, f"bin/{python.path.name}")]
    opened = {place.parts[0] for place in inside}
    ours = {Path(*place.parts[:2]) for place in inside}
    # MWAA has nothing but its Python there. Other Pythons stay, for one of them may be what runs this.
    keep_commands = Path(sysconfig.get_path("scripts")) == prefix / "bin"
    _memory(tree)
    for entry in os.scandir(prefix):
        if entry.name not in opened:
            _copy(entry, tree / entry.name)
    for name in opened:
        (tree / name).mkdir()
        for entry in os.scandir(prefix / name) if (prefix / name).is_dir() else ():
            wanted = name != "bin" or keep_commands or entry.name.startswith("python")
            if wanted and Path(name, entry.name) not in ours:
                _copy(entry, tree / name / entry.name)
    for name, source in tools.items():
        if source.is_relative_to(prefix):  # which is about to be covered
            _put(source.resolve(), tree / "bin" / name)
        else:
            (tree / "bin" / name).symlink_to(source)
    for place, source in python.files.items():
        _put(source, tree / place)
    if python.home is None:
        _put(python.executable, tree / "bin" / python.path.name)
        (scratch / "empty").mkdir(parents=True, exist_ok=True)
        for place in python.empty:
            if not any(Path(place).is_relative_to(file) for file in python.files) or (tree / place).is_dir():
                _put(scratch / "empty", tree / place, read_only=True)
    else:
        _make_virtual(python, tree)
    for link in ("python3", "python"):
        if link not in {place.name for place in (tree / "bin").iterdir() if not place.is_symlink()}:
            (tree / "bin" / link).unlink(missing_ok=True)
            (tree / "bin" / link).symlink_to(python.path.name)
    if target.is_relative_to(prefix):
        (tree / target.relative_to(prefix)).mkdir(parents=True, exist_ok=True)
    _bind(tree, prefix)


def _make_virtual(python: Shown, tree: Path) -> None:
    """A virtual environment at MWAA's prefix that takes its packages from the user's folder, as MWAA's Python does."""
    (tree / "bin" / python.path.name).symlink_to(python.executable)
    (tree / "pyvenv.cfg").write_text(f"home = {python.home}\ninclude-system-site-packages = false\n", encoding="utf-8")
    for place in python.empty:
        (tree / place).mkdir(parents=True, exist_ok=True)
    line = "import site; site.addsitedir(site.getusersitepackages())\n"
    (tree / python.empty[0] / "user_site.pth").write_text(line, encoding="ascii")


def _memory(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", folder, "tmpfs", 0, "mode=0755,size=1m")


def _copy(entry: os.DirEntry[str], copy: Path) -> None:
    if entry.is_symlink():
        copy.symlink_to(Path(entry.path).readlink())
    else:
        _put(Path(entry.path), copy)


def _put(source: Path, place: Path, *, read_only: bool = False) -> None:
    """Show a file or folder at a place in memory."""
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _bind(source, place, read_only=read_only)


def _bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    _mount(source, target, None, _BIND | _REC)
    if read_only:
        flags = os.statvfs(target).f_flag
        kept = sum(mount for given, mount in _LOCKED_FLAGS.items() if flags & given)
        _mount(None, target, None, _BIND | _REMOUNT | _RDONLY | kept)


def _mount(source: Path | str | None, target: Path | str, kind: str | None, flags: int, data: str = "") -> None:
    words = [os.fsencode(word) if word is not None else None for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


def _call(name: str, *arguments: object) -> None:
    """Call the C library.

    Raises:
        NotAllowedError: it failed.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise NotAllowedError(f"{name}: {os.strerror(number)}")
