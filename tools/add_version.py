"""Add an Airflow version to the catalog, or write its files anew: one command, and a review.

    python tools/add_version.py 3.3.1 --python 3.12.13 --airflow-release 2026-07-30 --mwaa-release 2026-08-20 \\
        --offered image --constraints FOLDER [--bill FILE --image-built 2026-08-20] [--essential FILE]

It writes ``catalog/data/versions/VERSION.toml``, ``constraints/VERSION.toml``, ``airflow_defaults/VERSION.toml`` and
``airflow_names/VERSION.toml``, and prints how far the image's packages agree with Airflow's constraint file. The
packages are those of the image's bill of materials where one is given (a table of Markdown with a column for the
version, or lines ``name==version``); else what the image's build asks for, resolved under the constraint file. A run
takes minutes: it installs the version and asks the installed Airflow. What only a person can know (another command of a
process, another reserved variable) is in docs/development/adding-a-version.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

import airflow_facts
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version as PackageVersion

from mwaa_local import catalog
from mwaa_local.model.cache import cache_folder
from mwaa_local.packages import constraints, uv_tool
from mwaa_local.packages.base import ensure_base

DATA = Path(catalog.__file__).parent / "data"
# The newest pip when the bills of materials were made; the images before have one of 2021 (spec/09 section 1).
_PIPS = (("2.9.2", "26.2.1"), ("2.0.2", "21.3.1"), ("0", "21.1.2"))
# What CPython itself brings to the image (spec/10 section 4.7 names it as missing from the bill of materials).
_SETUPTOOLS = {"3.11": "65.5.0", "3.10": "65.5.0", "3.7": "47.1.0"}
# Compiled in the image next to the binary package that brings the same module.
_SOURCE_ONLY = {"psycopg2": "psycopg2-binary of the same image provides the module"}
# Source only when the image was built, which needs libcurl's headers: the first with binary packages stands in.
_BINARY = {"pycurl": "7.45.3"}
_ROUNDS = 4


@dataclass(frozen=True)
class Facts:
    """What the caller knows of the version, and no package says."""

    airflow: str
    python_patch: str
    airflow_release: date
    mwaa_release: date | None
    image_built: date
    offered: str
    ended: date | None

    @property
    def python(self) -> str:
        """Its minor version."""
        return ".".join(self.python_patch.split(".")[:2])


def main() -> int:
    """Write the files; 0 when they are there."""
    given = _arguments()
    facts = Facts(
        given.version, given.python, given.airflow_release, given.mwaa_release,
        given.image_built or given.mwaa_release or given.airflow_release, given.offered, given.ended,
    )  # fmt: skip
    pins, source = _constraints(facts, given.constraints)
    _write_constraints(facts, pins, source)
    requirements = _image_requirements(facts, given.provider)
    if given.bill is not None:
        packages = _bill(given.bill.read_text(encoding="utf-8"), facts.airflow)
    else:
        packages = _resolve(facts, requirements, source, given.build_constraint)
    essential = _essential(given.essential, packages, pins)
    version = replace(
        _version(facts, packages, requirements, essential), build_constraints=tuple(given.build_constraint)
    )
    version, unlisted, python = _complete(version, pins)
    heads = airflow_facts.heads(python)
    if len(heads) != 1:
        sys.exit(f"{len(heads)} heads of migrations: {heads}")
    _write_version(version, packages, unlisted, heads[0], facts, from_bill=given.bill is not None)
    airflow_facts.write_defaults(facts.airflow, airflow_facts.defaults(python))
    airflow_facts.write_names(facts.airflow, airflow_facts.names(python))
    _say_agreement(version, pins)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="Airflow's version, 3.3.1")
    parser.add_argument("--python", required=True, help="the exact Python of the image, 3.12.13")
    parser.add_argument("--airflow-release", required=True, type=date.fromisoformat)
    parser.add_argument("--mwaa-release", type=date.fromisoformat, help="when MWAA offered it, if the guide says so")
    parser.add_argument("--image-built", type=date.fromisoformat, help="date of the bill of materials")
    parser.add_argument("--offered", choices=("guide", "image", "ended"), required=True)
    parser.add_argument("--ended", type=date.fromisoformat, help="end of support on MWAA")
    parser.add_argument("--bill", type=Path, help="the image's bill of materials")
    parser.add_argument("--essential", type=Path, help="pins that a requirements.txt can never move")
    parser.add_argument("--constraints", type=Path, help="folder of constraint files; else they are fetched")
    parser.add_argument("--build-constraint", action="append", default=[], help="limit of what is built with")
    parser.add_argument("--provider", action="append", default=[], help="a provider the image has, without a bill")
    return parser.parse_args()


def _constraints(facts: Facts, folder: Path | None) -> tuple[Mapping[str, str], str]:
    """The pins, and the text they are from."""
    name = f"constraints-{facts.airflow}-py{facts.python}.txt"
    if folder is not None and (folder / name).is_file():
        text = (folder / name).read_text(encoding="utf-8")
    else:
        address = catalog.limits().constraint_url.format(airflow=facts.airflow, python=facts.python)
        with tempfile.TemporaryDirectory() as cache:
            finder = constraints.ConstraintFinder(Path(cache), environment=dict(os.environ))
            text = finder.fetched(address)
    pins = constraints.pins(text)
    if len(pins) < 100:
        sys.exit(f"{name} has {len(pins)} pins only")
    return pins, text


def _write_constraints(facts: Facts, pins: Mapping[str, str], text: str) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()
    lines = [
        f"# The pins of Airflow {facts.airflow}'s own constraint file for Python {facts.python}; ",
        "written by tools/add_version.py.\n",
        f'python = "{facts.python}"\n',
        f'sha256 = "{digest}"  # of that file\n\n[pins]\n',
        *(f"{_key(name)} = {json.dumps(pin)}\n" for name, pin in sorted(pins.items())),
    ]
    folder = DATA / "constraints"
    folder.mkdir(exist_ok=True)
    (folder / f"{facts.airflow}.toml").write_text("".join(lines), encoding="utf-8")


def _image_requirements(facts: Facts, providers: Sequence[str]) -> list[str]:
    """What the image's build asks for (spec/10 section 4.5; spec/09 section 1.1 before 2.9.2)."""
    version = PackageVersion(facts.airflow)
    if version < PackageVersion("2"):
        return [
            f"apache-airflow[crypto,celery,statsd]=={facts.airflow}",
            "celery[sqs]",
            "psycopg2",
            "pycurl",
            "watchtower",
        ]
    if version < PackageVersion("2.9"):
        extras = "celery,statsd" if version >= PackageVersion("2.4") else "crypto,celery,statsd"
        return [
            f"apache-airflow[{extras}]=={facts.airflow}",
            *providers,
            "celery[sqs]",
            "psycopg2",
            "pycurl",
            "watchtower",
            "virtualenv",
        ]
    found = [
        "apache-airflow-providers-amazon[aiobotocore]", "apache-airflow[celery,statsd]",
        "apache-airflow-providers-postgres", "celery[sqs]", "boto3-stubs[logs]", "boto3-stubs[sqs]", "psycopg2",
        "pycurl", "watchtower", "fluent-logger", "virtualenv",
    ]  # fmt: skip
    if version >= PackageVersion("3"):
        found += ["apache-airflow-providers-fab", "apache-airflow-providers-standard"]
    if version >= PackageVersion("3.2"):
        found += ["apache-airflow-core[gunicorn]"]
    return found


