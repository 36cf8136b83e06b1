"""Advice about modules and names that are not where a file looks for them."""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name

from mwaa_local.catalog.upgrade import removed_import
from mwaa_local.preflight.advice.facts import Facts, imported_modules, imported_names

# Providers whose package name has two parts.
_FAMILIES = ("apache", "atlassian", "cncf", "common", "dbt", "microsoft")
# Import names that say little about the package.
_PACKAGES = {
    "attr": "attrs", "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python-headless",
    "dagfactory": "dag-factory", "dateutil": "python-dateutil", "docx": "python-docx", "dotenv": "python-dotenv",
    "fitz": "PyMuPDF", "git": "GitPython", "googleapiclient": "google-api-python-client", "jose": "python-jose",
    "jwt": "PyJWT", "kafka": "kafka-python", "magic": "python-magic", "MySQLdb": "mysqlclient", "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow", "pkg_resources": "setuptools", "pptx": "python-pptx", "psycopg2": "psycopg2-binary",
    "pythonjsonlogger": "python-json-logger", "serial": "pyserial", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "slack": "slackclient", "slugify": "python-slugify", "usaddress": "usaddress",
    "yaml": "PyYAML", "zmq": "pyzmq",
}  # fmt: skip
# Modules that Python itself dropped, with the first version without them and what took their place.
_DROPPED = {
    "asynchat": ("3.12", "asyncio"), "asyncore": ("3.12", "asyncio"), "distutils": ("3.12", "setuptools or shutil"),
    "imp": ("3.12", "importlib"), "smtpd": ("3.12", "aiosmtpd"), "cgi": ("3.13", "urllib.parse"),
    "pipes": ("3.13", "shlex"), "telnetlib": ("3.13", "telnetlib3"), "crypt": ("3.13", "passlib"),
}  # fmt: skip
# What only Airflow 3 has, with where Airflow 2 has the same.
_NEWER = (
    ("airflow.sdk", "airflow (DAG), airflow.decorators (dag, task) and airflow.models"),
    ("airflow.providers.standard", "airflow.operators, airflow.sensors and airflow.hooks"),
    ("airflow.assets", "airflow.datasets"),
    ("airflow.task", "airflow.models"),
    ("airflow.providers.smtp.notifications", "airflow.providers.smtp"),
)
_PLUGIN_KINDS = ("macros", "operators", "hooks", "sensors", "executors")


def missing_module(module: str, file: Path | None, line: int, facts: Facts) -> str:
    """What to do about ``No module named 'module'``.

    Args:
        module: Dotted name.
        file: The file of the user that imports it, if one does.
        line: Its line there.
        facts: What there is.
    """
    if module == "airflow" or module.startswith("airflow."):
        return _of_airflow(module, imported_names(file, line), facts)
    first = module.split(".", maxsplit=1)[0]
    if own := of_project(module, Place(file, line), facts) or _dropped(first, facts):
        return own
    if (found := facts.installed(module)) is not None:
        owner = facts.owner(_file(found)) or found.name
        return f"{module} is installed ({owner}), and hidden by another {first}: rename that one"
    if facts.own(first) is not None:
        place = facts.shown(facts.own(first) or facts.dags)
        rest = module.partition(".")[2]
        return f"the first {first} that Python finds is {place}, which has no {rest}: rename one of the two"
    package = _PACKAGES.get(first) or _google(module) or first.replace("_", "-")
    if (known := facts.distributions.get(str(canonicalize_name(package)))) is not None:
        return f"{known} is installed and has no module {module}: take the version that has it"
    named = f"{package} ({first})" if package.lower() != first.lower() else package
    return f"add the package that has {first} to requirements.txt ({named}?), or put the module into dags/ or plugins/"


def missing_name(name: str, module: str, file: Path | None, line: int, facts: Facts) -> str:
    """What to do about ``cannot import name 'name' from 'module'``, or a module without that attribute."""
    if module == "airflow" or module.startswith("airflow."):
        return _of_airflow(module, [name], facts)
    near = difflib.get_close_matches(name, facts.names_of(module), n=2, cutoff=0.7)
    close = f"; it has {' and '.join(near)}" if near else ""
    if (own := facts.own(module)) is not None:
        return (
            f"{facts.shown(own)} has no {name}{close}: mend the name, or rename the file if another {module} was meant"
        )
    found = facts.installed(module)
    owner = facts.owner(_file(found)) if found else None
    if owner is not None:
        return f"{module} of {owner} has no {name}{close}: pin a version of {owner.name} that has it"
    return f"{module} has no {name}{close}: mend the name"


class HasPlace(Protocol):
    """Where an exception was raised."""

    @property
    def file(self) -> Path | None:
        """The user's file."""

    @property
    def line(self) -> int:
        """Its line."""


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: Path | None
    line: int


def of_project(module: str, place: HasPlace, facts: Facts) -> str:
    """What to do about a module that the project has under another name; empty where it has none."""
    for asked in (*imported_modules(place.file, place.line), module):
        # `from dags.common import x` says "No module named 'dags'".
        if (asked == module or asked.startswith(f"{module}.")) and (own := _of_project(asked, facts)):
            return own
    return ""


