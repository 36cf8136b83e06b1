"""Package sets on the real uv and pip, from wheels the test makes: no network."""

from __future__ import annotations

import ensurepip
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from patience import Stopwatch, until

from mwaa_local import catalog
from mwaa_local.packages import (
    PackageSet,
    UnmetRequirementsError,
    ensure,
    ensure_base,
    link,
    linked,
    load,
    prune,
    pythons,
)
from mwaa_local.packages.install_base import install_base, main
from mwaa_local.packages.resolve import resolve
from mwaa_local.packages.store import Store
from packages_support import serve, tiny_version, wheel

CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"
BASE = {"tiny-core": "1.0", "tiny-old": "1.0", "pinned": "1.0"}


class World:
    """A machine with a folder of wheels as its only index, a version of three packages, and a home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wheels = path / "wheels"
        self.home = path / "home"
        self.cache = path / "cache"
        for name in ("requirements", "plugins", "dags"):
            (self.home / name).mkdir(parents=True)
        for name, version in (
            *BASE.items(),
            ("tiny-old", "2.0"),
            ("pinned", "2.0"),
            ("extra", "1.0"),
            ("extra", "2.0"),
        ):
            wheel(self.wheels, name, version)
        wheel(self.wheels, "tool", "1.0", needs=("extra<2", "tiny-core"), command="tool-run",
              body="def main():\n    print('tool ran')\n")  # fmt: skip
        wheel(self.wheels, "grabber", "1.0", needs=("pinned>=2",))
        self.version = tiny_version(BASE, essential=MappingProxyType({"Pinned": "1.0"}))
        self.environment = {
            "PATH": os.defpath,
            "HOME": str(path),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }
        self.lines: list[str] = []

    def base(self, **options: Any) -> PackageSet:
        return ensure_base(
            options.pop("version", self.version), self.cache, environment=self.environment, python=Path(sys.executable),
            **options,
        )  # fmt: skip

    def write(self, text: str) -> Path:
        file = self.home / "requirements" / "requirements.txt"
        file.write_text(text)
        return file

    def ensure(self, text: str, base: PackageSet, **options: Any) -> PackageSet:
        self.lines = []
        environment = {**self.environment, **options.pop("variables", {})}
        return ensure(
            options.pop("version", self.version),
            self.write(text),
            base=base,
            cache=options.pop("cache", self.cache),
            environment=environment,
            path_map={"/usr/local/airflow": self.home},
            constraint_address=CLOSED,
            emit=self.lines.append,
            **options,
        )

    def sets(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "package-sets").iterdir() if (path / "bin").is_dir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, PackageSet]:
    """One world with its base set, shared: every test writes its own requirements."""
    world = World(tmp_path_factory.mktemp("world"))
    return world, world.base()


def run(package_set: PackageSet, *words: str) -> str:
    done = subprocess.run(
        [str(package_set.bin / words[0]), *words[1:]], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_the_base_set_is_the_images_pins_and_nothing_else(made: tuple[World, PackageSet]) -> None:
    world, base = made
    assert base.installed() == BASE
    assert base.installed_now
    assert base.path.parent == world.cache / "package-sets"
    assert (base.path / "etc/mwaa_essential_constraints.txt").read_text() == "Pinned==1.0\n"
    again = world.base()
    assert (again.key, again.installed_now) == (base.key, False)
    assert run(base, "python", "-c", "import tiny_core; print(tiny_core.version)") == "1.0\n"


def test_a_python_that_came_later_is_asked_whether_it_is_nearer(
    made: tuple[World, PackageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interpreters are run only when there is a new one: a warm start asks none."""
    world, _ = made
    asked: list[str] = []
    find, places = pythons.find, [str(sys.executable)]

    def counted(version: catalog.Version, **options: Any) -> pythons.Interpreter:
        asked.append(version.airflow)
        return find(version, **{**options, "explicit": Path(sys.executable)})

    monkeypatch.setattr(pythons, "find", counted)
    monkeypatch.setattr(pythons, "available", lambda version, environment: list(places))
    for _ in range(2):
        ensure_base(world.version, world.cache, environment=world.environment)
    assert len(asked) == 1
    places.append("/opt/python/bin/python3")
    ensure_base(world.version, world.cache, environment=world.environment)
    assert len(asked) == 2


def test_other_pins_are_another_base(made: tuple[World, PackageSet]) -> None:
    world, base = made
    other = world.base(version=tiny_version({**BASE, "tiny-old": "2.0"}))
    assert other.key != base.key
    assert other.installed()["tiny-old"] == "2.0"