def _bill(text: str, version: str) -> dict[str, str]:
    """The packages of a bill of materials: one column of a Markdown table, or lines ``name==version``."""
    found: dict[str, str] = {}
    best: dict[str, str] = {}
    column = None
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            if cells[0] == "Package":
                best = max(best, found, key=len)
                found, column = {}, cells.index(version) if version in cells else None
            elif (
                column is not None
                and re.fullmatch(r"[\w.-]+", cells[0])
                and len(cells) > column
                and re.match(r"\d", cells[column])
            ):
                found[canonicalize_name(cells[0])] = cells[column]
        elif match := re.fullmatch(r"([\w.-]+)==([\w.+!-]+)\s*", line):
            found[canonicalize_name(match[1])] = match[2]
    found = max(best, found, key=len)
    if len(found) < 50:
        sys.exit(f"the bill of materials has {len(found)} packages of {version} only")
    return found


def _resolve(facts: Facts, requirements: Sequence[str], source: str, building: Sequence[str]) -> dict[str, str]:
    """What the image's build would install, under the constraint file and as of the day MWAA offered the version."""
    with tempfile.TemporaryDirectory() as folder:
        asked, limits, instead = (Path(folder, f"{name}.txt") for name in ("asked", "constraints", "instead"))
        instead.write_text("".join(f"{name}=={pin}\n" for name, pin in _BINARY.items()))
        apart = {*_SOURCE_ONLY, *_BINARY}
        wanted = [line for line in requirements if canonicalize_name(Requirement(line).name) not in apart]
        asked.write_text("".join(f"{line}\n" for line in [*wanted, "psycopg2-binary"]))
        # What MWAA says of a provider wins over Airflow's file.
        named = {canonicalize_name(Requirement(line).name) for line in requirements if "==" in line}
        kept = [line for line in source.splitlines() if canonicalize_name(line.partition("==")[0].strip()) not in named]
        limits.write_text("\n".join(kept))
        words = [uv_tool.binary(), "pip", "compile", "--no-header", "--no-annotate", "--quiet", "--system-certs"]
        words += ["--python-version", facts.python_patch, "--constraint", str(limits)]
        words += ["--override", str(instead)]
        tools = Path(folder, "build.txt")
        tools.write_text("".join(f"{line}\n" for line in building))
        words += ["--build-constraints", str(tools)]
        words += [word for name in _BINARY for word in ("--exclude-newer-package", f"{name}=2026-01-01")]
        words += ["--exclude-newer", f"{facts.image_built.isoformat()}T23:59:59Z"]
        done = subprocess.run([*map(str, words), str(asked)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = {}
    for line in done.stdout.splitlines():
        if line and not line.startswith("#"):
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"python_version": facts.python}):
                (only,) = need.specifier
                found[canonicalize_name(need.name)] = only.version
    found |= _BINARY
    binary = found.get("psycopg2-binary")
    if binary:
        found["psycopg2"] = constraints.pins(source).get("psycopg2", binary)
    return dict(sorted(found.items()))


