"""A constraint line of another Airflow is the one cause of what follows from it; what is wrong besides is told beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_support import hits, outcomes
from test_preflight_requirements_rules import index, made, one  # noqa: F401 - fixtures

from mwaa_local.preflight import registry
from mwaa_local.preflight.findings import Severity, Unchecked
from mwaa_local.preflight.resolving import conflict as resolve_conflict
from mwaa_local.preflight.resolving.fix import fix
from mwaa_local.preflight.workspace import Workspace

ADDRESS = "https://raw.githubusercontent.com/apache/airflow/constraints-{}/constraints-{}.txt"
OLD = ADDRESS.format("2.8.1", "3.11")
NEW = ADDRESS.format("3.2.1", "3.12")
RULES = [rule.id for rule in registry.rules() if rule.id.startswith("REQ")]
# What 2.8.1 had: versions that exclude what newer lines ask for, as old pins do.
PINS = "aaa-never==1\nclosed-pin==2.0\nlibrary==1.0\nneeds-old-library==1.0\n"


@pytest.fixture
def upgraded(made, tmp_path: Path):  # type: ignore[no-untyped-def] # noqa: F811
    """A project that went from 2.8.1 to 3.2.1 and kept its constraint line."""

    def make(text: str) -> Workspace:
        space = made(text)
        (tmp_path / "constraints" / "constraints-2.8.1-py3.11.txt").write_text(PINS)
        return space

    return make


def errors(space: Workspace) -> list[tuple[str, int]]:
    told = [
        (rule, item)
        for rule in RULES
        for item in hits(rule, space)
        if (item.severity or registry.rule(rule).severity) is Severity.ERROR
    ]
    return [(rule, item.line) for rule, item in told]


def test_the_constraint_line_is_the_one_cause(upgraded) -> None:  # type: ignore[no-untyped-def]
    text = f'--constraint "{OLD}"\n\nclosed-pin==2.0\nlibrary==2.0\n'
    space = upgraded(text)
    assert errors(space) == [("REQ007", 1)]
    found = one("REQ007", space)
    assert "Airflow 2.8.1" in found.message and "line 3 (closed-pin==2.0)" in found.message
    assert NEW in found.fix and "closed-pin==1.0" in found.fix and "--fix" in found.fix


def test_what_is_wrong_besides_is_told_beside_it(upgraded) -> None:  # type: ignore[no-untyped-def]
    space = upgraded(f"-c {OLD}\nlibrary==2.0\nnowhere-to-be-found==1.0\nneeds-old-library==1.0\n")
    assert errors(space) == [("REQ001", 4), ("REQ002", 3), ("REQ007", 1)]
    # And where the old constraints harm nobody, they are no cause.
    space = upgraded(f"-c {OLD}\nplain==1.0\nnowhere-to-be-found==1.0\n")
    assert errors(space) == [("REQ002", 3)]


def test_once_the_file_resolves_it_is_a_warning(upgraded) -> None:  # type: ignore[no-untyped-def]
    space = upgraded(f"-c {OLD}\nplain==1.0\n")
    assert errors(space) == []
    assert one("REQ007", space).severity is Severity.WARNING


def test_without_the_old_file_nothing_is_claimed_and_the_advice_is_the_line(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    space = made(f"plain==1.0\n-c {OLD.replace('2.8.1', '2.7.0')}\n")
    found = one("REQ007", space)
    assert found.severity is Severity.WARNING and "cannot be told here" in found.message
    (told,) = [item for item in outcomes("REQ001", space) if isinstance(item, Unchecked)]
    assert "--fix" in told.hint and "line 2" in told.what


def test_fix_writes_the_line_and_every_version_that_must_follow(upgraded) -> None:  # type: ignore[no-untyped-def]
    text = f'--constraint "{OLD}"  # ours\nclosed-pin[x]==2.0 # why\nlibrary~=1.0\nneeds-old-library==1.5\nplain==1.0\n'
    with upgraded(text) as space:
        found = fix(space)
    assert found is not None and found.verified
    assert found.corrected.splitlines() == [
        f'--constraint "{NEW}"  # ours',
        "closed-pin[x]==1.0  # why",
        "library==2.0",
        "needs-old-library==1.5",
        "plain==1.0",
    ]
    assert found.remaining == ()


def test_a_build_that_fails_here_does_not_mean_that_no_version_fits(upgraded, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """The source archive of a database driver, which MWAA's image can build and this machine cannot."""
    from mwaa_local.packages.failure import UnmetRequirementsError

    real = resolve_conflict.resolve_uv.resolve

    def resolve(reading, *rest, **more):  # type: ignore[no-untyped-def]
        if reading.pin("closed-pin") and not any("==2.0" in entry.text for entry in reading.entries):
            raise UnmetRequirementsError("mysqlclient does not build here", kind="build", packages=["mysqlclient"])
        return real(reading, *rest, **more)

    monkeypatch.setattr(resolve_conflict.resolve_uv, "resolve", resolve)
    found = one("REQ001", upgraded("closed-pin==2.0\n"))
    assert "1.0 fits" in found.message and found.fix == "write closed-pin==1.0"
    with upgraded(f"-c {OLD}\nclosed-pin==2.0\n") as space:
        fixed = fix(space)
    assert fixed is not None and "closed-pin==1.0" in fixed.corrected
    assert fixed.verified is None and "remove" not in " ".join(fixed.remaining)
