"""Several package indexes at once: the verdict and the installation are pip's, file by file. No network."""

from __future__ import annotations

import contextlib
import ensurepip
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from indexes_support import MINE, OTHER, File, Index, index_folder, sdist, serving, static, wheel
from mwaa_local.packages import PackageSet, UnmetRequirementsError, ensure, ensure_base, pip_settings, upstream
from mwaa_local.packages import requirements as reader
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.uv_tool import Uv
from mwaa_local.preflight.resolving import uv as resolve_uv
from mwaa_local.preflight.resolving.types import Resolution, Situation
from packages_support import tiny_version

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="pip sees the machine it runs on"
)
CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"


class Machine:
    """A machine with a package set, whose pip configuration each test writes."""

    def __init__(self, path: Path) -> None:
        self.path, self.home, self.cache = path, path / "home", path / "cache"
        (self.home / "requirements").mkdir(parents=True)
        bundled = next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"), None)
        if bundled is None:
            pytest.skip("this Python carries no pip wheel")
        links = static(path / "base", wheel("tiny-core", "1.0"))
        shutil.copy(bundled, links)
        self.present = {"tiny-core": "1.0", "pip": bundled.name.split("-")[1]}
        self.version = replace(tiny_version(self.present), python_patch=platform.python_version())
        self.plain = {"PATH": os.environ["PATH"], "HOME": str(path), "PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1",
                      "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "3", "UV_HTTP_CONNECT_TIMEOUT": "2"}  # fmt: skip
        self.base = ensure_base(
            self.version, self.cache, python=Path(sys.executable),
            environment={**self.plain, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)},
        )  # fmt: skip
        self.lines: list[str] = []

    def file(self, text: str) -> Path:
        file = self.home / "requirements" / "requirements.txt"
        file.write_text("# -c \n" + text)
        return file

    def verdict(self, text: str, **variables: str) -> Resolution:
        env = {**self.plain, **variables}
        settings = pip_settings.read(env)
        finder = ConstraintFinder(self.cache, None, env, settings, CLOSED)
        reading = reader.read(
            self.file(text), version=self.version, environment=env, path_map={"/usr/local/airflow": self.home},
            finder=finder, settings=settings,
        )  # fmt: skip
        situation = Situation(self.version, Uv(self.cache, env, settings), self.base, 60.0, self.present)
        return resolve_uv.resolve(reading, situation)

    def install(self, text: str, **variables: str) -> PackageSet:
        self.lines = []
        return ensure(
            self.version, self.file(text), base=self.base, cache=self.cache, environment={**self.plain, **variables},
            path_map={"/usr/local/airflow": self.home}, constraint_address=CLOSED, emit=self.lines.append,
        )  # fmt: skip


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture(autouse=True)
def indexes_are_asked_again() -> Iterator[None]:
    upstream.forget_failures()
    yield


