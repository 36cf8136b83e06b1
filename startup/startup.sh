#!/bin/bash
# Runs on every component before requirements are installed; exported variables reach the tasks.
echo "Starting component: $MWAA_AIRFLOW_COMPONENT"
export ENVIRONMENT_STAGE="development"
