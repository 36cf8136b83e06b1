"""The names under which one environment's services reach each other: on its site's network are several of each."""

from __future__ import annotations

import hashlib

from mwaa_local.engines.names import ORDER
from mwaa_local.model import Environment

_LAST = {"scheduler": 11, "webserver": 31}


def host_of(environment: Environment, service: str) -> str:
    """A service's own name, ``postgres-1a2b3c4d``."""
    return f"{service}-{environment.id[-8:]}"


def address_of(environment: Environment, service: str) -> str:
    """The host name of a component that there is one of, formed as MWAA's hosts are: ``ip-10-12-34-11``."""
    first, second = hashlib.sha256(environment.id.encode()).digest()[:2]
    return f"ip-10-{first}-{second}-{_LAST[service]}"


def peers(environment: Environment) -> list[str]:
    """Every name that a component may call and that no proxy knows."""
    own = [host_of(environment, service) for service in ("postgres", "webserver", "scheduler")]
    return [*ORDER, *own, *(address_of(environment, service) for service in _LAST)]
