"""What the AWS endpoint refuses to pretend, and that nothing behind it starts a container unasked (design sections 2 and 9)."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from patience import until
from test_aws_server import REGION, Endpoint

from mwaa_local.aws import client as aws
from mwaa_local.catalog.aws_services import aws_services, service_modules

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    server = Endpoint(tmp_path_factory.mktemp("aws"))
    server.start()
    yield server
    server.kill()


def error(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_every_service_of_ministack_stands_in_one_table() -> None:
    spec = importlib.util.find_spec("ministack.app")
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    registry = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SERVICE_REGISTRY"
    )
    assert set(aws_services()) == set(registry)
    assert set(service_modules().values()) <= set(registry)


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("eks", "list_clusters", {}),
        ("eks", "create_cluster", {"name": "c", "roleArn": "arn:aws:iam::0:role/x", "resourcesVpcConfig": {}}),
        ("cloudformation", "create_stack", {"StackName": "s", "TemplateBody": "{}"}),
        ("emr", "run_job_flow", {"Name": "x", "Instances": {}}),
        ("ecs", "run_task", {"taskDefinition": "t"}),
        ("batch", "submit_job", {"jobName": "j", "jobQueue": "q", "jobDefinition": "d"}),
        ("rds", "create_db_instance", {"DBInstanceIdentifier": "d", "DBInstanceClass": "c", "Engine": "postgres"}),
        ("rds-data", "execute_statement", {"resourceArn": "a" * 20, "secretArn": "a" * 20, "sql": "select 1"}),
        ("sesv2", "list_email_identities", {}),
        ("ses", "send_email", {"Source": "a@b.c", "Destination": {}, "Message": {"Subject": {"Data": "x"}, "Body": {}}}),
        ("athena", "list_work_groups", {}),
        ("route53", "list_hosted_zones", {}),
        ("cloudfront", "list_distributions", {}),
        ("s3tables", "list_table_buckets", {}),
        ("ec2", "run_instances", {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
        ("glue", "start_job_run", {"JobName": "j"}),
        ("ssm", "send_command", {"DocumentName": "AWS-RunShellScript"}),
    ],
)  # fmt: skip
def test_what_would_only_pretend_is_an_error(endpoint: Endpoint, service: str, operation: str, arguments: Any) -> None:
    code, message = error(lambda: getattr(endpoint.client(service), operation)(**arguments))
    assert code == "UnsupportedOperation"
    assert "Local: {AwsServices: [" in message and "real AWS" in message


def test_mwaa_answers_errors_of_its_model(endpoint: Endpoint) -> None:
    """spec/01 section 5.4: ListEnvironments has a ValidationException, CreateCliToken only a ResourceNotFoundException."""
    mwaa = endpoint.client("mwaa")
    with pytest.raises(mwaa.exceptions.ValidationException) as listed:
        mwaa.list_environments()
    assert "mwaa-local status" in str(listed.value)
    with pytest.raises(mwaa.exceptions.ResourceNotFoundException):
        mwaa.create_cli_token(Name="local")
    with pytest.raises(mwaa.exceptions.ValidationException):
        mwaa.create_environment(
            Name="x", DagS3Path="dags", ExecutionRoleArn="arn:aws:iam::000000000000:role/r", SourceBucketArn="arn:aws:s3:::b",
            NetworkConfiguration={},
        )  # fmt: skip


def test_a_vpc_endpoint_needs_a_service_that_exists(endpoint: Endpoint) -> None:
    ec2 = endpoint.client("ec2")
    for name in ("com.amazonaws.eu-west-1.nonsense", "com.amazonaws.us-east-1.sqs", "sqs"):
        code, message = error(lambda name=name: ec2.create_vpc_endpoint(VpcId="vpc-1", ServiceName=name))  # type: ignore[misc]
        assert (code, message) == ("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")
    # spec/05 section 1.3
    for word in ("s3", "monitoring", "logs", "sqs", "kms", "airflow.api", "airflow.env", "airflow.ops", "ecr.api"):
        name = f"com.amazonaws.{REGION}.{word}"
        assert ec2.create_vpc_endpoint(VpcId="vpc-1", ServiceName=name)["VpcEndpoint"]["ServiceName"] == name
        assert name in ec2.describe_vpc_endpoint_services()["ServiceNames"]


def test_a_secret_is_found_from_another_region(endpoint: Endpoint) -> None:
    """spec/06 E8: the guide's DAG asks us-east-1 whatever the environment's Region is."""
    here = endpoint.client("secretsmanager")
    elsewhere = aws.client("secretsmanager", endpoint.url, "us-east-1")
    here.create_secret(Name="airflow/connections/e8", SecretString="postgres://u:p@h/d")
    assert elsewhere.get_secret_value(SecretId="airflow/connections/e8")["SecretString"] == "postgres://u:p@h/d"
    assert elsewhere.describe_secret(SecretId="airflow/connections/e8")["Name"] == "airflow/connections/e8"
    # Only reading: what a Region lacks cannot be changed from it, and its own secret comes first.
    assert error(lambda: elsewhere.delete_secret(SecretId="airflow/connections/e8"))[0] == "ResourceNotFoundException"
    elsewhere.create_secret(Name="airflow/connections/e8", SecretString="another")
    assert elsewhere.get_secret_value(SecretId="airflow/connections/e8")["SecretString"] == "another"
    assert here.get_secret_value(SecretId="airflow/connections/e8")["SecretString"] == "postgres://u:p@h/d"
    # Not the other way round, as on AWS.
    elsewhere.create_secret(Name="only/there", SecretString="x")
    assert error(lambda: here.get_secret_value(SecretId="only/there"))[0] == "ResourceNotFoundException"


def archive(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, text)
    return buffer.getvalue()


def test_a_function_that_cannot_run_is_an_error(endpoint: Endpoint) -> None:
    functions = endpoint.client("lambda")
    role = "arn:aws:iam::000000000000:role/r"
    for name, runtime, file in (
        ("java", "java21", "x.jar"),
        ("ruby", "ruby3.3", "x.rb"),
        ("go", "provided.al2023", "x"),
    ):
        functions.create_function(
            FunctionName=name, Runtime=runtime, Role=role, Handler="x", Code={"ZipFile": archive(file, "")}
        )
        answer = functions.invoke(FunctionName=name)
        body = answer["Payload"].read().decode()
        assert answer.get("FunctionError"), body
        assert "Mock response" not in body
    functions.create_function(
        FunctionName="py", Runtime="python3.11", Role=role, Handler="x.f",
        Code={"ZipFile": archive("x.py", "def f(event, context):\n    return {'twice': event['n'] * 2}\n")},
    )  # fmt: skip
    answer = functions.invoke(FunctionName="py", Payload=json.dumps({"n": 21}).encode())
    assert json.loads(answer["Payload"].read()) == {"twice": 42}


def test_a_state_machine_cannot_go_round_the_rule(endpoint: Endpoint) -> None:
    machines = endpoint.client("stepfunctions")
    definition = {
        "StartAt": "A",
        "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask", "Parameters": {}, "End": True}},
    }
    arn = machines.create_state_machine(
        name="m", definition=json.dumps(definition), roleArn="arn:aws:iam::000000000000:role/r"
    )["stateMachineArn"]
    run = machines.start_execution(stateMachineArn=arn)["executionArn"]
    until(lambda: machines.describe_execution(executionArn=run)["status"] != "RUNNING", every=0.1)
    found = machines.describe_execution(executionArn=run)
    assert found["status"] == "FAILED"
    assert "does not answer ecs" in found["cause"]


class Listener:
    """Stands where Docker's daemon would be, and counts who knocks."""

    def __init__(self) -> None:
        self.knocks = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.knocks += 1
                connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("containers", [False, True])
def test_only_the_definition_lets_a_service_reach_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, containers: bool
) -> None:
    listener = Listener()
    monkeypatch.setenv("DOCKER_HOST", listener.address)
    options = ("--service", "rds", "--service", "eks", "--service", "ecs", *(("--containers",) if containers else ()))
    server = Endpoint(tmp_path, options=options)
    server.start()
    try:
        with contextlib.suppress(ClientError):
            server.client("rds").create_db_instance(
                DBInstanceIdentifier="d", DBInstanceClass="db.t3.micro", Engine="postgres", MasterUsername="u",
                MasterUserPassword="password1", AllocatedStorage=5,
            )  # fmt: skip
        with contextlib.suppress(ClientError):
            server.client("eks").create_cluster(
                name="c", roleArn="arn:aws:iam::000000000000:role/r", resourcesVpcConfig={"subnetIds": ["s"]}
            )
        assert server.client("eks").list_clusters() is not None, "asked for, so answered"
        if containers:
            until(lambda: listener.knocks)
        else:
            time.sleep(1.5)
            assert not listener.knocks
    finally:
        server.kill()
        listener.close()
