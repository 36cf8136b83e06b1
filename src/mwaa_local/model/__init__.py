"""An environment and its parts, validated against the catalog."""

from mwaa_local.model.definition import load
from mwaa_local.model.environment import Environment, LocalSettings, Ports, SmokeSettings, Workflow
from mwaa_local.model.secrets import Secrets
from mwaa_local.model.spec import LogSetting, Source, Spec

__all__ = [
    "Environment",
    "LocalSettings",
    "LogSetting",
    "Ports",
    "Secrets",
    "SmokeSettings",
    "Source",
    "Spec",
    "Workflow",
    "load",
]
