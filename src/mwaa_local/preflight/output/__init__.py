"""Reports for people and for programs."""

from __future__ import annotations

from collections.abc import Callable

from mwaa_local.preflight.output import github, json_report, junit, sarif
from mwaa_local.preflight.report import Report

FORMATS: dict[str, Callable[[Report], str]] = {
    "json": json_report.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "github": github.render,
}

__all__ = ["FORMATS"]
