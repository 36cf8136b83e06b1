"""Every rule about requirements.txt finds its fault and leaves a sound file alone; packages come from an index in a folder."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from preflight_support import hits, outcomes, write

from mwaa_local import catalog
from mwaa_local.packages import fetch
from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Hit, Severity, Unchecked
from mwaa_local.preflight.resolving import metadata as resolve_metadata
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.types import Archive, Package, Resolution
from mwaa_local.preflight.rules.requirements import duration as requirements_duration
from mwaa_local.preflight.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "requirements"))
import corpus

CONSTRAINTS = "--constraint /usr/local/airflow/dags/constraints.txt\n"
CLOSED = "aaa-never==1\nclosed-pin==1.0\nlibrary==2.0\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package index in a folder, with a metadata file beside each wheel."""
    root = tmp_path_factory.mktemp("index")
    wheel(root, "plain", "1.0")
    wheel(root, "plain", "1.1")
    wheel(root, "closed-pin", "1.0")
    wheel(root, "closed-pin", "2.0")
    wheel(root, "library", "1.0")
    wheel(root, "library", "2.0")
    wheel(root, "needs-old-library", "1.0", ["library<2"])
    wheel(root, "needs-old-library", "1.5", ["library>=2"])
    wheel(root, "stable-is-old", "1.0", ["library<2"])
    wheel(root, "stable-is-old", "2.0rc1", ["library>=2"])
    wheel(root, "withdrawn", "1.0", yanked="it deletes files")
    wheel(root, "for-a-mac", "1.0", tag="cp312-cp312-macosx_11_0_arm64")
    wheel(root, "apache-airflow-providers-next", "2.0", ["apache-airflow>=9"])
    wheel(root, "apache-airflow-providers-next", "1.0")
    wheel(root, "pdf2image", "1.17.0")
    sdist(root, "source-only", "1.0")
    sdist(root, "python-ldap", "3.4")
    for folder in root.iterdir():
        links = [link.read_text() for link in sorted(folder.glob("*.link"))]
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")
    return root


def wheel(
    root: Path, name: str, version: str, requires: Sequence[str] = (), *, tag: str = "py3-none-any", yanked: str = ""
) -> None:
    folder = root / name
    folder.mkdir(exist_ok=True)
    made = corpus.wheel(folder, name.replace("-", "_"), version, list(requires), tag=tag)
    needs = "".join(f"Requires-Dist: {item}\n" for item in requires)
    (folder / f"{made.name}.metadata").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    _link(made, f' data-yanked="{yanked}"' if yanked else "")


def sdist(root: Path, name: str, version: str) -> None:
    folder = root / name
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}.tar.gz"
    stem = f"{name.replace('-', '_')}-{version}"
    with tarfile.open(path, "w:gz") as archive:
        for inside, text in {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n',
        }.items():
            entry = tarfile.TarInfo(f"{stem}/{inside}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    _link(path, "")


def _link(path: Path, attributes: str) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.link").write_text(
        f'<a href="{path.name}#sha256={digest}"{attributes}>{path.name}</a><br>'
    )


@pytest.fixture
def made(tmp_path: Path, index: Path):  # type: ignore[no-untyped-def]
    """Makes a workspace with a requirements file."""

    def make(text: str, files: Mapping[str, str] | None = None, version: str = "3.2.1") -> Workspace:
        cache = tmp_path / "cache"
        kept = tmp_path / "constraints"
        if not kept.exists():
            kept.mkdir(parents=True)
            for name, python in (("3.2.1", "3.12"), ("2.10.3", "3.11")):
                (kept / f"constraints-{name}-py{python}.txt").write_text(CLOSED)
        folder = tmp_path / "project"
        (folder / "plugins").mkdir(parents=True, exist_ok=True)
        write(folder, {"requirements/requirements.txt": text, "dags/constraints.txt": CLOSED, **(files or {})})
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "MWAA_LOCAL_CACHE_DIR": str(cache),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": index.as_uri(),
            "MWAA_CONSTRAINTS_DIR": str(kept),
        }
        return Workspace(folder, flags={"AirflowVersion": version}, variables=variables)

    return make


def one(rule: str, space: Workspace) -> Hit:
    found = hits(rule, space)
    assert len(found) == 1, [item.message for item in found]
    return found[0]


def test_a_sound_file_has_no_findings_but_the_missing_constraint_line(made) -> None:  # type: ignore[no-untyped-def]
    space = made("closed-pin==1.0\nplain==1.1  # exact\nlibrary\n")
    rules = [rule.id for rule in registry.rules() if rule.id.startswith("REQ")]
    assert {rule: outcomes(rule, space) for rule in rules if outcomes(rule, space)}.keys() == {"REQ005"}
    assert one("REQ005", space).fix.endswith('constraints-3.2.1/constraints-3.12.txt"')
    assert not any(outcomes(rule, made(CONSTRAINTS + "closed-pin\n")) for rule in rules)


