"""A variable that startup/startup.sh exported."""

from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False, tags=["example", "smoke"])
def reads_startup_variable():
    @task
    def stage() -> str:
        import os

        value = os.environ["ENVIRONMENT_STAGE"]
        print(f"ENVIRONMENT_STAGE is {value}")
        return value

    stage()


reads_startup_variable()
