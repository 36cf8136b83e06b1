"""An operator from plugins/."""

from datetime import datetime

from operators.greeting import GreetingOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

with DAG(
    "uses_plugin",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    tags=["example", "smoke"],
):
    GreetingOperator(task_id="greet", who="plugin")
