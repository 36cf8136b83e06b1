"""Airflow's own REST API, v2 (Airflow 3) and v1 (Airflow 2), as far as the tool reads it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mwaa_local.catalog import has, web
from mwaa_local.errors import EngineError
from mwaa_local.observability import tracebacks

_PAGE = 100


@dataclass(frozen=True)
class ImportFailure:
    """A DAG file that does not import; ``trace`` is Airflow's stack trace."""

    file: str
    trace: str


@dataclass(frozen=True)
class Dag:
    """A parsed DAG; ``scheduled`` says whether it has a schedule of its own."""

    id: str
    file: str
    paused: bool
    scheduled: bool
    tags: frozenset[str]


@dataclass(frozen=True)
class TaskInstance:
    """One try of a task in a run; times in seconds."""

    task_id: str
    state: str | None
    try_number: int
    map_index: int
    seconds: float | None


class RefusedError(EngineError):
    """Airflow's API answered, and said no.

    Attributes:
        status: HTTP status of the answer.
        detail: Airflow's own sentence.
    """

    def __init__(self, request: str, where: str, status: int, payload: bytes) -> None:
        text = payload.decode(errors="replace")
        self.status = status
        self.detail = _detail(text)
        super().__init__(
            f"Airflow's API refused {request}",
            where=where,
            why=f"HTTP {status}: {text[:500]}",
            hint="`mwaa-local status` shows the web server's state",
        )


def _detail(text: str) -> str:
    try:
        found = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        found = text[:500]
    return found if isinstance(found, str) else json.dumps(found)


class AirflowApi:
    """One environment's API.

    Args:
        base_url: ``http://127.0.0.1:8080``.
        airflow: Airflow's version.
        timeout_s: Limit of one call, in seconds.
    """

    def __init__(self, base_url: str, airflow: str, *, timeout_s: float = 20.0) -> None:
        self._url = urlsplit(base_url)
        self._web = web(airflow)
        self._new = has(airflow, "task_sdk")
        self._timeout = timeout_s
        self._prefix = self._web.rest
        self._token: str | None = None

    def health(self) -> dict[str, Any]:
        """The health document: metadatabase, scheduler, triggerer, dag_processor."""
        return self._json(self._send("GET", self._web.health))

    def import_errors(self) -> list[ImportFailure]:
        """DAG files that fail to import."""
        items = self._pages("/importErrors", "import_errors")
        return sorted(
            (ImportFailure(item.get("filename") or "", item.get("stack_trace") or "") for item in items),
            key=lambda e: e.file,
        )

    def dags(self) -> list[Dag]:
        """All parsed DAGs, paused ones included."""
        found = []
        for item in self._pages("/dags", "dags", {} if self._new else {"only_active": "true"}):
            schedule = item.get("timetable_summary") if self._new else item.get("schedule_interval")
            found.append(
                Dag(
                    id=item["dag_id"],
                    file=item.get("fileloc") or "",
                    paused=bool(item.get("is_paused")),
                    scheduled=schedule not in (None, "None", ""),
                    tags=frozenset(tag["name"] for tag in item.get("tags") or ()),
                )
            )
        return sorted(found, key=lambda dag: dag.id)

    def unpause(self, dag_id: str) -> None:
        """Let runs of a DAG start."""
        self._call("PATCH", f"/dags/{quote(dag_id)}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str | None = None) -> str:
        """Start a run as the UI's button does, with a logical date of now; returns its id, which Airflow may choose.

        Airflow 2 takes now by itself; in Airflow 3 a run without a logical date has no ``ds`` and no data interval.

        Raises:
            RefusedError: Airflow does not start it: params without a value, no such DAG, an id that exists.
        """
        body: dict[str, Any] = {"conf": dict(conf)}
        if run_id is not None:
            body["dag_run_id"] = run_id
        if self._new:
            # The UI's own precision. Airflow infers the data interval from it, by the DAG's timetable.
            body["logical_date"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        return str(self._call("POST", f"/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._call("GET", f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")["state"])

    def end_run(self, dag_id: str, run_id: str) -> None:
        """End a run and its tasks, as marking it failed does."""
        self._call("PATCH", f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}", {"state": "failed"})

    def latest_run(self, dag_id: str) -> str | None:
        """Id of a DAG's newest run."""
        order = "-start_date"
        runs = self._call("GET", f"/dags/{quote(dag_id)}/dagRuns?{urlencode({'limit': 1, 'order_by': order})}")[
            "dag_runs"
        ]
        return str(runs[0]["dag_run_id"]) if runs else None

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """The tasks of a run, in the order they started."""
        items = list(self._pages(f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances", "task_instances"))
        items.sort(key=lambda item: (item.get("start_date") or "~", item["task_id"], item.get("map_index", -1)))
        return [
            TaskInstance(
                task_id=item["task_id"],
                state=item.get("state"),
                try_number=int(item.get("try_number") or 0),
                map_index=int(item.get("map_index", -1)),
                seconds=item.get("duration"),
            )
            for item in items
        ]

    def task_log(self, dag_id: str, run_id: str, task: TaskInstance, *, try_number: int | None = None) -> list[str]:
        """The lines of one try's log, as the UI shows them."""
        events = self.task_events(dag_id, run_id, task, try_number=try_number)
        return [line for event in events for line in tracebacks.render(event)]

    def task_events(self, dag_id: str, run_id: str, task: TaskInstance, *, try_number: int | None = None) -> list[Any]:
        """One try's log as Airflow keeps it: structured events on Airflow 3, lines of text on Airflow 2."""
        number = try_number or max(task.try_number, 1)
        query = urlencode({"full_content": "true", "map_index": task.map_index})
        run = f"{self._prefix}/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"
        path = f"{run}/taskInstances/{quote(task.task_id)}/logs/{number}?{query}"
        if not self._new:
            return list(self._send("GET", path, accept="text/plain").decode(errors="replace").splitlines())
        return list(self._json(self._send("GET", path))["content"])

    def _pages(self, path: str, key: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", f"{path}?{urlencode({**(query or {}), 'limit': _PAGE, 'offset': offset})}")
            yield from page[key]
            offset += _PAGE
            if offset >= page.get("total_entries", 0):
                return

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._json(self._send(method, self._prefix + path, body))

    @staticmethod
    def _json(payload: bytes) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(payload)
        return document

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, accept: str = "application/json"
    ) -> bytes:
        status, payload = self._raw(method, path, body, accept)
        if status == 401 and self._web.token:
            # The simple auth manager hands a token to everyone on loopback (spec/10 section 7.9).
            token_status, token = self._raw("GET", self._web.token, None, "application/json")
            if token_status < 300:
                self._token = self._json(token)["access_token"]
                status, payload = self._raw(method, path, body, accept)
        if status >= 300:
            raise RefusedError(f"{method} {path.partition('?')[0]}", f"http://{self._url.netloc}", status, payload)
        return payload

    def _raw(self, method: str, path: str, body: Mapping[str, Any] | None, accept: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            self._url.hostname or "127.0.0.1", self._url.port, timeout=self._timeout
        )
        headers = {"Accept": accept}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(
                "Airflow's web server does not answer",
                where=f"http://{self._url.netloc}{path.partition('?')[0]}",
                why=str(error) or type(error).__name__,
                hint="`mwaa-local status` shows its state, `mwaa-local logs webserver` its last lines",
            ) from error
        finally:
            connection.close()
