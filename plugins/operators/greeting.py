"""An operator of our own; the plugins folder is on the module path, so DAGs import `operators.greeting`."""

try:
    from airflow.sdk import BaseOperator
except ImportError:  # Airflow 2
    from airflow.models.baseoperator import BaseOperator


class GreetingOperator(BaseOperator):
    """Prints and returns a greeting."""

    def __init__(self, *, who: str, **kwargs):
        super().__init__(**kwargs)
        self.who = who

    def execute(self, context):
        greeting = f"Hello {self.who}"
        print(greeting)
        return greeting
