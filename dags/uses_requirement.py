"""A package from requirements/requirements.txt."""

from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, is_paused_upon_creation=False, tags=["example", "smoke"])
def uses_requirement():
    @task
    def say() -> str:
        # Imported inside the task: the DAG file stays quick to parse.
        import cowsay

        text = cowsay.get_output_string("cow", "installed once, used by every component")
        print(text)
        return cowsay.__version__

    say()


uses_requirement()
