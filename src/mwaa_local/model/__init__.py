"""An environment and its parts, validated against the catalog."""

from mwaa_local.model.definition import load
from mwaa_local.model.environment import Environment, LocalSettings, LogSetting, Ports, SmokeSettings, Source, Workflow
from mwaa_local.model.secrets import Secrets

__all__ = [
    "Environment",
    "LocalSettings",
    "LogSetting",
    "Ports",
    "Secrets",
    "SmokeSettings",
    "Source",
    "Workflow",
    "load",
]
