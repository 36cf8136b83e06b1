"""``mwaa.config.celery.MWAA_CELERY_CONFIG``: Airflow's Celery configuration with MWAA's replacements.

Source: spec/10 sections 6.1 to 6.3.
"""

import logging

from mwaa_airflow import celery_heartbeat, celery_options, celery_preload, database


class KnownTimeout(logging.Filter):
    """Drops a warning that is not true here: the timeout is set, but not where 3.2's provider looks for it.

    Airflow would print it for every task it sends.
    """

    def filter(self, record):
        """Return whether to keep the record."""
        return not record.getMessage().startswith("No visibility_timeout configured")


def build():
    """Return the configuration as a new dictionary."""
    try:
        from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
    except ImportError:  # before Airflow 2.7 it was Airflow's own
        from airflow.config_templates.default_celery import DEFAULT_CELERY_CONFIG

    config = dict(DEFAULT_CELERY_CONFIG)
    options = dict(config.get("broker_transport_options") or {})
    options.update(celery_options.broker_options())
    # Fixed on MWAA; Airflow's own default would be in its place where the variable is missing.
    options["visibility_timeout"] = celery_options.VISIBILITY_TIMEOUT
    engine = dict(config.get("database_engine_options") or {})
    engine.update(pool_pre_ping=True, pool_recycle=1200, connect_args=database.MWAA_CONNECT_ARGS)
    config.update(
        broker_transport=celery_options.TRANSPORT,
        broker_transport_options=options,
        database_engine_options=engine,
        # Many tries, so that sending ends by celery.operation_timeout, which Airflow takes as "try again in
        # the next loop"; after Celery's three tries in 0.6 s it would fail the task instead.
        task_publish_retry_policy={
            "max_retries": 100,
            "interval_start": 0.1,
            "interval_step": 0.1,
            "interval_max": 0.3,
        },
    )
    return config


logging.getLogger("airflow.providers.celery.executors.default_celery").addFilter(KnownTimeout())
MWAA_CELERY_CONFIG = build()
celery_heartbeat.install()
celery_preload.install()
