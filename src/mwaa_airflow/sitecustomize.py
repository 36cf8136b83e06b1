"""What pip installs inside a running component is the component's own, whoever calls it: a folder of its home.

On MWAA a plain ``pip install`` of a startup script changes the container's packages (spec/10 section 4.1). Here they
are shared by every component, so what pip adds or replaces goes to a folder that Python searches before them: what is
there already counts as installed, nothing of it is changed, and the folder is new with every start.

Python runs this file by itself, because it lies in a folder of PYTHONPATH. A virtual environment's Python is left
alone: its packages are its own.
"""

# Every Python of a component runs it at its start: no pathlib, and nothing may escape.
# ruff: noqa: PTH110, PTH112, PTH118, PTH119, BLE001

import os
import re
import site
import sys

#: The folder, below Airflow's home.
FOLDER = ".container-packages"

_PIP = re.compile(r"pip[0-9.]*\Z")
# Who says where packages go is obeyed.
_ELSEWHERE = re.compile(r"(-t|--target|--prefix|--root|--python)(=|\Z)")


def of_component():
    """Whether this Python is Airflow's, not that of a virtual environment."""
    if sys.prefix == sys.base_prefix or os.path.exists(os.path.join(sys.prefix, "mwaa-set.json")):
        return True
    shown = "lib/python%d.%d/site-packages/user_site.pth" % sys.version_info[:2]
    return os.path.exists(os.path.join(sys.prefix, shown))


def is_pip(words):
    """Whether a command line runs pip: by its script, or with ``-m``."""
    for number, word in enumerate(words[1:], 1):
        if word == "-m":
            return words[number + 1 : number + 2] == ["pip"]
        if not word.startswith("-"):
            return _PIP.match(os.path.basename(word)) is not None
    return False


def arguments(given, packages):
    """What pip is told instead: to install into the folder, unless it was told where."""
    if "install" not in given or any(_ELSEWHERE.match(word) for word in given):
        return given
    at = given.index("install") + 1
    return [*given[:at], "--prefix", packages, *(word for word in given[at:] if word != "--user")]


def keep_others(packages):
    """Let pip remove nothing but what lies in the folder: the rest is shared."""
    from pip._internal.metadata import get_default_environment
    from pip._internal.req.req_install import InstallRequirement

    remove = InstallRequirement.uninstall

    def uninstall(self, *words, **options):
        found = get_default_environment().get_distribution(self.req.name)
        inside = os.path.join(os.path.realpath(packages), "")
        if found is None or os.path.realpath(found.location or "").startswith(inside):
            return remove(self, *words, **options)
        return None

    InstallRequirement.uninstall = uninstall


def first(folder):
    """Search a folder before every other one of packages, and behind the standard library."""
    known = len(sys.path)
    site.addsitedir(folder)
    added = sys.path[known:]
    del sys.path[known:]
    places = [n for n, entry in enumerate(sys.path) if os.path.basename(entry) in ("site-packages", "dist-packages")]
    at = places[0] if places else len(sys.path)
    sys.path[at:at] = added


def main():
    """Do so in this process."""
    home = os.environ.get("AIRFLOW_HOME")
    if not home or not of_component():
        return
    packages = os.path.join(home, FOLDER)
    folder = os.path.join(packages, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
    if os.path.isdir(folder):
        first(folder)
    if is_pip(getattr(sys, "orig_argv", [])):
        sys.argv[1:] = arguments(sys.argv[1:], packages)
        keep_others(packages)


if __name__ == "sitecustomize":
    try:
        main()
    except Exception as error:  # Python would go on with a traceback of its own
        sys.stderr.write("mwaa-local: packages installed in this component are not seen: %s\n" % error)
