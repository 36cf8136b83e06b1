"""Keeps SQS: journals what each call did to a queue, wakes long polls at once, knows the Celery tasks inside.

MiniStack's functions stay in charge of what SQS means; they are wrapped, and their effects (not the requests) are
written down, so that replaying needs no clock and no random ids. An effect that is not ours to see (a dead-letter
move, another service that puts a message in) marks the service for a snapshot instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from mwaa_local.aws.server.host import REQUEST, Host
from mwaa_local.aws.server.journal import Journal, Replayed
from mwaa_local.aws.server.sent import SentRecord, celery_id

Key = tuple[str, str, str]  # account, region, queue name

# A long poll looks again after this time even if nothing woke it: another service may have put a message in, seconds.
_LOOK_SECONDS = 0.5


class Queues:
    """MiniStack's SQS, kept.

    Args:
        host: MiniStack.
        journal: Where effects are written; opened by ``restore``.
        sent: The record of Celery messages.
        changed: Marks the service ``sqs`` for a snapshot.
    """

    def __init__(self, host: Host, journal: Journal, sent: SentRecord, changed: Callable[[str], None]) -> None:
        self._host = host
        self._sqs = host.module("sqs")
        self._journal = journal
        self._sent = sent
        self._changed = changed
        self._waiting: dict[Key, list[asyncio.Future[None]]] = {}
        self._task_ids: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- start ---------------------------------------------------------------------------------------------------------

    def restore(self, covered: int, before: int | None = None) -> Replayed:
        """Bring the queues from the loaded snapshot to the moment the process ended.

        Args:
            covered: The journal generation the snapshot includes.
            before: See :meth:`Journal.open`.

        Returns:
            What the journal had.

        Raises:
            DamagedError: The journal is not what was written.
        """
        replay = _Replay(self._sqs, self._host)
        replayed = self._journal.open(replay.apply, covered=covered, before=before)
        replay.finish()
        self._rebase_urls()
        return replayed

    def install(self) -> None:
        """Put the wrappers in place; on the running loop."""
        self._loop = asyncio.get_running_loop()
        sqs = self._sqs
        send = sqs._act_send_message
        sqs._act_send_message = lambda data, qurl: self._send(send, data, qurl)
        receive = sqs._act_receive_message
        handlers = dict(sqs._HANDLERS)
        wrapped: dict[str, Callable[..., Any]] = {
            "SendMessage": sqs._act_send_message,
            "ReceiveMessage": lambda data, qurl: self._receive(receive, data, qurl),
            "DeleteQueue": lambda data, qurl: self._drop(handlers["DeleteQueue"], data, qurl),
            "PurgeQueue": lambda data, qurl: self._purge(handlers["PurgeQueue"], data, qurl),
        }
        for action in ("DeleteMessage", "DeleteMessageBatch"):
            wrapped[action] = self._wrap(handlers[action], self._delete)
        for action in ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"):
            wrapped[action] = self._wrap(handlers[action], self._visibility)
        for action in (
            "CreateQueue",
            "SetQueueAttributes",
            "AddPermission",
            "RemovePermission",
            "TagQueue",
            "UntagQueue",
        ):
            wrapped[action] = self._wrap(handlers[action], self._settings)
        sqs._HANDLERS.update(wrapped)
        sweep = sqs._dlq_sweep

        def dlq_sweep(queue: dict[str, Any]) -> None:
            before = len(queue["messages"])
            sweep(queue)
            if len(queue["messages"]) != before:
                self._changed("sqs")

        sqs._dlq_sweep = dlq_sweep

    # -- for the guardian ----------------------------------------------------------------------------------------------

    def tasks(self, account: str, region: str, name: str) -> dict[str, dict[str, Any]] | None:
        """The Celery tasks whose messages are in a queue; none if there is no such queue.

        Returns:
            Celery id to ``state`` (``visible``, ``in_flight`` or ``delayed``), ``receive_count`` and ``sent_at``
            (epoch s).
        """
        queue = self._find((account, region, name))
        if queue is None:
            return None
        now = time.time()
        found = {}
        for message in queue["messages"]:
            task_id = self._task_id(message)
            if task_id:
                waiting = message["visible_at"] <= now
                found[task_id] = {
                    "state": "visible" if waiting else "in_flight" if message["receive_count"] else "delayed",
                    "receive_count": message["receive_count"],
                    "sent_at": message["sent_at"],
                }
        return found

    def send_again(self, account: str, region: str, name: str, body: str, attributes: dict[str, Any]) -> str:
        """Put a recorded message into its queue once more.

        Returns:
            The new message's id.
        """
        self._host.in_scope(account, region)
        data = {
            "QueueUrl": self._find_url((account, region, name)),
            "MessageBody": body,
            "MessageAttributes": attributes,
        }
        return str(self._sqs._act_send_message(data, data["QueueUrl"])["MessageId"])

    # -- wrapped actions -----------------------------------------------------------------------------------------------

    def _send(self, original: Callable[..., Any], data: dict[str, Any], qurl: str) -> Any:
        result = original(data, qurl)
        queue = self._queue(data, qurl)
        message = queue["messages"][-1] if queue["messages"] else None
        if message is None or message["id"] != result["MessageId"]:
            return result  # a FIFO duplicate: nothing was added
        record: dict[str, Any] = {"op": "send", "q": self._key(queue), "m": message}
        if queue["is_fifo"]:
            key = message["dedup_cache_key"]
            record["fifo"] = [queue["fifo_seq"], key, queue["dedup_cache"].get(key)]
        if not self._write(record):
            queue["messages"].remove(message)  # its sender is told that it is not stored, and sends again
            return result
        task_id = celery_id(message["body"])
        if task_id:
            self._task_ids[message["id"]] = task_id
            self._sent.add(task_id, queue["name"], message["body"], message["message_attributes"])
        self._wake(self._key(queue))
        return result

    async def _receive(self, original: Callable[..., Any], data: dict[str, Any], qurl: str) -> Any:
        queue = self._queue(data, qurl)
        key = self._key(queue)
        asked = data.get("WaitTimeSeconds")
        wait = int(asked if asked is not None else queue["attributes"].get("ReceiveMessageWaitTimeSeconds", "0"))
        until = time.monotonic() + min(max(wait, 0), 20)
        request = REQUEST.get()
        gone: asyncio.Task[None] | None = None
        try:
            while True:
                before = len(queue["messages"])
                result = await original({**data, "WaitTimeSeconds": 0}, qurl)
                if len(queue["messages"]) != before:
                    self._changed("sqs")  # messages beyond their retention are gone
                left = until - time.monotonic()
                if result.get("Messages") or left <= 0:
                    break
                if request is not None and gone is None:
                    gone = asyncio.create_task(request.disconnected())
                if gone is not None and gone.done():
                    return {}
                await self._woken(key, min(left, self._next_visible(queue), _LOOK_SECONDS), gone)
                queue = self._queue(data, qurl)  # deleted and made again meanwhile, perhaps
            received = {entry["MessageId"] for entry in result.get("Messages", [])}
            messages = [message for message in queue["messages"] if message["id"] in received]
            if messages and gone is not None:
                await asyncio.sleep(0)
                if gone.done():
                    # The consumer went away while we looked: nobody would ever acknowledge these.
                    for message in messages:
                        message.update(
                            visible_at=time.time(), receive_count=message["receive_count"] - 1, receipt_handle=None
                        )
                    self._wake(key)
                    return {}
            if messages:
                fields = ("id", "receipt_handle", "visible_at", "receive_count", "first_receive_at")
                record = {"op": "recv", "q": key, "m": [[message[field] for field in fields] for message in messages]}
                if not self._journal.append(record):
                    # They are handed out all the same: refused, they would be in flight for hours with nobody.
                    self._changed("sqs")
            return result
        finally:
            if gone is not None:
                gone.cancel()

    def _delete(self, queue: dict[str, Any], before: dict[str, dict[str, Any]]) -> None:
        left = {message["id"] for message in queue["messages"]}
        deleted = [mid for mid in before if mid not in left]
        if not deleted:
            return
        self._write({"op": "del", "q": self._key(queue), "ids": deleted})
        for mid in deleted:
            task_id = self._task_id(before[mid])
            self._task_ids.pop(mid, None)
            if task_id:
                self._sent.acknowledge(task_id)

    def _visibility(self, queue: dict[str, Any], before: dict[str, dict[str, Any]]) -> None:
        messages = [message for message in queue["messages"] if message["id"] in before]
        if messages:
            self._write({"op": "vis", "q": self._key(queue), "m": [[m["id"], m["visible_at"]] for m in messages]})
            self._wake(self._key(queue))

    def _settings(self, queue: dict[str, Any], _before: dict[str, dict[str, Any]]) -> None:
        record = {name: value for name, value in queue.items() if name != "messages"}
        self._write({"op": "queue", "q": self._key(queue), "rec": record})

    def _purge(self, original: Callable[..., Any], data: dict[str, Any], qurl: str) -> Any:
        queue = self._queue(data, qurl)
        for message in queue["messages"]:
            self._task_ids.pop(message["id"], None)
        result = original(data, qurl)
        self._write({"op": "purge", "q": self._key(queue)})
        return result

    def _drop(self, original: Callable[..., Any], data: dict[str, Any], qurl: str) -> Any:
        queue = self._queue(data, qurl)
        result = original(data, qurl)
        self._write({"op": "drop", "q": self._key(queue)})
        return result

    def _wrap(
        self, original: Callable[..., Any], note: Callable[[dict[str, Any], dict[str, dict[str, Any]]], None]
    ) -> Callable[..., Any]:
        """Call MiniStack's function, then ``note`` with the queue and the messages the call named by receipt."""

        def act(data: dict[str, Any], qurl: str) -> Any:
            entries: Iterable[dict[str, Any]] = data.get("Entries") or [data]
            receipts = {entry.get("ReceiptHandle") for entry in entries} - {None, ""}
            named: dict[str, dict[str, Any]] = {}
            if receipts:
                named = {m["id"]: m for m in self._queue(data, qurl)["messages"] if m["receipt_handle"] in receipts}
            result = original(data, qurl)
            url = result.get("QueueUrl") if isinstance(result, dict) else None  # CreateQueue names it only now
            note(self._queue({"QueueUrl": url} if url else data, qurl), named)
            return result

        return act

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _queue(self, data: dict[str, Any], qurl: str) -> dict[str, Any]:
        queue: dict[str, Any] = self._sqs._get_q(data.get("QueueUrl", qurl))
        return queue

    def _find(self, key: Key) -> dict[str, Any] | None:
        url = self._find_url(key)
        found: dict[str, Any] | None = self._sqs._queues.get_scoped(key[0], key[1], url) if url else None
        return found

    def _find_url(self, key: Key) -> str:
        return str(self._sqs._queue_name_to_url.get_scoped(*key) or "")

    def _key(self, queue: dict[str, Any]) -> Key:
        _arn, _aws, _sqs, region, account, name = str(queue["attributes"]["QueueArn"]).split(":", 5)
        return account, region, name

    def _task_id(self, message: dict[str, Any]) -> str:
        known = self._task_ids.get(message["id"])
        if known is None:
            known = self._task_ids[message["id"]] = celery_id(message["body"])
        return known

    def _write(self, record: dict[str, Any]) -> bool:
        if self._journal.append(record):
            return True
        self._changed("sqs")
        self._host.refused(self._journal.error)
        return False

    def _next_visible(self, queue: dict[str, Any]) -> float:
        now = time.time()
        return max(
            0.001,
            min((m["visible_at"] - now for m in queue["messages"] if m["visible_at"] > now), default=_LOOK_SECONDS),
        )

    async def _woken(self, key: Key, seconds: float, gone: asyncio.Task[None] | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        try:
            await asyncio.wait(
                {future, gone} if gone is not None else {future}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting = self._waiting.get(key, [])
            if future in waiting:
                waiting.remove(future)

    def _wake(self, key: Key) -> None:
        futures = self._waiting.pop(key, [])
        if not futures or self._loop is None:
            return

        def release() -> None:
            for future in futures:
                if not future.done():
                    future.set_result(None)

        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            release()
        else:
            self._loop.call_soon_threadsafe(release)  # a service's own thread sent it

    def _rebase_urls(self) -> None:
        """Queues are keyed by URLs with the port of their time: give them this server's, or they would be made anew."""
        sqs = self._sqs
        for (account, region, url), queue in list(sqs._queues._data.items()):
            now = sqs._queue_url_for_account(account, queue["name"])
            if now != url:
                del sqs._queues._data[(account, region, url)]
                queue["url"] = now
                sqs._queues._data[(account, region, now)] = queue
        sqs._queue_name_to_url.clear()
        sqs._rebuild_queue_name_index()


class _Replay:
    """Applies journal records to the loaded snapshot."""

    def __init__(self, sqs: Any, host: Host) -> None:
        self._sqs = sqs
        self._host = host
        self._messages: dict[Key, dict[str, dict[str, Any]]] = {}

    def apply(self, record: dict[str, Any]) -> None:
        """One record."""
        account, region, name = record["q"]
        key = (account, region, name)
        queue = self._queue(key)
        operation = record["op"]
        if operation == "queue":
            if queue is None:
                self._host.in_scope(account, region)
                url = self._sqs._queue_url_for_account(account, name)
                self._sqs._queues._data[(account, region, url)] = {**record["rec"], "url": url, "messages": []}
                self._sqs._queue_name_to_url.set_scoped(account, region, name, url)
            else:
                queue.update({field: value for field, value in record["rec"].items() if field != "url"})
            return
        if queue is None:
            return
        messages = self._index(key, queue)
        if operation == "send":
            messages.setdefault(record["m"]["id"], record["m"])
            if "fifo" in record:
                queue["fifo_seq"], dedup_key, entry = record["fifo"]
                if entry:
                    queue["dedup_cache"][dedup_key] = entry
        elif operation == "recv":
            for mid, receipt, visible_at, count, first in record["m"]:
                if mid in messages:
                    messages[mid].update(
                        receipt_handle=receipt, visible_at=visible_at, receive_count=count, first_receive_at=first
                    )
        elif operation == "vis":
            for mid, visible_at in record["m"]:
                if mid in messages:
                    messages[mid]["visible_at"] = visible_at
        elif operation == "del":
            for mid in record["ids"]:
                messages.pop(mid, None)
        elif operation == "purge":
            messages.clear()
        elif operation == "drop":
            url = self._sqs._queue_name_to_url.pop_scoped(account, region, name, None)
            self._sqs._queues.pop_scoped(account, region, url, None)
            self._messages.pop(key, None)

    def finish(self) -> None:
        """Give the queues their messages."""
        for key, messages in self._messages.items():
            queue = self._queue(key)
            if queue is not None:
                queue["messages"] = list(messages.values())

    def _queue(self, key: Key) -> dict[str, Any] | None:
        url = self._sqs._queue_name_to_url.get_scoped(*key)
        found: dict[str, Any] | None = self._sqs._queues.get_scoped(key[0], key[1], url) if url else None
        return found

    def _index(self, key: Key, queue: dict[str, Any]) -> dict[str, dict[str, Any]]:
        if key not in self._messages:
            self._messages[key] = {message["id"]: message for message in queue["messages"]}
        return self._messages[key]
