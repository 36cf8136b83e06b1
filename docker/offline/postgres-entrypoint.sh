#!/bin/sh
# The part of the official PostgreSQL image's entrypoint that compose.yaml relies on: POSTGRES_USER, POSTGRES_PASSWORD,
# POSTGRES_DB and PGDATA at the first start, and `postgres` with its options as the command.
set -eu

if [ "${1:-postgres}" != postgres ] && [ "${1#-}" = "${1:-}" ]; then
    exec "$@"
fi
if [ "${1#-}" != "${1:-}" ]; then
    set -- postgres "$@"
fi

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

# A container killed while it made its first cluster leaves half of one: this mark tells it from a good one.
half="$PGDATA/.mwaa-local-half-made"
if [ -e "$half" ]; then
    echo "The last first start was interrupted; making the cluster again."
    find "$PGDATA" -mindepth 1 -delete
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user="${POSTGRES_USER:-postgres}"
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD is empty: give the superuser a password." >&2
        exit 1
    fi
    secret=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
    # initdb wants an empty folder, so the mark follows it; before that PG_VERSION is missing, or initdb cleans up itself.
    initdb --username="$user" --pwfile="$secret" --encoding=UTF8 --no-sync >/dev/null
    : >"$half"
    rm -f "$secret"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    database="${POSTGRES_DB:-$user}"
    if [ "$database" != postgres ]; then
        # Single-user mode: no port is open before the database is there, so no health check can pass too early.
        printf 'CREATE DATABASE "%s";\n' "$database" | postgres --single -D "$PGDATA" postgres >/dev/null
    fi
    rm -f "$half"
fi

exec "$@" -D "$PGDATA"