def test_without_a_file_no_rule_speaks(tmp_path: Path) -> None:
    space = Workspace(tmp_path, flags={"AirflowVersion": "3.2.1"}, variables={"HOME": str(tmp_path)})
    assert not [rule.id for rule in registry.rules() if rule.id.startswith("REQ") and outcomes(rule.id, space)]


def test_a_pin_against_the_constraints_names_line_pin_and_what_fits(made) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ001", made("plain==1.0\n\nclosed-pin[x]==2.0 ; python_version > '3'  # mine\n"))
    assert found.line == 3
    assert "closed-pin==1.0" in found.message and "1.0 fits" in found.message
    assert found.fix == 'write closed-pin[x]==1.0 ; python_version > "3"'


def test_a_dependency_against_the_constraints_is_led_back_to_the_line(made) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ001", made("plain==1.0\nneeds-old-library==1.0\n"))
    assert (found.line, found.fix) == (2, "write needs-old-library==1.5")
    assert "library==2.0" in found.message and "depends on library<2" in found.message


def test_a_release_candidate_is_no_way_out_unless_a_line_asks_for_it(made) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ001", made("plain==1.0\nstable-is-old\n"))
    assert found.line == 2
    assert "no stable version fits (stable-is-old 2.0rc1 would, but pip takes a pre-release only where a line asks" in (
        found.message
    )
    assert hits("REQ001", made("plain==1.0\nstable-is-old==2.0rc1\n")) == []


def test_essential_pins_cannot_be_moved(made) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ001", made("apache-airflow==3.1.0\n"))
    assert "apache-airflow==3.2.1 is fixed (essential pins of MWAA)" in found.message


def test_two_lines_that_exclude_each_other(made) -> None:  # type: ignore[no-untyped-def]
    assert {found.line for found in hits("REQ001", made("plain==1.0\nplain==1.1\n"))} & {1, 2}


@pytest.mark.parametrize("line", ["nowhere-to-be-found==1.0", "plain==7.0", "for-a-mac==1.0"])
def test_what_no_index_has_for_this_machine(made, line: str) -> None:  # type: ignore[no-untyped-def]
    space = made(f"library==2.0\n{line}\n")
    assert one("REQ002", space).line == 2
    assert not hits("REQ001", space)


@pytest.mark.parametrize(("text", "line"), [("plain==1.0\nplain=1.1\n", 2), ("--upgrade\nplain\n", 1), ("plain\n-r more.txt\n", 2), ("-c /usr/local/airflow/dags/absent.txt\n", 1)])  # fmt: skip
def test_lines_that_pip_refuses(made, text: str, line: int) -> None:  # type: ignore[no-untyped-def]
    assert one("REQ003", made(text)).line == line


