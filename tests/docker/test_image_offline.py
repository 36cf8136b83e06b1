"""The stand-in bases: made once, never in the place of a real image, and good for what the Dockerfile does with them."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_support import ROOT, Run, run
from patience import Stopwatch

# The first test pays for building the stand-ins.
pytestmark = [pytest.mark.usefixtures("bases"), pytest.mark.timeout(900)]


def stand_ins(bases: list[dict[str, object]]) -> list[str]:
    """Tags that are stand-ins here; tests of those are skipped where the real image is."""
    return [str(image["tag"]) for image in bases if image["state"] != "real"]


def need(bases: list[dict[str, object]], start: str) -> str:
    found = [tag for tag in stand_ins(bases) if tag.startswith(start)]
    if not found:
        pytest.skip(f"the real {start} is here, not the stand-in")
    return found[0]


def test_a_second_run_builds_nothing(bases: list[dict[str, object]]) -> None:
    watch = Stopwatch()
    done = run([sys.executable, "docker/offline/build.py", "--json"])
    assert {image["state"] for image in json.loads(done.stdout)["images"]} <= {"kept", "real"}
    assert watch.given() < 30


def test_a_stand_in_says_what_it_is(docker: Run, bases: list[dict[str, object]]) -> None:
    for tag in stand_ins(bases):
        labels = json.loads(docker("image", "inspect", tag).stdout)[0]["Config"]["Labels"]
        assert labels["io.mwaa-local.stand-in"] == tag
        assert labels["io.mwaa-local.stand-in.notes"]


@pytest.fixture
def own_catalog(tmp_path: Path, docker: Run) -> Iterator[Path]:
    """A catalog whose tags are this test's own, so that nothing of the machine's is touched."""
    catalog = tmp_path / "catalog"
    shutil.copytree(ROOT / "src/mwaa_local/catalog/data", catalog)
    packages = catalog / "os_packages.toml"
    packages.write_text(
        packages.read_text()
        .replace('"debian:bookworm-slim"', '"mwaa-local-test-root:1"')
        .replace('"postgres:15', '"mwaa-local-test-pg:15')
    )
    yield catalog
    docker("image", "rm", "--force", "mwaa-local-test-root:1", "mwaa-local-test-pg:15.18-bookworm", check=False)


def test_a_real_image_is_left_alone(docker: Run, own_catalog: Path, tmp_path: Path) -> None:
    archive = tmp_path / "real.tar"
    run(["tar", "-cf", str(archive), "-T", "/dev/null"])
    for tag in ("mwaa-local-test-root:1", "mwaa-local-test-pg:15.18-bookworm"):
        docker("import", str(archive), tag)
    before = docker("image", "inspect", "--format", "{{.Id}}", "mwaa-local-test-root:1").stdout
    done = run(
        [sys.executable, "docker/offline/build.py", "--json", "--only", "postgres", "--catalog", str(own_catalog)]
    )
    assert [image["state"] for image in json.loads(done.stdout)["images"]] == ["real", "real"]
    assert docker("image", "inspect", "--format", "{{.Id}}", "mwaa-local-test-root:1").stdout == before


def test_without_root_it_says_how_to_go_on(own_catalog: Path, tmp_path: Path) -> None:
    """The message a developer with Docker access but no root gets."""
    program = "import os,sys; os.geteuid=lambda: 1000; sys.argv=sys.argv[1:]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run(
        [
            sys.executable,
            "-c",
            program,
            "docker/offline/build.py",
            "--json",
            "--only",
            "postgres",
            "--catalog",
            str(own_catalog),
        ],
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["what"] == "debootstrap needs root"
    assert "To do: sudo" in done.stderr


def test_dnf_knows_the_whole_list(docker: Run, bases: list[dict[str, object]]) -> None:
    """Every package of MWAA's image resolves in Debian's index, all groups at once; apt only simulates."""
    tag = need(bases, "amazonlinux")
    program = (
        "import importlib.machinery as m, sys, tomllib; dnf = m.SourceFileLoader('dnf', '/usr/bin/dnf').load_module();"
        "data = tomllib.loads(dnf.LIST.read_text()); names = [n for g in data['groups'].values() for n in g['al2023']];"
        "names += ['python3.12', 'python3.12-devel', 'python3.11', *data['debian_extra']];"
        "print(*dnf.Translator(data).debian(names))"
    )
    script = 'names=$(/usr/local/libexec/pythons/python3.12 -W ignore -c "$0") && apt-get -qq update && apt-get -s -qq --no-install-recommends install $names | grep -c ^Inst'
    assert int(docker("run", "--rm", tag, "sh", "-c", script, program).stdout) > 150


def test_dnf_installs_and_fails_loudly(docker: Run, bases: list[dict[str, object]]) -> None:
    tag = need(bases, "amazonlinux")
    done = docker(
        "run",
        "--rm",
        tag,
        "sh",
        "-c",
        "command -v python3.12; dnf install -y -q python3.12 jq && python3.12 --version && jq --version",
    )
    assert done.stdout.splitlines()[-2].startswith("Python 3.12"), "hidden until installed, then there"
    bad = docker("run", "--rm", tag, "yum", "install", "-y", "jq", "no-such-thing", check=False)
    assert bad.returncode == 1
    assert "Unable to find a match: no-such-thing" in bad.stderr


def test_postgres_keeps_the_contract_and_heals_a_half_made_cluster(docker: Run, bases: list[dict[str, object]]) -> None:
    tag = need(bases, "postgres")
    name, volume = "mwaa-local-test-pg", "mwaa-local-test-pg"
    start = ["run", "--detach", "--name", name, "--label", "mwaa-local-test", "-v", f"{volume}:/var/lib/postgresql/data",
             "-e", "POSTGRES_USER=me", "-e", "POSTGRES_PASSWORD=p w'1", "-e", "POSTGRES_DB=mine", tag]  # fmt: skip

    def query(text: str) -> str:
        for _ in range(60):
            if (
                docker(
                    "exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "me", "-d", "mine", check=False
                ).returncode
                == 0
            ):
                break
            time.sleep(0.5)
        return docker(
            "exec", "-e", "PGPASSWORD=p w'1", name, "psql", "-h", "127.0.0.1", "-U", "me", "-d", "mine", "-Atc", text
        ).stdout.strip()

    try:
        # What a machine that lost its power in the middle of the first start leaves behind.
        docker(
            "run",
            "--rm",
            "-v",
            f"{volume}:/d",
            "--entrypoint",
            "sh",
            tag,
            "-c",
            "touch /d/.mwaa-local-half-made /d/rubbish; echo 15 >/d/PG_VERSION",
        )
        docker(*start)
        assert query(
            "create table t(n int); insert into t values (7); select current_user || current_database()"
        ).endswith("memine")
        docker("rm", "--force", name)
        docker(*start)
        assert query("select n from t") == "7"
        host = docker(
            "exec",
            "-e",
            "PGPASSWORD=no",
            name,
            "sh",
            "-c",
            "psql -h $(hostname -i) -U me -d mine -c 'select 1'",
            check=False,
        )
        assert host.returncode != 0 and "password authentication failed" in host.stderr, (
            "another container needs the password"
        )
    finally:
        docker("rm", "--force", name, check=False)
        docker("volume", "rm", volume, check=False)
    empty = docker("run", "--rm", tag, check=False)
    assert empty.returncode == 1 and "POSTGRES_PASSWORD is empty" in empty.stderr


def test_the_daemon_helper_does_nothing_where_docker_answers(docker: Run) -> None:
    watch = Stopwatch()
    assert "Docker answers" in run(["bash", "docker/daemon.sh"]).stderr
    assert watch.given() < 30
