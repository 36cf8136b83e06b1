"""Has a task run whose message vanished from the queue.

Airflow sends a task's message once and then waits: a task that is ``queued`` in the database while its message is
nowhere runs only after ``task_queued_timeout``, half an hour on MWAA. The guardian compares both sides every few
seconds and has the endpoint send a vanished message again, from its own record, under the same Celery id.

The Celery id is ``task_instance.external_executor_id``. Airflow 2.10 and 3.2 alike write it in the scheduler loop that
sent the message (the executor's QUEUED event), so a row without one was not sent yet, or belongs to a scheduler that
died in between, whose successor resets it (task adoption). An id of an earlier try stays in the row until then; its
message was acknowledged, and the endpoint refuses to send acknowledged ones.
"""

from __future__ import annotations

import http.client
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

log = logging.getLogger("mwaa_local.guardian")

# A message sent again and gone again is not lost by accident; then Airflow's own timeout is the judge.
_TRIES = 5
_QUERY = """
SELECT external_executor_id, dag_id, task_id, run_id, map_index
  FROM task_instance
 WHERE state = 'queued' AND external_executor_id IS NOT NULL AND queue = ANY(%s)
   AND queued_dttm < now() - %s * interval '1 second'
 ORDER BY queued_dttm
 LIMIT 500
"""


@dataclass(frozen=True)
class Queued:
    """A task instance that has been queued for a while.

    Attributes:
        celery_id: Its Celery task id.
        label: Words for the log.
    """

    celery_id: str
    label: str


class Database(Protocol):
    """Airflow's metadata database, as far as the guardian sees it."""

    def queued(self, queues: list[str], older_than_s: float) -> list[Queued]:
        """Task instances queued for longer than this."""


class Queue(Protocol):
    """The Celery queue, as far as the guardian sees it."""

    def task_ids(self) -> set[str]:
        """Celery ids whose messages are in the queue, waiting or in flight."""

    def send_again(self, celery_id: str) -> str:
        """Send a message again; ``sent``, or the reason why not."""


class OutageError(Exception):
    """The other side does not answer now; the guardian looks again later."""


class AirflowDatabase:
    """Reads ``task_instance`` over one kept connection.

    Args:
        dsn: libpq connection string or URL; SQLAlchemy's ``postgresql+psycopg2://`` is understood.
        timeout_s: Seconds for connecting and for the query.
    """

    def __init__(self, dsn: str, *, timeout_s: int = 5) -> None:
        self._dsn = dsn.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._timeout_s = timeout_s
        self._connection: Any = None

    def queued(self, queues: list[str], older_than_s: float) -> list[Queued]:
        """See ``Database``.

        Raises:
            OutageError: No connection, or Airflow's tables are not there yet.
        """
        import psycopg2

        try:
            if self._connection is None:
                self._connection = psycopg2.connect(
                    self._dsn,
                    connect_timeout=self._timeout_s,
                    options=f"-c statement_timeout={self._timeout_s * 1000}",
                    application_name="mwaa-local-guardian",
                )
                self._connection.set_session(readonly=True, autocommit=True)
            with self._connection.cursor() as cursor:
                cursor.execute(_QUERY, (queues, older_than_s))
                rows = cursor.fetchall()
        except psycopg2.Error as error:
            self.close()
            said = str(error).strip().splitlines()
            raise OutageError(f"database: {said[0] if said else type(error).__name__}") from error
        return [Queued(row[0], f"{row[1]}.{row[2]} {row[3]}" + (f" [{row[4]}]" if row[4] >= 0 else "")) for row in rows]

    def close(self) -> None:
        """Drop the connection."""
        import psycopg2

        if self._connection is not None:
            try:
                self._connection.close()
            except psycopg2.Error:
                log.debug("closing a broken connection failed", exc_info=True)
            self._connection = None


class EndpointQueue:
    """Asks the AWS endpoint's private routes.

    Args:
        endpoint: URL of the endpoint.
        name: Name of the queue.
        region: Region of the queue.
        timeout_s: Seconds for each answer.
    """

    def __init__(self, endpoint: str, name: str, region: str, *, timeout_s: float = 5.0) -> None:
        parts = urlsplit(endpoint)
        self._address = (parts.hostname or "", parts.port or 80)
        self._path = f"/_mwaa_local/queues/{quote(name, safe='')}"
        self._query = urlencode({"region": region})
        self._timeout_s = timeout_s

    def task_ids(self) -> set[str]:
        """See ``Queue``.

        Raises:
            OutageError: The endpoint does not answer, or has no such queue yet.
        """
        status, document = self._ask("GET", "tasks", None)
        if status != 200:
            raise OutageError(f"endpoint: {document.get('error', status)}")
        return set(document["tasks"])

    def send_again(self, celery_id: str) -> str:
        """See ``Queue``."""
        status, document = self._ask("POST", "resend", {"task_id": celery_id})
        return "sent" if status == 200 else str(document.get("error", status))

    def _ask(self, method: str, route: str, document: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_s)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, f"{self._path}/{route}?{self._query}", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OutageError(f"endpoint: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        return response.status, answer if isinstance(answer, dict) else {}


class Guardian:
    """The comparison, made again and again.

    Args:
        database: Airflow's side.
        queue: The queue's side.
        queues: Names under which Airflow's rows mean this queue (spec/10 section 6.3: on 3.x also ``default``).
        older_than_s: A task queued for less is left alone: its message may be on its way.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        database: Database,
        queue: Queue,
        queues: list[str],
        *,
        older_than_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._queue = queue
        self._queues = queues
        self._older_than_s = older_than_s
        self._clock = clock
        self._tries: dict[str, int] = {}
        self._missing_before: set[str] = set()
        self.sent_again = 0
        self.outage = ""
        self.last_look: float | None = None

    def look(self) -> list[str]:
        """Compare once; an outage of either side is noted, not raised.

        Returns:
            Celery ids whose messages were sent again.
        """
        sent: list[str] = []
        try:
            queued = self._database.queued(self._queues, self._older_than_s)
            self._tries = {task.celery_id: self._tries.get(task.celery_id, 0) for task in queued}
            present = self._queue.task_ids() if queued else set()
            missing = [task for task in queued if task.celery_id not in present]
            for task in missing:
                # Twice in a row: a worker may have taken and acknowledged it between the two questions.
                if task.celery_id in self._missing_before and self._tries[task.celery_id] < _TRIES:
                    self._tries[task.celery_id] += 1
                    outcome = self._queue.send_again(task.celery_id)
                    if outcome == "sent":
                        log.warning(
                            "the message of %s had vanished and was sent again (%s)", task.label, task.celery_id
                        )
                        sent.append(task.celery_id)
                    elif outcome not in ("present", "acknowledged"):
                        log.warning("the message of %s has vanished: cannot send it again: %s", task.label, outcome)
            self._missing_before = {task.celery_id for task in missing} - set(sent)
        except OutageError as error:
            if str(error) != self.outage:
                log.info("waiting for the other side: %s", error)
            self.outage = str(error)
        else:
            self.outage = ""
        self.sent_again += len(sent)
        self.last_look = self._clock()
        return sent

    def status(self) -> dict[str, Any]:
        """For the health document."""
        return {
            "sent_again": self.sent_again,
            "outage": self.outage,
            "last_look_age_s": None if self.last_look is None else round(self._clock() - self.last_look, 1),
        }
