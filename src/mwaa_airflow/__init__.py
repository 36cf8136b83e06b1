"""What is loaded inside Airflow's own processes. Syntax of Python 3.7, imports only what MWAA's image ships."""
