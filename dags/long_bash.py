"""A task of about 90 seconds: longer than SQS's default visibility, so a wrong queue would run it twice."""

from datetime import datetime

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

with DAG(
    "long_bash",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    tags=["example", "long"],
):
    BashOperator(task_id="sleep", bash_command="echo started; sleep 90; echo finished")
