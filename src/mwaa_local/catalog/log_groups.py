"""Log types and their CloudWatch groups (spec/08 section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mwaa_local.catalog import _data


@dataclass(frozen=True)
class LogType:
    """One log type.

    Attributes:
        key: Member of ``LoggingConfiguration``.
        suffix: Last part of the group's name.
        source: Word in ``MWAA__LOGGING__AIRFLOW_<source>_...`` (spec/10 section 2.1).
        component: The component that writes it.
    """

    key: str
    suffix: str
    source: str
    component: str

    def group(self, environment_name: str) -> str:
        """Name of the log group in an environment."""
        return f"airflow-{environment_name}-{self.suffix}"

    def group_arn(self, environment_name: str, region: str, account_id: str) -> str:
        """ARN of the log group, without the trailing ``:*`` that GetEnvironment adds."""
        return f"arn:aws:logs:{region}:{account_id}:log-group:{self.group(environment_name)}"


@cache
def log_types() -> tuple[LogType, ...]:
    """All five log types."""
    return tuple(LogType(key=key, **raw) for key, raw in _data.read("log_groups.toml").items())
