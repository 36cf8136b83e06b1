"""The spec: every field of the API, through the same checks wherever it was given (design sections 3 and 7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from mwaa_local import catalog
from mwaa_local.catalog import components, service_model
from mwaa_local.errors import DefinitionError
from mwaa_local.model import load, spec

ROLE = "arn:aws:iam::123456789012:role/mine"
FULL: dict[str, Any] = {
    "Name": "mine",
    "AirflowVersion": "2.10.3",
    "EnvironmentClass": "mw1.medium",
    "MinWorkers": 2,
    "MaxWorkers": 7,
    "Schedulers": 3,
    "MinWebservers": 3,
    "MaxWebservers": 4,
    "AirflowConfigurationOptions": {"core.default_task_retries": "3"},
    "LoggingConfiguration": {
        "DagProcessingLogs": {"Enabled": True, "LogLevel": "DEBUG"},
        "SchedulerLogs": {"Enabled": False, "LogLevel": "ERROR"},
        "TaskLogs": {"Enabled": True, "LogLevel": "WARNING"},
        "WebserverLogs": {"Enabled": False, "LogLevel": "INFO"},
        "WorkerLogs": {"Enabled": True, "LogLevel": "CRITICAL"},
    },
    "WebserverAccessMode": "PUBLIC_ONLY",
    "EndpointManagement": "CUSTOMER",
    "WeeklyMaintenanceWindowStart": "TUE:21:00",
    "WorkerReplacementStrategy": "GRACEFUL",
    "ExecutionRoleArn": ROLE,
    "SourceBucketArn": "arn:aws:s3:::mine",
    "KmsKey": "1234abcd-12ab-34cd-56ef-1234567890ab",
    "DagS3Path": "my/dags",
    "PluginsS3Path": "p.zip",
    "PluginsS3ObjectVersion": "v1",
    "RequirementsS3Path": "r.txt",
    "RequirementsS3ObjectVersion": "v2",
    "StartupScriptS3Path": "s.sh",
    "StartupScriptS3ObjectVersion": "v3",
    "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
    "Tags": {"Team": "data", "a b": "é"},
}
TEAMS = {
    "Teams": {
        "data-1": {"SourceBucketArn": "arn:aws:s3:::one", "DagS3Path": "dags"},
        "ops": {"SourceBucketArn": "arn:aws:s3:::two", "DagS3Path": "ops/dags"},
    },
    "IdentityCenterConfiguration": {"StartUrl": "https://d-1.awsapps.com/start", "IdentityStoreId": "d-0123456789"},
}


@pytest.fixture
def teams_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a version that has them."""
    known = components.has
    monkeypatch.setattr(catalog.versions, "has", lambda airflow, trait: trait == "multi_team" or known(airflow, trait))


def test_what_is_given_comes_back_whole() -> None:
    assert spec.of_request(FULL, "CreateEnvironment").as_api() == FULL


@pytest.mark.usefixtures("teams_known")
def test_teams_and_their_sign_in_come_back() -> None:
    made = spec.of_request({**FULL, **TEAMS}, "CreateEnvironment")
    assert made.as_api() == {**FULL, **TEAMS}
    assert list(made.teams) == ["data-1", "ops"]


@pytest.mark.parametrize("field", ["Teams", "IdentityCenterConfiguration"])
def test_teams_are_refused_before_the_version_that_has_them(field: str) -> None:
    with pytest.raises(DefinitionError, match=rf"{field} is not known on 2.10.3") as caught:
        spec.of_request({**FULL, field: TEAMS[field]}, "CreateEnvironment")
    assert caught.value.code == "access"


def test_a_file_and_a_request_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "mwaa.yaml").write_text(json.dumps(FULL))
    assert load(tmp_path, variables={}).spec == spec.of_request(FULL, "CreateEnvironment")


def test_an_empty_request_has_the_defaults_of_an_empty_file(tmp_path: Path) -> None:
    assert load(tmp_path, variables={}).spec == spec.of_request({}, "CreateEnvironment")


def test_every_member_of_the_api_arrives() -> None:
    """A member that AWS adds to its model must be known, and not dropped."""
    model = botocore.session.get_session().get_service_model("mwaa")
    wanted = {
        name
        for operation in ("CreateEnvironment", "UpdateEnvironment")
        for name in model.operation_model(operation).input_shape.members
    }
    assert wanted - set(FULL) - set(TEAMS) == set()


def test_the_recorded_model_holds_what_the_installed_one_says() -> None:
    """Renew it with: python -m mwaa_local.catalog.service_model"""
    recorded = catalog.fields()
    _version, model = service_model.installed()
    told = service_model.derive(model)
    assert len(told) > 40
    assert set(told) <= set(recorded)
    bounds = ("type", "min_length", "max_length", "maximum", "max_items", "key_min_length", "key_max_length")
    for path, rule in told.items():
        for name in bounds:
            if name in rule:
                assert getattr(recorded[path], name) == rule[name], (path, name)


def test_a_changed_model_is_seen() -> None:
    """What the comparison would say of a new member, a raised minimum, a new pattern."""
    _version, model = service_model.installed()
    before = service_model.derive(model)
    shapes = model["shapes"]
    shapes["CreateEnvironmentInput"]["members"]["Novelty"] = {"shape": "NoveltyType"}
    shapes["NoveltyType"] = {"type": "structure", "members": {"One": {"shape": "S3ObjectVersion"}}, "required": ["One"]}
    shapes["S3BucketArn"]["min"] = 7
    shapes["SubnetId"]["pattern"] = "x+"
    shapes["EnvironmentName"]["max"] = 81
    after = service_model.derive(model)
    assert after["Novelty"] == {"type": "object"}
    assert after["Novelty.One"] == {"type": "string", "required": True, "min_length": 0, "max_length": 1024}
    assert after["SourceBucketArn"]["min_length"] == 7
    assert after["NetworkConfiguration.SubnetIds"]["pattern"] == "x+"
    assert after["Name"]["max_length"] == 81
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed >= {"Novelty", "Novelty.One", "SourceBucketArn", "NetworkConfiguration.SubnetIds", "Name"}
    assert "MinWorkers" not in changed