def _essential(file: Path | None, packages: Mapping[str, str], pins: Mapping[str, str]) -> dict[str, str]:
    """The pins nobody moves: given, or those of the packages that the newest version holds (spec/10 section 4.4)."""
    if file is not None:
        lines = [line.partition("==") for line in file.read_text(encoding="utf-8").split() if "==" in line]
        return {name: pin for name, _, pin in lines}
    newest = catalog.version(catalog.default_version()).essential
    found = {name: packages.get(canonicalize_name(name)) or pins.get(canonicalize_name(name)) for name in newest}
    return {name: pin for name, pin in found.items() if pin}


def _version(
    facts: Facts, packages: Mapping[str, str], requirements: Sequence[str], essential: Mapping[str, str]
) -> catalog.Version:
    return catalog.Version(
        airflow=facts.airflow,
        python=facts.python,
        python_patch=facts.python_patch,
        airflow_release=facts.airflow_release,
        mwaa_release=facts.mwaa_release,
        image_built=facts.image_built,
        watchtower=packages.get("watchtower", ""),
        offered=facts.offered,
        ended=facts.ended,
        schema_heads=MappingProxyType({"alembic_version": ""}),
        image_requirements=tuple(requirements),
        essential=MappingProxyType(dict(essential)),
        packages=MappingProxyType(dict(packages)),
        source_only_packages=MappingProxyType({name: "" for name in _SOURCE_ONLY if name in packages}),
    )


def _complete(
    version: catalog.Version, pins: Mapping[str, str]
) -> tuple[catalog.Version, dict[str, tuple[str, str]], Path]:
    """Install it, and add what its packages require and its bill of materials does not list."""
    unlisted: dict[str, tuple[str, str]] = {}
    airflow = PackageVersion(version.airflow)
    pip = next(pip for least, pip in _PIPS if airflow >= PackageVersion(least))
    if "pip" not in version.packages:
        why = "newest at the build of the image" if pip == "26.2.1" else "never upgraded (spec/09 section 1)"
        unlisted["pip"] = (pip, why)
    if "setuptools" not in version.packages:
        shipped = _SETUPTOOLS.get(version.python)
        unlisted["setuptools"] = (
            (shipped, f"shipped with CPython {version.python}")
            if shipped
            else (pins["setuptools"], f"Airflow {version.airflow} constraints")
        )
    for _ in range(_ROUNDS):
        whole = replace(
            version, packages=MappingProxyType({**version.packages, **{n: p for n, (p, _) in unlisted.items()}})
        )
        made = ensure_base(
            whole,
            cache_folder(os.environ),
            environment=dict(os.environ),
            emit=lambda line: print(line, file=sys.stderr),
        )
        lacking = airflow_facts.missing(made.interpreter)
        new = {name: who for name, who in lacking.items() if name not in unlisted and name in pins}
        for name, who in lacking.items():
            print(
                f"required by {', '.join(sorted(set(who))[:3])} and not there: {name} {pins.get(name, '(no pin)')}",
                file=sys.stderr,
            )
        if not new:
            return whole, unlisted, made.interpreter
        unlisted |= {name: (pins[name], f"Airflow {version.airflow} constraints") for name in new}
    sys.exit("its packages always lack others")


