"""TaskFlow: values travel between tasks by themselves."""

from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False, tags=["example", "smoke"])
def hello_taskflow():
    @task
    def name() -> str:
        return "MWAA"

    @task
    def greet(who: str) -> str:
        greeting = f"Hello {who}"
        print(greeting)
        return greeting

    greet(name())


hello_taskflow()
