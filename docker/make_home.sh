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

# MWAA's Python lies in /usr/local, as `make install` leaves it (spec/10 section 5.4). A distribution's lies in /usr: a copy of
# its program beside links to its library finds itself in /usr/local, so that sys.prefix says so.
real=$(readlink -f "$(command -v "$1")")
if [ ! -e "/usr/local/bin/$1" ]; then
    for library in lib lib64; do
        [ -f "/usr/$library/$1/os.py" ] || continue
        mkdir -p "/usr/local/$library/$1"
        for entry in "/usr/$library/$1"/*; do
            [ -e "/usr/local/$library/$1/${entry##*/}" ] || ln -s "$entry" "/usr/local/$library/$1/${entry##*/}"
        done
    done
    cp "$real" "/usr/local/bin/$1"
    [ "$("/usr/local/bin/$1" -I -c 'import sys, ssl; print(sys.prefix)' || true)" = /usr/local ] || ln -sf "$real" "/usr/local/bin/$1"
fi
# A distribution's package leaves python3 to the distribution's own.
for name in python3 python; do
    [ -e "/usr/local/bin/$name" ] || ln -s "$1" "/usr/local/bin/$name"
done

# Amazon Linux has this link from its alternatives, and the guide's examples name it.
if command -v java >/dev/null && [ ! -e /usr/lib/jvm/jre ]; then
    java=$(readlink -f "$(command -v java)")
    ln -s "${java%/bin/java}" /usr/lib/jvm/jre
fi
# The AWS CLI runs under the system's own Python; nothing of Airflow's packages or PYTHONPATH may reach it.
if [ "$(head -c 18 /usr/bin/aws 2>/dev/null)" = '#!/usr/bin/python3' ]; then
    sed -i '1s|^#!/usr/bin/python3[^ ]*$|& -sE|' /usr/bin/aws
fi