def test_a_build_that_fails_is_an_error_unless_only_this_machine_lacks_something(
    made, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    from mwaa_local.packages.failure import UnmetRequirementsError

    for explanation, severity in (
        ("this Python is too new", None),
        ("pg_config executable not found", Severity.WARNING),
    ):
        error = UnmetRequirementsError("it does not build", kind="build", explanation=[explanation], packages=["plain"])

        def fail(*_: object, error: UnmetRequirementsError = error, **__: object) -> Resolution:
            raise error

        monkeypatch.setattr(resolve.resolve_uv, "resolve", fail)
        found = one("REQ004", made("\nplain==1.0\n"))
        assert (found.line, found.severity) == (2, severity)


def test_a_comment_that_switches_constraints_off(made) -> None:  # type: ignore[no-untyped-def]
    assert one("REQ006", made("plain==1.0\n# we do not use -c here\n")).line == 2
    assert not hits("REQ006", made("plain==1.0\n# nor a flag-c\n"))
    assert not hits("REQ006", made("--no-index\n--find-links /usr/local/airflow/plugins\n# -c no\n"))


@pytest.mark.parametrize(("address", "wrong"), [("constraints-2.9.2/constraints-3.12.txt", "Airflow 2.9.2"), ("constraints-3.2.1/constraints-3.11.txt", "Python 3.11"), ("constraints-3.2.1/constraints-3.12.txt", "")])  # fmt: skip
def test_constraints_of_another_version(made, address: str, wrong: str) -> None:  # type: ignore[no-untyped-def]
    space = made(f"\n-c https://raw.githubusercontent.com/apache/airflow/{address}\n")
    found = hits("REQ007", space)
    assert [item.line for item in found] == ([2] if wrong else [])
    assert not wrong or wrong in found[0].message


def test_unpinned_means_that_nothing_decides(made) -> None:  # type: ignore[no-untyped-def]
    found = hits("REQ008", made("plain>=1\nlibrary\nrequests\nwithdrawn==1.0\nplain==1.* ; python_version < '3'\n"))
    assert [(item.line, item.fix) for item in found] == [(1, "write plain==1.1")]


def test_source_archives_and_missing_libraries(made) -> None:  # type: ignore[no-untyped-def]
    space = made("source-only==1.0\npython-ldap==3.4\npdf2image==1.17.0\nplain==1.0\n")
    assert one("REQ009", space).line == 1
    found = {item.line: item for item in hits("REQ010", space)}
    assert set(found) == {2, 3}
    assert found[2].severity is Severity.ERROR and "openldap-devel" in found[2].fix
    script = {"startup/startup.sh": "sudo dnf install -y poppler-utils\n"}
    assert [item.line for item in hits("REQ010", made("pdf2image==1.17.0\n", script))] == []


def test_a_private_web_server_reaches_nothing_public(made) -> None:  # type: ignore[no-untyped-def]
    private = {"mwaa.yaml": "WebserverAccessMode: PRIVATE_ONLY\n"}
    text = "--find-links https://wheels.example.com/\n--constraint https://x.example.com/c.txt\n"
    # The constraint file is not to be had either: only the lines themselves are judged then.
    assert [item for item in outcomes("REQ011", made(text + "plain==1.0\n")) if isinstance(item, Hit)] == []
    found = hits("REQ011", made("--find-links https://wheels.example.com/\nplain==1.0\n", private))
    assert [item.line for item in found][:1] == [1]
    assert not hits("REQ011", made("--no-index\n--find-links /usr/local/airflow/plugins\nrequests\n", private))


def test_an_index_that_replaces_the_public_one(made, index: Path) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ012", made(f"plain==1.0\n--index-url {index.as_uri()}\n"))
    assert found.line == 2 and found.fix.startswith("--extra-index-url ")
    assert not hits("REQ012", made(f"--extra-index-url {index.as_uri()}\nplain==1.0\n"))


def test_sources_that_pip_passes_over(made) -> None:  # type: ignore[no-untyped-def]
    found = hits(
        "REQ013",
        made(
            "plain==1.0\n--extra-index-url http://plain.example.com/simple\n--find-links /usr/local/airflow/plugins/no\n"
        ),
    )
    assert sorted(item.line for item in found) == [2, 3]


def test_withdrawn_releases(made) -> None:  # type: ignore[no-untyped-def]
    found = one("REQ014", made("plain==1.0\nwithdrawn==1.0\n"))
    assert found.line == 2 and "it deletes files" in found.message


def test_a_provider_for_a_newer_airflow(made) -> None:  # type: ignore[no-untyped-def]
    space = made("apache-airflow-providers-next==2.0\n")
    found = one("REQ015", space)
    assert "needs apache-airflow>=9" in found.message and found.fix == "write apache-airflow-providers-next==1.0"
    assert not hits("REQ001", space)


def test_repositories_and_folders(made) -> None:  # type: ignore[no-untyped-def]
    project = {"dags/project/pyproject.toml": '[project]\nname = "p"\nversion = "1"\n'}
    text = "/usr/local/airflow/dags/project\n-e /usr/local/airflow/dags/project\ngit+https://git.example.invalid/a/b.git\nplain==1.0\n"
    assert [item.line for item in hits("REQ016", made(text, project))] == [1, 2, 3]


def test_hashes_on_some_lines_only_and_wrong_ones(made, index: Path) -> None:  # type: ignore[no-untyped-def]
    right = hashlib.sha256(next((index / "plain").glob("plain-1.0-*.whl")).read_bytes()).hexdigest()
    assert not hits("REQ017", made(f"plain==1.0 --hash=sha256:{right}\n"))
    assert one("REQ017", made(f"plain==1.0 --hash=sha256:{right}\nlibrary==2.0\n")).line == 2
    assert one("REQ017", made(f"\nplain==1.0 --hash=sha256:{'0' * 64}\n")).line == 2


def test_variables_that_pip_does_not_replace(made) -> None:  # type: ignore[no-untyped-def]
    options = {"mwaa.yaml": "AirflowConfigurationOptions:\n  foo.user: me\n"}
    text = "--extra-index-url https://${AIRFLOW__FOO__USER}:${AIRFLOW__FOO__PASS}@i.example.invalid/\n# ${NOTHING}\nplain==1.0 ; $lower\n${mixed}==1\n"
    assert [(item.line, item.key) for item in hits("REQ018", made(text, options))] == [
        (1, "AIRFLOW__FOO__PASS"),
        (3, "lower"),
        (4, "mixed"),
    ]


def test_time_and_size_are_estimated_from_the_archives(made, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def resolution(size: int) -> Resolution:
        packages = {
            f"p{number}": Package(f"p{number}", "1", Archive("a.whl", "a.whl", size // 10)) for number in range(10)
        }
        return Resolution(packages, {})

    for size, expected in (
        (50_000_000, []),
        (700_000_000, [None]),
        (1_200_000_000, [Severity.WARNING]),
        (2_500_000_000, [Severity.WARNING]),
        (9_000_000_000, [Severity.ERROR]),
    ):
        monkeypatch.setattr(resolve.resolve_uv, "resolve", lambda *_, size=size, **__: resolution(size))
        assert [item.severity for item in hits("REQ019", made("plain==1.0\n"))] == expected, size
    assert requirements_duration.estimate(resolution(0)) < 20


def test_a_change_that_breaks_a_package_of_the_image(made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from mwaa_local.packages.sets import PackageSet

    base = PackageSet(tmp_path / "base", "k", "3.2.1", "3.12.1", "base", "k")
    info = base.site_packages / "aiobotocore-3.4.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: aiobotocore\nVersion: 3.4.0\nRequires-Dist: botocore<1.43\nRequires-Dist: plain<1 ; extra == 'x'\n"
    )
    space = made("plain==1.0\nbotocore==1.43.0\n")
    outcome = resolve.outcome(space)
    assert outcome is not None
    packages = {"plain": Package("plain", "1.0"), "botocore": Package("botocore", "1.43.0")}
    found = replace(
        outcome,
        resolution=Resolution(packages, outcome.situation.present),
        situation=replace(outcome.situation, base=base),
    )
    monkeypatch.setitem(resolve._memory, space, found)
    assert [(item.line, "aiobotocore" in item.message) for item in hits("REQ020", space)] == [(2, True)]


def test_no_index_in_reach_is_said_and_the_rest_is_checked(made) -> None:  # type: ignore[no-untyped-def]
    space = made("closed-pin==2.0\nplain\n")
    space.variables["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
    told = [item for item in outcomes("REQ001", space) if isinstance(item, Unchecked)]
    assert len(told) == 1 and "127.0.0.1:9" in told[0].what + told[0].why
    assert one("REQ005", space)


def test_the_stand_in_for_the_constraint_file_is_named(made, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    assert not outcomes("REQ021", made("plain==1.0\n"))
    from mwaa_local.packages.constraints import ConstraintFinder

    def nothing(*_: object) -> str:
        raise fetch.UnreachableError("the host does not answer")

    space = made("plain==1.0\n")
    del space.variables["MWAA_CONSTRAINTS_DIR"]
    monkeypatch.setattr(catalog, "constraint_pins", lambda _airflow: None)
    monkeypatch.setattr(ConstraintFinder, "_fetch", nothing)
    monkeypatch.setattr(
        resolve.resolve_uv, "resolve", lambda *_, **__: Resolution({"plain": Package("plain", "1.0")}, {})
    )
    (found,) = outcomes("REQ021", space)
    assert isinstance(found, Unchecked)
    assert "plain" in found.what and "pins of MWAA's image for 3.2.1" in found.why and "does not answer" in found.why
    assert found.brief == "without Airflow's constraint file"


def test_what_only_a_dependency_brings_is_led_back_to_its_line(made, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """`top` on line 2 asks for `middle`, which asks for the package with the fault."""
    from mwaa_local.preflight.rules import _requirements

    asked = {"top": ["middle"], "middle": ["deep>=1"], "other": ["deep ; extra == 'x'"]}
    outcome = SimpleNamespace(
        file=Path("requirements.txt"),
        place=lambda file: Path(file),
        reading=SimpleNamespace(entries=[SimpleNamespace(name="top", file="requirements.txt", line=2)]),
        resolution=SimpleNamespace(changes={}),
        situation=None,
    )
    monkeypatch.setattr(
        resolve_metadata,
        "of",
        lambda *_: {
            name: resolve_metadata.Metadata(name, "1", tuple(map(Requirement, said))) for name, said in asked.items()
        },
    )
    place = _requirements.place_of(outcome, "deep")  # type: ignore[arg-type]
    assert (place.line, place.note) == (2, " (it comes with middle, asked for by top)")
    assert _requirements.place_of(outcome, "top") == (Path("requirements.txt"), 2, "")  # type: ignore[arg-type]
    assert _requirements.place_of(outcome, "nobodys").line == 0  # type: ignore[arg-type]
