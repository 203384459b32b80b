"""A piece on trial under a hand-written schedule: a small engine of the gallery's own, to show what the pieces are.

A point is a call of a resource or a write to the store, named `resource.method#n` or `store.append#n`, n counted over
all lives; `event#n` is the n-th event told. A schedule says what happens at which point.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from exams.gallery.entry import Entry
from exams.gallery.points import Later, Life, Proxy, Refusal, View
from sagafsm import Orchestrator, SagaInstance, SagaNotFound
from sagafsm.errors import SagaError, StoreError
from sagafsm.history import events as e
from sagafsm.store import open_store
from support.clock import FakeClock
from support.stores import Crash
from support.turns import take_turns

ID = "g-1"
MOST_LIVES = 40
# Coroutines beside each other are on a loop, and cannot have turns.
ON_A_LOOP = {"asynchronous"}
MOST_DECISIONS = 8


@attrs.define(eq=False)
class Trial:
    """One instance of a piece, from its start to its rest, whatever the schedule has in store for it.

    `decide` is what an operator says of a doubt: "truth", or "compensate" where that is allowed, or "retry". Members of
    a group have their turns in an order that `seed` draws.
    """

    entry: Entry
    input: Any
    schedule: Mapping[str, str] = attrs.Factory(dict)
    decide: str = "truth"
    usual: Trial | None = None
    seed: int = 0
    world: Any = attrs.field(init=False)
    before: Any = attrs.field(init=False)
    after: Any = attrs.field(init=False, default=None)
    instance: SagaInstance | None = attrs.field(init=False, default=None)
    store: Any = attrs.field(init=False)
    clock: FakeClock = attrs.field(init=False, factory=FakeClock)
    points: Counter[str] = attrs.field(init=False, factory=Counter)
    order: list[str] = attrs.field(init=False, factory=list)
    fired: set[str] = attrs.field(init=False, factory=set)
    down: set[str] = attrs.field(init=False, factory=set)
    late: list[Callable[[], Any]] = attrs.field(init=False, factory=list)
    begun: dict[str, Any] = attrs.field(init=False, factory=dict)
    found: set[str] = attrs.field(init=False, factory=set)
    lives: int = attrs.field(init=False, default=0)
    asked: bool = attrs.field(init=False, default=False)
    lock: Any = attrs.field(init=False, factory=threading.RLock)

    def __attrs_post_init__(self) -> None:
        assert self.entry.world is not None
        self.world = self.entry.world()
        self.before = self.world.snapshot()
        self.store = open_store("memory://")

    # Points -----------------------------------------------------------------------------------------------------------

    def _at(self, label: str) -> str | None:
        """What happens at this point; it is counted."""
        self.points[label] += 1
        point = f"{label}#{self.points[label]}"
        self.order.append(point)
        fault = self.schedule.get(point)
        if fault is not None:
            self.fired.add(point)
        return fault

    def call(self, life: Life, label: str, do: Callable[[], Any]) -> Any:
        with self.lock:
            life.check()
            fault = self._at(label)
        if fault == "duplicate":
            self._second_worker()
        with self.lock:
            return self._called(life, label, do, fault)

    def _called(self, life: Life, label: str, do: Callable[[], Any], fault: str | None) -> Any:
        of_store = label.startswith("store.")
        if fault == "down":
            self.down.add(label.partition(".")[0])
        if label.partition(".")[0] in self.down:
            raise StoreError("down") if of_store else ConnectionRefusedError("down")
        match fault:
            case "raise_before":
                raise StoreError("refused") if of_store else Refusal("refused by the schedule")
            case "crash_before":
                life.die()
            case "interrupt":
                raise KeyboardInterrupt
            case "cancel":
                self._cancel()
            case "late":
                self.late.append(do)
                raise TimeoutError("no answer, yet")
        answer = do()
        after = functools.partial(self._after, life, fault, of_store)
        if inspect.isawaitable(answer):
            return Later(answer, after)
        after()
        return answer

    def _after(self, life: Life, fault: str | None, of_store: bool) -> None:
        match fault:
            case "raise_after":
                raise StoreError("no answer") if of_store else TimeoutError("no answer")
            case "crash_after":
                life.die()
            case "interrupt_after":
                raise KeyboardInterrupt

    def _cancel(self) -> None:
        with contextlib.suppress(SagaError):
            self.store.post(ID, e.CancelRequested(request_id=f"c-{len(self.order)}", by="ann", reason="told to"))

    def _second_worker(self) -> None:
        """Take the instance from its owner, who does not know it yet, and drive it as far as it goes."""
        self.store.release(ID, token=self.store.load(ID).summary.token)
        with contextlib.suppress(SagaError, Crash), self._orchestrator(Life()) as second:
            second.resume(ID)

    def _writes(self, instance_id: str, events: Sequence[e.Event]) -> None:
        """What the world is like when a step begins tells an operator later whether it was done."""
        for event in events:
            if isinstance(event, e.StepStarted):
                path = "/".join((*instance_id.split("/")[1:], event.step))
                self.begun.setdefault(path, self.world.snapshot())

    def _told(self, instance: SagaInstance, event: e.Event) -> None:
        if self._at("event") == "cancel":
            self._cancel()

    # Lives ------------------------------------------------------------------------------------------------------------

    def _orchestrator(self, life: Life) -> Orchestrator:
        resources = {name: Proxy(self.call, life, name, service) for name, service in self.world.resources().items()}
        orchestrator = Orchestrator(
            View(self.store, self.call, life, self._writes),
            sagas=[self.entry.saga],
            resources=resources,
            clock=self.clock,
            on_event=self._told,
        )
        if self.entry.name not in ON_A_LOOP:
            take_turns(orchestrator, self.clock, self.seed)
        return orchestrator

    def _ask(self, operation: str, *args: Any, **kwargs: Any) -> None:
        self.lives += 1
        with contextlib.suppress(Crash, KeyboardInterrupt, SagaError), self._orchestrator(Life()) as orchestrator:
            getattr(orchestrator, operation)(*args, **kwargs)

    def run(self) -> Trial:
        """Drive it to its rest, in as many lives as that takes; then whatever is late lands."""
        decisions = 0
        for _ in range(MOST_LIVES):
            self.instance = self._loaded()
            if self.instance is None:
                self._ask("run", self.entry.saga, self.input, id=ID)
            elif self.instance.is_at_rest or decisions > MOST_DECISIONS:
                break
            elif self.instance.blocked:
                decisions += 1
                self._decide(self.instance)
            elif self.instance.waiting:
                self._wait(self.instance)
            else:
                self._ask("resume", ID)
            self.down.discard("store")
        self.after = self.world.snapshot()
        self._judge()
        return self

    def _loaded(self) -> SagaInstance | None:
        with contextlib.suppress(SagaNotFound):
            return self.store.load(ID).instance
        return None

    def _wait(self, instance: SagaInstance) -> None:
        for name, payload in self.entry.options.get("signals", {}).items():
            self._ask("signal", ID, name, payload)
        if instance.wake_at is not None:
            self.clock.time = max(self.clock.time, instance.wake_at)
        self._ask("recover")

    def _decide(self, instance: SagaInstance) -> None:
        block = instance.blocked[0]
        if block.reason in ("compensation_failed", "exhausted", "payload") and "down" not in self.schedule.values():
            self.found.add("stuck")
        self.down.clear()
        self.asked = self.asked or block.reason in ("in_doubt", "crash_loop")
        if block.reason not in ("in_doubt", "crash_loop"):
            self._ask("retry", ID, step=block.step)
        elif self.decide != "truth" and self.decide in block.decisions:
            self._ask(self.decide, ID, step=block.step)
        elif self.world.snapshot() == self.begun.get(block.step, self.before):
            self._ask("resolve", ID, step=block.step, not_done=True, reason="it is not there")
        else:
            self._ask("resolve", ID, step=block.step, result=self._result_of(block.step), reason="it is there")

    def _result_of(self, path: str) -> Any:
        assert self.usual is not None
        assert self.usual.instance is not None
        results: Any = self.usual.instance.results
        for name in path.split("/"):
            results = results[name]
        return results

    # Judging ----------------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        if self.instance is None or not self.instance.is_at_rest:
            self.found.add("stuck")
            return
        expected, kind = self.before, "left_behind"
        if self.instance.state == "completed":
            expected, kind = (self.after if self.usual is None else self.usual.after), "differs"
        if not self._alike(expected, self.after):
            self.found.add(kind)
        for land in self.late:
            with contextlib.suppress(Exception):
                land()
        if self.late and kind not in self.found and not self._alike(expected, self.world.snapshot()):
            self.found.add("late")

    def _alike(self, expected: Any, found: Any) -> bool:
        if hasattr(self.world, "equivalent"):
            return bool(self.world.equivalent(expected, found))
        if not isinstance(found, dict):
            return bool(expected == found)
        growing = self.world.residue() if hasattr(self.world, "residue") else {}
        return all(
            found[name][: len(expected[name])] == expected[name] if name in growing else expected[name] == found[name]
            for name in found
        )


def usual(entry: Entry, input: Any, seed: int = 0) -> Trial:
    """The run in which nothing happens."""
    return Trial(entry, input, seed=seed).run()


ACTS = ("raise_before", "raise_after", "crash_before", "crash_after")
ALL = (*ACTS, "interrupt", "interrupt_after", "cancel", "duplicate", "down", "late")


def faults_at(point: str) -> tuple[str, ...]:
    """Every fault that there is at a point."""
    if point.startswith("event#"):
        return ("cancel",)
    return ACTS if point.startswith("store.") else ALL


def singles(calm: Trial) -> list[dict[str, str]]:
    """Every schedule of one fault, by the points of the run without."""
    return [{point: fault} for point in calm.order for fault in faults_at(point)]


def seconds(first: Trial) -> list[dict[str, str]]:
    """Every schedule that adds a second fault at a call of a resource, behind the first."""
    (point,) = first.schedule
    behind = first.order[first.order.index(point) + 1 :]
    calls = [point for point in behind if not point.startswith(("event#", "store."))]
    return [{**first.schedule, point: fault} for point in calls for fault in (*ACTS, "down")]
