"""What keeps the import of user code to itself: a namespace as a component has it, and guards that note and refuse."""

# As check.py: it runs on the Pythons of every Airflow version, without types and with what the standard library had
# long ago; user code may raise anything, and everything it raises is a result.
# mypy: ignore-errors
# ruff: noqa: PTH100, PTH102, PTH112, PTH114, PTH115, PTH118, PTH119, PTH120, PTH123, PTH208, PTH211
# ruff: noqa: UP031

import ctypes
import os
import socket
import traceback

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18


def enter_container_view(home, place):
    """A namespace as a component has it: no network, and MWAA's home folder in its place. Returns what worked.

    Needs a Linux that lets users make namespaces; elsewhere the sockets are guarded all the same.
    """
    done = {"network_cut": False, "home_mounted": False}
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        uid, gid = os.getuid(), os.getgid()
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0:
            return done
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", "%d %d 1" % (uid, uid)),
            ("gid_map", "%d %d 1" % (gid, gid)),
        ):
            with open("/proc/self/" + name, "w") as stream:
                stream.write(text)
        done["network_cut"] = True
        done["home_mounted"] = mount_home(libc, home, place)
    except (OSError, AttributeError):
        pass
    return done


def mount_home(libc, home, place):
    """Bind a folder over MWAA's home; where there is none, into a copy of its parent made of mounts."""

    def bind(source, target):
        return libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None) == 0

    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    if os.path.isdir(place):
        return bind(home, place)
    parent = os.path.dirname(place)
    stage = os.path.join(home, ".local-view")
    os.mkdir(stage)
    for name in os.listdir(parent):
        source, target = os.path.join(parent, name), os.path.join(stage, name)
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
            continue
        if os.path.isdir(source):
            os.mkdir(target)
        else:
            open(target, "w").close()
        if not bind(source, target):
            return False
    inner = os.path.join(stage, os.path.basename(place))
    os.mkdir(inner)
    return bind(home, inner) and bind(stage, parent)


class Recorder:
    """What a file did at import that it should not: connections it tried, Airflow values it read."""

    def __init__(self, folders):
        self.folders = tuple(os.path.join(os.path.abspath(folder), "") for folder in folders)
        self.network = []
        self.reads = []

    def place(self):
        """The innermost line of the user's own code that is running."""
        for frame in reversed(traceback.extract_stack()):
            name = os.path.abspath(frame.filename)
            if name.startswith(self.folders):
                return name, frame.lineno
        return "", 0

    def tried(self, target):
        name, line = self.place()
        entry = {"target": str(target), "file": name, "line": line}
        if name and entry not in self.network:
            self.network.append(entry)

    def read(self, kind, key):
        name, line = self.place()
        entry = {"kind": kind, "key": str(key), "file": name, "line": line}
        if name and entry not in self.reads:
            self.reads.append(entry)


def guard_sockets(recorder):
    """Refuse every connection off this process and note who asked."""
    original = socket.socket.connect
    original_ex = socket.socket.connect_ex

    def target(address):
        return "%s:%s" % (address[0], address[1]) if isinstance(address, tuple) and len(address) > 1 else address

    def connect(self, address):
        if self.family == getattr(socket, "AF_UNIX", None):
            return original(self, address)
        recorder.tried(target(address))
        raise OSError("mwaa-local validate: no network while a file is imported")

    def connect_ex(self, address):
        if self.family == getattr(socket, "AF_UNIX", None):
            return original_ex(self, address)
        recorder.tried(target(address))
        return 101

    def getaddrinfo(host, port=None, *args, **kwargs):
        text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        recorder.tried("%s:%s" % (text, port) if port else text)
        raise socket.gaierror(socket.EAI_AGAIN, "mwaa-local validate: no network while a file is imported")

    def gethostbyname(host, *args):
        return getaddrinfo(host)

    socket.socket.connect = connect
    socket.socket.connect_ex = connect_ex
    socket.getaddrinfo = getaddrinfo
    socket.gethostbyname = gethostbyname
    socket.gethostbyname_ex = gethostbyname