# A body's field, what is wrong with it, the fault's field.
FAULTS = [
    ({"Name": "1st"}, "Name", "form MWAA refuses"),
    ({"Name": ""}, "Name", "shorter than 1"),
    ({"Nmae": "a"}, "Nmae", "unknown field"),
    ({"MinWorkers": "2"}, "MinWorkers", "must be a integer"),
    ({"MinWorkers": True}, "MinWorkers", "must be a integer"),
    ({"Schedulers": 6}, "Schedulers", "out of range"),
    ({"MinWorkers": 5, "MaxWorkers": 4}, "MinWorkers", "greater than MaxWorkers"),
    ({"ExecutionRoleArn": "arn:aws:iam::1:role/x"}, "ExecutionRoleArn", "form MWAA refuses"),
    ({"KmsKey": "alias/mine"}, "KmsKey", "is an alias"),
    ({"AirflowConfigurationOptions": {"core.a": 3}}, "AirflowConfigurationOptions", "needs a text value"),
    ({"AirflowConfigurationOptions": []}, "AirflowConfigurationOptions", "must be a mapping"),
    ({"LoggingConfiguration": {"TaskLogs": {"Enabled": True}}}, "LoggingConfiguration.TaskLogs", "lacks LogLevel"),
    ({"LoggingConfiguration": {"Logs": {"Enabled": True}}}, "LoggingConfiguration.Logs", "unknown field"),
    ({"NetworkConfiguration": {"SecurityGroupIds": ["sg-1"]}}, "NetworkConfiguration", "lacks SubnetIds"),
    ({"NetworkConfiguration": {"SubnetIds": ["subnet-1"]}}, "NetworkConfiguration.SubnetIds", "has 1 items"),
    ({"Tags": {"a": ""}}, "Tags", "needs a text value"),
    ({"WebserverAccessMode": "OPEN"}, "WebserverAccessMode", "is not known"),
    ({"WebserverAccessMode": "PUBLIC_AND_PRIVATE", "AirflowVersion": "2.11.0"}, "WebserverAccessMode", "not known on"),
    ({"DagS3Path": "x" * 1025}, "DagS3Path", "longer than 1024"),
    ({"DagS3Path": "x\ny"}, "DagS3Path", "form MWAA refuses"),
]


@pytest.mark.parametrize(("body", "field", "text"), FAULTS, ids=[f"{row[1]}-{row[2][:12]}" for row in FAULTS])
def test_a_fault_has_its_field_and_its_place(body: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(DefinitionError, match=text) as caught:
        spec.of_request(body, "CreateEnvironment")
    assert caught.value.fields[0].startswith(field)
    assert caught.value.code
    assert caught.value.where in ("CreateEnvironment", "")


TEAM_FAULTS = [
    ({"ab": TEAMS["Teams"]["ops"]}, "has 2 characters"),  # type: ignore[index]
    ({"x" * 51: TEAMS["Teams"]["ops"]}, "has 51 characters"),  # type: ignore[index]
    ({"-abc": TEAMS["Teams"]["ops"]}, "form MWAA refuses"),  # type: ignore[index]
    ({"a.bc": TEAMS["Teams"]["ops"]}, "form MWAA refuses"),  # type: ignore[index]
    ({"abc": {"DagS3Path": "d"}}, "lacks SourceBucketArn"),
    ({"abc": {"SourceBucketArn": "arn:aws:s3:::one"}}, "lacks DagS3Path"),
    ({"abc": {**TEAMS["Teams"]["ops"], "Dags": "x"}}, "unknown field"),  # type: ignore[index,dict-item]
    ({"abc": {"SourceBucketArn": "one", "DagS3Path": "d"}}, "form MWAA refuses"),
    ({"abc": "d"}, "must be a mapping"),
    ({f"team{number}": TEAMS["Teams"]["ops"] for number in range(21)}, "has 21 members"),  # type: ignore[index]
]


@pytest.mark.usefixtures("teams_known")
@pytest.mark.parametrize(("teams", "text"), TEAM_FAULTS, ids=[row[1] for row in TEAM_FAULTS])
def test_a_wrong_team_is_named_in_file_and_request(teams: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=text):
        spec.of_request({"Teams": teams}, "CreateEnvironment")
    (tmp_path / "mwaa.yaml").write_text(json.dumps({"Teams": teams}))
    with pytest.raises(DefinitionError, match=text) as caught:
        load(tmp_path, variables={})
    assert caught.value.where.endswith("mwaa.yaml:1")


def test_answers_are_read_and_not_kept() -> None:
    """GetEnvironment's output is taken as it is (spec/01 section 5)."""
    answer = {**FULL, "Arn": "arn", "Status": "AVAILABLE", "LastUpdate": {"Status": "SUCCESS"}, "CreatedAt": 1.5}
    answer["LoggingConfiguration"] = {
        key: {**value, "CloudWatchLogGroupArn": "arn"} for key, value in FULL["LoggingConfiguration"].items()
    }
    assert spec.of_request(answer, "GetEnvironment").as_api() == FULL
    assert spec.of_request({**FULL, "Tags": {}}, "GetEnvironment").tags == {}
