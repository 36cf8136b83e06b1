"""``python -m mwaa_local.packages.install_base --version V --dest DIR``: the base set at a fixed place, for images."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mwaa_local import catalog
from mwaa_local.errors import MwaaLocalError
from mwaa_local.packages import base, explain, install, pythons, store
from mwaa_local.packages.narrate import Emit
from mwaa_local.packages.sets import PackageSet, load, manifest_of


def install_base(
    version: catalog.Version,
    dest: Path,
    *,
    environment: Mapping[str, str],
    cache: Path,
    python: Path | None = None,
    emit: Emit = lambda line: None,
) -> PackageSet:
    """Install the base set at a place of its own, all bytecode written.

    Args:
        version: The version.
        dest: The folder; must not exist, or be empty.
        environment: ``PATH``, proxies, pip's configuration.
        cache: uv's downloads go here (or to ``UV_CACHE_DIR``).
        python: The interpreter; looked for unless given.
        emit: Takes progress lines.

    Raises:
        MwaaLocalError: no Python, no packages, no space; nothing is left at the place then.
    """
    interpreter = pythons.find(
        version, environment=environment, cache=cache, explicit=python, fetch=False, nearest=False
    )
    try:
        dest.mkdir(parents=True, exist_ok=True)
        try:
            made = base.build(
                dest, version, interpreter, cache=cache, environment=environment, emit=emit,
                timeout_s=1800.0, all_bytecode=True,
            )  # fmt: skip
            install.relocatable_scripts(dest)
            store.write_manifest(dest, manifest_of(made))
        except BaseException:
            shutil.rmtree(dest, ignore_errors=True)
            raise
    except OSError as error:
        raise explain.from_os_error(error, str(dest)) from error
    return load(dest)


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="install_base", description="Install MWAA's own packages for an image.")
    parser.add_argument("--version", required=True, help="Airflow's version")
    parser.add_argument("--dest", required=True, type=Path, help="folder to install into")
    parser.add_argument("--python", type=Path, help="interpreter to use")
    parser.add_argument("--cache", type=Path, help="folder for downloads; uv's own unless given")
    options = parser.parse_args(argv)
    variables = dict(os.environ if environment is None else environment)
    if options.cache is None and "UV_CACHE_DIR" not in variables:
        # uv's own place: an image build mounts it, so that a second build downloads nothing.
        home = variables.get("XDG_CACHE_HOME") or str(Path(variables.get("HOME", "~")).expanduser() / ".cache")
        variables["UV_CACHE_DIR"] = str(Path(home) / "uv")
    with tempfile.TemporaryDirectory(prefix="mwaa-local-") as scratch:
        try:
            made = install_base(
                catalog.version(options.version),
                options.dest.absolute(),
                environment=variables,
                cache=(options.cache or Path(scratch)).absolute(),
                python=options.python,
                emit=lambda line: print(line, file=sys.stderr, flush=True),
            )
        except MwaaLocalError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    print(f"{made.path}: Airflow {made.airflow}, Python {made.python}, {len(made.installed())} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
