"""One instance's life: processes that come, die where they are told, and are followed by others, until it rests.

A crash point lies before everything that lasts: each write to the store (creation, commit, claim, post, release), of
the root and of what is nested in it, and each call of a user's function. "After" one is "before" the next.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs

from sagafsm import AsyncOrchestrator, Orchestrator, Saga, SagaInstance, SagaNotFound
from sagafsm.errors import IllegalTransition, StoreError
from sagafsm.history import events as e
from sagafsm.history.instance import Block
from sagafsm.store import Store
from support.clock import FakeClock
from support.plans import Plan, SagaPlan
from support.reality import Reality, signal_for
from support.staged import staged
from support.stores import Crash, Wrapped
from support.turns import take_turns

ROOT = "o-1"
MOST_PROCESSES = 60
MOST_TICKS = 2_000
WRITES = ("create", "append", "claim", "post", "release")


class Ledger(Wrapped):
    """Keeps every event of every instance in the order in which they became durable."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.entries: list[tuple[str, e.Event]] = []
        # Requests by id, each with how many events there were when it first came in for the root.
        self.posts: dict[str, int] = {}
        # Where each commit begins.
        self.commits: list[int] = []

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = method(*args, **kwargs)
        if name == "post" and args[0] == ROOT:
            self.posts.setdefault(args[1].request_id, len(self.entries))
        if name in ("create", "append"):
            self.commits.append(len(self.entries))
            self.entries += [(args[0], event) for event in args[1]]
        return answer


class View(Wrapped):
    """The store as one process sees it: a dead one reaches it no more."""

    def __init__(self, inner: Any, life: Life) -> None:
        super().__init__(inner)
        self.life, self.process = life, life.process

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        life = self.life
        if name == "renew":
            # The thread that renews leases is no place for a crash.
            if life.dead or self.process != life.process:
                raise StoreError("dead")
        elif name in WRITES:
            life.tick()
        elif life.dead:
            raise Crash
        return method(*args, **kwargs)


