"""The image keeps what MWAA's image promises (spec/10 sections 1.1, 2.5 and 5), and nothing secret."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from image_support import ROOT, Run

from mwaa_local.catalog import version

# The first test pays for the build of the image.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def config(docker: Run, image: str) -> dict[str, Any]:
    """Docker's description of the image."""
    described = json.loads(docker("image", "inspect", image).stdout)[0]
    assert isinstance(described, dict)
    return described


@pytest.fixture(scope="module")
def shell(docker: Run, image: str) -> Any:
    """Runs a line of bash in a fresh container, as the image's own user."""

    def call(line: str, **options: object) -> str:
        return str(docker("run", "--rm", "--entrypoint", "bash", image, "-c", line, **options).stdout).strip()

    return call


def test_how_it_starts(config: dict[str, Any]) -> None:
    settings = config["Config"]
    assert settings["Entrypoint"] == ["/opt/mwaa/tool/bin/python", "-m", "mwaa_local.runtime"]
    assert settings["User"] == "airflow"
    assert settings["WorkingDir"] == "/usr/local/airflow"
    assert settings["ExposedPorts"] == {"8080/tcp": {}}
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"] == ["CMD", "/opt/mwaa/tool/bin/python", "-I", "-S", "/opt/mwaa/health.py"]


def test_variables_of_the_image(config: dict[str, Any]) -> None:
    given = dict(line.split("=", 1) for line in config["Config"]["Env"])
    assert given["AIRFLOW_VERSION"] == "3.2.1"
    assert given["AIRFLOW_HOME"] == given["AIRFLOW_USER_HOME"] == "/usr/local/airflow"
    assert given["MWAA_HOME"] == "/usr/local/mwaa"
    assert given["PYTHONPATH"] == "/python"
    assert given["PYTHONUNBUFFERED"] == "1"
    assert given["PYTHON_VERSION"] == version("3.2.1").python_patch
    assert given["PATH"].split(":")[0] == "/usr/local/airflow/.local/bin"
    for name, file in (
        ("AIRFLOW_CONSTRAINTS_FILE", "airflow_constraints.txt"),
        ("MWAA_ESSENTIAL_CONSTRAINTS_FILE", "mwaa_essential_constraints.txt"),
    ):
        assert given[name] == f"/usr/local/airflow/.local/etc/{file}"


def test_user_and_sudo(shell: Any) -> None:
    assert shell("id -un; id -u; echo $HOME; getent passwd airflow | cut -d: -f7").split() == [
        "airflow",
        "1000",
        "/usr/local/airflow",
        "/bin/bash",
    ]
    assert shell("sudo -n id -u") == "0"


def test_folders_belong_to_the_user(shell: Any) -> None:
    folders = ["dags", "plugins", "requirements", "startup", "logs", "config"]
    lines = shell(
        f"cd /usr/local/airflow && stat -c '%U %n' . {' '.join(folders)} /usr/local/mwaa /usr/local/mwaa/run /usr/local/mwaa/cache"
    )
    assert {line.split()[0] for line in lines.splitlines()} == {"airflow"}
    assert shell("stat -c '%a' /usr/local/mwaa/secrets") == "700"
    assert shell("touch /python/x /opt/mwaa/x 2>/dev/null; ls /python/x /opt/mwaa/x 2>/dev/null; true") == "", (
        "code is not the user's to change"
    )


def test_airflow_lies_where_mwaa_has_it(shell: Any) -> None:
    assert shell("command -v airflow") == "/usr/local/airflow/.local/bin/airflow"
    assert shell("airflow version 2>/dev/null | tail -n 1") == "3.2.1"
    assert shell("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'") == "3.12"
    assert shell("ls /usr/local/airflow/.local/lib/python3.12/site-packages/airflow/__init__.py")


def test_constraint_files_pin_airflow_itself(shell: Any) -> None:
    essential = shell("cat $MWAA_ESSENTIAL_CONSTRAINTS_FILE")
    assert re.search(r"(?mi)^apache-airflow==3\.2\.1$", essential)
    assert len(shell("cat $AIRFLOW_CONSTRAINTS_FILE").splitlines()) > 150


def test_mwaas_modules_resolve(shell: Any) -> None:
    """The names in MWAA's own configuration values (spec/10 sections 2.3 and 2.4), from any folder."""
    names = ["mwaa.config.celery", "mwaa.config.database", "mwaa.logging.config", "mwaa_airflow"]
    program = f"import importlib.util as i; print(*[i.find_spec(n).origin for n in {names}])"
    assert all(path.startswith("/python/mwaa") for path in shell(f'cd / && python3 -c "{program}"').split())
    assert shell("ls /python/mwaa/webserver/webserver_config.py")


def test_the_tools_of_mwaas_image_are_there(shell: Any) -> None:
    tools = "bash jq curl git zip unzip gzip bzip2 less nano file ssh perl ps top netstat sudo sqlite3 gcc g++ make autoconf pkg-config"
    assert shell(f"for t in {tools}; do command -v $t >/dev/null || echo $t; done") == ""


def test_no_certificate_and_no_secret_stayed(docker: Run, image: str, shell: Any) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    assert not re.search(r"(?i)password|secret_key|fernet|://[^/\s]+:[^/\s]+@", history)
    bundle = os.environ.get("SSL_CERT_FILE", "")
    assert (
        shell(
            "find / -xdev -name '*.pem' -newer /python -size +200k 2>/dev/null | grep -v site-packages; ls /run/secrets 2>/dev/null; true"
        )
        == ""
    )
    own = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt")) if bundle else []
    for certificate in own:
        middle = certificate.read_text().splitlines()[5]
        assert (
            shell(f"grep -rslF -e '{middle}' /etc/ssl /etc/pki /opt/mwaa /usr/local/share /usr/local/airflow; true")
            == ""
        )


def test_what_startup_scripts_and_bash_tasks_of_the_guide_call_is_there(shell: Any) -> None:
    """MWAA's Python lies in /usr/local, Java under /usr/lib/jvm/jre, the AWS CLI is version 2 (spec/10 section 5.4)."""
    assert shell("python3 -c 'import sys, ssl, sqlite3; print(sys.prefix)'") == "/usr/local"
    assert shell("aws --version").startswith("aws-cli/2.")
    assert "openjdk" in shell("/usr/lib/jvm/jre/bin/java -version 2>&1")
    # Its bin holds the commands in MWAA's form, not the base set's (spec/10 section 5.1).
    assert shell("command -v airflow") == "/usr/local/airflow/.local/bin/airflow"
    assert shell("head -1 /usr/local/airflow/.local/bin/airflow").startswith("#!/usr/local/bin/python3")


def test_size(config: dict[str, Any]) -> None:
    """Twice what it was when this was written would mean that something has crept in."""
    assert config["Size"] < 1.8e9


def test_the_build_context_is_small() -> None:
    """Nothing of a developer's folder reaches the daemon but what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    copied = set(
        re.findall(r"(?:^COPY |source=)(?!--)(docker/\S+?)[ ,]", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)
    )
    assert {f"!{path}" for path in copied} <= set(lines)
