"""Which requests the endpoint lets through to MiniStack: what would only pretend is an error (design sections 2, 9)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from mwaa_local.catalog.aws_services import CONTAINERS, MASKED, WORKS, AwsService, aws_services, vpc_endpoint_services


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: an error code of the service's protocol, HTTP status, message."""

    code: str
    message: str
    status: int = 400


@dataclass(frozen=True)
class Admission:
    """What this environment's definition allows.

    Attributes:
        asked: Services of ``Local.AwsServices``: pretended, and the user knows it.
        containers: ``Local.AwsContainers``: a service asked for may start containers on this machine's Docker.
    """

    asked: Collection[str] = ()
    containers: bool = False

    def refusal(self, service: str, path: str, action: str) -> Refusal | None:
        """Why a request may not pass; nothing when it may.

        Args:
            service: MiniStack's name of the service.
            path: Path of the request, for protocols that tell their action by it.
            action: The API action, empty where the path tells it.
        """
        row = aws_services().get(service)
        if row is None:
            return None  # nothing of that name is there: answered elsewhere
        if row.kind == MASKED:
            return _mwaa(path)
        if service in self.asked:
            return None
        if row.kind != WORKS:
            would = "it would start containers, or only pretend" if row.kind == CONTAINERS else "it would only pretend"
            return Refusal(
                "UnsupportedOperation",
                f"The local AWS endpoint does not answer {service}: {would} ({row.text}). {_way_out(row)}",
            )
        reason = row.refused_actions.get(action)
        if reason is not None:
            return Refusal(
                "UnsupportedOperation",
                f"The local AWS endpoint does not answer {service} {action}: it {reason}. {_way_out(row)}",
            )
        return None


def _way_out(row: AwsService) -> str:
    containers = ", and AwsContainers: true to let it start containers" if row.kind == CONTAINERS else ""
    return (
        "Use real AWS (Local.Aws in mwaa.yaml names a profile), or ask for the imitation: "
        f"Local: {{AwsServices: [{row.name}]}}{containers} (docs/reference/aws-services.md)."
    )


def _mwaa(path: str) -> Refusal:
    """Errors that the operations of MWAA's API have in its model (spec/01 section 5.4)."""
    message = (
        "mwaa-local does not serve the MWAA API yet. The environment here is the one `mwaa-local up` makes from "
        "mwaa.yaml: `mwaa-local status` describes it, `mwaa-local airflow ...` runs Airflow commands in it, "
        "`mwaa-local env` prints its addresses."
    )
    if path.startswith(("/clitoken/", "/webtoken/")):
        return Refusal("ResourceNotFoundException", message, 404)
    return Refusal("ValidationException", message)


def vpc_endpoint_refusal(region: str, name: str) -> Refusal | None:
    """Why ``CreateVpcEndpoint`` cannot have this service name: no such service in the Region (spec/05 section 1.3)."""
    gateway, interface = vpc_endpoint_services()
    if not name:
        return Refusal("MissingParameter", "The request must contain the parameter ServiceName")
    prefix = f"com.amazonaws.{region}."
    if name.startswith(prefix) and name.removeprefix(prefix) in {*gateway, *interface}:
        return None
    return Refusal("InvalidServiceName", f"The Vpc Endpoint Service '{name}' does not exist")


def form_value(body: bytes, query: object, name: str) -> str:
    """One parameter of a Query-protocol request, from its body or its address; empty when it is missing."""
    if isinstance(query, dict) and query.get(name):
        value = query[name]
        return str(value[0] if isinstance(value, list) else value)
    return parse_qs(body.decode(errors="replace")).get(name, [""])[0]
