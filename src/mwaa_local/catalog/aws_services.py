"""What the local AWS endpoint answers, only pretends, or would start containers for (design section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data

WORKS, PRETENDED, CONTAINERS, MASKED = "works", "pretended", "containers", "masked"


@dataclass(frozen=True)
class AwsService:
    """One service of the endpoint.

    Attributes:
        name: MiniStack's name of it, which is mostly the one requests are signed for.
        kind: ``works``, ``pretended``, ``containers`` (starts some where that is allowed, else pretends) or ``masked``.
        text: What it does, in one line without a full stop.
        refused_actions: Action to the reason why it is refused although the service works.
    """

    name: str
    kind: str
    text: str
    refused_actions: Mapping[str, str]

    @property
    def may_be_asked_for(self) -> bool:
        """Whether ``Local.AwsServices`` may name it."""
        return self.kind in (PRETENDED, CONTAINERS) or bool(self.refused_actions)


@cache
def aws_services() -> dict[str, AwsService]:
    """All services by name, in the order of the reference page."""
    rows = _data.read("aws_services.toml")
    return {
        name: AwsService(name, kind, text, rows["refused_actions"].get(name, {}))
        for kind in (WORKS, PRETENDED, CONTAINERS, MASKED)
        for name, text in sorted(rows[kind].items())
    }


@cache
def service_modules() -> dict[str, str]:
    """MiniStack's modules that are reached by a path alone, and the service each belongs to."""
    modules: dict[str, str] = _data.read("aws_services.toml")["modules"]
    return modules


@cache
def storage_errors() -> dict[str, str]:
    """Service to the error code by which it says that something failed on its own side; others: ``InternalFailure``."""
    codes: dict[str, str] = _data.read("aws_services.toml")["storage_errors"]
    return codes


@cache
def vpc_endpoint_services() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of gateway and interface endpoint services, without ``com.amazonaws.<region>.`` (spec/05 section 1.3)."""
    rows = _data.read("aws_services.toml")["vpc_endpoints"]
    return tuple(rows["gateway"]), tuple(rows["interface"])
