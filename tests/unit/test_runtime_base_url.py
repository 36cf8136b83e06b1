"""The address that links to the web server begin with: the custom domain, else where it answers (spec/01 section 9)."""

from __future__ import annotations

import pytest
from runtime_support import inputs

from mwaa_local.runtime import environment
from mwaa_local.runtime.airflow_options import as_airflow_reads
from mwaa_local.runtime.inputs import COMPONENTS

WEB = "http://127.0.0.1:18080"
NAMES = {"3.2.1": "AIRFLOW__API__BASE_URL", "2.10.3": "AIRFLOW__WEBSERVER__BASE_URL"}
OPTION = "AIRFLOW__WEBSERVER__BASE_URL"


def read(component: str, version: str, options: dict[str, str], **more: str) -> tuple[str, dict[str, str]]:
    """What Airflow reads as its base URL, and the variables it gets."""
    given = inputs(component, version, options, MWAA_LOCAL__WEB_URL=WEB, **more)
    exports = {**environment.script_environment(given), **dict.fromkeys(NAMES.values(), "https://scripted")}
    merged = environment.effective(given, exports)
    return as_airflow_reads(merged.values, version)[NAMES[version]].value, merged.variables


@pytest.mark.parametrize("version", NAMES)
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_custom_domain_is_a_url_in_every_component(component: str, version: str) -> None:
    """A name without a scheme is a path to Airflow: its 3.x would serve under /my-custom-domain.com/."""
    found, variables = read(component, version, {OPTION: "my-custom-domain.com"})
    assert found == "https://my-custom-domain.com"
    assert [name for name, value in variables.items() if value == "my-custom-domain.com"] == []


@pytest.mark.parametrize("version", NAMES)
def test_without_one_links_lead_to_where_the_web_server_answers(version: str) -> None:
    for component in ("scheduler", "worker"):
        for options in ({}, {OPTION: ""}, {"AIRFLOW__API__BASE_URL": "https://mine"}):
            assert read(component, version, options)[0] == WEB


def test_the_web_server_of_3_redirects_to_the_address_it_was_asked_under() -> None:
    """A forwarded port has another address; links of tasks and mails come from the other components."""
    given = inputs("webserver", "3.2.1", {"AIRFLOW__API__BASE_URL": "https://mine"}, MWAA_LOCAL__WEB_URL=WEB)
    assert "AIRFLOW__API__BASE_URL" not in environment.effective(given).variables
    assert read("webserver", "2.10.3", {})[0] == WEB


def test_an_image_that_is_not_told_an_address_sets_none() -> None:
    given = inputs("worker", "3.2.1", {"AIRFLOW__API__BASE_URL": "https://mine"})
    assert environment.effective(given).variables["AIRFLOW__API__BASE_URL"] == "https://mine"
    assert "AIRFLOW__API__BASE_URL" not in environment.effective(inputs("worker", "3.2.1")).variables


def test_another_image_is_given_the_address_too() -> None:
    given = inputs("worker", "3.2.1", {OPTION: "a.example.com"}, MWAA_LOCAL__WEB_URL=WEB)
    assert environment.service_variables(given)["AIRFLOW__API__BASE_URL"] == "https://a.example.com"