def test_requirements_are_installed_once_and_found_afterwards(made: tuple[World, PackageSet]) -> None:
    world, base = made
    text = "# -c none\ntiny-core\ntool==1.0\n"
    first = world.ensure(text, base)
    assert first.installed_now
    assert first.installed() == {**BASE, "tool": "1.0", "extra": "1.0"}
    assert dict(first.changed or {}) == {"tool": "1.0", "extra": "1.0"}
    file = "/usr/local/airflow/requirements/requirements.txt"
    site = f"/usr/local/airflow/.local/lib/python{base.minor}/site-packages"
    assert f"Requirement already satisfied: tiny-core in {site} (from -r {file} (line 2)) (1.0)" in world.lines
    assert f"Collecting tool==1.0 (from -r {file} (line 3))" in world.lines
    assert world.lines[-1] == "Successfully installed extra-1.0 tool-1.0"
    assert run(first, "tool-run") == "tool ran\n"
    second = world.ensure("tiny-core # moved\n\ntool==1.0\n# -c none\n", base)
    assert (second.key, second.installed_now) == (first.key, False)
    assert not any(line.startswith(("Collecting", "Successfully")) for line in world.lines)
    assert base.installed() == BASE


def test_an_installed_package_is_replaced_only_where_the_file_asks_for_it(made: tuple[World, PackageSet]) -> None:
    world, base = made
    assert world.ensure("# -c \ntiny-old\nextra\n", base).installed()["tiny-old"] == "1.0"
    newer = world.ensure("# -c \ntiny-old>=2\n", base)
    assert newer.installed()["tiny-old"] == "2.0"
    assert "    Successfully uninstalled tiny-old-1.0" in world.lines
    assert run(newer, "python", "-c", "import tiny_old; print(tiny_old.version)") == "2.0\n"
    assert run(base, "python", "-c", "import tiny_old; print(tiny_old.version)") == "1.0\n"


def test_bytecode_is_shared_with_the_set_that_has_most_of_it(made: tuple[World, PackageSet]) -> None:
    world, base = made
    first = world.ensure("# -c share\ntool\n", base)
    second = world.ensure("# -c share\ntool\ntiny-old>1\n", base)
    for name, shared in (("tool", True), ("extra", True), ("tiny_old", False)):
        compiled = f"{name}/__pycache__/__init__.cpython-{base.minor.replace('.', '')}.pyc"
        mine, theirs = second.site_packages / compiled, first.site_packages / compiled
        assert mine.exists(), name
        assert (theirs.exists() and mine.samefile(theirs)) is shared, name


def test_mwaas_own_constraints_hold_where_the_file_names_none(made: tuple[World, PackageSet]) -> None:
    world, base = made
    # The injected file is the catalog's for 3.2.1 (no network here); it pins none of the tiny packages.
    found = world.ensure("extra\n", base)
    assert "Forcing local constraints" in world.lines
    assert "pins of MWAA's image for 3.2.1" in found.source
    assert (found.path / "etc/airflow_constraints.txt").read_text().count("==") > 200
    assert (base.path / "etc/airflow_constraints.txt").read_text().count("==") == len(BASE)


@pytest.mark.parametrize("resolver", ["uv"])
@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("# -c \npinned==2.0\n", "conflict", 2),
        ("# -c \nextra\ngrabber\n", "conflict", 3),
        ("# -c \nno-such-package==1\n", "no-match", 2),
        ("# -c \nextra==9\n", "no-match", 2),
        ("extra==1.0\nextra==2.0\n# -c \n", "conflict", 2),
    ],
)
def test_a_file_that_cannot_be_met_names_its_lines_and_leaves_nothing(
    made: tuple[World, PackageSet], text: str, kind: str, line: int, resolver: str
) -> None:
    world, base = made
    before = world.sets()
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure(text, base, resolver=resolver)
    assert caught.value.kind == kind
    assert [conflict.line for conflict in caught.value.conflicts] == [line]
    assert any(text.startswith("ERROR: ") for text in world.lines)
    assert world.sets() == before
    assert base.installed() == BASE


def test_an_essential_pin_is_named_as_what_it_is(made: tuple[World, PackageSet]) -> None:
    world, base = made
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure("# -c \ngrabber\n", base)
    (conflict,) = caught.value.conflicts
    assert (conflict.pin, conflict.source) == ("pinned==1.0", "essential pins of MWAA")


