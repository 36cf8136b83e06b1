"""Names of MWAA's own package; the code is in ``mwaa_airflow``."""
