"""A definition is read once, strictly, and remembers where each value came from (design section 5, spec/01 section 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from mwaa_local.aws.server import reference
from mwaa_local.catalog import fields
from mwaa_local.errors import DefinitionError
from mwaa_local.model import load
from mwaa_local.model.checks import allowed_values
from mwaa_local.model.definition import variable_name
from mwaa_local.model.secrets import load_or_create


def definition(folder: Path, text: str) -> Path:
    (folder / "mwaa.yaml").write_text(text, encoding="utf-8")
    return folder


def test_an_empty_folder_gives_mwaa_defaults(tmp_path: Path) -> None:
    environment = load(tmp_path)
    assert environment.name == "local"
    assert environment.version.airflow == "3.2.1"
    assert environment.environment_class.name == "mw1.small"
    assert (environment.spec.min_workers, environment.spec.max_workers, environment.spec.schedulers) == (1, 10, 2)
    assert environment.spec.parallelism == 75  # two schedulers of MWAA's with (10 x 5) / 2 x 1.5 each; here one runs
    assert environment.spec.logging["TaskLogs"].enabled
    assert environment.local.ports.web == 8080
    assert environment.workflow.requirements == tmp_path.resolve() / "requirements/requirements.txt"


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    project = definition(
        tmp_path, "AirflowVersion: 2.10.3\nEnvironmentClass: mw1.medium\nLocal: {Ports: {Web: 9000, Aws: 9001}}\n"
    )
    environment = load(
        project,
        flags={"AirflowVersion": "3.2.1", "Local.Ports.Web": None},
        variables={"MWAA_LOCAL_AIRFLOW_VERSION": "2.10.3", "MWAA_LOCAL_PORTS_WEB": "9100", "IGNORED": "x"},
    )
    assert environment.version.airflow == "3.2.1"
    assert environment.sources["AirflowVersion"].kind == "flag"
    assert environment.local.ports.web == 9100
    assert str(environment.sources["Local.Ports.Web"]) == "variable MWAA_LOCAL_PORTS_WEB"
    assert environment.local.ports.aws == 9001
    assert environment.sources["Local.Ports.Aws"].place.endswith("mwaa.yaml:3")
    assert environment.local.ports.explicit == {"web", "aws"}
    assert environment.sources["Local.Engine"].kind == "default"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MaxWorkers: 10\nSchedulers: 5\n", 75),
        ('MaxWorkers: 10\nAirflowConfigurationOptions: {celery.worker_autoscale: "5,5"}\n', 75),
        ('MaxWorkers: 10\nAirflowConfigurationOptions: {celery.worker_autoscale: "20,20"}\n', 300),
        ('MaxWorkers: 1\nAirflowConfigurationOptions: {celery.worker_autoscale: " 3 , 1 "}\n', 5),
        ("EnvironmentClass: mw1.micro\n", 5),
        ('MaxWorkers: 10\nAirflowConfigurationOptions: {celery.worker_autoscale: "many"}\n', 75),
    ],
)
def test_parallelism_lets_every_worker_be_filled(tmp_path: Path, text: str, expected: int) -> None:
    """spec/07 B1.5 and its BP-3: as many tasks at once as all workers take, whatever the number of schedulers is."""
    environment = load(definition(tmp_path, text))
    assert environment.spec.parallelism == expected >= environment.spec.max_workers * environment.spec.tasks_per_worker


def test_variable_names() -> None:
    assert variable_name("AirflowVersion") == "MWAA_LOCAL_AIRFLOW_VERSION"
    assert variable_name("Local.AllowFailedRequirements") == "MWAA_LOCAL_ALLOW_FAILED_REQUIREMENTS"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("Nme: x\n", 1, ["unknown field Nme", "did you mean Name?"]),
        ("Name: local\nLocal:\n  Engin: docker\n", 3, ["unknown field Local.Engin", "Engine"]),
        ("Name: local\nAirflowVersion: 3.2.9\n", 2, ["'3.2.9' is not known", "3.2.1, 3.0.6, 2.11.2, 2.11.0, 2.10.3"]),
        ("AirflowVersion: 3.2\n", 1, ["must be a string", "quotes"]),
        ("EnvironmentClass: mw1.huge\n", 1, ["mw1.micro, mw1.small"]),
        ("MaxWorkers: many\n", 1, ["must be a integer"]),
        ("MaxWorkers: true\n", 1, ["must be a integer"]),
        ("MaxWorkers: 0\n", 1, ["out of range", "at least 1"]),
        ("MaxWorkers: 26\n", 1, ["out of range for mw1.small", "1 to 25"]),
        ("MinWorkers: 5\nMaxWorkers: 2\n", 1, ["MinWorkers 5 is greater than MaxWorkers 2"]),
        ("EnvironmentClass: mw1.micro\nSchedulers: 2\n", 2, ["out of range for mw1.micro", "1 to 1"]),
        ("Schedulers: 1\n", 1, ["2 to 5"]),
        (
            "AirflowConfigurationOptions:\n  core.multi_team: true\n",
            2,
            ["core.multi_team is locked", "MWAA authentication"],
        ),
        ("AirflowConfigurationOptions:\n  triggerer.queues_enabled: 'True'\n", 2, ["locked"]),
        ("AirflowConfigurationOptions:\n  triggerer.queue_enabled: 'True'\n", 2, ["locked"]),
        ("AirflowConfigurationOptions:\n  Core.Parallelism: 3\n", 2, ["lower case", "did you mean core.parallelism"]),
        ("AirflowConfigurationOptions:\n  parallelism: 3\n", 2, ["no section"]),
        ("AirflowConfigurationOptions:\n  core.x: ''\n", 2, ["needs a text value"]),
        ("AirflowConfigurationOptions:\n  core.x: 'ä'\n", 2, ["printable ASCII"]),
        ("AirflowConfigurationOptions:\n  core.x: [1]\n", 2, ["needs a text value"]),
        ("LoggingConfiguration: {TaskLogs: {Enabled: true}}\n", 1, ["lacks LogLevel"]),
        (
            "LoggingConfiguration: {TaskLogs: {Enabled: true, LogLevel: LOUD}}\n",
            1,
            ["CRITICAL, ERROR, WARNING, INFO, DEBUG"],
        ),
        (
            "LoggingConfiguration: {TaskLog: {Enabled: true, LogLevel: INFO}}\n",
            1,
            ["unknown field", "did you mean TaskLogs?"],
        ),
        ("Local: {Ports: {Web: 70000}}\n", 1, ["out of range", "1 to 65535"]),
        ("Name: 1bad\n", 1, ["form MWAA refuses"]),
        ("Name: local\nName: other\n", 2, ["given twice"]),
        ("Name: [\n", 2, ["not valid YAML"]),
        ("- a\n", 1, ["mapping of fields"]),
        ("AirflowVersion: 2.10.3\nWebserverAccessMode: PUBLIC_AND_PRIVATE\n", 2, ["3.2.1"]),
        ("NetworkConfiguration: {SubnetIds: [subnet-1]}\n", 1, ["1 items", "2 to 2"]),
        ("NetworkConfiguration: {}\n", 1, ["lacks SubnetIds"]),
        ("NetworkConfiguration:\n", 1, ["must be a mapping"]),
        ("NetworkConfiguration: {SecurityGroupIds: [sg-1]}\n", 1, ["lacks SubnetIds"]),
        (f"NetworkConfiguration: {{SubnetIds: [subnet-1, subnet-{'a' * 1020}]}}\n", 1, ["longer than 1024"]),
        ("KmsKey: alias/mine\n", 1, ["is an alias", "by its id or its ARN"]),
        ("KmsKey: arn:aws:kms:us-east-1:123456789012:alias/mine\n", 1, ["is an alias"]),
        ("KmsKey: mrk-1234abcd12ab34cd56ef1234567890ab\n", 1, ["multi-Region"]),
        ("KmsKey: arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab\n", 1, ["multi-Region"]),
        ("KmsKey: mine\n", 1, ["form MWAA refuses"]),
        ("Tags:\n" + "".join(f"  t{number}: x\n" for number in range(60)), 1, ["60 members", "at most 50"]),
        ("Tags: {a: ''}\n", 1, ["needs a text value"]),
        ("Tags: {'': a}\n", 1, ["form MWAA refuses"]),
        ("Tags: {'a;b': x}\n", 1, ["form MWAA refuses", "letters, numbers, spaces"]),
        ("Tags: {a: 'x;y'}\n", 1, ["holds characters MWAA refuses"]),
        (f"Tags: {{{'k' * 129}: x}}\n", 1, ["longer than 128"]),
        (f"Tags: {{k: {'x' * 257}}}\n", 1, ["longer than 256"]),
        (
            "AirflowConfigurationOptions:\n  secrets.backend_kwargs: {a: b}\n",
            2,
            ["""write it as one text: '{"a": "b"}'"""],
        ),
    ],
)
def test_bad_definitions_name_file_line_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    project = definition(tmp_path, text)
    with pytest.raises(DefinitionError) as caught:
        load(project)
    assert caught.value.exit_code == 2
    assert caught.value.where.endswith(f"mwaa.yaml:{line}"), str(caught.value)
    for word in words:
        assert word in str(caught.value)


BAD_DOMAINS = [
    ("https://my-custom-domain.com", "it has a scheme", "write my-custom-domain.com"),
    ("http://my-custom-domain.com:8080/x", "it has a scheme", "write my-custom-domain.com"),
    ("my-custom-domain.com/dags/", "it has a path", "write my-custom-domain.com"),
    ("my-custom-domain.com?x=1", "it has a path", "write my-custom-domain.com"),
    ("my-custom-domain.com:443", "it has a port", "write my-custom-domain.com"),
    ("https://[", "it has a scheme", "write a name such as airflow.example.com"),
    ("localhost", "no fully qualified name", "write a name such as airflow.example.com"),
    ("my custom.com", "no fully qualified name", "write a name"),
    ("-a.example.com", "no fully qualified name", "write a name"),
    ("10.0.0.1", "no fully qualified name", "write a name"),
    (".".join(["a" * 60] * 5), "longer than 255 characters", "write a name"),
]


@pytest.mark.parametrize(("text", "why", "hint"), BAD_DOMAINS)
@pytest.mark.parametrize("version", ["3.2.1", "2.10.3"])
def test_a_custom_domain_is_a_bare_host_name(tmp_path: Path, version: str, text: str, why: str, hint: str) -> None:
    """spec/01 section 9: no protocol, no path, at most 255 characters; refused before anything is started."""
    given = f"AirflowVersion: {version}\nAirflowConfigurationOptions:\n  webserver.base_url: {text!r}\n"
    with pytest.raises(DefinitionError, match="must be a bare host name") as caught:
        load(definition(tmp_path, given))
    assert caught.value.where.endswith("mwaa.yaml:3")
    assert why in caught.value.why
    assert hint in caught.value.hint


def test_a_custom_domain_needs_a_private_web_server(tmp_path: Path) -> None:
    options = "AirflowConfigurationOptions:\n  webserver.base_url: "
    for mode in ("", "WebserverAccessMode: PRIVATE_ONLY\n"):
        assert load(definition(tmp_path, f"{mode}{options}a.example.com\n")).spec.options
    for mode in ("PUBLIC_ONLY", "PUBLIC_AND_PRIVATE"):
        with pytest.raises(DefinitionError, match=f"private web server only, not with WebserverAccessMode {mode}"):
            load(definition(tmp_path, f"WebserverAccessMode: {mode}\n{options}a.example.com\n"))
        assert load(definition(tmp_path, f"WebserverAccessMode: {mode}\n{options}''\n")).spec.options == {
            "webserver.base_url": ""
        }, "no custom domain"


def test_every_limit_of_the_api_is_held() -> None:
    """botocore's service model says what the API takes; each of its limits stands in the catalog's fields."""
    model = botocore.session.get_session().get_service_model("mwaa").operation_model("CreateEnvironment").input_shape

    def walk(shape: Any, path: str) -> Iterator[tuple[str, str, Any]]:
        limits = shape.metadata
        if shape.type_name == "structure":
            for name, member in shape.members.items():
                yield from walk(member, f"{path}.{name}".lstrip("."))
        elif shape.type_name == "list":
            yield path, "min_items", limits["min"]
            yield path, "max_items", limits["max"]
            yield path, "max_length", shape.member.metadata["max"]
        elif shape.type_name == "map":
            yield path, "max_items", limits.get("max")
            yield path, "key_max_length", shape.key.metadata["max"]
            yield path, "value_max_length", shape.value.metadata["max"]
        elif shape.type_name == "integer":
            yield path, "minimum", limits.get("min", 1)
        elif shape.type_name == "string" and "enum" not in limits and not allowed_values(fields()[path]):
            yield path, "max_length", limits["max"]

    wanted = [
        (path, name, value) for path, name, value in walk(model, "") if not path.startswith("LoggingConfiguration.")
    ]
    assert [(path, name, getattr(fields()[path], name)) for path, name, _ in wanted] == wanted
    assert len(wanted) >= 29


def test_get_environment_output_can_be_pasted_in(tmp_path: Path) -> None:
    text = """
