"""What rules and ``diff`` make of a resolver's answer, with answers made by hand: sizes, limits, words, places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from preflight_support import hits, outcomes, write

from mwaa_local.errors import RequirementsError
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.listing import Change
from mwaa_local.packages.requirements import Reading
from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Severity, Unchecked
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving import diff as resolve_diff
from mwaa_local.preflight.resolving import resolve
from mwaa_local.preflight.resolving.conflict import Cause
from mwaa_local.preflight.resolving.types import Archive, Package, Resolution
from mwaa_local.preflight.rules import _requirements
from mwaa_local.preflight.rules.requirements import conflict as requirements_conflict
from mwaa_local.preflight.rules.requirements import duration as requirements_duration
from mwaa_local.preflight.workspace import Workspace

CONSTRAINTS = "".join(f"filler-{number}==1\n" for number in range(20)) + "library==2.0\n"
OWN = "--constraint /usr/local/airflow/dags/constraints.txt\n"

Answer = Callable[[Reading], Resolution]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workspace]:
    def make(text: str, answer: Answer, files: Mapping[str, str] | None = None, private: bool = False) -> Workspace:
        monkeypatch.setattr(resolve.resolve_uv, "resolve", lambda reading, *_, **__: answer(reading))
        monkeypatch.setattr(resolve_conflict, "lookup", lambda *_: None)
        write(tmp_path, {"cache/constraints/constraints-3.2.1-py3.12.txt": CONSTRAINTS})
        given = {"requirements/requirements.txt": text, "dags/constraints.txt": CONSTRAINTS, **(files or {})}
        folder = write(
            tmp_path / "project", given | ({"mwaa.yaml": "WebserverAccessMode: PRIVATE_ONLY\n"} if private else {})
        )
        variables = {
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MWAA_LOCAL_CACHE_DIR": str(tmp_path / "cache"),
            "PIP_CONFIG_FILE": "/dev/null", "HTTPS_PROXY": "http://127.0.0.1:9",
        }  # fmt: skip
        return Workspace(folder, flags={"AirflowVersion": "3.2.1"}, variables=variables)

    return make


def packages(*names: str, size: int = 1000, wheel: bool = True, **more: Any) -> Answer:
    archive = Archive("x-1.0-py3-none-any.whl", "https://x/x", size, wheel=wheel)
    return lambda reading: Resolution({name: Package(name, "1.0", archive, **more) for name in names}, {})


def nothing(reading: Reading) -> Resolution:
    return Resolution({}, {})


# -- REQ019 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "built", "local", "seconds"),
    [(0, 0, 0, 0, 8.0), (1, 3_000_000, 0, 0, 9.6), (2, 6_000_000, 1, 0, 56.2), (3, 0, 1, 1, 99.8)],
)
def test_the_estimate(count: int, size: int, built: int, local: int, seconds: float) -> None:
    found = {}
    for number in range(count):
        archive = Archive("a", "a", size // count, wheel=number >= built)
        is_local = count - number <= local
        found[str(number)] = Package(str(number), "1", None if is_local else archive, local="/p" if is_local else "")
    assert requirements_duration.estimate(Resolution(found, {})) == pytest.approx(seconds)


# One package: 8.6 s and a second for each 3 MB.
@pytest.mark.parametrize(
    ("size", "severity", "key"),
    [
        (334_000_000, (), ""), (334_300_000, (None,), "time"), (1_000_000_000, (None,), "time"),
        (1_000_000_001, (Severity.WARNING,), "size"), (1_594_000_000, (Severity.WARNING,), "size"),
        (1_594_500_000, (Severity.WARNING,), "time"), (3_214_000_000, (Severity.WARNING,), "time"),
        (3_214_300_000, (Severity.ERROR,), "time"),
    ],
)  # fmt: skip
def test_time_and_size_at_their_edges(
    made: Callable[..., Workspace], size: int, severity: tuple[Severity | None, ...], key: str
) -> None:
    found = hits("REQ019", made(OWN + "a==1.0\n", packages("a", size=size)))
    assert tuple(item.severity for item in found) == severity
    assert [item.key for item in found] == [key] * len(severity)


def test_the_three_largest_are_named(made: Callable[..., Workspace]) -> None:
    sizes = {"a": 100, "b": 500, "c": 300, "d": 200}
    answer = Resolution(
        {name: Package(name, "1", Archive(name, name, size * 10**6)) for name, size in sizes.items()}, {}
    )
    (found,) = hits("REQ019", made(OWN + "a==1\n", lambda reading: answer))
    assert "for 4 packages and 1100 MB (an estimate from sizes; b 500 MB, c 300 MB, d 200 MB)" in found.message
    assert found.line == 0


# -- places ------------------------------------------------------------------------------------------------------------


def test_what_a_line_names_itself_is_placed_there(made: Callable[..., Workspace]) -> None:
    (found,) = hits("REQ014", made(OWN + "\nWith_Drawn==1.0\n", packages("with-drawn", yanked="bad")))
    assert (found.line, found.message) == (3, "with-drawn 1.0 was withdrawn by its authors: bad")
    (found,) = hits("REQ014", made(OWN + "a==1.0\n", packages("a", yanked="")))
    assert found.message == "a 1.0 was withdrawn by its authors"
    assert not hits("REQ014", made(OWN + "a==1.0\n", packages("a")))


@pytest.mark.parametrize(("private", "wheels"), [(False, ()), (True, ()), (False, ("a-1.0-cp39-cp39-win32.whl",) * 2)])
def test_a_build_from_source(made: Callable[..., Workspace], private: bool, wheels: tuple[str, ...]) -> None:
    (found,) = hits("REQ009", made(OWN + "a==1.0\n", packages("a", wheel=False, wheels=wheels), private=private))
    assert found.line == 2
    assert ("its 2 wheels are for other Pythons or machines" in found.message) is bool(wheels)
    assert ("the release has no wheel at all" in found.message) is not wheels
    assert (", which a private web server cannot" in found.message) is private


# -- REQ011 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a==1.0\n", ["index"]),
        ("--index-url https://u:p@i/s\na==1.0\n", ["https://****@i/s"]),
        ("--extra-index-url https://e/s\na==1.0\n", ["https://e/s", "index"]),
        ("--no-index\n--find-links /usr/local/airflow/plugins\na==1.0\n", []),
        ("--find-links file:///w\n--no-index\na==1.0\n", []),
        ("https://h/b-1.0-py3-none-any.whl\n", ["https://h/b-1.0-py3-none-any.whl"]),
        ("git+https://h/b.git#egg=b\n", ["git+https://h/b.git#egg=b"]),
    ],
)
def test_what_a_private_web_server_reaches(made: Callable[..., Workspace], text: str, keys: list[str]) -> None:
    assert [item.key for item in hits("REQ011", made(OWN + text, nothing, private=True))] == keys
    assert not hits("REQ011", made(OWN + text, nothing, {"mwaa.yaml": "WebserverAccessMode: PUBLIC_ONLY\n"}))


# -- REQ016 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("git+https://h/b.git@v1#egg=b", "is cloned and built by every container"),
        ("git+https://u@h/b.git#egg=b", "it names no commit"),
        ("-e /usr/local/airflow/dags/project", "an editable install points into them"),
        ("/usr/local/airflow/dags/project", "is built from its folder by every container"),
        ("a==1.0", ""),
    ],
)
def test_repositories_and_folders(made: Callable[..., Workspace], line: str, words: str) -> None:
    files = {"dags/project/pyproject.toml": '[project]\nname = "p"\nversion = "1"\n'}
    found = hits("REQ016", made(OWN + line + "\n", nothing, files))
    assert [item.line for item in found] == ([2] if words else [])
    assert all(words in item.message for item in found)
    assert all(("it names no commit" in item.message) is ("@v1" not in line and "git" in line) for item in found)


# -- REQ001 in words ---------------------------------------------------------------------------------------------------


def causes(made: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, text: str, **cause: Any) -> list[Any]:
    def fail(reading: Reading) -> Resolution:
        raise UnmetRequirementsError("it fails", kind="conflict", pre_releases=cause.pop("pre_releases", None))

    space = made(OWN + text, fail)
    outcome = resolve.outcome(space)
    assert outcome is not None and outcome.reading is not None
    entries = tuple(replace(entry) for entry in outcome.reading.entries)
    monkeypatch.setattr(resolve_conflict, "causes", lambda *_: [Cause(entries, **cause)])
    return hits("REQ001", space)


@pytest.mark.parametrize(
    ("cause", "message", "fix"),
    [
        ({"pin": "b==2", "source": "x", "fits": "1.5", "write": "a==1.5"},
         "a==1.0 cannot be installed: b==2 is fixed (x); 1.5 fits", "write a==1.5"),
        ({"pin": "b==2", "source": "x", "requirers": ("c (>2)", "d", "e", "f")},
         "a==1.0 cannot be installed: b==2 is fixed (x); the image needs it for c (>2), d, e and 1 more; no version fits",
         "name a constraint file that allows it, or take another package"),
        ({"pin": "b==2", "source": "essential pins of MWAA", "detail": "a needs b<2"},
         "a==1.0 cannot be installed: b==2 is fixed (essential pins of MWAA) (a needs b<2); no version fits",
         "take another package: b==2 is MWAA's own and cannot be moved"),
        ({"pin": "a==2", "source": "x", "detail": "not told"},
         "a==1.0 cannot be installed: a==2 is fixed (x); no version fits",
         "name a constraint file that allows it, or take another package"),
        ({"detail": "it needs z"}, "a==1.0 fits nothing else: it needs z; no version fits",
         "name a constraint file that allows it, or take another package"),
        ({"detail": "d", "untold": "no network"},
         "a==1.0 fits nothing else: d; which version fits cannot be told here: no network",
         "name a constraint file that allows it, or take another package"),
        ({"detail": "d", "pre_releases": {"a": "2rc1"}},
         "a==1.0 fits nothing else: d; no stable version fits (a 2rc1 would, but pip takes a pre-release only where a line asks "
         "for it)", "name a constraint file that allows it, or take another package"),
    ],
)  # fmt: skip
def test_the_words_of_a_conflict(
    made: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, cause: dict[str, Any], message: str, fix: str
) -> None:
    (found,) = causes(made, monkeypatch, "a==1.0\n", **cause)
    assert (found.message, found.fix, found.line, found.key) == (message, fix, 2, "a")


def test_lines_that_exclude_each_other_are_each_told(
    made: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = causes(made, monkeypatch, "a==1.0\nb==1.0\n", detail="both need z", fits="2.0", write="a==2.0")
    assert (first.line, second.line) == (2, 3)
    assert first.message == "a==1.0 and line 3 (b==1.0) exclude each other: both need z; 2.0 fits"
    assert second.message == "b==1.0 and line 2 (a==1.0) exclude each other: both need z"
    assert (first.fix, second.fix) == ("write a==2.0", requirements_conflict._fix(Cause(())))


def test_causes_of_another_rule_are_not_told_here(
    made: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert causes(made, monkeypatch, "a==1.0\n", core="apache-airflow>=9") == []
    assert causes(made, monkeypatch, "a==1.0\n", missing=True) == []


# -- what could not be told --------------------------------------------------------------------------------------------


def test_a_resolver_out_of_reach_is_said_once(made: Callable[..., Workspace]) -> None:
    def away(reading: Reading) -> Resolution:
        raise UnmetRequirementsError("The package index x cannot be reached", kind="network", why="no route")

    space = made(OWN + "a==1.0\n", away)
    told = [item for rule in registry.rules() if rule.id.startswith("REQ") for item in outcomes(rule.id, space)]
    assert [type(item) for item in told] == [Unchecked]
    assert _requirements.failure(space) is None


# -- diff --------------------------------------------------------------------------------------------------------------


def pinned(reading: Reading) -> Resolution:
    found = {}
    for entry in reading.entries:
        (exact,) = entry.specifier
        found[str(entry.name)] = Package(str(entry.name), exact.version, Archive("x.whl", "x"))
    return Resolution(found, {})


def test_what_a_change_alters(made: Callable[..., Workspace], tmp_path: Path) -> None:
    space = made(OWN, pinned)
    write(tmp_path, {"old.txt": OWN + "a==1\nb==1\nrequests==1\n", "new.txt": OWN + "a==2\nc==3\n"})
    found = resolve_diff.diff(space, tmp_path / "old.txt", tmp_path / "new.txt")
    image = space.version.packages["requests"]
    assert (found.airflow, found.notes) == ("3.2.1", ())
    assert found.changes == (
        Change("a", "1", "2"), Change("b", "1", ""), Change("c", "", "3"), Change("requests", "1", image),
    )  # fmt: skip
    assert resolve_diff.diff(space, tmp_path / "new.txt", tmp_path / "new.txt").changes == ()


def test_a_file_that_fails_is_the_difference(made: Callable[..., Workspace], tmp_path: Path) -> None:
    def fail(reading: Reading) -> Resolution:
        raise UnmetRequirementsError("it fails", kind="no-match")

    write(tmp_path, {"old.txt": OWN + "a==1\n", "new.txt": OWN + "a=2\n"})
    with pytest.raises(UnmetRequirementsError, match="Invalid requirement"):
        resolve_diff.diff(made(OWN, pinned), tmp_path / "old.txt", tmp_path / "new.txt")
    with pytest.raises(UnmetRequirementsError, match="it fails"):
        resolve_diff.diff(made(OWN, fail), tmp_path / "old.txt", tmp_path / "old.txt")


def test_what_cannot_be_resolved_now_is_said(made: Callable[..., Workspace], tmp_path: Path) -> None:
    def away(reading: Reading) -> Resolution:
        raise UnmetRequirementsError("The package index x cannot be reached", kind="network")

    write(tmp_path, {"old.txt": OWN + "a==1\n"})
    with pytest.raises(RequirementsError, match="cannot be resolved now") as caught:
        resolve_diff.diff(made(OWN, away), tmp_path / "old.txt", tmp_path / "old.txt")
    assert caught.value.where == str(tmp_path / "old.txt")
    assert "The package index x" in (caught.value.why or "")
