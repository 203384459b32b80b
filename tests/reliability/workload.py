"""What the processes of the exams do: sagas of three steps whose services keep one ledger, outside of any database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from sagafsm import NOT_DONE, Context, Done, Orchestrator, PermanentFailure, Saga
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store
from sagafsm_adapters.sql import SqlStore
from support.bench import line

DATABASE, LEDGER = "saga.db", "ledger"


RECORD = 128


def record(text: str, length: int = RECORD) -> bytes:
    """A line of a fixed length, which divides a page.

    A kill may cut a write to a file in two where it crosses from one page to the next: none of these does. What was cut
    off would swallow the line that somebody else writes next.
    """
    line = f"{text.ljust(length - 1)}\n".encode()
    assert len(line) == length, f"{text!r} is longer than {length - 1} bytes"
    return line


class Ledger:
    """The services' own account: one line a call, each a single write at the end, so that it is there or not."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / LEDGER
        self.descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *words: object) -> None:
        os.write(self.descriptor, record(" ".join(map(str, words))))

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.file.read_text().splitlines()]

    def has(self, verb: str, key: str) -> bool:
        return any(words[0] == verb and words[-1] == key for words in self.lines())

    def close(self) -> None:
        os.close(self.descriptor)


@attrs.define
class Services:
    """The user's functions. They are defined once a process, so that a child does not pay for it; `ledger` is changed."""

    ledger: Any = None

    def act(self, ctx: Context, input: Any) -> str:
        verb = "refuse" if ctx.step == "c" and input in ("nothing", "stuck") else "do"
        self.ledger.add(verb, ctx.instance_id, ctx.step, ctx.attempt, ctx.idempotency_key)
        if verb == "refuse":
            raise ValueError("undeliverable")
        return f"{ctx.step}!"

    def undo(self, ctx: Context, input: Any, result: Any) -> None:
        assert result == f"{ctx.step}!" or (result is None and ctx.in_doubt)
        self.ledger.add("undo", ctx.instance_id, ctx.step, ctx.attempt, ctx.action_key)
        if input == "stuck" and ctx.step == "a" and not self.ledger.has("repair", ctx.instance_id):
            raise PermanentFailure("out of order")

    def probe(self, ctx: Context) -> Any:
        return Done(f"{ctx.step}!") if self.ledger.has("do", str(ctx.action_key)) else NOT_DONE


def order_of(services: Services) -> Saga:
    """Three steps, each of which settles a doubt in another way: a is retried, b is asked, c is undone."""
    order = Saga("order")
    order.add_step("a", services.act, services.undo, in_doubt="retry")
    order.add_step("b", services.act, services.undo, probe=services.probe)
    order.add_step("c", services.act, services.undo, in_doubt="compensate")
    return order


def letter_of(services: Services) -> Saga:
    """A step, a wait for a signal, and a step; both are retried."""
    letter = Saga("letter", in_doubt="retry")
    letter.add_step("a", services.act)
    letter.wait_for("word")
    letter.add_step("c", services.act)
    return letter


SERVICES = Services()
SAGAS = {"order": order_of(SERVICES), "letter": letter_of(SERVICES)}


@attrs.frozen
class House:
    """A folder with a database and the ledger, and an orchestrator over them that tells every durable event."""

    ledger: Ledger
    store: Any
    orchestrator: Orchestrator

    def begin(self, id: str, input: str) -> SagaInstance:
        """Start and drive an instance, which is named for its saga."""
        return self.orchestrator.run(SAGAS[id.partition("-")[0]], input, id=id)

    def settle(self, instance: SagaInstance) -> SagaInstance:
        """Do what a person would: repair and retry what is blocked, and send the word that is awaited."""
        while instance.blocked:
            self.ledger.add("repair", instance.id)
            instance = self.orchestrator.retry(instance.id, step=instance.blocked[0].step, by="exam")
        if instance.waiting:
            instance = self.orchestrator.signal(instance.id, "word", "go", request_id=f"word of {instance.id}")
        return instance


@contextmanager
def house(
    folder: Path,
    on_event: Callable[[SagaInstance, e.Event], None] | None = None,
    *,
    query: str = "",
    store_of: Callable[[Store], Any] = lambda store: store,
    **options: Any,
) -> Iterator[House]:
    """The house in a folder, whose database is closed at the end."""
    options |= {"sagas": SAGAS.values(), "on_event": on_event}
    with closing(Ledger(folder)) as ledger, closing(SqlStore(f"sqlite:///{folder}/{DATABASE}{query}")) as store:
        SERVICES.ledger = ledger
        with Orchestrator(store_of(store), **options) as orchestrator:
            yield House(ledger, store, orchestrator)


def told(instance: SagaInstance, event: e.Event) -> str:
    """An event as the exams compare it."""
    return f"{instance.id} {event.number} {line(event)}"


def checkpoint_often(store: SqlStore) -> None:
    """Have SQLite move its log into the database after every second page, and begin the log anew."""
    store._connections.get_thread_connection().raw.execute("PRAGMA wal_autocheckpoint=2")


@attrs.frozen
class Workload:
    """The instances that a process drives one after another, by id and input."""

    name: str
    instances: dict[str, str]
    fresh: bool = False
    checkpoints: bool = False

    def live(self, house: House) -> None:
        """Drive all of them as far as they go."""
        if self.checkpoints:
            checkpoint_often(house.store)
        for id, input in self.instances.items():
            house.settle(house.begin(id, input))


WORKLOADS = (
    Workload("completes", {"order-1": "mug"}),
    Workload("fails", {"order-1": "nothing"}),
    Workload("is stuck", {"order-1": "stuck"}),
    Workload("is signalled", {"letter-1": "hello"}),
    Workload("begins", {"order-1": "mug"}, fresh=True),
    Workload("checkpoints", {"order-1": "nothing", "order-2": "mug"}, checkpoints=True),
)