def _of_airflow(module: str, names: list[str], facts: Facts) -> str:
    whole = f"{module}.{names[0]}" if names else module
    if not facts.has("task_sdk"):
        for newer, instead in _NEWER:
            if whole == newer or whole.startswith(f"{newer}."):
                return (
                    f"this is written for Airflow 3; on Airflow {facts.airflow} import it from {instead}, "
                    "or set AirflowVersion to 3.x"
                )
    elif (gone := removed_import(whole)) is not None:
        return f"Airflow 3 has no {gone[0]}: use {gone[1]}" if gone[1] else f"Airflow 3 has no {gone[0]}: do without it"
    if module.startswith("airflow.providers."):
        return _of_provider(module, names, facts)
    parts = module.split(".")
    if len(parts) > 2 and parts[1] in _PLUGIN_KINDS and facts.installed(".".join(parts[:3])) is None:
        return _of_plugin(parts[1], parts[2], facts)
    if found := _now(facts.defining(names, "airflow"), names, facts):
        return f"in Airflow {facts.airflow} it is in {found}"
    if near := difflib.get_close_matches(module, facts.modules("airflow"), n=1, cutoff=0.8):
        return f"Airflow {facts.airflow} has no {whole}; {near[0]} is there"
    return f"Airflow {facts.airflow} has no {whole}: look it up in the documentation of that version"


def _of_plugin(kind: str, name: str, facts: Facts) -> str:
    where = facts.plugin_names.get(name)
    if where is None and facts.own(name) is not None:
        where = name
    if where is None:
        return (
            f"Airflow {facts.airflow} has no airflow.{kind}.{name}; a plugin's modules are imported by their own names"
        )
    use = f"use it in a template as macros.{name}.…, or " if kind == "macros" else ""
    return (
        f"Airflow makes no module airflow.{kind}.{name} out of a plugin: {use}import the file itself "
        f"(from {where} import …), since plugins/ is on the module path"
    )


def _of_provider(module: str, names: list[str], facts: Facts) -> str:
    words = module.split(".")[2:]
    short = words[:2] if words[0] in _FAMILIES else words[:1]
    package = f"apache-airflow-providers-{'-'.join(short)}"
    installed = facts.distributions.get(package)
    if installed is None:
        return f"add {package} to requirements.txt"
    root = f"airflow.providers.{'.'.join(short)}"
    if found := _now(facts.defining(names, root), names, facts):
        return f"{installed} has {' and '.join(names)} in {found}"
    if facts.installed(module) is not None and names:
        near = difflib.get_close_matches(names[0], facts.names_of(module), n=1, cutoff=0.7)
        close = f"; it has {near[0]}" if near else ""
        return f"{module} of {installed} has no {names[0]}{close}: pin a version of {package} that has it"
    near = difflib.get_close_matches(module, facts.modules(root), n=1, cutoff=0.75)
    close = f"; {near[0]} is there" if near else ""
    return f"{installed} has no {module}{close}: use the new path, or pin a version of {package} that has it"


def _now(modules: list[str], names: list[str], facts: Facts) -> str:
    """The public module among those that define a name."""
    if facts.has("task_sdk") and names and any(name.startswith("airflow.sdk") for name in modules):
        exported = facts.installed("airflow.sdk")
        text = (exported / "__init__.py").read_text(encoding="utf-8", errors="replace") if exported else ""
        if all(re.search(rf"\"{re.escape(name)}\"", text) for name in names):
            return "airflow.sdk"
    public = [name for name in modules if "._" not in name and ".example_dags" not in name and "tests" not in name]
    return public[0] if public else ""


def _of_project(module: str, facts: Facts) -> str:
    """A module that the project has, under another name."""
    first, _, rest = module.partition(".")
    for folder, known in ((facts.dags, "dags"), (facts.plugins, "plugins")):
        if rest and first in (known, folder.name) and facts.own(rest) is not None:
            why = f"the content of {known}/ is on the module path, not its parent"
            return f"leave the prefix out: from {rest} import …; {why}"
    if rest and first == facts.project.name and facts.own(rest.removeprefix("dags.").removeprefix("plugins.")):
        name = rest.removeprefix("dags.").removeprefix("plugins.")
        why = "dags/ and plugins/ are on the module path, their parent is not"
        return f"leave the prefix out: from {name} import …; {why}"
    if module in ("dags", "plugins", facts.dags.name, facts.plugins.name):
        return f"leave the prefix {module} out: its content is on the module path, not its parent"
    found = facts.elsewhere(module)
    if found is None and facts.own(first) is None:
        return _other_case(first, facts)
    if found is None:
        return ""
    for root in (facts.dags, facts.plugins):
        if found.is_relative_to(root):
            name = ".".join(found.relative_to(root).with_suffix("").parts)
            return f"{facts.shown(found)} is imported as {name}: the module path begins at {root.name}/"
    return f"{facts.shown(found)} is not uploaded: MWAA has dags/ and plugins/ only; move it into one of them"


def _other_case(first: str, facts: Facts) -> str:
    for root in (facts.dags, facts.plugins):
        for path in root.iterdir() if root.is_dir() else ():
            name = path.stem
            if name.lower() == first.lower() and name != first and (path.is_dir() or path.suffix == ".py"):
                return f"{facts.shown(path)} is spelled {name}: upper and lower case count"
    return ""


def _dropped(first: str, facts: Facts) -> str:
    if first in _DROPPED:
        since, instead = _DROPPED[first]
        if tuple(map(int, facts.python.split("."))) >= tuple(map(int, since.split("."))):
            return f"Python {facts.python} has no {first} any more (gone in {since}): use {instead}"
    if first in sys.stdlib_module_names:
        return f"{first} is part of Python, and not of Python {facts.python}"
    return ""


def _google(module: str) -> str:
    words = module.split(".")
    return "-".join(words[:3]).replace("_", "-") if words[:2] == ["google", "cloud"] and len(words) > 2 else ""


def _file(path: Path) -> Path:
    return path / "__init__.py" if path.is_dir() else path
