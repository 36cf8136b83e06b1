"""Lines that name a file, a folder, a repository or an address: what pip cannot take is told of the line, never by a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_packages_reading import Home

from mwaa_local.packages import explain
from mwaa_local.packages.failure import UnmetRequirementsError

# What a freeze of another machine, a tutorial or a monorepo puts into a file, and none of which MWAA has.
ABSENT = [
    "aiobotocore @ file:///C:/b/abs_a5b3a1f/croot/aiobotocore_1682/work",
    "certifi @ file:///croot/certifi_1707229174982/work/certifi",
    "pkg @ file:///nonexistent",
    "pkg[extra] @ file:///usr/local/airflow/plugins/gone-1.0-py3-none-any.whl",
    "pkg @ file://server/share/pkg-1.0-py3-none-any.whl",
    "file:///nonexistent/pkg-1.0.tar.gz",
    "/usr/local/airflow/plugins/gone-1.0-py3-none-any.whl",
    "plugins/gone-1.0-py3-none-any.whl",
    "./local",
    "../local",
    ".",
    ".[dev]",
    "-e .",
    "-e ./local",
    "-e .[dev]",
    "-e /usr/local/airflow/dags/bare",
    "-e file:///nonexistent",
    "/usr/local/airflow/dags/bare",
    "local/project",
    r"C:\work\pkg-1.0-py3-none-any.whl",
    r".\local",
    r"-e .\local",
]
REFUSED = [
    "pkg @ ./local",
    r"pkg @ C:\work\pkg-1.0-py3-none-any.whl",
    "pkg @ local.whl",
    "-e pkg==1.0",
    "numpy=1.26.4=py311h24aa872_0",
    "_libgcc_mutex=0.1=main",
    "@EXPLICIT",
    "name: my-environment",
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    (made.path / "dags/bare").mkdir()
    return made


@pytest.mark.parametrize("line", ABSENT)
def test_a_file_that_mwaa_does_not_have_is_told_of_its_line(home: Home, line: str) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        home.read(f"requests\n\n{line}\n")
    error = caught.value
    assert (error.kind, [conflict.line for conflict in error.conflicts]) == ("syntax", [3])
    assert error.where.endswith("requirements.txt, line 3")
    assert error.conflicts[0].source, "the reason"
    assert str(home.path) not in str(error)


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_no_requirement_is_told_of_its_line(home: Home, line: str) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        home.read(f"requests\n\n{line}\n")
    assert caught.value.kind == "syntax" and caught.value.where.endswith("requirements.txt, line 3")
    assert "\n" not in caught.value.why


def test_a_line_of_conda_that_pip_passes_over_is_no_error(home: Home) -> None:
    """pip takes a dash alone for the end of the requirement and passes over the words behind it."""
    assert [entry.name for entry in home.read("requests\n  - python=3.11\n").entries] == ["requests"]


def test_all_lines_of_a_freeze_are_told_at_once(home: Home) -> None:
    with pytest.raises(UnmetRequirementsError) as caught:
        home.read("".join(f"p{number} @ file:///croot/p{number}/work\nrequests\n" for number in range(18)))
    assert [conflict.line for conflict in caught.value.conflicts] == list(range(1, 37, 2))


def test_a_line_for_another_python_is_not_looked_for(home: Home) -> None:
    found = home.read("pkg @ file:///nonexistent ; python_version < '3'\n./local ; sys_platform == 'win32'\n")
    assert len(found.entries) == 2
    assert home.key(found)


def test_a_project_and_a_wheel_that_are_there_are_taken(home: Home) -> None:
    (home.path / "dags/bare/setup.py").write_text("")
    (home.path / "plugins/a-1-py3-none-any.whl").write_bytes(b"")
    found = home.read("-e dags/bare\n/usr/local/airflow/dags/bare\nplugins/a-1-py3-none-any.whl\n")
    assert [entry.kind for entry in found.entries] == ["path"] * 3


GIT = """error: Failed to download and build `b @ git+https://me:****@git.example.invalid/a/b.git`
  cause: Git operation failed
  cause: process didn't exit successfully: `git fetch 'https://me:****@git.example.invalid/a/b.git'` (exit status: 128)
         --- stderr
         fatal: unable to access 'https://git.example.invalid/a/b.git/': Could not resolve host: git.example.invalid
"""
SSH = """error: Git operation failed
  cause: process didn't exit successfully: `git fetch 'ssh://git@github.com/org/private.git'` (exit status: 128)
         --- stderr
         ssh: Could not resolve hostname github.com: Name or service not known
         fatal: Could not read from remote repository.
"""
DNS = """error: Failed to download `pkg @ https://files.example.invalid/pkg-1.0-py3-none-any.whl`
  cause: Failed to fetch: https://files.example.invalid/pkg-1.0-py3-none-any.whl
  cause: client error (Connect)
  cause: dns error
"""
ABSENT_THERE = """error: Failed to download `pkg @ https://files.example.invalid/pkg-1.0-py3-none-any.whl`
  cause: Failed to fetch: https://files.example.invalid/pkg-1.0-py3-none-any.whl
  cause: HTTP status client error (404 Not Found) for url (https://files.example.invalid/pkg-1.0-py3-none-any.whl)
"""
BROKEN = """error: Failed to read `bad @ file://{plugins}/bad-1.0-py3-none-any.whl`
  cause: Failed to read metadata: {plugins}/bad-1.0-py3-none-any.whl
  cause: Failed to read from zip file
"""
BUILD = """error: Failed to download and build `b @ git+https://git.example.invalid/a/b.git`
  cause: The build backend returned an error
         ModuleNotFoundError: No module named 'numpy'
"""


@pytest.mark.parametrize(
    ("line", "text", "kind", "reason"),
    [
        ("b @ git+https://me:pw@git.example.invalid/a/b.git@v1#egg=b", GIT, "network", "Could not resolve host"),
        ("-e git+https://me:pw@git.example.invalid/a/b.git@v1#egg=b", GIT, "network", "Could not resolve host"),
        ("git+ssh://git@github.com/org/private.git", SSH, "network", "Name or service not known"),
        ("pkg @ https://files.example.invalid/pkg-1.0-py3-none-any.whl", DNS, "network", "dns error"),
        ("pkg @ https://files.example.invalid/pkg-1.0-py3-none-any.whl", ABSENT_THERE, "syntax", "404 Not Found"),
        ("/usr/local/airflow/plugins/bad-1.0-py3-none-any.whl", BROKEN, "syntax", "zip file"),
        ("b @ git+https://git.example.invalid/a/b.git", BUILD, "build", ""),
    ],
)
def test_what_a_resolver_says_of_an_address_is_told_of_its_line(
    home: Home, line: str, text: str, kind: str, reason: str
) -> None:
    (home.path / "plugins/bad-1.0-py3-none-any.whl").write_bytes(b"")
    read = home.read(f"requests\n{line}\n")
    error = explain.failure(text.format(plugins=home.path / "plugins"), read, python="3.12")
    assert (error.kind, [conflict.line for conflict in error.conflicts]) == (kind, [2])
    assert reason in error.conflicts[0].source
    assert "pw@" not in str(error)