Environment:
  AirflowConfigurationOptions: {core.default_task_retries: "3"}
  AirflowVersion: 2.10.3
  Arn: arn:aws:airflow:us-east-1:123456789012:environment/mine
  CreatedAt: 2024-06-01T01:00:00-00:00
  DagS3Path: dags
  EnvironmentClass: mw1.small
  LastUpdate: {Status: SUCCESS}
  LoggingConfiguration:
    TaskLogs: {CloudWatchLogGroupArn: "arn:aws:logs:us-east-1:123456789012:log-group:airflow-mine-Task:*", Enabled: false, LogLevel: ERROR}
  Name: mine
  Status: AVAILABLE
"""
    environment = load(definition(tmp_path, text))
    assert environment.name == "mine"
    assert environment.spec.option_variables() == {"AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "3"}
    assert environment.spec.logging["TaskLogs"].enabled is False
    assert environment.spec.logging["WorkerLogs"].level == "INFO"


@pytest.mark.parametrize(
    ("yaml_value", "text"), [("3", "3"), ("true", "True"), ("0.5", "0.5"), ('"x y"', "x y"), ("1_000", "1_000")]
)
def test_option_values_become_the_strings_airflow_reads(tmp_path: Path, yaml_value: str, text: str) -> None:
    environment = load(definition(tmp_path, f"AirflowConfigurationOptions: {{foo.bar: {yaml_value}}}\n"))
    assert environment.spec.option_variables() == {"AIRFLOW__FOO__BAR": text}


def test_a_variable_of_the_wrong_type_names_itself(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="Local.Ports.Web") as caught:
        load(tmp_path, variables={"MWAA_LOCAL_PORTS_WEB": "abc"})
    assert caught.value.where == "MWAA_LOCAL_PORTS_WEB"


def test_the_id_is_stable_and_differs_per_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert load(one).id == load(one).id
    assert load(one).id != load(two).id


def test_missing_project_folder(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="does not exist"):
        load(tmp_path / "nowhere")


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secrets.json"
    first = load_or_create(path)
    assert load_or_create(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.fernet_key not in repr(first)
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.json"]


@pytest.mark.parametrize("content", ["", "{}", '{"fernet_key": 1}'])
def test_damaged_secrets_are_an_error_and_left_alone(tmp_path: Path, content: str) -> None:
    path: Any = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(Exception, match="cannot be read"):
        load_or_create(path)
    assert path.read_text() == content


def test_the_reference_page_names_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/mwaa-yaml.md").read_text(encoding="utf-8")
    missing = [path for path, rule in fields().items() if rule.type != "object" and f"`{path}`" not in page]
    assert not missing


@pytest.mark.parametrize(
    ("name", "why"), [("airflow", "MWAA itself"), ("s3", "buckets"), ("redshift", "no such service")]
)
def test_a_service_that_cannot_be_asked_for(tmp_path: Path, name: str, why: str) -> None:
    definition(tmp_path, f"Local: {{AwsServices: [{name}]}}\n")
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path)
    assert why in str(caught.value) and "eks" in str(caught.value)


def test_the_page_of_aws_services_is_what_the_catalog_says() -> None:
    """Renew it with: python -m mwaa_local.aws.server.reference > docs/reference/aws-services.md"""
    page = (Path(__file__).parents[2] / "docs/reference/aws-services.md").read_text(encoding="utf-8")
    assert page == reference.page()
