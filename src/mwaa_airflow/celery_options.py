"""Celery's broker options, for Airflow's own processes and for whoever builds their environment.

Standard library only. On 3.2 and later Airflow's executor may read them from
``AIRFLOW__CELERY__EXTRA_CELERY_CONFIG`` only, so the same values must be had as JSON.
"""

from urllib.parse import urlsplit

from mwaa_airflow import environment

#: Name under which MWAA's image offers the transport (spec/10 section 6.1).
TRANSPORT = "mwaa.celery.sqs_broker.Transport"

#: Seconds a message stays hidden; also the queue's own attribute (spec/10 section 6.1).
VISIBILITY_TIMEOUT = 43200

#: Name that 3.x gives to work without a queue of its own, e.g. callbacks (spec/10 section 6.1).
ALIAS = "default"


def queue_name(url):
    """Return the last part of a queue's URL, e.g. ``airflow-celery-1``.

    Raises:
        RuntimeError: The URL is missing or has no name in it.
    """
    parts = urlsplit(url)
    name = parts.path.rstrip("/").rpartition("/")[2]
    if parts.scheme not in ("http", "https") or not parts.netloc or not name:
        raise RuntimeError("MWAA__SQS__QUEUE_URL must be the http(s) URL of the queue, but is %r." % url)
    return name


def broker_options(version=None):
    """Return the value of ``broker_transport_options`` that MWAA adds (spec/10 section 6.1).

    Args:
        version: Airflow's version as a tuple; this process's when not given.
    """
    version = version or environment.airflow_version()
    url = environment.text("MWAA__SQS__QUEUE_URL")
    queues = {queue_name(url): {"url": url}}
    if version >= (3,):
        queues[ALIAS] = {"url": url}
    options = {
        "predefined_queues": queues,
        "is_secure": environment.flag("MWAA__SQS__USE_SSL", True),
        "region": environment.region(),
    }
    if version >= (3, 2):
        options["visibility_timeout"] = VISIBILITY_TIMEOUT
    return options


def extra_celery_config(version=None):
    """Return the keys that MWAA puts on top of ``EXTRA_CELERY_CONFIG`` on 3.2 and later (spec/10 section 6.2)."""
    return {"broker_transport": TRANSPORT, "broker_transport_options": broker_options(version)}