@attrs.define(eq=False)
class Life:
    """A saga, what fails in it, and the points at which processes die, counted over all of them.

    `requests`: what comes in from outside just then, by the same count. `way` is "turns", "sync" or "async"; `careless`: how often of ten an operator skips or abandons, where he may.
    """

    store: Store
    plan: SagaPlan
    script: Mapping[str, tuple[str, ...]] = attrs.Factory(dict)
    crashes: Collection[int] = ()
    seed: int = 0
    way: str = "turns"
    careless: int = 0
    requests: Mapping[int, e.Request] = attrs.Factory(dict)
    # What the processes see of the store; the positive controls break it here.
    through: Callable[[Any], Any] = lambda store: store
    ticks: int = attrs.field(default=0, init=False)
    dead: bool = attrs.field(default=False, init=False)
    process: int = attrs.field(default=0, init=False)
    clock: FakeClock = attrs.field(factory=FakeClock, init=False)
    given_up: set[str] = attrs.field(factory=set, init=False)
    abandoned: bool = attrs.field(default=False, init=False)
    signalled: set[str] = attrs.field(factory=set, init=False)
    ledger: Ledger = attrs.field(init=False)
    world: Reality = attrs.field(init=False)
    random: random.Random = attrs.field(init=False)
    saga: Saga = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ledger = Ledger(self.store)
        self.world = Reality(self.ledger, ROOT, self.plan, self.script, self.tick)
        self.random = random.Random(self.seed)
        stage, self.saga = staged(self.plan, is_async=self.way == "async")
        stage.world = self.world

    def tick(self) -> None:
        """One crash point: the process dies here, or has died, or goes on."""
        with self.world.lock:
            if not self.dead:
                self.ticks += 1
                self.dead = self.ticks in self.crashes
                assert self.ticks < MOST_TICKS, "it goes round in circles"
                if self.ticks in self.requests and not self.dead and self.loaded() is not None:
                    self.world.post(self.requests[self.ticks])
            if self.dead:
                raise Crash

    # Processes --------------------------------------------------------------------------------------------------------

    def ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Let a new process do this; None when it dies."""
        self.process += 1
        self.dead = False
        view = self.through(View(self.ledger, self))
        try:
            if self.way == "async":
                return asyncio.run(self._ask_async(view, operation, *args, **kwargs))
            with Orchestrator(view, sagas=[self.saga], clock=self.clock, owner="process") as orchestrator:
                if self.way == "turns":
                    take_turns(orchestrator, self.clock, self.seed + self.process)
                return getattr(orchestrator, operation)(*args, **kwargs)
        except Crash:
            return None
        finally:
            self.dead = False

    async def _ask_async(self, view: Any, operation: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncOrchestrator(view, sagas=[self.saga], clock=self.clock) as orchestrator:
            return await getattr(orchestrator, operation)(*args, **kwargs)

    def loaded(self, id: str = ROOT) -> SagaInstance | None:
        try:
            return self.store.load(id).instance
        except SagaNotFound:
            return None

    def live(self) -> SagaInstance:
        """Begin, go on after each death, decide, signal and let time pass, until it rests for good."""
        for _ in range(MOST_PROCESSES):
            instance = self.loaded()
            if instance is None:
                self._begin()
            elif instance.is_at_rest and not self._is_to_be_sent_back(instance):
                return instance
            else:
                self._go_on(instance)
                self._check_rest()
        raise AssertionError(f"{instance} does not come to rest")

    def _is_to_be_sent_back(self, instance: SagaInstance) -> bool:
        return self.plan.sent_back and instance.state == "completed"

    def _begin(self) -> None:
        early = [step for step in self.plan.walk() if step.signal == "early"]
        if not early:
            self.ask("run", self.saga, "mug", id=ROOT)
            return
        self.ask("start", self.saga, "mug", id=ROOT)
        if self.loaded() is not None:
            for step in early:
                self.ledger.post(ROOT, signal_for(step))

    def _go_on(self, instance: SagaInstance) -> None:
        if instance.state == "completed":
            self.ask("compensate", ROOT)
        elif instance.blocked and not self.store.mail(ROOT):
            self._decide(instance.blocked)
        elif (wait := self._awaited()) is not None:
            self._signal(wait)
        else:
            if instance.wake_at is not None and instance.wake_at > self.clock.now():
                self.clock.time = instance.wake_at
            self._check_report(self.ask("recover"))

    # Signals and decisions --------------------------------------------------------------------------------------------

    def _awaited(self) -> Plan | None:
        """A wait that has begun, and whose signal is still to come."""
        for step in self.plan.walk():
            if step.signal in ("late", "during") and step.path not in self.signalled:
                above, _, name = f"{ROOT}/{step.path}".rpartition("/")
                holder, root = self.loaded(above), self.loaded()
                if holder is None or root is None or root.cause is not None or holder.cause is not None:
                    continue
                received = any(getattr(event, "name", "") == step.path for event in root.history)
                if holder.steps[name].status == "running" and not received and root.waiting:
                    return step
        return None

    def _signal(self, wait: Plan) -> None:
        """By the root's id and the path, or by the nested instance's own."""
        above, _, name = f"{ROOT}/{wait.path}".rpartition("/")
        id, path = (above, name) if self.random.random() < 0.5 else (ROOT, wait.path)
        self.ask("signal", id, path, "yes", request_id=f"s-{wait.path}")

    def _decide(self, blocks: Sequence[Block]) -> None:
        block = self.random.choice(blocks)
        choices = self._truthful(block)
        assert choices, f"{block} allows nothing that is true"
        if block.step in self.world.by_hand:
            # Whoever has done it by hand, and died before he said so, does not have it done again.
            choices = [choice for choice in choices if "result" in choice[1]]
        careful = [choice for choice in choices if choice[0] not in ("skip", "abandon")]
        if careful and self.random.randrange(10) >= self.careless:
            choices = careful
        operation, given = self.random.choice(choices)
        if given.get("undone"):
            self.world.undo_by_hand(block.step)
        if "result" in given and block.reason == "exhausted":
            self.world.do_by_hand(block.step)
        step = {} if operation == "abandon" else {"step": block.step}
        if operation == "skip" or (operation == "compensate" and not self.world.steps[block.step].compensation):
            self.given_up.add(block.step)
        self.abandoned = self.abandoned or operation == "abandon"
        try:
            self.ask(operation, ROOT, **given, **step)
        except IllegalTransition:
            # Right only where a cancel came in meanwhile: it is read first, and has ended the block.
            instance = self.loaded()
            if instance is None or not any(isinstance(event, e.CancelRequested) for event in instance.history):
                raise

    def _truthful(self, block: Block) -> list[tuple[str, dict[str, Any]]]:
        """The decisions that the block allows and that are true, or are made true by hand."""
        plan, held = self.world.steps[block.step], self.world.holds(block.step)
        found: list[tuple[str, dict[str, Any]]] = []
        for decision in block.decisions:
            match decision:
                case "retry" | "compensate":
                    found.append((decision, {}))
                case "resolve(result)" if plan.child is None and (held or block.reason == "exhausted"):
                    found.append(("resolve", {"result": "told", "reason": "seen"}))
                case "resolve(not_done)" if not held:
                    found.append(("resolve", {"not_done": True, "reason": "seen"}))
                case "resolve(undone)":
                    found.append(("resolve", {"undone": True, "reason": "by hand"}))
                case "skip" | "abandon":
                    found.append((decision, {"reason": "enough"}))
        return found

    # What holds between processes -------------------------------------------------------------------------------------

    def _check_report(self, report: Any) -> None:
        if report is None:
            return
        assert {} == report.errors
        again = self.store.find(due=self.clock.now())
        # What came in behind its last commit is for the next one.
        assert () == tuple(again) or self.store.mail(ROOT), "a recovery leaves something to be recovered"

    def _check_rest(self) -> None:
        """Nothing that only a decision or a signal can move is ever due."""
        instance = self.loaded()
        if instance is None or not (instance.blocked or instance.waiting) or self.store.mail(ROOT):
            return
        if instance.wake_at is None or instance.wake_at > self.clock.now():
            assert () == tuple(self.store.find(due=self.clock.now())), f"{instance} is parked, and found to be due"
