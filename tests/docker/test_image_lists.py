"""The lists behind the images agree with each other: catalog, Dockerfile, compose.yaml, stand-ins. No daemon is needed."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
import threading
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mwaa_local.catalog import version
from mwaa_local.model import definition
from mwaa_local.model.secrets import Secrets
from mwaa_local.runtime import health as runtime_health
from mwaa_local.runtime.inputs import Wiring, variables_for

pytestmark = pytest.mark.first_look

ROOT = Path(__file__).resolve().parents[2]
LIST = tomllib.loads((ROOT / "src/mwaa_local/catalog/data/os_packages.toml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()


def load(path: str) -> ModuleType:
    """Import one of the programs under docker/, which are no package."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"docker_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def defaults(text: str) -> dict[str, str]:
    """The ARG defaults of the Dockerfile's head."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", text.split("\nFROM ")[0], re.MULTILINE))


def filled(text: str) -> str:
    """A compose value as it is with no variable set."""
    while match := re.search(r"\$\{\w+(?::-((?:[^{}$]|\{\})*))?\}", text):
        text = text[: match.start()] + (match[1] or "") + text[match.end() :]
    return text


def compose() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(document, dict)
    return document


def test_every_package_has_a_debian_name() -> None:
    packages = load("docker/os_packages.py").packages
    everything = list(LIST["groups"])
    assert len(packages(LIST, "al2023", "3.12", everything)) >= 60
    assert "gcc" in packages(LIST, "debian", "3.12", everything)
    assert "python3.12-devel" in packages(LIST, "al2023", "3.12", ["build"])
    assert packages(LIST, "al2023", "3.12", []) == packages(LIST, "al2023", "3.12", LIST["defaults"]["al2023"])


@pytest.mark.parametrize(
    ("base", "groups", "named"), [("fedora", [], "al2023, debian"), ("debian", ["kernel"], "core, build")]
)
def test_an_unknown_base_or_group_names_what_there_is(base: str, groups: list[str], named: str) -> None:
    module = load("docker/os_packages.py")
    with pytest.raises(module.PackageListError, match=named):
        module.packages(LIST, base, "3.12", groups)


def test_dockerfile_defaults_are_the_catalogs() -> None:
    given = defaults(DOCKERFILE)
    newest = version(given["AIRFLOW_VERSION"])
    assert (given["PYTHON_VERSION"], given["PYTHON_PATCH"]) == (newest.python, newest.python_patch)
    assert given["AL2023_IMAGE"] == LIST["images"]["al2023"]
    assert given["DEBIAN_IMAGE"] == LIST["images"]["debian"].format(python_patch="${PYTHON_PATCH}")


def test_compose_defaults_are_the_catalogs() -> None:
    services = compose()["services"]
    arguments = {name: filled(str(value)) for name, value in services["aws"]["build"]["args"].items()}
    assert arguments.pop("OS_GROUPS") == ""
    assert arguments == {name: value for name, value in defaults(DOCKERFILE).items() if not name.endswith("_IMAGE")}
    assert filled(services["postgres"]["image"]) == LIST["images"]["postgres"]
    assert filled(services["worker"]["image"]) == "mwaa-local:3.2.1-al2023"


def test_compose_alone_gives_the_variables_the_tool_gives() -> None:
    """`docker compose up` and `mwaa-local up` must start the same environment (design principle 2)."""
    environment = definition.load(ROOT, variables={})
    wiring = Wiring(
        database_host="postgres", database_port=5432, database_name="AirflowMetadata", database_user="adminuser",
        secrets=Secrets("key", "secret", "airflow"), aws_endpoint="http://aws:4566",
        queue_url="http://aws:4566/000000000000/airflow-celery-local", api_server_url="http://webserver:8080",
        web_url="http://127.0.0.1:8080", web_port=8080,
        hostname="", home=Path("/usr/local/airflow"), run_dir=Path("/usr/local/mwaa/run"), cache_dir=Path("/usr/local/mwaa/cache"),
        base_set=Path("/opt/mwaa/base"), workflow=False,
    )  # fmt: skip
    wanted = variables_for(environment, "worker", wiring)
    given = {name: filled(str(value)) for name, value in compose()["x-environment"].items() if value is not None}
    # The options of mwaa.yaml reach compose through the tool; the id names a project folder; secrets come from the volume;
    # which component it is, the command says; a container has a host name of its own.
    for name in (
        "MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS",
        "AIRFLOW_ENV_ID",
        "MWAA__CORE__FERNET_KEY",
        "MWAA__WEBSERVER__SECRET",
        "MWAA_LOCAL__COMPONENT",
        "MWAA_LOCAL__HOSTNAME",
    ):
        wanted.pop(name)
    for name in (
        "MWAA__CORE__CUSTOM_AIRFLOW_CONFIGS",
        "AIRFLOW_ENV_ID",
        "MWAA_LOCAL__BUCKET",
        "MWAA_LOCAL__SECRETS_FILE",
    ):
        given.pop(name)
    assert json.loads(given.pop("MWAA__DB__CREDENTIALS")) == json.loads(wanted.pop("MWAA__DB__CREDENTIALS"))
    assert given == wanted


def test_nothing_is_published_beyond_this_machine_and_no_tag_floats() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        image = filled(service["image"])
        assert ":" in image and not image.endswith(":latest"), (name, image)
        assert name == "migrate-db" or service["restart"] == "unless-stopped"


def test_apt_sources_in_both_formats(tmp_path: Path) -> None:
    module = load("docker/offline/apt_sources.py")
    key = tmp_path / "debian-key.gpg"
    key.touch()
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\ndeb [arch=amd64] http://one.example/debian/ bookworm main contrib\n"
    )
    (folder / "a.sources").write_text(
        f"Types: deb deb-src\nURIs: http://two.example/debian-security\nSuites: bookworm-security\nComponents: main\nSigned-By: {key}\n"
        "\nEnabled: no\nTypes: deb\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n"
    )
    sources = module.read_sources(tmp_path)
    assert [source.uri for source in sources] == ["http://one.example/debian", "http://two.example/debian-security"]
    chosen = module.mirror("bookworm", sources, keyring=key)
    assert chosen.uri == "http://one.example/debian"
    assert chosen.lines == (
        "deb http://one.example/debian bookworm main contrib",
        "deb http://two.example/debian-security bookworm-security main",
    )
    assert module.mirror("bookworm", sources, given="http://own.example/d", keyring=key).lines == (
        "deb http://own.example/d bookworm main contrib",
    )


def test_a_machine_without_a_debian_mirror_is_told_what_to_give() -> None:
    module = load("docker/offline/apt_sources.py")
    with pytest.raises(Exception, match="names no Debian mirror.*\n.*--mirror"):
        module.mirror("bookworm", ())


def test_the_exact_python_wins_else_the_newest_of_its_minor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("docker/offline/pythons.py")
    there = {
        name: module.FoundPython(name, tmp_path / name, tmp_path / name / "bin/python3.12")
        for name in ("3.12.9", "3.12.10", "3.12.3")
    }
    monkeypatch.setattr(module, "candidates", lambda *_: list(there))
    monkeypatch.setattr(module, "probe", lambda name: there[name])
    assert module.find("3.12.3", {}, tmp_path).version == "3.12.3"
    assert module.find("3.12.13", {}, tmp_path).version == "3.12.10"
    with pytest.raises(Exception, match="no CPython 3.11 .*\n.*pyenv install 3.11.9"):
        module.find("3.11.9", {}, tmp_path)


def test_dnf_reports_every_unknown_name_and_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    module = load("docker/offline/dnf.py")
    (tmp_path / "python3.12").touch()
    translator = module.Translator(LIST, tmp_path)
    assert translator.debian(["gcc", "libpq", "python3.12", "python3.12-devel", "tar", "gcc"]) == [
        "gcc",
        "libc6-dev",
        "libpq5",
        "tar",
    ]
    with pytest.raises(
        module.RefusedError,
        match="(?s)argument: nothere\n.*argument: python3.13\nError: Unable to find a match: nothere python3.13",
    ):
        translator.debian(["gcc", "nothere", "python3.13"])
    assert module.parse(["-y", "-q", "--setopt=a=b", "install", "jq"]) == ("install", ["jq"])
    for words in (["--installroot=/x", "install", "jq"], ["install", "https://example/a.rpm"]):
        with pytest.raises(module.RefusedError):
            module.parse(words)


NOW = 1_800_000_000.0
STATES: list[dict[str, Any]] = [
    {"state": "booting"},
    {"state": "booting", "phases": [{"name": "startup script", "seconds": 1.0, "detail": ""}]},
    {"state": "running", "health": "", "health_at": NOW - 1},
    {"state": "running", "health": "no heartbeat yet of triggerer", "health_at": NOW - 1},
    {"state": "running", "health": "", "health_at": NOW - 60},
    {"state": "draining", "health": "", "health_at": NOW - 1},
    {"state": "failed", "error": {"what": "the startup script failed"}},
    {"state": "stopped"},
]


@pytest.mark.parametrize("given", STATES)
def test_the_health_check_says_what_the_runtime_says(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"health": "", "health_at": None, "phases": [], "error": None, **given}
    (tmp_path / "status.json").write_text(json.dumps(written))
    monkeypatch.setattr(runtime_health.time, "time", lambda: NOW)
    wanted = runtime_health.from_status(tmp_path)
    found = load("docker/health.py").component(str(tmp_path / "status.json"), NOW)
    assert found == (wanted.ok, wanted.detail)
    assert found[0] is (given.get("health") == "" and given["state"] == "running" and given["health_at"] == NOW - 1)


def test_the_health_check_asks_an_address() -> None:
    address = load("docker/health.py").address
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b""]

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert [address(port, "/health")[0] for _ in answers] == [True, False, False]
        thread.join()
    assert address(port, "/health")[0] is False


def test_the_base_sets_stage_gets_every_room_that_its_rooms_import() -> None:
    copied = set(re.findall(r"^COPY src/mwaa_local/(\w+) /build/src/", DOCKERFILE, re.MULTILINE))
    assert "packages" in copied
    texts = [path.read_text() for room in copied for path in (ROOT / "src/mwaa_local" / room).rglob("*.py")]
    imported = {
        name for text in texts for name in re.findall(r"^\s*(?:from|import) mwaa_local\.(\w+)", text, re.MULTILINE)
    }
    assert imported - {"errors"} <= copied
