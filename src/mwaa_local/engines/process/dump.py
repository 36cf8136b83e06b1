"""PostgreSQL's own programs on a server of this machine."""

from __future__ import annotations

from mwaa_local.engines import names, snapshots
from mwaa_local.engines.ports import HOST
from mwaa_local.engines.process import postgres


def client(cluster: postgres.Cluster, port: int, password: str) -> snapshots.Client:
    """How the metadata database is taken into a file and put back.

    Args:
        cluster: Whose programs.
        port: Of its server.
        password: Of its user.
    """

    def words(program: str, *more: str) -> list[str]:
        where = ["--host", HOST, "--port", str(port), "--username", names.DATABASE_USER, "--no-password"]
        return [str(cluster.programs / program), *where, *more]

    def execute(*statements: str) -> None:
        opening = postgres.connection(port, password, seconds=60.0, database="postgres")
        with opening as opened, opened.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": password, "PGSSLMODE": "disable"}
    return snapshots.Client(words, variables, execute, "run `mwaa-local doctor`")
