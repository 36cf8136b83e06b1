"""The guardian's judgement, on fakes of both sides."""

from __future__ import annotations

from dataclasses import dataclass, field

from mwaa_local.controlplane.guardian import Guardian, OutageError, Queued


@dataclass
class FakeDatabase:
    rows: list[Queued] = field(default_factory=list)
    down: bool = False
    asked: list[tuple[list[str], float]] = field(default_factory=list)

    def queued(self, queues: list[str], older_than_s: float) -> list[Queued]:
        self.asked.append((queues, older_than_s))
        if self.down:
            raise OutageError("database: gone")
        return list(self.rows)


@dataclass
class FakeQueue:
    present: set[str] = field(default_factory=set)
    outcome: str = "sent"
    down: bool = False
    sent: list[str] = field(default_factory=list)
    asked: int = 0

    def task_ids(self) -> set[str]:
        self.asked += 1
        if self.down:
            raise OutageError("endpoint: gone")
        return set(self.present)

    def send_again(self, celery_id: str) -> str:
        if self.outcome == "sent":
            self.sent.append(celery_id)
        return self.outcome


def guardian(database: FakeDatabase, queue: FakeQueue) -> Guardian:
    return Guardian(database, queue, ["airflow-celery-x", "default"])


def test_a_vanished_message_is_sent_again_at_the_second_look() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    assert subject.look() == []
    assert subject.look() == ["a"]
    assert queue.sent == ["a"]


def test_a_message_in_the_queue_is_left_alone() -> None:
    queue = FakeQueue(present={"a"})
    subject = guardian(FakeDatabase([Queued("a", "dag.task"), Queued("b", "dag.other")]), queue)
    for _ in range(3):
        subject.look()
    assert "a" not in queue.sent
    assert "b" in queue.sent


def test_a_message_that_comes_back_in_between_is_left_alone() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    subject.look()
    queue.present = {"a"}
    subject.look()
    queue.present = set()
    assert subject.look() == []
    assert queue.sent == []


def test_it_gives_up_on_a_message_that_vanishes_again_and_again() -> None:
    queue = FakeQueue()
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), queue)
    for _ in range(40):
        subject.look()
    assert len(queue.sent) == 5


def test_a_new_wait_of_the_task_has_new_tries() -> None:
    database, queue = FakeDatabase([Queued("a", "dag.task")]), FakeQueue()
    subject = guardian(database, queue)
    for _ in range(40):
        subject.look()
    database.rows = []
    subject.look()
    database.rows = [Queued("a", "dag.task")]
    subject.look()
    assert subject.look() == ["a"]


def test_an_acknowledged_message_is_not_counted_as_sent() -> None:
    subject = guardian(FakeDatabase([Queued("a", "dag.task")]), FakeQueue(outcome="acknowledged"))
    subject.look()
    assert subject.look() == []
    assert subject.status()["sent_again"] == 0


def test_an_outage_of_either_side_is_outlived() -> None:
    database, queue = FakeDatabase([Queued("a", "dag.task")]), FakeQueue()
    subject = guardian(database, queue)
    subject.look()
    database.down = True
    assert subject.look() == []
    assert subject.status()["outage"] == "database: gone"
    database.down, queue.down = False, True
    assert subject.look() == []
    assert subject.status()["outage"] == "endpoint: gone"
    queue.down = False
    assert subject.look() == ["a"]
    assert subject.status()["outage"] == ""


def test_the_endpoint_is_not_asked_while_nothing_waits() -> None:
    queue = FakeQueue()
    guardian(FakeDatabase([]), queue).look()
    assert queue.asked == 0
