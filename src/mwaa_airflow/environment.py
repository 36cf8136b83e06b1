"""What this package reads from the process environment, in one place.

Standard library only: every Airflow process imports this module, and the tests
of it need no Airflow.
"""

import os

#: Access key and secret of the local AWS endpoint when none are given.
DEFAULT_CREDENTIAL = "test"

#: MWAA's logging levels by name; ``DEBUG`` is accepted by the API though the guide never offers it.
LEVELS = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10}


def text(name, default=""):
    """Return a variable without surrounding blanks; ``default`` when it is missing or blank."""
    return (os.environ.get(name) or "").strip() or default


def flag(name, default):
    """Return a boolean variable: exactly ``true`` or ``false`` in any case, else ``default``."""
    return {"true": True, "false": False}.get(text(name).lower(), default)


def airflow_version():
    """Return Airflow's version as a tuple of up to three integers, e.g. ``(3, 2, 1)``.

    The variable is set by the image and protected (spec/10 section 2.5, 2.6), so asking it is
    cheaper than importing Airflow, and right in code that must not import Airflow.
    """
    version = text("AIRFLOW_VERSION")
    if not version:
        from airflow import __version__ as version
    numbers = []
    for part in version.split(".")[:3]:
        digits = "".join(char for char in part if char.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)


def region():
    """Return the Region (spec/10 section 2.1).

    Raises:
        RuntimeError: Neither variable is set; MWAA's message, word for word.
    """
    value = text("AWS_REGION") or text("AWS_DEFAULT_REGION")
    if not value:
        raise RuntimeError("Region must be specified.")
    return value


def aws_endpoint():
    """Return the URL for the environment's own traffic to AWS, or ``None`` for AWS itself."""
    return text("MWAA_LOCAL__AWS_ENDPOINT") or None


def aws_credentials():
    """Return ``(access key, secret key)`` for the environment's own traffic.

    ``(None, None)`` means botocore's own chain, and only when no local endpoint is given: then
    this code runs on AWS proper and the task role is right.
    """
    key = text("MWAA_LOCAL__AWS_ACCESS_KEY_ID")
    secret = text("MWAA_LOCAL__AWS_SECRET_ACCESS_KEY")
    if not key and not secret and aws_endpoint() is None:
        return None, None
    return key or DEFAULT_CREDENTIAL, secret or DEFAULT_CREDENTIAL


class LogSource(object):
    """One of MWAA's log types as this process sees it (spec/10 sections 2.1 and 7.2).

    Attributes:
        arn: ARN of the log group, empty when CloudWatch logging is not configured at all.
        enabled: Whether lines may be published.
        level: Number of the lowest level to publish.
    """

    def __init__(self, name):
        prefix = "MWAA__LOGGING__AIRFLOW_%s_LOG" % name
        self.name = name
        self.arn = text(prefix + "_GROUP_ARN")
        self.enabled = flag(prefix + "S_ENABLED", False)
        self.level = LEVELS.get(text(prefix + "_LEVEL", "INFO").upper(), LEVELS["INFO"])

    @property
    def group(self):
        """Name of the log group, taken from the ARN; a trailing ``:*`` is not part of it."""
        parts = self.arn.split(":")
        return parts[6] if len(parts) > 6 else ""

    @property
    def publishes(self):
        """Whether lines of this source go to CloudWatch Logs."""
        return bool(self.group) and self.enabled
