"""Start one program as a child that cannot outlive the keeper, optionally under another user id.

Run by path with ``python -I -S`` (it starts in about 15 ms), replaces itself with the program, and imports nothing of
ours, so that it works from any folder and for any user:

    launch.py KEEPER_PID same|namespace|nobody PROGRAM ARGUMENT...

``namespace`` exists because PostgreSQL refuses user id 0: a user namespace that maps id 1000 to ours lets it run while
every file stays ours. ``nobody`` is the way out where such namespaces are forbidden.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
INSIDE_ID = 1000
CANNOT = 126  # the shell's code for "found, but cannot be run"


def _libc() -> "ctypes.CDLL":
    return ctypes.CDLL(None, use_errno=True)


def enter_user_namespace() -> None:
    """Become user 1000 of a new user namespace; outside it the process keeps its id.

    Raises:
        OSError: The kernel does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_ID} {user} 1"),
        ("gid_map", f"{INSIDE_ID} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - importing pathlib would double the start
            file.write(text)


def become_nobody() -> None:
    """Drop root for the user ``nobody``.

    Raises:
        OSError, KeyError: Not root, or there is no such user.
    """
    import pwd

    entry = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies.

    Called after every change of identity, because such a change clears the request.
    """
    if not sys.platform.startswith("linux"):
        return
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # the parent died before we asked
        os._exit(CANNOT)


def main(arguments: "list[str]") -> int:
    """Change identity, tie the process to its parent, become the program."""
    parent, identity, *command = arguments
    try:
        if identity == "namespace":
            enter_user_namespace()
        elif identity == "nobody":
            become_nobody()
        die_with(int(parent))
        os.execvp(command[0], command)
    except (OSError, KeyError) as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
    return CANNOT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
