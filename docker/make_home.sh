#!/bin/sh
# The user, the folders and the python3 of MWAA's image (spec/10 sections 5.1 and 5.3). Runs as root while the image is built.
#   make_home.sh PYTHON      PYTHON: Airflow's interpreter, e.g. python3.12
set -eu
home=/usr/local/airflow

useradd --uid 1000 --user-group --no-create-home --home-dir "$home" --shell /bin/bash airflow
mkdir -p /etc/sudoers.d
echo 'airflow ALL=(ALL)NOPASSWD:ALL' >/etc/sudoers.d/airflow
chmod 440 /etc/sudoers.d/airflow

# Mount points of compose.yaml are made here, because a new named volume takes its owner from the folder it covers.
for folder in "$home" "$home/dags" "$home/plugins" "$home/requirements" "$home/startup" "$home/logs" "$home/config" \
    /usr/local/mwaa /usr/local/mwaa/run /usr/local/mwaa/cache /usr/local/mwaa/aws /usr/local/mwaa/secrets; do
    install -d -o airflow -g airflow -m 755 "$folder"
done
chmod 700 /usr/local/mwaa/secrets
mkdir -p /python /opt/mwaa

# MWAA's Python is /usr/local/bin/python3; a distribution's package leaves python3 to the distribution's own.
real=$(command -v "$1")
for name in "$1" python3 python; do
    [ -e "/usr/local/bin/$name" ] || ln -s "$real" "/usr/local/bin/$name"
done
