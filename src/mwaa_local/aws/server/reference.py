"""The page of services, made from the catalog: ``python -m mwaa_local.aws.server.reference > .../aws-services.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mwaa_local.catalog.aws_services import CONTAINERS, PRETENDED, WORKS, aws_services

_INTRO = """# Services of the local AWS endpoint

<!-- Generated from the catalog: python -m mwaa_local.aws.server.reference > docs/reference/aws-services.md -->

`AWS_ENDPOINT_URL` inside the environment (and what `mwaa-local env` prints) is one address for all services. It is
MiniStack (the Python package `ministack`), of which only what is real is let through: a service that would answer
200 and do nothing answers an error of AWS's form (`UnsupportedOperation`) that says so. A service that is in none of
these tables answers `UnknownOperationException`. DAGs that need more talk to real AWS: `Local.Aws` names a profile.

The MWAA API itself (`aws mwaa ...`, `boto3.client("mwaa")`) is not served yet: every call is answered by an error of
its model. Nothing behind the endpoint starts a container unless you say so.
"""
_TABLES = (
    (WORKS, "Answered", "| Service | What it does here |"),
    (
        PRETENDED,
        "Refused unless asked for: it would only pretend",
        "| Service | What lies behind its answers |",
    ),
    (
        CONTAINERS,
        "Refused unless asked for: with containers it is real",
        "| Service | With `AwsContainers: true` it ... |",
    ),
)
_ASKED = """```yaml
Local:
  AwsServices: [ecs, rds]   # answer these although they pretend
  AwsContainers: true       # and let them start containers on this machine's Docker (process engine only)
```

`Local.AwsServices: [ec2]` (or `glue`, `ssm`) lets the refused actions of an answered service through."""


def _page() -> Iterator[str]:
    yield _INTRO
    for kind, title, head in _TABLES:
        yield f"## {title}\n"
        if kind == PRETENDED:
            yield _ASKED + "\n"
        rows = [row for row in aws_services().values() if row.kind == kind]
        yield "\n".join([head, "|---|---|", *(f"| `{row.name}` | {row.text} |" for row in rows)]) + "\n"
    yield "## Refused actions of answered services\n"
    actions = [
        (row.name, action, why) for row in aws_services().values() for action, why in row.refused_actions.items()
    ]
    yield "\n".join(
        ["| Action | Why |", "|---|---|", *(f"| `{name}:{action}` | it {why} |" for name, action, why in actions)]
    )


def page() -> str:
    """The whole page."""
    return "\n".join(_page()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
