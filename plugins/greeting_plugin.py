"""Makes the plugin show in Airflow's list of plugins; operators need no registration."""

from airflow.plugins_manager import AirflowPlugin


class GreetingPlugin(AirflowPlugin):
    name = "greeting_plugin"
