"""A site on real parts: a project of 0.1 is taken over whole, and what one environment leaves is taken away alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines_support import Quiet

from mwaa_local import model
from mwaa_local.aws import client
from mwaa_local.engines import ports
from mwaa_local.engines.names import bucket_name
from mwaa_local.engines.process import keeper_client, soundness
from mwaa_local.engines.process.site import Begun, Site
from mwaa_local.engines.resources import resources
from mwaa_local.ground import processes

pytestmark = [pytest.mark.contract, pytest.mark.skipif(not processes.LINUX, reason="keepers need Linux")]

# Made by `up` of the commit before there were sites, then `aws s3 cp`, `secretsmanager create-secret`, `sqs send-message`.
BEFORE = Path(__file__).parents[1] / "fixtures/layout-0.1/mine"
BUCKET = "mwaa-local-mine-676738b8"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(BEFORE, tmp_path / ".mwaa/mine")
    (tmp_path / "mwaa.yaml").write_text(f"Name: mine\nLocal: {{Ports: {{Aws: {ports.any_free()}}}}}\n")
    yield tmp_path
    keeper_client.kill(_site(tmp_path).layout)


def _site(project: Path, name: str = "mine") -> Site:
    environment = model.load(project, flags={"Name": name}, variables={})
    return Site(environment, {"HOME": str(project)}, ports.Registry(project / "ports.json"))


def _up(site: Site) -> Begun:
    begun = site.begin({})
    assert site.settle(begun, Quiet(), timeout_s=60) is None
    return begun


def test_a_project_of_0_1_loses_nothing(project: Path) -> None:
    site = _site(project)
    begun = _up(site)
    assert not (project / ".mwaa/mine/aws").exists()
    s3, sqs, secrets = (client.client(name, begun.aws, "us-east-1") for name in ("s3", "sqs", "secretsmanager"))
    assert s3.get_object(Bucket=BUCKET, Key="kept.txt")["Body"].read() == b"hello\n"
    url = sqs.get_queue_url(QueueName="beside")["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "still here"
    assert secrets.get_secret_value(SecretId="airflow/variables/kept")["SecretString"] == "a secret"
    assert site.release()
    assert soundness.check(site.layout) == []
    assert _up(site).notes == (), "once is enough"


def test_two_environments_use_one_endpoint_and_one_leaves_without_the_others_things(project: Path) -> None:
    first, second = _site(project), _site(project, "b")
    begun = _up(first)
    assert _up(second).aws == begun.aws
    environments = [model.load(project, flags={"Name": name}, variables={}) for name in ("mine", "b")]
    for environment in environments:
        client.provision(begun.aws, "us-east-1", **resources(environment))
    s3, sqs, logs = (client.client(name, begun.aws, "us-east-1") for name in ("s3", "sqs", "logs"))
    mine, other = map(bucket_name, environments)
    for number in range(3):  # versions, and a marker of deletion
        s3.put_object(Bucket=other, Key="a/key", Body=b"%d" % number)
    s3.delete_object(Bucket=other, Key="a/key")
    second.forget({}, resources(environments[1]))
    assert {one["Name"] for one in s3.list_buckets()["Buckets"]} == {mine, BUCKET}
    queues = [url.rpartition("/")[2] for url in sqs.list_queues(QueueNamePrefix="airflow-celery")["QueueUrls"]]
    assert f"airflow-celery-{environments[0].id}" in queues and f"airflow-celery-{environments[1].id}" not in queues
    groups = [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]
    assert [name for name in groups if name.startswith("airflow-b-")] == []
    assert "airflow-mine-Task" in groups
    second.forget({}, resources(environments[1]))
    assert second.runs, "what is not there is passed over, and what ran goes on"


def test_a_killed_endpoint_comes_back_with_what_its_environment_needs(project: Path) -> None:
    site = _site(project)
    begun = _up(site)
    environment = model.load(project, flags={}, variables={})
    from mwaa_local.engines.process import probes

    probe = {
        "kind": "aws", "url": begun.aws, "path": client.HEALTH_PATH, "region": "us-east-1",
        "provision": resources(environment),
    }  # fmt: skip
    memory = probes.Memory(0, 0.0)
    assert probes.ask(probe, memory) == ""
    s3 = client.client("s3", begun.aws, "us-east-1")
    s3.delete_bucket(Bucket=bucket_name(environment))
    assert probes.ask(probe, memory) == ""
    assert bucket_name(environment) not in {one["Name"] for one in s3.list_buckets()["Buckets"]}, "asked once"
    pid = keeper_client.report(site.layout)["components"]["aws"]["pid"]
    processes.kill([pid])
    _until_another(site, pid)
    assert probes.ask(probe, memory) == ""
    assert bucket_name(environment) in {one["Name"] for one in s3.list_buckets()["Buckets"]}


def _until_another(site: Site, pid: int) -> None:
    import time

    end = time.monotonic() + 30
    while time.monotonic() < end:
        one = keeper_client.report(site.layout)["components"].get("aws", {})
        if one.get("state") == "healthy" and one.get("pid") not in (None, pid):
            return
        time.sleep(0.1)
    raise AssertionError("the endpoint did not come back")