def test_a_constraint_file_of_the_dags_folder_pins(made: tuple[World, PackageSet]) -> None:
    world, base = made
    (world.home / "dags" / "c.txt").write_text("extra==1.0\n")
    found = world.ensure("-c /usr/local/airflow/dags/c.txt\nextra\n", base)
    assert found.installed()["extra"] == "1.0"
    assert found.source == "/usr/local/airflow/dags/c.txt"


def test_wheels_of_the_plugins_folder_are_used_without_any_index(made: tuple[World, PackageSet]) -> None:
    world, base = made
    wheel(world.home / "plugins", "from-plugins", "1.0", body="where = 'plugins'\n")
    text = "--find-links /usr/local/airflow/plugins\n--no-index\nfrom-plugins\n"
    found = world.ensure(text, base, variables={"PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""})
    assert run(found, "python", "-c", "import from_plugins; print(from_plugins.where)") == "plugins\n"
    wheel(world.home / "plugins", "from-plugins", "1.0", body="where = 'new plugins'\n")
    other = world.ensure(text, base, variables={"PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""})
    assert other.key != found.key
    assert run(other, "python", "-c", "import from_plugins; print(from_plugins.where)") == "new plugins\n"


def test_a_wheel_named_by_its_path_is_installed(made: tuple[World, PackageSet]) -> None:
    world, base = made
    path = wheel(world.home / "plugins", "by-path", "3.0")
    found = world.ensure(f"# -c \n/usr/local/airflow/plugins/{path.name}\n", base)
    assert found.installed()["by-path"] == "3.0"


def test_an_index_over_http_with_credentials_from_the_environment(made: tuple[World, PackageSet]) -> None:
    world, base = made
    path = wheel(world.path / "private", "private-thing", "1.0")
    page = f'<!DOCTYPE html><html><body><a href="/files/{path.name}">{path.name}</a></body></html>'
    with serve({"/simple/private-thing/": page}) as server:
        # Bytes of the wheel come from the folder's file, through the page's own link.
        server.texts["/simple/private-thing/"] = page.replace(f"/files/{path.name}", path.as_uri())
        found = world.ensure(
            f"# -c \n--index-url {server.url.replace('http://', 'http://${USER_1}:${PASS_1}@')}/simple\nprivate-thing\n",
            base,
            variables={"PIP_NO_INDEX": "", "USER_1": "me", "PASS_1": "s3cret-word"},
        )
    assert found.installed()["private-thing"] == "1.0"
    assert "s3cret-word" not in "\n".join(world.lines)
    leaks = subprocess.run(
        ["grep", "-rl", "s3cret-word", str(world.cache / "package-sets")], capture_output=True, text=True, check=False
    )
    assert leaks.stdout == ""


def test_hashes_hold_for_what_is_installed_and_not_for_what_is_there(made: tuple[World, PackageSet]) -> None:
    world, base = made
    (path,) = world.wheels.glob("tool-*.whl")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (extra,) = world.wheels.glob("extra-1.0*.whl")
    other = hashlib.sha256(extra.read_bytes()).hexdigest()
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure(f"# -c \ntool==1.0 --hash=sha256:{digest}\n", base)
    assert (caught.value.kind, caught.value.packages) == ("hash", ("extra",))
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure(f"# -c \nextra==1.0 --hash=sha256:{'0' * 64}\n", base)
    assert caught.value.kind == "hash"
    good = f"# -c \ntool==1.0 --hash=sha256:{digest}\nextra==1.0 --hash=sha256:{other}\n"
    # tiny-core, which tool needs, is there already and needs no hash: pip's rule.
    assert world.ensure(good, base).installed()["tool"] == "1.0"


def _start(path: Path, text: str, cached: str, results: Any) -> None:
    world = World.__new__(World)
    world.__dict__.update(json.loads(cached))
    for name in ("path", "wheels", "home", "cache"):
        setattr(world, name, Path(getattr(world, name)))
    world.version = tiny_version(BASE, essential=MappingProxyType({"Pinned": "1.0"}))
    found = world.ensure(text, load(path))
    results.put((found.key, found.installed_now))


def test_two_components_that_start_together_install_once(made: tuple[World, PackageSet]) -> None:
    world, base = made
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    told = json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in vars(world).items()
                       if name in {"path", "wheels", "home", "cache", "environment", "lines"}})  # fmt: skip
    both = [
        context.Process(
            target=_start, args=(base.path, "# -c both\nextra==2.0\ntool-none; python_version<'3'\n", told, results)
        )
        for _ in range(2)
    ]
    for process in both:
        process.start()
    found = [results.get(timeout=120) for _ in both]
    for process in both:
        process.join(30)
    assert found[0][0] == found[1][0]
    assert sorted(now for _, now in found) == [False, True]


def test_a_builder_that_is_killed_leaves_nothing_that_is_used(made: tuple[World, PackageSet], tmp_path: Path) -> None:
    world, base = made
    sets = world.cache / "package-sets"
    # An installer that hangs: pip's place is taken by a script in a base that is a copy.
    slow = tmp_path / "slow"
    shutil.copytree(base.path, slow, symlinks=True)
    (slow / "bin" / "python").unlink()
    (slow / "bin" / "python").write_text("#!/bin/sh\nsleep 300\n")
    (slow / "bin" / "python").chmod(0o755)
    watch = Stopwatch()
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure("# -c \nextra==2.0\n", replace(load(slow), key="slow"), resolver="pip", timeout_s=1.5)
    assert caught.value.kind == "time"
    assert "2 s" in caught.value.what or "1 s" in caught.value.what
    assert watch.given() < 15
    assert not list(sets.glob(".partial-*"))


def test_after_kill_9_the_next_one_waits_for_the_orphan_and_then_installs(tmp_path: Path) -> None:
    code = (
        "import sys, os, time\n"
        "from pathlib import Path\n"
        "from mwaa_local.packages import child\n"
        "from mwaa_local.packages.store import Store\n"
        "sets = Store(Path(sys.argv[1]))\n"
        "with sets.lock('killed', 5) as lock, sets.partial('killed') as folder:\n"
        "    (folder / 'half').touch()\n"
        "    child.run(['/bin/sleep', '2'], env={}, timeout_s=60, keep_open=[lock])\n"
    )
    root = tmp_path / "sets"
    builder = subprocess.Popen([sys.executable, "-c", code, str(root)])
    try:
        until(lambda: list(root.glob(".partial-*/half")))
        time.sleep(0.3)  # the sleeper is started right after the file
    finally:
        builder.kill()
        builder.wait()
    sets = Store(root)
    assert sets.manifest("killed") is None
    started = time.monotonic()
    with sets.lock("killed", 20), sets.partial("killed") as folder:
        waited = time.monotonic() - started
        assert [path.name for path in root.glob(".partial-*")] == [folder.name]
        sets.publish(folder, "killed", {"key": "killed"})
    assert waited > 0.5
    assert sets.manifest("killed") == {"key": "killed"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_named_and_no_half_set_is_used(made: tuple[World, PackageSet], small_disk: Path) -> None:
    world, base = made
    wheel(world.wheels, "large", "1.0", body="x = '" + "".join(f"{n:x}" for n in range(600_000)) + "'\n")
    variables = {"UV_CACHE_DIR": str(world.cache / "uv")}
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure("# -c \nlarge\n", base, cache=small_disk, variables=variables)
    assert caught.value.kind == "disk"
    assert not [path for path in (small_disk / "package-sets").iterdir() if path.is_dir()]
    # With room again the same call succeeds.
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    found = world.ensure("# -c \nlarge\n", base, cache=small_disk, variables=variables)
    assert found.installed()["large"] == "1.0"
    assert found.installed_now


def test_a_set_is_linked_into_place_and_kept_while_it_is(made: tuple[World, PackageSet], tmp_path: Path) -> None:
    world, base = made
    found = world.ensure("# -c linked\nextra==1.0\n", base)
    home = tmp_path / "environment"
    home.mkdir()
    assert link(home, found, world.cache)
    assert not link(home, found, world.cache)
    in_place = linked(home)
    assert in_place is not None
    assert in_place.key == found.key
    assert (home / f".local/lib/python{base.minor}/site-packages/extra/__init__.py").exists()
    prune(world.cache, (base.key,))
    assert set(world.sets()) == {base.key, found.key}


def test_the_source_only_package_of_the_image_counts_as_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    version = replace(
        tiny_version({**BASE, "compiled": "2.9"}), source_only_packages=MappingProxyType({"compiled": ""})
    )
    base = world.base(version=version)
    assert base.installed()["compiled"] == "2.9"
    found = world.ensure("# -c \ncompiled\nextra\n", base, version=version)
    assert found.installed()["compiled"] == "2.9"
    # And where nothing is installed, only resolved.
    result = resolve(
        version, world.write("# -c \ncompiled==2.9\n"), cache=world.cache, environment=world.environment,
        path_map={"/usr/local/airflow": world.home}, constraint_address=CLOSED, python=version.python,
    )  # fmt: skip
    assert result.pins == {"compiled": "2.9"}
    assert result.changes == ()


def test_resolving_gives_the_versions_and_installs_nothing(made: tuple[World, PackageSet]) -> None:
    world, _ = made
    before = world.sets()

    def ask(text: str) -> dict[str, str]:
        result = resolve(
            world.version, world.write(text), cache=world.cache, environment=world.environment,
            path_map={"/usr/local/airflow": world.home}, constraint_address=CLOSED, python=world.version.python,
        )  # fmt: skip
        return {change.name: change.after for change in result.changes}

    assert ask("# -c \ntool\ntiny-old\n") == {"extra": "1.0", "tool": "1.0"}
    assert ask("# -c \ntiny-old>1\n") == {"tiny-old": "2.0"}
    with pytest.raises(UnmetRequirementsError) as caught:
        ask("# -c \nextra==2.0\ntool\n")
    assert {conflict.line for conflict in caught.value.conflicts} == {2, 3}
    digest = hashlib.sha256(next(world.wheels.glob("tool-*.whl")).read_bytes()).hexdigest()
    with pytest.raises(UnmetRequirementsError) as caught:
        ask(f"# -c \ntool==1.0 --hash=sha256:{digest}\n")
    assert caught.value.packages == ("extra",)
    assert world.sets() == before


def test_an_image_gets_its_base_set_at_a_fixed_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    dest = tmp_path / "opt" / "base"
    made = install_base(
        world.version, dest, environment=world.environment, cache=world.cache, python=Path(sys.executable)
    )
    assert (made.path, made.installed()) == (dest, BASE)
    assert list(made.site_packages.glob("tiny_core/__pycache__/*.pyc"))
    assert load(dest).key == made.key
    # Requirement sets grow from it in a volume of their own.
    assert world.ensure("# -c \nextra\n", load(dest)).installed()["extra"] == "2.0"
    assert main(["--version", "0.0", "--dest", str(tmp_path / "x")], {}) == 2
    missing = dict(world.environment, PIP_FIND_LINKS=str(tmp_path / "nothing"))
    with pytest.raises(UnmetRequirementsError):
        install_base(world.version, tmp_path / "y", environment=missing, cache=world.cache, python=Path(sys.executable))
    assert not (tmp_path / "y").exists()


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, PackageSet]:
    """A base set that has pip, from the wheel every Python carries."""
    bundled = list((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not bundled:
        pytest.skip("this Python carries no pip wheel")
    world = World(tmp_path_factory.mktemp("with-pip"))
    shutil.copy(bundled[0], world.wheels)
    world.version = tiny_version({**BASE, "pip": bundled[0].name.split("-")[1]}, essential=world.version.essential)
    return world, world.base()


def test_pip_can_do_what_uv_does(with_pip: tuple[World, PackageSet]) -> None:
    world, base = with_pip
    found = world.ensure("# -c \ntool\ntiny-core\n", base, resolver="pip")
    assert {name: version for name, version in found.installed().items() if name != "pip"} == {
        **BASE, "tool": "1.0", "extra": "1.0",
    }  # fmt: skip
    assert run(found, "tool-run") == "tool ran\n"
    assert any("Collecting tool (from -r /usr/local/airflow/requirements/requirements.txt (line 2))" in line
               for line in world.lines)  # fmt: skip
    assert found.key != world.ensure("# -c \ntool\ntiny-core\n", base).key


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [("# -c \ngrabber\n", "conflict", 2), ("# -c \n\nnothing-like-it==1\n", "no-match", 3)],
)
def test_pips_failures_name_the_same_lines(with_pip: tuple[World, PackageSet], text: str, kind: str, line: int) -> None:
    world, base = with_pip
    with pytest.raises(UnmetRequirementsError) as caught:
        world.ensure(text, base, resolver="pip")
    assert caught.value.kind == kind
    assert [conflict.line for conflict in caught.value.conflicts] == [line]


def test_catalog_versions_name_packages_once() -> None:
    for name in catalog.version_names():
        version = catalog.version(name)
        assert set(version.source_only_packages) <= set(version.packages)
