"""A whole requirements file, read as MWAA's runtime reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mwaa_local import catalog
from mwaa_local.catalog import version
from mwaa_local.packages import pip_settings, requirements
from mwaa_local.packages.constraints import ConstraintFinder
from mwaa_local.packages.failure import UnmetRequirementsError
from mwaa_local.packages.fingerprint import set_key
from mwaa_local.packages.requirements import Reading

CLOSED = "http://127.0.0.1:9/c-{airflow}/c-{python}.txt"
NO_FILES = {"PIP_CONFIG_FILE": "/dev/null"}


class Home:
    """An environment's home folder with a requirements file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("requirements", "dags", "plugins"):
            (path / name).mkdir(parents=True)

    def read(self, text: str | bytes, airflow: str = "3.2.1", **variables: str) -> Reading:
        file = self.path / "requirements" / "requirements.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        environment = {**NO_FILES, **variables}
        settings = pip_settings.read(environment)
        return requirements.read(
            file,
            version=catalog.version(airflow),
            environment=environment,
            path_map={"/usr/local/airflow": self.path},
            finder=ConstraintFinder(self.path / "cache", None, environment, settings, CLOSED),
            settings=settings,
        )

    def key(self, reading: Reading, **changes: Any) -> str:
        values: dict[str, Any] = {
            "base": "b",
            "version": "3.2.1",
            "resolver": "uv",
            "settings": pip_settings.PipSettings(),
            "cut_off": None,
            "shipped": [self.path],
        }
        return set_key(reading, **{**values, **changes})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_without_a_constraint_mwaas_own_is_added_with_its_two_warnings(home: Home) -> None:
    found = home.read("requests\n")
    assert found.injected
    assert found.messages[0].startswith("WARNING: Constraints should be specified for requirements.txt.")
    assert found.messages[1] == "Forcing local constraints"
    assert [(part.source.kind, part.source.cut_off) for part in found.parts] == [
        ("catalog", None), ("image", version("3.2.1").airflow_release),
    ]  # fmt: skip
    assert found.pin("Flask") == ("3.1.3", "essential pins of MWAA")
    assert found.pin("requests") is not None


def test_a_commented_constraint_switches_mwaas_own_off(home: Home) -> None:
    found = home.read("# -c nothing\nrequests\n")
    assert not found.injected
    assert found.messages == ()
    assert found.pin("requests") is None
    assert found.pin("flask") is not None


def test_a_constraint_with_an_equals_sign_is_applied_and_mwaas_own_too(home: Home) -> None:
    (home.path / "dags" / "c.txt").write_text("requests==2.0\n")
    found = home.read("--constraint=/usr/local/airflow/dags/c.txt\nrequests\n")
    assert found.injected
    assert [part.pins.get("requests") for part in found.parts][1] == "2.0"


def test_constraint_files_by_path_are_relative_to_the_file_that_names_them(home: Home) -> None:
    (home.path / "dags" / "c.txt").write_text("a==1 # why\n-c more.txt\n")
    (home.path / "requirements" / "c.txt").write_text("b==2\n")
    found = home.read("-c /usr/local/airflow/dags/c.txt\n-c c.txt\na\n")
    assert (found.pin("a"), found.pin("b")) == (
        ("1", "/usr/local/airflow/dags/c.txt"),
        ("2", "/usr/local/airflow/requirements/c.txt"),
    )


def test_the_images_own_constraint_file_can_be_named(home: Home) -> None:
    found = home.read("-c /usr/local/airflow/.local/etc/airflow_constraints.txt\nrequests\n")
    assert not found.injected
    assert found.pin("requests") is not None


def test_constraints_of_another_airflow_are_taken_and_named(home: Home) -> None:
    url = catalog.limits().constraint_url.format(airflow="2.10.3", python="3.11")
    found = home.read(f'--constraint "{url}"\nrequests\n')
    assert any(
        "constraints of Airflow 2.10.3 and Python 3.11; the environment has Airflow 3.2.1" in note
        for note in found.notes
    )
    assert found.pin("requests") == (catalog.version("2.10.3").packages["requests"], found.parts[1].source.label)


