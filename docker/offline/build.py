#!/usr/bin/env python3
"""Make the base images of this project where no registry answers.

    python3 docker/offline/build.py [--json] [--only NAME ...] [--force]

For each tag that the Dockerfile and compose.yaml name, a stand-in is built from Debian packages (debootstrap,
from the mirror this
machine's apt uses) and a CPython found on this machine. Nothing is pulled. Standard library only; runs on
Python 3.11 or later, as root.
The tags are the catalog's (src/mwaa_local/catalog/data). How to, and what differs from the real images:
docs/how-to/air-gapped.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - started by hand, with whatever Python there is
    sys.exit("docker/offline/build.py needs Python 3.11 or later; this is " + sys.version.split()[0])

import tomllib

sys.path.insert(0, str(Path(__file__).resolve().parent))

import images
import pythons
from apt_sources import mirror, read_sources
from commands import OfflineError, Timer, run, say

CATALOG = Path(__file__).resolve().parents[2] / "src/mwaa_local/catalog/data"
SUITE = "bookworm"  # the Debian release in the tags of the catalog's images


def wanted_pythons(catalog: Path, versions: list[str]) -> list[str]:
    """Give MWAA's full Python versions, newest first, of the given Airflow versions (none given: the whole catalog).

    Raises:
        OfflineError: an Airflow version that the catalog does not have.
    """
    files = {path.stem: path for path in sorted((catalog / "versions").glob("*.toml"))}
    unknown = [version for version in versions if version not in files]
    if unknown:
        raise OfflineError(
            f"no such Airflow version in the catalog: {', '.join(unknown)}", f"one of {', '.join(files)}"
        )
    patches = {tomllib.loads(files[name].read_text(encoding="utf-8"))["python_patch"] for name in versions or files}
    return sorted(patches, key=lambda patch: [int(part) for part in patch.split(".")], reverse=True)


def docker_command() -> tuple[str, ...]:
    """Give the docker program after checking that its daemon answers.

    Raises:
        OfflineError: no program, or no daemon.
    """
    program = shutil.which("docker")
    if program is None:
        raise OfflineError(
            "there is no docker program here", "install Docker (docker/daemon.sh does it from Debian packages)"
        )
    try:
        done = subprocess.run(
            [program, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OfflineError("the Docker daemon did not answer within 30 s", "look at its log, or restart it") from error
    if done.returncode:
        raise OfflineError(
            "the Docker daemon does not answer", "start it (docker/daemon.sh), or set DOCKER_HOST", done.stderr.strip()
        )
    return (program,)


def check_machine(root_needed: bool) -> None:
    """Stop early, before anything was made, where debootstrap cannot work.

    Raises:
        OfflineError: not root, or no debootstrap.
    """
    if root_needed and os.geteuid() != 0:
        raise OfflineError("debootstrap needs root", f"sudo {sys.executable} docker/offline/build.py")
    if root_needed and shutil.which("debootstrap") is None:
        raise OfflineError("the program debootstrap is missing", "sudo apt-get install debootstrap")


def ca_bundle(given: Path | None) -> Path | None:
    """Give the CA bundle for https mirrors: --ca, else what SSL_CERT_FILE names, else None."""
    path = given or (Path(os.environ["SSL_CERT_FILE"]) if os.environ.get("SSL_CERT_FILE") else None)
    return path.resolve() if path and path.is_file() else None


def main(argv: list[str]) -> int:
    """Run the command line; 0 done, 1 a step failed, 2 wrong arguments."""
    parser = argparse.ArgumentParser(
        description="Build stand-ins for the base images from Debian packages and a Python of this machine."
    )
    parser.add_argument(
        "--only", nargs="+", choices=("debian", "al2023", "postgres"), default=["debian", "al2023", "postgres"]
    )
    parser.add_argument(
        "--airflow-version", nargs="+", default=[], metavar="VERSION", help="Pythons of these versions only"
    )
    parser.add_argument("--mirror", help="Debian mirror; default: the one this machine's apt uses")
    parser.add_argument("--keyring", type=Path, help="its keyring; default: the one apt uses")
    parser.add_argument("--ca", type=Path, help="CA bundle for an https mirror; default: SSL_CERT_FILE")
    parser.add_argument(
        "--work", type=Path, help="scratch folder, on a file system that allows devices; default: the temporary folder"
    )
    parser.add_argument("--catalog", type=Path, default=CATALOG, help=argparse.SUPPRESS)
    parser.add_argument("--force", action="store_true", help="build again what is there")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(argv)
    timer = Timer()
    try:
        results = build(args)
    except OfflineError as error:
        if args.json:
            print(
                json.dumps(
                    {"ok": False, "error": {"what": error.what, "hint": error.hint, "tail": error.tail.splitlines()}}
                )
            )
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(
            json.dumps(
                {"ok": True, "seconds": round(timer.seconds, 1), "images": [result.as_json() for result in results]},
                indent=2,
            )
        )
    else:
        for result in results:
            print(f"{result.state:6}{result.megabytes:8.0f} MB  {result.tag}  {'; '.join(result.notes)}")
    say(f"Done in {timer.seconds:.0f} s.")
    return 0


def build(args: argparse.Namespace) -> list[images.Result]:
    """Make what was asked for, the root image first; see ``main`` for the arguments."""
    packages = args.catalog / "os_packages.toml"
    tags = tomllib.loads(packages.read_text(encoding="utf-8"))["images"]
    docker = docker_command()
    patches = wanted_pythons(args.catalog, args.airflow_version)
    needs_python = {"debian", "al2023"} & set(args.only)
    found = {patch: pythons.find(patch, os.environ, Path.home()) for patch in patches} if needs_python else {}
    settings = images.Settings(
        docker=docker,
        mirror=mirror(SUITE, read_sources(), args.mirror, args.keyring),
        pythons=found,
        packages=packages,
        ca=ca_bundle(args.ca),
        work=(args.work or Path(os.environ.get("TMPDIR", "/tmp"))).resolve(),
        force=args.force,
    )
    root = tags["offline_root"]
    check_machine(root_needed=args.force or images.inspect(settings, root) is None)
    say(
        f"Stand-ins for {', '.join(args.only)}, from Debian {SUITE} and "
        + (", ".join(f"Python {p.version}" for p in found.values()) or "no Python")
    )
    results = [images.debian_root(settings, root)]
    if "debian" in args.only:
        results += [
            images.python_image(settings, tags["debian"].format(python_patch=patch), root, patch) for patch in patches
        ]
    if "al2023" in args.only:
        results.append(images.al2023_image(settings, tags["al2023"], root))
    if "postgres" in args.only:
        results.append(images.postgres_image(settings, tags["postgres"], root))
    if args.force:
        run(
            [*docker, "image", "prune", "--force", "--filter", f"label={images.LABEL}"],
            what="remove the images that were replaced",
        )
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
