"""What the launcher imports once, before it forks a component's processes.

Found by comparing ``sys.modules`` of running processes with what these modules bring in. A
module that a version lacks is skipped: the process then imports what it needs by itself.
"""

import importlib

#: First word of a command -> further modules, by Airflow's major version. ``None`` is for every command.
MODULES = {
    2: {
        None: [
            "airflow",
            "airflow.__main__",
            "airflow.cli.cli_parser",
            "airflow.models",
            "airflow.utils.db",
            "alembic.config",
            "alembic.command",
            "airflow.models.baseoperatorlink",
            "airflow.models.taskinstancehistory",
            "airflow.models.variable",
        ],
        "scheduler": [
            "airflow.cli.commands.scheduler_command",
            "airflow.jobs.scheduler_job_runner",
            "airflow.providers.celery.executors.celery_executor_utils",
        ],
        "dag-processor": [
            "airflow.cli.commands.dag_processor_command",
            "airflow.jobs.dag_processor_job_runner",
            "airflow.dag_processing.manager",
        ],
        "triggerer": ["airflow.cli.commands.triggerer_command", "airflow.jobs.triggerer_job_runner"],
        "celery": ["airflow.providers.celery.executors.celery_executor_utils", "celery.bin.celery"],
    },
    3: {
        None: [
            "airflow",
            "airflow.__main__",
            "airflow.cli.cli_parser",
            "airflow.models",
            "airflow.models.dag_favorite",
            "airflow.models.renderedtifields",
            "airflow.models.variable",
            "airflow.utils.db",
            "alembic.config",
        ],
        "scheduler": [
            "airflow.cli.commands.scheduler_command",
            "airflow.jobs.scheduler_job_runner",
            "airflow.providers.celery.executors.celery_executor_utils",
        ],
        "dag-processor": [
            "airflow.cli.commands.dag_processor_command",
            "airflow.jobs.dag_processor_job_runner",
            "airflow.dag_processing.manager",
            "airflow.api_fastapi.execution_api.app",
            "airflow.api_fastapi.execution_api.routes",
        ],
        "triggerer": ["airflow.cli.commands.triggerer_command", "airflow.jobs.triggerer_job_runner"],
        "celery": ["airflow.providers.celery.executors.celery_executor_utils", "celery.bin.celery"],
    },
}


def stages(major, commands):
    """Return in which steps to import and fork.

    A process is forked as soon as what it shares is there: the web server, which shares only the
    common part, then works on a second core while the launcher imports what the others need.

    Args:
        major: Airflow's major version.
        commands: First words of the commands in the order of the job.

    Returns:
        A list of ``(modules, indexes)``: import these, then fork the processes at these indexes.
    """
    table = MODULES.get(major, MODULES[max(MODULES)])
    early = [index for index, word in enumerate(commands) if word not in table]
    late = [index for index, word in enumerate(commands) if word in table]
    further = []
    for index in late:
        further.extend(name for name in table[commands[index]] if name not in further)
    steps = [(list(table[None]), early), (further, late)]
    return [(names, indexes) for names, indexes in steps if names or indexes]


def load(names):
    """Import modules; return ``[(name, reason)]`` of those that could not be imported."""
    failed = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed.append((name, str(error)))
    return failed
