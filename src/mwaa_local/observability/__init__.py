"""Reading what an environment did: Airflow's API, task logs, the smoke test."""
