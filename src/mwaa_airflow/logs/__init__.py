"""Logs of Airflow's own processes: written to, and read back from, CloudWatch Logs (spec/10 section 7)."""
