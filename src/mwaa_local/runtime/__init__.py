"""Boots one component: files, startup script, package set, configuration, Airflow's processes (design section 6).

The supervisor runs in the tool's own Python and never imports Airflow.
"""
