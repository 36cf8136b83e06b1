"""Connection arguments of the metadata database (spec/10 section 6.5)."""

#: Seconds and counts, as psycopg2 takes them.
MWAA_CONNECT_ARGS = {
    "connect_timeout": 15,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 5,
}