def _write_version(
    version: catalog.Version,
    packages: Mapping[str, str],
    unlisted: Mapping[str, tuple[str, str]],
    head: str,
    facts: Facts,
    *,
    from_bill: bool,
) -> None:
    source = (
        "# Everything installed in the image: its bill of materials (spec/10 appendix A)."
        if from_bill
        else "# What the image's build asks for (spec/09 section 1.1), resolved under Airflow's constraint file: "
        "no bill of materials is known."
    )
    ended = f"ended = {facts.ended.isoformat()}{' ' * 13}# spec/02 section 9.2\n" if facts.ended else ""
    lines = [
        f"# Apache Airflow {version.airflow} as MWAA runs it; written by tools/add_version.py.\n\n",
        f'airflow = "{version.airflow}"\npython = "{version.python}"\npython_patch = "{version.python_patch}"\n',
        f"airflow_release = {version.airflow_release}\n",
        f"mwaa_release = {version.mwaa_release}\n" if version.mwaa_release else "",
        f"image_built = {version.image_built}\n",
        f'watchtower = "{version.watchtower}"            ',
        "# what the check after the startup script expects (spec/10 section 3.5)\n",
        f'offered = "{facts.offered}"\n{ended}',
        "# Heads of the migrations that this version ships: a database that stands there needs no migration.\n",
        f'schema_heads = {{ alembic_version = "{head}" }}\n\n',
        "# What the image build asks for.\nimage_requirements = [\n",
        *(f"  {json.dumps(line)},\n" for line in version.image_requirements),
        "]\n",
        *_build_lines(version),
        "\n# Pins a requirements.txt can never move (spec/10 section 4.4).\n[essential]\n",
        *(f"{_key(name)} = {json.dumps(pin)}\n" for name, pin in version.essential.items()),
        f"\n{source}\n[packages]\n",
        *(f"{_key(name)} = {json.dumps(pin)}\n" for name, pin in sorted(packages.items())),
        "\n# Not in that list, and required by what is (spec/10 section 4.7).\n[unlisted_packages]\n",
        *(f"{_key(name)} = {json.dumps(pin):24}# {why}\n" for name, (pin, why) in unlisted.items()),
        "\n# Packages of the image that only exist as source and need a compiler; what stands in for each, ",
        'or "" for nothing.\n',
        "[source_only_packages]\n",
        *(f'{name} = ""                     # {_SOURCE_ONLY[name]}\n' for name in version.source_only_packages),
    ]
    text = "".join(lines)
    tomllib.loads(text)
    (DATA / "versions" / f"{version.airflow}.toml").write_text(text, encoding="utf-8")


def _build_lines(version: catalog.Version) -> list[str]:
    if not version.build_constraints:
        return []
    given = json.dumps(version.build_constraints)
    return ["# What its source packages cannot be built with later ones of.\n", f"build_constraints = {given}\n"]


def _say_agreement(version: catalog.Version, pins: Mapping[str, str]) -> None:
    same = [name for name, pin in version.packages.items() if pins.get(name) == pin]
    other = {name: (pin, pins[name]) for name, pin in version.packages.items() if name in pins and pins[name] != pin}
    free = [name for name in version.packages if name not in pins]
    print(f"{version.airflow}: {len(version.packages)} packages, {len(same)} as in Airflow's constraint file")
    for name, (image, limit) in sorted(other.items()):
        print(f"  {name}: {image} in the image, {limit} in the constraint file")
    print(f"  not in the constraint file: {', '.join(free)}")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


if __name__ == "__main__":
    sys.exit(main())