def test_a_constraint_url_may_be_built_from_variables(home: Home) -> None:
    url = catalog.limits().constraint_url.format(airflow="${AIRFLOW_VERSION}", python="3.12")
    assert home.read(f"-c {url}\n", AIRFLOW_VERSION="3.2.1").parts[1].source.airflow == "3.2.1"


def test_included_files_keep_their_own_names_and_lines(home: Home) -> None:
    (home.path / "dags" / "more.txt").write_text("\nboto3\n")
    found = home.read("a==1\n-r ../dags/more.txt\n-r /usr/local/airflow/dags/more.txt\n")
    assert [(entry.file, entry.line, entry.text) for entry in found.entries][:2] == [
        ("/usr/local/airflow/requirements/requirements.txt", 1, "a==1"),
        (str(home.path / "requirements/../dags/more.txt").replace(str(home.path), "/usr/local/airflow"), 2, "boto3"),
    ]


def test_a_file_that_includes_itself_is_refused(home: Home) -> None:
    (home.path / "requirements" / "a.txt").write_text("-r a.txt\n")
    with pytest.raises(UnmetRequirementsError, match="includes itself"):
        home.read("-r a.txt\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ok\nrequests=2\n", "line 2"),
        ("ok\n-c /usr/local/airflow/dags/none.txt\n", "line 2"),
        ("-r none.txt\n", "line 1"),
        ("ok\n\n--user\n", "line 3"),
        (b"caf\xe9==1\n", "decode"),
    ],
)
def test_what_pip_would_refuse_names_its_line(home: Home, text: str | bytes, words: str) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        home.read(text)
    assert words in str(caught.value)
    assert caught.value.kind == "syntax"


def test_index_options_replace_and_add_as_in_pip(home: Home) -> None:
    variables = {
        "PIP_INDEX_URL": "https://one.example/",
        "PIP_EXTRA_INDEX_URL": "https://two.example/ https://three.example/",
    }
    kept = home.read("a\n--extra-index-url https://four.example/\n", **variables).indexes
    assert kept.default == "https://one.example/"
    assert kept.extra == ("https://two.example/", "https://three.example/", "https://four.example/")
    replaced = home.read("a\n--index-url https://five.example/\n", **variables).indexes
    assert (replaced.default, replaced.extra) == ("https://five.example/", ())
    off = home.read("a\n--no-index\n--extra-index-url https://six.example/\n", **variables).indexes
    assert (off.no_index, off.default, off.extra) == (True, None, ())


def test_credentials_of_configuration_options_reach_the_index_and_nothing_else(home: Home) -> None:
    found = home.read(
        "--index-url https://${AIRFLOW__FOO__USER}:${AIRFLOW__FOO__PASS}@host.example/\na\n",
        AIRFLOW__FOO__USER="me",
        AIRFLOW__FOO__PASS="s3cret",
    )
    assert found.indexes.default == "https://me:s3cret@host.example/"
    assert found.indexes.described() == ["Looking in indexes: https://****@host.example/"]
    other = home.read("--index-url https://me:another@host.example/\na\n")
    assert home.key(found) == home.key(other)


def test_places_that_do_not_exist_are_skipped_with_pips_warning(home: Home) -> None:
    found = home.read(
        "--find-links /usr/local/airflow/plugins\n--find-links /nowhere\na\n",
        PIP_EXTRA_INDEX_URL="file:///nowhere/simple http://plain.example/ http://trusted.example/ http://localhost:1/",
        PIP_TRUSTED_HOST="trusted.example",
    )
    assert found.indexes.find_links == (str(home.path / "plugins"),)
    assert found.indexes.extra == ("http://trusted.example/", "http://localhost:1/")
    text = "\n".join(found.messages)
    assert "'/nowhere' is ignored: it is neither a file nor a directory" in text
    assert "'file:///nowhere/simple' is ignored" in text
    assert "plain.example is not a trusted or secure host" in text


