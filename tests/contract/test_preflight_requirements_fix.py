"""``validate requirements --fix`` changes what it can prove, keeps everything else, and says what it left alone."""

from __future__ import annotations

from test_preflight_requirements_rules import index, made  # noqa: F401 - fixtures

from mwaa_local.preflight.resolving.fix import fix

ADDRESS = "https://raw.githubusercontent.com/apache/airflow/constraints-{}/constraints-{}.txt"


def test_versions_that_fit_and_the_constraint_line(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    text = (
        "# our packages\nclosed-pin==2.0  # why\nneeds-old-library==1.0\nplain>=1\nlibrary\n\nnowhere-to-be-found==1\n"
    )
    with made(text) as space:
        found = fix(space)
        assert found is not None
        before = found.file.read_text()
    assert found.corrected.splitlines() == [
        f'--constraint "{ADDRESS.format("3.2.1", "3.12")}"',
        "# our packages",
        "closed-pin==1.0  # why",
        "needs-old-library==1.5",
        "plain>=1",
        "library",
        "",
        "nowhere-to-be-found==1",
    ]
    assert [change.line for change in found.changes] == [0, 2, 3]
    assert len(found.remaining) == 1 and "nowhere-to-be-found" in found.remaining[0]
    assert found.verified is False
    assert before == text, "nothing is written before somebody has seen the diff"
    assert "\n-closed-pin==2.0  # why\n" in found.diff and "\n+closed-pin==1.0  # why\n" in found.diff
    found.write()
    assert found.file.read_text() == found.corrected


def test_unpinned_lines_get_the_version_that_was_resolved_and_the_result_is_verified(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    with made("--constraint /usr/local/airflow/dags/constraints.txt\nplain  # newest\nwithdrawn==1.0\n") as space:
        found = fix(space)
    assert found is not None and found.verified
    assert (
        found.corrected
        == "--constraint /usr/local/airflow/dags/constraints.txt\nplain==1.1  # newest\nwithdrawn==1.0\n"
    )


def test_a_sound_file_stays_byte_for_byte(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    text = "--constraint /usr/local/airflow/dags/constraints.txt\r\nplain==1.0\r\nlibrary\r\n"
    with made(text) as space:
        found = fix(space)
    assert found is not None and found.verified
    assert (found.changes, found.diff) == ((), "")
    assert found.corrected == found.original


def test_for_another_version_the_constraint_line_follows(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    with made(f"--constraint {ADDRESS.format('3.2.1', '3.12')}\nlibrary\n", version="2.10.3") as space:
        found = fix(space)
    assert found is not None
    assert found.corrected.splitlines() == [f'--constraint "{ADDRESS.format("2.10.3", "3.11")}"', "library"]


def test_no_constraint_line_where_no_index_may_be_asked(made) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    with made("--no-index\n--find-links /usr/local/airflow/plugins\nrequests\n") as space:
        found = fix(space)
    assert found is not None and found.changes == ()
