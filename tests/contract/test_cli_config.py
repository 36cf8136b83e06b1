"""`config` says what Airflow reads: every option of every version in every component, against the real Airflow.

One Airflow process per version reads them all, for one set of variables after the other.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mwaa_airflow_support import airflow_python
from versions_support import chosen

from mwaa_local import catalog, model
from mwaa_local.catalog.airflow_defaults import airflow_defaults
from mwaa_local.catalog.airflow_names import option_names, option_of, variable_of
from mwaa_local.cli.config import planned
from mwaa_local.runtime.airflow_options import as_airflow_reads
from mwaa_local.runtime.inputs import COMPONENTS

# What `airflow config get-value` does, for many options: it asks conf.get, and conf was validated when it was loaded.
WRITE = """
from airflow.configuration import write_default_airflow_configuration_if_needed
write_default_airflow_configuration_if_needed()  # as the airflow command does
"""
READ = """
import json, os, sys, warnings
from airflow.configuration import conf, AirflowConfigException
from airflow.providers_manager import ProvidersManager
ProvidersManager().initialize_providers_configuration()
answers = []
for variables, options in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(variables)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        conf.validate()
        values = {}
        for option in options:
            section, key = option.rsplit(".", 1)
            try:
                value = conf.get(section, key)
            except AirflowConfigException:
                value = None
            values[option] = value
    answers.append({"values": values, "moved": sorted({str(one.message) for one in caught if "has been moved" in str(one.message) or "has been renamed" in str(one.message)})})
print(json.dumps(answers))
"""

# Made anew in every process where nobody sets them.
RANDOM = ("secret_key", "fernet_key")


def numbered(options: list[str]) -> dict[str, str]:
    """A value of its own for every option; those that Airflow holds against a closed list when it starts stay out."""
    closed = (
        *("logging_level", "weight_rule", "ignore_file_syntax", "sort_mode", "start_method", "analytical_tool"),
        *("sorting_order", "auth_backend"),
    )
    own = {"webserver.base_url": "airflow.example.com"}
    return {
        option: own.get(option, str(7000 + number))
        for number, option in enumerate(options)
        if not option.endswith(closed)
    }


def definitions(version: str) -> dict[str, dict[str, str]]:
    """Configuration options by what they try."""
    names, described = option_names(version), airflow_defaults(version)
    locked = {option.name for option in catalog.locked_options(version)}
    old = [name for name in names.renamed.values() if name not in described]
    old += [
        f"{section}.{name.partition('.')[2]}"
        for new, section in names.sections.items()
        for name in described
        if name.startswith(f"{new}.")
    ]
    set_twice = numbered(old) | {
        new: f"new-{number}"
        for number, (new, one) in enumerate(names.renamed.items())
        if one in old and number % 2 and new in numbered([new])
    }
    return {
        "nothing set": {},
        "every option": numbered([name for name in described if name not in locked and len(name) <= 64]),
        "every old name": numbered(old),
        "old and new names": set_twice,
        "the issue's": {
            "triggerer.default_capacity": "125", "scheduler.dag_dir_list_interval": "60", "core.dag_concurrency": "7",
            "webserver.expose_config": "True", "metrics.statsd_host": "mine", "metrics.metrics_allow_list": "scheduler",
            "celery.worker_autoscale": "20,20",
        },
        "written for a shell": {
            "smtp.smtp_user": "$USER_OF_MAIL", "smtp.smtp_host": "${AIRFLOW_HOME}/x", "logging.base_log_folder": "~/logs",
            "email.from_email": "$NOBODY-$$", "core.hostname_callable": "socket:getfqdn", "webserver.dag_default_view": "tree",
            "email.email_backend": "airflow.contrib.utils.sendgrid.send_email", "webserver.navbar_color": "#007a87",
            "smtp.smtp_mail_from": "100%", "sentry.sentry_dsn": "a$AIRFLOW__SMTP__SMTP_MAIL_FROM",
        },
    }  # fmt: skip


def environment_of(folder: Path, version: str, options: Mapping[str, str]) -> model.Environment:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mwaa.yaml").write_text(
        json.dumps({"AirflowVersion": version, "AirflowConfigurationOptions": dict(options)}), encoding="utf-8"
    )
    return model.load(folder)


@pytest.mark.parametrize("version", chosen())
def test_config_is_what_airflow_reads(version: str, tmp_path: Path) -> None:
    python = airflow_python(version)
    home = tmp_path / "home"
    described = airflow_defaults(version)
    asked, expected, titles = [], [], []
    for title, options in definitions(version).items():
        environment = environment_of(tmp_path / title, version, options)
        for component in COMPONENTS:
            exports = {"USER_OF_MAIL": "someone", "AIRFLOW__TRIGGERER__DEFAULT_CAPACITY": "5"} if options else None
            merged = planned(environment, component, exports, home=home)
            read = as_airflow_reads(merged.values, version)
            wanted = list(
                dict.fromkeys([*described, *(option_of(name) for name in read if name.startswith("AIRFLOW__"))])
            )
            asked.append((merged.variables, wanted))
            expected.append({option: read[variable_of(option)].value for option in wanted})
            titles.append(f"{title}, {component}")
    answers = ask(python, home, asked)
    for title, want, answer in zip(titles, expected, answers, strict=True):
        said = answer["values"]
        wrong = {
            option: (value, said[option])
            for option, value in want.items()
            if value.replace(str(catalog.limits().home), str(home)) != (said[option] or "")
            and not (option.endswith(RANDOM) and not value)
        }
        assert not wrong, f"{title}: config, Airflow"
    assert [answer["moved"] for answer in answers[: len(COMPONENTS)]] == [[]] * len(COMPONENTS), (
        "our own rows: no old names"
    )
    assert len(asked) == len(COMPONENTS) * 6
    assert all(len(want) > 250 for want in expected)


def ask(python: Path, home: Path, asked: list[tuple[dict[str, str], list[str]]]) -> list[dict[str, Any]]:
    """Airflow's own answers, by one process of it that finds the ``airflow.cfg`` which its first one wrote."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "AIRFLOW_HOME": str(home), "_AIRFLOW__AS_LIBRARY": "1"}
    words = [str(python), "-W", "ignore", "-c"]
    subprocess.run([*words, WRITE], env=environment, timeout=100, check=True)
    assert (home / "airflow.cfg").is_file()
    done = subprocess.run(
        [*words, READ],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers
