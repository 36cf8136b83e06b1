"""The page of images and services says what compose.yaml does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mwaa_local.engines.docker import reference

ROOT = Path(__file__).resolve().parents[2]
PAGE, COMPOSE = ROOT / "docs/reference/images.md", ROOT / "compose.yaml"


def test_the_page_is_made_of_compose_yaml() -> None:
    """Renew it with: python -m mwaa_local.engines.docker.reference"""
    text = PAGE.read_text(encoding="utf-8")
    assert reference.page(text, reference.tables(COMPOSE.read_text(encoding="utf-8"))) == text


def test_every_variable_is_found_with_its_default() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    found = reference.variables(text)
    assert set(found) == set(re.findall(r"\$\{(MWAA_LOCAL_\w+)", text))
    assert found["MWAA_LOCAL_AIRFLOW_VERSION"] == "3.2.1"
    assert found["MWAA_LOCAL_AIRFLOW_CONFIGS"] == "{}"
    assert found["MWAA_LOCAL_OS_GROUPS"] == ""
    assert found["MWAA_LOCAL_IMAGE"].startswith("mwaa-local:${MWAA_LOCAL_AIRFLOW_VERSION:-3.2.1}-")


def test_a_variable_that_nobody_explained_is_refused() -> None:
    with pytest.raises(KeyError, match="MWAA_LOCAL_NOVELTY"):
        reference.tables('services: {}\nx: "${MWAA_LOCAL_NOVELTY:-1}"\n')
    with pytest.raises(ValueError, match="is not in the page"):
        reference.page("# Images\n", {"services": ""})
