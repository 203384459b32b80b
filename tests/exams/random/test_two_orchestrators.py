"""Laws 10, 12 and 13 with two orchestrators on one store: any interleaving of what both may do, and of crashes."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import tempfile
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sagafsm import (
    NOT_DONE,
    Context,
    Done,
    IllegalTransition,
    Orchestrator,
    OutcomeUnknown,
    PermanentFailure,
    Retry,
    Saga,
    StoreConflict,
)
from sagafsm.core.decide import build_idempotency_key
from sagafsm.engine.effects import Sleep
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.runtime.sync_performer import SyncPerformer
from sagafsm.store import Owner, Store
from support.bench import line
from support.clock import FakeClock
from support.services import Refused
from support.stores import Crash, LateStore, MortalStore, Wrapped, new_store

IDS = ("o-1", "o-2")
HOUR = timedelta(hours=1)
NEVER = 1_000_000
MEANWHILE = ("nothing", "nothing", "steal", "post", "before", "after", "late")
ANSWERS = ("ok", "ok", "ok", "fail", "unknown", "lost", "permanent")


@attrs.define(eq=False)
class Held:
    """A drive that stands still before its next effect, as a process does that the scheduler has put aside."""

    steps: Generator[Any, Any, SagaInstance]
    performer: SyncPerformer
    store: MortalStore
    instance: str
    effect: Any = None
    # A thread's own, as each of these drives would have.
    context: contextvars.Context = attrs.Factory(contextvars.copy_context)

    def begin(self) -> None:
        self.effect = self.context.run(next, self.steps)

    def send(self, reply: Any) -> None:
        self.effect = self.context.run(self.steps.send, reply)

    def throw(self, error: BaseException) -> None:
        self.effect = self.context.run(self.steps.throw, error)

    def perform(self, clock: FakeClock) -> Any:
        if isinstance(self.effect, Sleep):
            return clock.sleep(self.effect.duration)
        return self.context.run(self.performer._reply, self.effect)


class Watched(Wrapped):
    """Notes every append that no store may take: without the present claim, on another version, past a request."""

    def __init__(self, inner: Store, truth: Store, breaches: list[str]) -> None:
        super().__init__(inner)
        self.truth, self.breaches = truth, breaches

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name != "append":
            return method(*args, **kwargs)
        summary, mail = self.truth.load(args[0]).summary, self.truth.mail(args[0])
        answer = method(*args, **kwargs)
        read = {getattr(event, "request_id", None) for event in args[1]}
        if summary.owner is None or summary.token != kwargs["token"]:
            self.breaches.append(f"{args[0]} was written to without a claim")
        if not {request.request_id for request in mail} <= read:
            self.breaches.append(f"{args[0]} was written to past a request")
        return answer


class TwoOrchestrators(RuleBasedStateMachine):
    """Two processes, each with its own view of one store, which dies with it. Their drives go step by step."""

    kind = "memory"
    # How all processes see the store, and each of them; the positive controls break it here.
    shared: Callable[[Store], Any] = staticmethod(lambda store: store)
    own: Callable[[Store], Any] = staticmethod(lambda store: store)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = new_store(self.kind, Path(self.folder.name))
        self.clock = FakeClock()
        self.answers: list[str] = []
        self.done: dict[str, tuple[str, str]] = {}
        # Attempts that a service has promised never to let take effect: by a probe, an undo, or to an operator.
        self.void: dict[str, int] = {}
        self.breaches: list[str] = []
        self.seen: dict[str, tuple[e.Event, ...]] = {}
        self.held: list[Held] = []
        self.requests = itertools.count()
        self.saga = self._saga()
        self.public = self.shared(self.store)
        self.views: list[MortalStore] = []
        self.faults: list[LateStore] = []
        self.processes: list[Orchestrator] = []

    @initialize()
    def begin(self) -> None:
        for _ in range(2):
            self._open(len(self.processes))

    def teardown(self) -> None:
        for held in self.held:
            held.store.dead = True
            self._abandon(held)
        for process in self.processes:
            process._operations.engine.keeper.close()
        self.store.close()
        self.folder.cleanup()

    # The saga, and what is true ----------------------------------------------------------------------------------------

    def _saga(self) -> Saga:
        saga = Saga("order")
        retry = Retry(2, backoff=timedelta(seconds=5), factor=1, jitter=False)
        saga.add_step("a", self._act, self._undo, retry=retry)
        saga.add_step("b", self._act, self._undo, probe=self._ask, retry=retry, in_doubt="retry")
        saga.add_step("p", self._act, retry=retry, pivot=True)
        saga.add_step("c", self._act, in_doubt="retry")
        return saga

    def _act(self, ctx: Context) -> str:
        begun = [event for event in self.store.history(ctx.instance_id) if isinstance(event, e.StepStarted)]
        if (ctx.step, ctx.attempt) not in [(event.step, event.attempt) for event in begun]:
            self.breaches.append(f"attempt {ctx.attempt} of {ctx.step} is called before its start is durable")
        if ctx.attempt <= self.void.get(ctx.idempotency_key, 0):
            raise Refused("too late")
        told = self.answers.pop(0) if self.answers else "ok"
        if told in ("permanent", "unknown", "fail") and ctx.idempotency_key in self.done:
            told = "ok"
        if told in ("ok", "lost"):
            self.done[ctx.idempotency_key] = (ctx.instance_id, ctx.step)
        match told:
            case "fail":
                raise Refused("refused")
            case "permanent":
                raise PermanentFailure("never")
            case "unknown" | "lost":
                raise OutcomeUnknown("no answer")
        return f"{ctx.step}!"

    def _undo(self, ctx: Context) -> None:
        if self.answers and self.answers.pop(0) == "fail":
            raise Refused("refused")
        self.void[ctx.action_key] = NEVER
        self.done.pop(ctx.action_key, None)

    def _ask(self, ctx: Context) -> Any:
        if ctx.action_key in self.done:
            return Done("told")
        self.void[ctx.action_key] = ctx.attempt
        return NOT_DONE

    # Driving, step by step ---------------------------------------------------------------------------------------------

    def _open(self, n: int) -> None:
        """Open process `n`, in the place of the one before."""
        fault = LateStore(self.own(self.public))
        view = MortalStore(Watched(fault, self.public, self.breaches))
        process = Orchestrator(view, sagas=[self.saga], clock=self.clock, owner=f"process-{n}", lease=HOUR)
        self.faults[n:], self.views[n:], self.processes[n:] = (
            [fault, *self.faults[n + 1 :]],
            [view, *self.views[n + 1 :]],
            [process, *self.processes[n + 1 :]],
        )

    def _hold(self, n: int, instance: str, steps: Any, *, most: int) -> None:
        """Let a drive go on for some effects, and hold it there, unless it has ended."""
        held = Held(steps, self.processes[n]._performer, self.views[n], instance)
        self._go(held, most, begin=True)

    def _go(self, held: Held, most: int, *, begin: bool = False) -> None:
        try:
            if begin:
                held.begin()
            for _ in range(most):
                self._next(held)
        except (StopIteration, StoreConflict, IllegalTransition, Crash):
            return
        self.held.append(held)

    def _next(self, held: Held) -> None:
        try:
            reply = held.perform(self.clock)
        except BaseException as error:
            held.throw(error)
        else:
            held.send(reply)

    processes_ = st.integers(0, 1)
    instances = st.sampled_from(IDS)
    effects = st.integers(0, 6)

    @rule(answers=st.lists(st.sampled_from(ANSWERS), max_size=4))
    def services_will_say(self, answers: list[str]) -> None:
        self.answers = answers

    @rule(n=processes_, id=instances, most=effects)
    def run(self, n: int, id: str, most: int) -> None:
        operations = self.processes[n]._operations
        self._hold(n, id, operations.start(self.saga, "mug", id=id, drive=True), most=most)

    @rule(n=processes_, id=instances)
    def start(self, n: int, id: str) -> None:
        self.processes[n].start(self.saga, "mug", id=id)

    @rule(
        n=processes_, id=instances, most=effects, mode=st.sampled_from(("until_parked", "without_sleep", "one_command"))
    )
    def resume(self, n: int, id: str, most: int, mode: Any) -> None:
        if id in self.seen:
            self._hold(n, id, self.processes[n]._operations.resume(id, mode, "resume"), most=most)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), most=effects, meanwhile=st.sampled_from(MEANWHILE))
    def go_on(self, data: st.DataObject, most: int, meanwhile: str) -> None:
        """A drive that stood still goes on, after something has happened behind its back."""
        held = data.draw(st.integers(0, len(self.held) - 1).map(lambda n: self.held[n]))
        match meanwhile:
            case "steal":
                self._steal(held.instance)
            case "post" if held.instance in self.seen:
                with contextlib.suppress(IllegalTransition):
                    request = e.CancelRequested(request_id=f"r-{next(self.requests)}", by="me", reason="no")
                    self.public.post(held.instance, request)
            case "before" | "after" | "late":
                self.faults[self.views.index(held.store)].fault = meanwhile
        self.held.remove(held)
        self._go(held, most)

    def _steal(self, id: str) -> None:
        """Its lease has run out, and somebody takes the instance for a moment."""
        if id not in self.seen or (summary := self.store.load(id).summary).owner is None:
            return
        thief = Owner(name="thief", process="?/?/1/?/1")
        token = self.store.claim(id, owner=thief, lease=HOUR, replacing=summary.token)
        self.store.release(id, token=token)

    @rule(n=processes_)
    def recover(self, n: int) -> None:
        before = dict(self.seen)
        assert {} == self.processes[n].recover().errors
        after = {id: self.store.history(id) for id in before}
        assert () == self.processes[n].recover().resumed
        assert after == {id: self.store.history(id) for id in before}

    @rule(n=processes_, id=instances)
    def cancel(self, n: int, id: str) -> None:
        if id in self.seen:
            with contextlib.suppress(StoreConflict, IllegalTransition):
                self.processes[n].cancel(id, by="me", reason="no")

    @rule(n=processes_, id=instances, data=st.data())
    def decide(self, n: int, id: str, data: st.DataObject) -> None:
        blocked = self.store.load(id).instance.blocked if id in self.seen else ()
        if not blocked:
            return
        held = (id, blocked[0].step) in self.done.values()
        offered: dict[str, tuple[str, dict[str, Any]]] = {"retry": ("retry", {}), "compensate": ("compensate", {})}
        offered["skip"] = ("skip", {"reason": "enough"})
        if held:
            offered["resolve(result)"] = ("resolve", {"result": "told", "reason": "seen"})
        else:
            offered["resolve(not_done)"] = ("resolve", {"not_done": True, "reason": "seen"})
        possible = [offered[one] for one in blocked[0].decisions if one in offered]
        if possible:
            operation, given = data.draw(st.sampled_from(possible))
            if "not_done" in given:
                instance = self.store.load(id).instance
                step = blocked[0].step
                self.void[build_idempotency_key(instance, step, "action")] = instance.steps[step].attempt
            with contextlib.suppress(StoreConflict, IllegalTransition):
                getattr(self.processes[n], operation)(id, **given)

    @rule(n=processes_)
    def crash(self, n: int) -> None:
        """A process vanishes, without releasing anything; another takes its place."""
        self.views[n].dead = True
        for held in [held for held in self.held if held.store is self.views[n]]:
            self.held.remove(held)
            self._abandon(held)
        self.processes[n]._operations.engine.keeper.close()
        self._open(n)

    def _abandon(self, held: Held) -> None:
        # Its store is dead: what its steps still want to do on their way out fails, and nothing is written.
        while True:
            try:
                held.throw(Crash())
            except (Crash, StopIteration):
                return

    @rule(seconds=st.sampled_from((1, 5, 60)))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    # What always holds -------------------------------------------------------------------------------------------------

    @invariant()
    def histories_only_grow(self) -> None:
        """No event is lost or changed, and the numbers have no gaps."""
        for summary in self.store.find():
            history = self.store.history(summary.id)
            before = self.seen.get(summary.id, ())
            assert before == history[: len(before)]
            assert list(range(1, len(history) + 1)) == [event.number for event in history]
            self.seen[summary.id] = history

    @invariant()
    def what_is_recorded_is_lawful(self) -> None:
        """No start after a cause; no way back from behind the pivot; at most one outcome for each start."""
        assert [] == self.breaches
        for id, history in self.seen.items():
            told = [line(event) for event in history]
            cause = next((n for n, event in enumerate(history) if isinstance(event, e.CauseRecorded)), len(history))
            assert not [event for event in history[cause:] if isinstance(event, e.StepStarted)], (id, told)
            done = [n for n, event in enumerate(history) if isinstance(event, e.StepSucceeded) and event.step == "p"]
            assert not done or cause == len(history), (id, told)
            for step in "abpc":
                assert told.count(f"StepSucceeded {step} 1") <= 1, (id, told)
                attempts = [
                    event.attempt for event in history if isinstance(event, e.StepStarted) and event.step == step
                ]
                assert list(range(1, len(attempts) + 1)) == attempts, (id, told)

    @invariant()
    def the_end_is_true(self) -> None:
        """Completed: all effects are there. Failed: what is there is residue."""
        for summary in self.store.find():
            instance = self.store.load(summary.id).instance
            held = {step for id, step in self.done.values() if id == summary.id}
            if instance.state == "completed":
                assert set("abpc") == held
            if instance.state == "failed":
                assert held <= {left.step for left in instance.residue}


class TwoOrchestratorsOnSQLite(TwoOrchestrators):
    kind = "sql"


common: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "stateful_step_count": 40}
TestTwoOrchestrators = TwoOrchestrators.TestCase
TestTwoOrchestrators.settings = settings(max_examples=60, **common)
TestTwoOrchestratorsOnSQLite = TwoOrchestratorsOnSQLite.TestCase
TestTwoOrchestratorsOnSQLite.settings = settings(max_examples=15, **common)