def pip(machine: Machine, text: str, folder: Path, **variables: str) -> dict[str, tuple[str, str, str]] | str:
    """What pip would install: project to version, file and digest; or its last words."""
    report = folder / "report.json"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INPUT": "1",
           "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "3", "PIP_NO_CACHE_DIR": "1", **variables}  # fmt: skip
    done = subprocess.run(
        [str(machine.base.interpreter), "-m", "pip", "install", "--dry-run", "--ignore-installed",
         "--disable-pip-version-check", "--report", str(report), "-r", str(machine.file(text))],
        env=env, capture_output=True, text=True, timeout=120, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode:
        return done.stdout + done.stderr
    found = {}
    for item in json.loads(report.read_text())["install"]:
        told = item["download_info"]
        digest = told["archive_info"].get("hash", "").partition("=")[2]
        found[item["metadata"]["name"]] = (item["metadata"]["version"], told["url"].rpartition("/")[2], digest)
    return found


@dataclass
class Case:
    """A situation: what three places have, and what is asked for."""

    text: str | Callable[[list[File]], str]
    main: tuple[File, ...] = ()
    extra: tuple[File, ...] = ()
    links: tuple[File, ...] = ()


def _hashed(*which: int) -> Callable[[list[File]], str]:
    def text(files: list[File]) -> str:
        return "alpha==1.0 " + " ".join(f"--hash=sha256:{files[at].sha256}" for at in which) + "\n"

    return text


ONE, TWO = wheel("alpha", "1.0", mark="one"), wheel("alpha", "1.0", mark="two")
CASES = {
    "one release, the second index has it for another Python": Case(
        "alpha\n", (wheel("alpha", "1.0", MINE),), (wheel("alpha", "1.0", OTHER),)
    ),
    "one release, the main index has it for another Python": Case(
        "alpha\n", (wheel("alpha", "1.0", OTHER),), (wheel("alpha", "1.0", MINE),)
    ),
    "half-filled mirror: newest release for another Python, older ones elsewhere": Case(
        "alpha\n", (wheel("alpha", "1.0"), wheel("alpha", "2.0", MINE)), (wheel("alpha", "2.0", OTHER),)
    ),
    "a dependency that the mirror has for another Python": Case(
        "beta\n",
        (wheel("alpha", "6.0.3", MINE), wheel("alpha", "6.0.3", OTHER), wheel("beta", "1.0", needs=("alpha>=6",))),
        (wheel("alpha", "6.0.3", OTHER),),
    ),
    "newer release only on the second index": Case("alpha\n", (wheel("alpha", "1.0"),), (wheel("alpha", "1.1"),)),
    "newer release only on the main index": Case("alpha\n", (wheel("alpha", "1.1"),), (wheel("alpha", "1.0"),)),
    "newer release that fits no Python here": Case("alpha\n", (wheel("alpha", "1.0"),), (wheel("alpha", "3", OTHER),)),
    "source archive on one, wheel on the other": Case("alpha\n", (sdist("alpha", "1.0"),), (wheel("alpha", "1.0"),)),
    "wheel on one, source archive on the other": Case("alpha\n", (wheel("alpha", "1.0"),), (sdist("alpha", "1.0"),)),
    "wheel for another Python on one, source archive on the other": Case(
        "alpha\n", (wheel("alpha", "1.0", OTHER),), (sdist("alpha", "1.0"),)
    ),
    "newer source archive against an older wheel": Case("alpha\n", (wheel("alpha", "1.0"),), (sdist("alpha", "1.1"),)),
    "the better wheel on the second index": Case("alpha\n", (wheel("alpha", "1.0"),), (wheel("alpha", "1.0", MINE),)),
    "links beside an index: the release for this Python": Case(
        "alpha\n", (wheel("alpha", "1.0", OTHER),), links=(wheel("alpha", "1.0", MINE),)
    ),
    "links beside an index: newer": Case("alpha\n", (wheel("alpha", "1.0"),), links=(wheel("alpha", "2.0"),)),
    "links beside an index: older": Case("alpha\n", (wheel("alpha", "2.0"),), links=(wheel("alpha", "1.0"),)),
    "only in the links": Case("alpha\nbeta\n", (wheel("beta", "1.0"),), links=(wheel("alpha", "1.0"),)),
    "withdrawn on the main index": Case(
        "alpha\n", (wheel("alpha", "1.0"), wheel("alpha", "1.1", yanked="bad")), (wheel("alpha", "1.0"),)
    ),
    "withdrawn on one index, another file of it is not": Case(
        "alpha\n", (wheel("alpha", "1.0", MINE, yanked="bad"),), (sdist("alpha", "1.0"),)
    ),
    "withdrawn on both, and pinned": Case(
        "alpha==1.0\n", (wheel("alpha", "1.0", yanked="bad"),), (sdist("alpha", "1.0", yanked="bad"),)
    ),
    "withdrawn, and nothing else": Case("alpha\n", (wheel("alpha", "1.0", yanked="bad"),), (wheel("beta", "1.0"),)),
    "for newer Pythons on one index": Case(
        "alpha\n", (wheel("alpha", "2.0", **{"requires-python": ">=3.99"}),), (wheel("alpha", "1.0"),)
    ),
    "a release for newer Pythons on one index only": Case(
        "alpha\n", (wheel("alpha", "2.0", **{"requires-python": ">=3.99"}),), (wheel("alpha", "2.0"),)
    ),
    "the same file name with other bytes: the last index counts": Case("alpha\n", (ONE,), (TWO,)),
    "the same file name in the links and the index": Case("alpha\n", (ONE,), links=(TWO,)),
    "the hash of the main index's file": Case(_hashed(0), (ONE,), (TWO,)),
    "the hash of the second index's file": Case(_hashed(1), (ONE,), (TWO,)),
    "the hash of the source archive": Case(_hashed(1), (wheel("alpha", "1.0"),), (sdist("alpha", "1.0"),)),
    "a hash of neither": Case("alpha==1.0 --hash=sha256:" + "0" * 64 + "\n", (ONE,), (TWO,)),
    "on neither": Case("gamma\n", (wheel("alpha", "1.0"),), (wheel("beta", "1.0"),)),
    "a pin that both have for another Python": Case(
        "alpha==1.0\n", (wheel("alpha", "1.0", OTHER),), (wheel("alpha", "1.0", OTHER),)
    ),
    "only a release candidate does without what the image has fixed": Case(
        "alpha\n",
        (wheel("alpha", "1.0", needs=("tiny-core>=2",)), wheel("tiny-core", "2.0"), wheel("alpha", "2.0rc1")),
    ),
    "the same one step further": Case(
        "beta\n",
        (wheel("alpha", "1.0", needs=("gamma<1",)), wheel("alpha", "2.0rc1"), wheel("gamma", "1.0")),
        (wheel("beta", "1.0", needs=("alpha", "gamma>=1")),),
    ),
    "an older release of what asks for it does": Case(
        "beta\n",
        (
            wheel("alpha", "1.0", needs=("gamma<1",)),
            wheel("alpha", "2.0rc1"),
            wheel("gamma", "1.0"),
            wheel("beta", "0.9"),
        ),
        (wheel("beta", "1.0", needs=("alpha", "gamma>=1")),),
    ),
    "a release candidate that a dependency asks for": Case(
        "beta\n",
        (wheel("alpha", "1.0", needs=("gamma<1",)), wheel("alpha", "2.0rc1"), wheel("gamma", "1.0")),
        (wheel("beta", "1.0", needs=("alpha>=2.0rc1", "gamma>=1")),),
    ),
    "a dependency that has nothing but release candidates": Case(
        "beta\n", (wheel("alpha", "2.0rc1"), wheel("beta", "1.0", needs=("alpha",)))
    ),
    "both kinds at once": Case(
        "beta\ndelta\n",
        (
            wheel("alpha", "1.0", needs=("gamma<1",)),
            wheel("alpha", "2.0rc1"),
            wheel("gamma", "1.0"),
            wheel("eps", "1.0b1"),
        ),
        (
            wheel("beta", "1.0", needs=("alpha", "gamma>=1")),
            wheel("beta", "0.5"),
            wheel("delta", "1.0", needs=("eps",)),
        ),
    ),
    "a line that asks for a release candidate": Case(
        "alpha>=2.0rc1\n", (wheel("alpha", "1.0"), wheel("alpha", "2.0rc1"))
    ),
    "pre-releases are wanted": Case("--pre\nalpha\n", (wheel("alpha", "1.0"), wheel("alpha", "2.0rc1"))),
    "a release candidate on the second index": Case("alpha\n", (wheel("alpha", "1.0"),), (wheel("alpha", "2.0rc1"),)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_pips_to_the_file(machine: Machine, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    form = ("json", "html")[list(CASES).index(name) % 2]
    main, extra = Index("main", form=form).add(*case.main), Index("extra", form=form).add(*case.extra)
    text = case.text if isinstance(case.text, str) else case.text([*case.main, *case.extra])
    with serving(main, extra):
        places = {"PIP_INDEX_URL": main.url}
        if case.extra:
            places["PIP_EXTRA_INDEX_URL"] = extra.url
        if case.links:
            places["PIP_FIND_LINKS"] = str(static(tmp_path / "links", *case.links))
        told = pip(machine, text, tmp_path, **places)
        for _ in range(2):  # with a cold cache of uv's and with a warm one
            try:
                verdict = machine.verdict(text, **places)
            except UnmetRequirementsError as error:
                assert isinstance(told, str), f"pip installs {told}; here: {error}"
                assert error.kind in {"no-match", "conflict", "hash"}
                continue
            assert not isinstance(told, str), f"pip says {told}"
            found = {
                package.name: (package.version, package.archive.name, package.archive.sha256 or told[package.name][2])
                for package in verdict.changes.values()
                if package.archive
            }
            assert found == told
            assert verdict.left_out == ()


def mark(package_set: PackageSet, module: str) -> str:
    found: dict[str, str] = {}
    exec((package_set.site_packages / f"{module}.py").read_text(), found)
    return found["mark"]


def test_what_is_installed_is_put_together_from_all_places(machine: Machine, tmp_path: Path) -> None:
    main = Index("main").add(
        wheel("delta", "1.0", OTHER), wheel("epsilon", "1.0", needs=("delta", "zeta")), wheel("eta", "1.0", mark="main")
    )
    extra = Index("extra", form="html").add(wheel("delta", "1.0", MINE, mark="mine"), wheel("eta", "1.0", mark="extra"))
    links = static(tmp_path / "links", wheel("zeta", "0.5"))
    folder = index_folder(tmp_path / "folder", wheel("theta", "2.0"))
    with serving(main, extra):
        text = f"--extra-index-url {extra.url}\n--extra-index-url {folder.as_uri()}\nepsilon\neta\ntheta\n"
        found = machine.install(text, PIP_INDEX_URL=main.url, PIP_FIND_LINKS=str(links))
        assert {name: found.installed()[name] for name in ("delta", "epsilon", "zeta", "eta", "theta")} == {
            "delta": "1.0", "epsilon": "1.0", "zeta": "0.5", "eta": "1.0", "theta": "2.0",
        }  # fmt: skip
        assert (mark(found, "delta"), mark(found, "eta")) == ("mine", "extra")
        assert not [line for line in machine.lines if "WARNING: The package index" in line]


def test_pages_that_still_count_are_not_asked_again(machine: Machine) -> None:
    main = Index("main", max_age=600).add(wheel("iota", "1.0"))
    extra = Index("extra", max_age=600).add(wheel("iota", "1.1"))
    with serving(main, extra):
        places = {"PIP_INDEX_URL": main.url, "PIP_EXTRA_INDEX_URL": extra.url}
        assert machine.verdict("iota\n", **places).packages["iota"].version == "1.1"
        before = len(main.asked), len(extra.asked)
        # Other requirements, so that the whole verdict is not from memory.
        assert machine.verdict("iota<1.1\n", **places).packages["iota"].version == "1.0"
        asked = [*main.asked[before[0] :], *extra.asked[before[1] :]]
        assert not [line for line in asked if "/simple/iota" in line]


def test_a_changed_page_counts_at_once_where_no_age_is_told(machine: Machine) -> None:
    main, extra = Index("main").add(wheel("kappa", "1.0")), Index("extra").add(wheel("kappa", "1.1"))
    with serving(main, extra):
        places = {"PIP_INDEX_URL": main.url, "PIP_EXTRA_INDEX_URL": extra.url}
        assert machine.verdict("kappa\n", **places).packages["kappa"].version == "1.1"
        extra.add(wheel("kappa", "1.2"))
        assert machine.verdict("kappa<9\n", **places).packages["kappa"].version == "1.2"


def test_a_single_index_is_asked_by_uv_itself(machine: Machine) -> None:
    main = Index("main").add(wheel("lambda-x", "1.0"))
    with serving(main):
        found = machine.verdict("lambda-x\n", PIP_INDEX_URL=main.url)
    archive = found.packages["lambda-x"].archive
    assert archive is not None and archive.url.startswith(main.url.removesuffix("/simple"))


def test_the_dates_of_an_index_hold_and_those_that_nobody_tells_do_not_exclude(machine: Machine) -> None:
    from datetime import date

    old, new = {"upload-time": "2020-01-01T00:00:00Z"}, {"upload-time": "2030-01-01T00:00:00Z"}
    main = Index("main").add(wheel("mu", "1.0", **old), wheel("mu", "2.0", **new))
    extra = Index("extra").add(wheel("nu", "1.0"), sdist("mu", "2.0"))
    with serving(main, extra):
        env = {**machine.plain, "PIP_INDEX_URL": main.url, "PIP_EXTRA_INDEX_URL": extra.url}
        settings = pip_settings.read(env)
        reading = reader.read(
            machine.file("mu\nnu\n"), version=machine.version, environment=env, path_map={},
            finder=ConstraintFinder(machine.cache, None, env, settings, CLOSED), settings=settings,
        )  # fmt: skip
        situation = Situation(machine.version, Uv(machine.cache, env, settings), machine.base, 60.0, machine.present)
        found = resolve_uv.resolve(reading, situation, cut_off=date(2025, 1, 1))
    # The source archive of mu 2.0 is as old as its wheel on the other index.
    assert {name: package.version for name, package in found.changes.items()} == {"mu": "1.0", "nu": "1.0"}
    assert any("does not say when files were uploaded" in note for note in found.unsure)


PORTAL = b"<html><body><h1>Sign in to go on</h1></body></html>"
# What a second index may answer instead of pages, and what is said of it. pip goes on without it each time (issue: item 21).
SILENT = {
    "401": ({"status": 401}, "refused", "401"),
    "403": ({"status": 403}, "refused", "403"),
    "404": ({"status": 404}, "refused", "404"),
    "500": ({"status": 500}, "unreachable", "500"),
    "503": ({"status": 503}, "unreachable", "503"),
    "a portal's page": ({"status": 200, "body": PORTAL}, "no-index", "no archives"),
    "no page at all": ({"status": 200, "body": b"%PDF", "content_type": "application/pdf"}, "no-index", "application/pdf"),
    "a login that is not given": ({"login": "me:secret"}, "refused", "401"),
    "nobody listens": (None, "unreachable", "Connection refused"),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_an_index_that_is_of_no_use_is_passed_over_and_named(machine: Machine, tmp_path: Path, name: str) -> None:
    behaviour, kind, why = SILENT[name]
    project = f"xi-{list(SILENT).index(name)}"
    main = Index("main").add(wheel(project, "1.0"))
    extra = Index("extra", **(behaviour or {}))
    with serving(main), contextlib.ExitStack() as stack:
        stack.enter_context(serving(extra))
        if behaviour is None:
            stack.pop_all().close()  # its port is free again
        places = {"PIP_INDEX_URL": main.url, "PIP_EXTRA_INDEX_URL": extra.url}
        told = pip(machine, f"{project}\n", tmp_path, **places)
        assert isinstance(told, dict) and told[project][0] == "1.0", told
        verdict = machine.verdict(f"{project}\n", **places)
        assert verdict.packages[project].version == "1.0"
        (item,) = verdict.left_out
        assert (item.url, item.kind, item.projects) == (extra.url, kind, (project,))
        assert why in item.why
        installed = machine.install(f"{project}\n", **places)
        assert installed.installed()[project] == "1.0"
        (line,) = [line for line in machine.lines if "WARNING: The package index" in line]
        assert extra.url in line and "pip goes on without it" in line
        # What only that index could have: pip fails, and so do we, with the index as a cause.
        told = pip(machine, "omicron\n", tmp_path, **places)
        assert isinstance(told, str) and "No matching distribution found for omicron" in told
        with pytest.raises(UnmetRequirementsError) as caught:
            machine.verdict("omicron\n", **places)
        # An index that is down today may have it: that is no verdict about the file.
        assert caught.value.kind == ("network" if kind == "unreachable" else "no-match")
        assert [extra.url in sentence for sentence in caught.value.left_out] == [True]


def test_a_release_candidate_that_pip_would_not_take_is_told(machine: Machine) -> None:
    main = Index("main").add(
        wheel("rho", "1.0", needs=("sigma<1",)), wheel("rho", "2.0rc1"), wheel("sigma", "1.0"),
        wheel("tau", "1.0", needs=("rho", "sigma>=1")),
    )  # fmt: skip
    with serving(main):
        for ask in (machine.verdict, machine.install):
            with pytest.raises(UnmetRequirementsError) as caught:
                ask("tau\n", PIP_INDEX_URL=main.url)
            told = caught.value
            assert (told.what, told.kind) == ("No stable version of rho fits", "conflict")
            assert "rho 2.0rc1 would fit, but pip takes a pre-release only where it is asked for" in told.why
            assert "rho==2.0rc1" in told.hint
        # Where something older does, the release candidate leaves nothing behind.
        main.add(wheel("tau", "0.9"))
        assert machine.verdict("tau<9\n", PIP_INDEX_URL=main.url).packages["tau"].version == "0.9"
        installed = machine.install("tau<9\n", PIP_INDEX_URL=main.url).installed()
        assert installed["tau"] == "0.9" and "rho" not in installed
        # Asked for, it is taken.
        assert machine.install("tau==1.0\nrho==2.0rc1\n", PIP_INDEX_URL=main.url).installed()["rho"] == "2.0rc1"