def test_a_main_index_that_is_skipped_does_not_bring_the_public_one_back(home: Home) -> None:
    assert home.read("--index-url http://plain.example/\na\n").indexes.no_index


def test_hashes_make_hashes_required(home: Home) -> None:
    assert home.read("a==1 --hash=sha256:00\n").require_hashes
    assert not home.read("a==1\n").require_hashes


def test_the_key_knows_content_and_not_form(home: Home) -> None:
    plain = home.key(home.read("a==1\n"))
    assert plain == home.key(home.read("# a comment\n\na==1   # why\n"))
    assert plain != home.key(home.read("a==2\n"))
    assert plain != home.key(home.read("a==1\n--pre\n"))
    assert plain != home.key(home.read("# -c \na==1\n"))
    assert plain != home.key(home.read("a==1\n--extra-index-url https://x.example/\n"))
    assert plain != home.key(home.read("a==1\n"), resolver="pip")
    assert plain != home.key(home.read("a==1\n"), base="other")


def test_the_key_knows_wheels_by_content(home: Home) -> None:
    wheel = home.path / "plugins" / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"one")
    text = "--find-links /usr/local/airflow/plugins\n--no-index\na\n"
    first = home.key(home.read(text))
    wheel.write_bytes(b"one")  # unpacked again: another file, the same content
    assert home.key(home.read(text)) == first
    wheel.write_bytes(b"two")
    assert home.key(home.read(text)) != first


def test_the_key_knows_a_constraint_files_content(home: Home) -> None:
    file = home.path / "dags" / "c.txt"
    file.write_text("b==1\n")
    text = "-c /usr/local/airflow/dags/c.txt\na\n"
    first = home.key(home.read(text))
    file.write_text("b==2\n")
    assert home.key(home.read(text)) != first


@pytest.mark.parametrize("text", ["", "# nothing yet\n\n", "   \n"])
def test_an_empty_constraint_file_constrains_nothing(home: Home, text: str) -> None:
    (home.path / "dags/constraints.txt").write_text(text)
    found = home.read("-c /usr/local/airflow/dags/constraints.txt\nrequests\n")
    assert not found.injected and not found.constrained
    assert not home.read("--constraint /dev/null\nrequests\n").constrained
    assert home.read("requests\n").constrained


@pytest.mark.parametrize(
    ("target", "helps", "never"),
    [
        ("/usr/local/airflow/plugins/c/nope.txt", "put the file at plugins/c/nope.txt", "under /usr/local/airflow"),
        ("/usr/local/airflow/dags/nope.txt", "put the file at dags/nope.txt", "under /usr/local/airflow"),
        ("/usr/local/airflow/include/nope.txt", "/usr/local/airflow/dags or /usr/local/airflow/plugins", "put the"),
        ("nope.txt", "/usr/local/airflow/dags or /usr/local/airflow/plugins", "put the file"),
    ],
)
def test_advice_about_a_missing_file_is_not_what_the_line_does_already(
    home: Home, target: str, helps: str, never: str
) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        home.read(f"--constraint {target}\nrequests\n")
    assert helps in caught.value.hint and never not in caught.value.hint
    assert str(home.path) not in str(caught.value), "paths are MWAA's"


@pytest.mark.parametrize("data", [b"# coding: undefined\n", b"# coding: no-such\n", b"\xff\xfe\x00"])
def test_an_included_file_that_is_no_text_is_an_error_with_its_place(home: Home, data: bytes) -> None:
    (home.path / "dags" / "more.txt").write_bytes(data)
    with pytest.raises(UnmetRequirementsError, match="Could not open requirements file") as caught:
        home.read("# -c nothing\n-r /usr/local/airflow/dags/more.txt\n")
    assert caught.value.kind == "syntax"
    assert caught.value.where.endswith("requirements.txt, line 2")
    assert caught.value.why
