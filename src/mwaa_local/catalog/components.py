"""Processes of MWAA's components, the web server's addresses, and traits, by version (spec/10 section 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mwaa_local.catalog import _data

#: MWAA's own names of the components that run Airflow for good (spec/10 section 1.2).
AIRFLOW_COMPONENTS = ("scheduler", "worker", "webserver")


@dataclass(frozen=True)
class ProcessFacts:
    """One Airflow process of a component.

    Attributes:
        name: The name under which it is told and logged.
        words: The words after ``airflow``.
        job: Its type in Airflow's ``job`` table; empty for one without a heartbeat there.
        serves: Whether it would serve log files by HTTP unless told not to.
        option: The option that switches it off; empty for one that always runs (spec/04 section 14.2).
        log: The category of its log group; empty for one without (spec/10 section 7.1).
        stream: The name of its log stream, where that is a fixed one.
    """

    name: str
    words: tuple[str, ...]
    job: str
    serves: bool
    option: str
    log: str
    stream: str


@dataclass(frozen=True)
class WebFacts:
    """How the web server component is spoken to.

    Attributes:
        host: The variable of the option for the address that it listens on.
        port: Likewise for the port.
        base_url: Likewise for the address under which users know it.
        health: The path of its health document.
        rest: The prefix of the REST API.
        token: The path that hands out a token to this machine; empty where none is needed.
        warm_up: A path whose first answer takes long and spares the first task that time; empty where there is none.
    """

    host: str
    port: str
    base_url: str
    health: str
    rest: str
    token: str
    warm_up: str


@cache
def component_processes(component: str, airflow: str) -> tuple[ProcessFacts, ...]:
    """The processes of a component in the order in which they start; none for an unknown component."""
    rows: list[dict[str, Any]] = _data.read("components.toml")["process"]
    return tuple(
        ProcessFacts(
            name=row["name"],
            words=tuple(row["words"]),
            job=row.get("job", ""),
            serves=row.get("serves", False),
            option=row.get("option", ""),
            log=row.get("log", ""),
            stream=row.get("stream", ""),
        )
        for row in rows
        if row["component"] == component and _data.applies(row.get("versions", ""), airflow)
    )


def migration_words(airflow: str) -> tuple[str, ...]:
    """The words after ``airflow`` that bring the metadata database to the version's schema."""
    rows: list[dict[str, Any]] = _data.read("components.toml")["migration"]
    return next(tuple(row["words"]) for row in rows if _data.applies(row["versions"], airflow))


def after_migration(airflow: str) -> tuple[str, ...]:
    """The words after ``airflow`` of what a new database needs beside its schema; empty where that is all."""
    rows: list[dict[str, Any]] = _data.read("components.toml")["migration"]
    return next(tuple(row.get("then", ())) for row in rows if _data.applies(row["versions"], airflow))


def downgrade_words(airflow: str, target: str) -> tuple[str, ...]:
    """The words after ``airflow`` with which a version takes its database back to an older version's schema.

    Returns:
        Nothing where the version has no such command.
    """
    rows: list[dict[str, Any]] = _data.read("components.toml")["downgrade"]
    return next(((*row["words"], target) for row in rows if _data.applies(row["versions"], airflow)), ())


@cache
def web(airflow: str) -> WebFacts:
    """The web server's addresses."""
    rows: list[dict[str, Any]] = _data.read("components.toml")["web"]
    row = next(row for row in rows if _data.applies(row["versions"], airflow))
    return WebFacts(**{name: value for name, value in row.items() if name != "versions"})


@cache
def has(airflow: str, trait: str) -> bool:
    """Whether something is true of a version.

    Raises:
        KeyError: the catalog knows no such trait.
    """
    return _data.applies(_data.read("components.toml")["traits"][trait], airflow)
