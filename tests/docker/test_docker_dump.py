"""A database in a container: the names of before 0.2 become those of now, and a copy comes back whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import until

from conftest import Run
from mwaa_local import model
from mwaa_local.engines import snapshots
from mwaa_local.engines.docker import dump
from mwaa_local.engines.docker import image as docker_image
from mwaa_local.engines.docker.client import Docker
from mwaa_local.errors import EngineError

VOLUME, NAME = "mwaa-test-old-names", "mwaa-test-old-names-server"


@pytest.fixture
def image(bases: list[dict[str, object]], tmp_path: Path) -> str:
    return docker_image.wanted(model.load(tmp_path, flags={}, variables={})).postgres


@pytest.fixture
def old(docker: Run, image: str) -> Iterator[str]:
    """A volume as version 0.1 left it, with a row in its database."""
    docker("volume", "rm", "--force", VOLUME)
    given = ["--env", "POSTGRES_USER=airflow", "--env", "POSTGRES_DB=airflow", "--env", "POSTGRES_PASSWORD=old"]
    docker("run", "--detach", "--name", NAME, "--volume", f"{VOLUME}:/var/lib/postgresql/data", *given, image)
    ask = ("exec", NAME, "psql", "-U", "airflow", "-d", "airflow", "-qtAc")
    try:
        until(lambda: "1" in docker(*ask, "SELECT 1", check=False).stdout, 60, every=0.5)
        docker(*ask, "CREATE TABLE kept (value text); INSERT INTO kept VALUES ('of old')")
    finally:
        docker("stop", "--time", "30", NAME)
        docker("rm", "--force", "--volumes", NAME)
    yield VOLUME
    docker("volume", "rm", "--force", VOLUME)


@pytest.mark.timeout(600)
def test_a_database_of_0_1_gets_the_names_of_now_and_keeps_what_is_in_it(image: str, old: str, tmp_path: Path) -> None:
    client = Docker.find(os.environ)
    with dump.served(client, image, old, NAME) as container:
        for _ in range(2):  # one that was cut is called again
            dump.take_over(client, container, "it's new")
            assert dump.column(client, container, "SELECT value FROM kept") == ["of", "old"]
        role = (
            "SELECT rolsuper AND rolcanlogin AND rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'adminuser'"
        )
        assert dump.column(client, container, role) == ["t"]
        snapshots.take(dump.client(client, container), tmp_path / "copy.sql.gz", version="3.2.1", name="e")
        client.call("exec", container, "psql", "-U", "adminuser", "-d", "AirflowMetadata", "-c", "DELETE FROM kept")
        damaged = tmp_path / "damaged"
        damaged.write_bytes((tmp_path / "copy.sql.gz").read_bytes()[:-30])
        with pytest.raises(EngineError):
            snapshots.put(dump.client(client, container), damaged)
        assert dump.column(client, container, "SELECT value FROM kept") == [], "what was there is as it was"
        snapshots.put(dump.client(client, container), tmp_path / "copy.sql.gz")
        assert dump.column(client, container, "SELECT value FROM kept") == ["of", "old"]
        names = dump.column(client, container, "SELECT datname FROM pg_database ORDER BY 1")
        assert "mwaa_local_restoring" not in names and "airflow" not in names
