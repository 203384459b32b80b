"""The services of one tree of instances: what is really done there, by key, whatever anybody recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import attrs

from sagafsm import IN_DOUBT, NOT_DONE, Context, Done, OutcomeUnknown, PermanentFailure
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store
from support.plans import Plan, SagaPlan
from support.services import Refused

SETTLED = (e.StepSucceeded, e.StepFailed, e.StepInDoubt, e.ResultRefused)
BACKOFF = timedelta(seconds=5)


def path_of(ctx: Context) -> str:
    """The step's path from the root."""
    below = ctx.instance_id.partition("/")[2]
    return f"{below}/{ctx.step}" if below else ctx.step


@attrs.define(eq=False)
class Reality:
    """Every call comes here, and is answered by `script`, by how many outcomes of it are recorded; then all is well.

    So a call that is repeated after a crash is answered the same again. It is truthful: what it has done under a key it
    never says was not done. `breaches` are the laws that were broken when a call came in. `tick` is called before each
    call takes effect, and raises when the process is dead by then.
    """

    store: Store | Any
    root: str
    plan: SagaPlan
    script: Mapping[str, tuple[str, ...]]
    tick: Callable[[], None] = lambda: None
    done: dict[str, str] = attrs.Factory(dict)
    undone: set[str] = attrs.Factory(set)
    keys: dict[str, str] = attrs.Factory(dict)
    breaches: list[str] = attrs.Factory(list)
    prepared: int = 0
    by_hand: set[str] = attrs.Factory(set)
    # The calls of the script that came in.
    asked: set[str] = attrs.Factory(set)
    steps: dict[str, Plan] = attrs.field(init=False)
    lock: threading.RLock = attrs.Factory(threading.RLock)

    def __attrs_post_init__(self) -> None:
        self.steps = {step.path: step for step in self.plan.walk()}

    def holds(self, path: str) -> bool:
        """Whether the step's effect is in the world."""
        return path in self.done.values()

    @property
    def held(self) -> set[str]:
        return set(self.done.values())

    # Calls ------------------------------------------------------------------------------------------------------------

    def act(self, ctx: Context, input: Any) -> Any:
        with self.lock:
            instance = self._enter("action", ctx)
            path, key = path_of(ctx), ctx.idempotency_key
            record = instance.steps[ctx.step]
            self.require(record.status == "running", f"action of {path} is called while {record.status}")
            self.require(record.attempt == ctx.attempt, f"attempt {ctx.attempt} of {path} is not recorded")
            self.require(input == instance.input, f"{path} is given {input!r}")
            outcomes = [event for event in instance.history if isinstance(event, SETTLED) and event.step == ctx.step]
            told = self._told(path, len([event for event in outcomes if _is_answer(event)]))
            self._requests(path, told)
            if key in self.done and told in ("permanent", "unknown"):
                told = "ok" if told == "permanent" else "lost"
            if self.steps[path].effect and told not in ("fail", "permanent", "unknown"):
                self.require(key not in self.undone, f"{path} is done again after it was undone")
                self.done[key] = path
        return _answered(told, f"{path}!")

    def undo(self, ctx: Context, result: Any) -> None:
        with self.lock:
            instance = self._enter("undo", ctx)
            path = path_of(ctx)
            record = instance.steps[ctx.step]
            self.require(record.undo == "running", f"undo of {path} is called while {record.undo}")
            self.require(record.compensation.attempt == ctx.attempt, f"undo {ctx.attempt} of {path} is not recorded")
            live = record.status == "unstorable"
            self.require(live or result == record.result, f"undo of {path} is given {result!r}, not {record.result!r}")
            self._alone(instance, ctx.step)
            failed = [e_ for e_ in instance.history if isinstance(e_, e.CompensationFailed) and e_.step == ctx.step]
            told = self._told(f"undo {path}", len(failed))
            if told != "fail":
                self.done.pop(ctx.action_key, None)
                self.undone.add(ctx.action_key)
        _answered(told, None)

    def ask(self, ctx: Context) -> Any:
        with self.lock:
            instance = self._enter("probe", ctx)
            path = path_of(ctx)
            self.require(instance.steps[ctx.step].is_in_doubt, f"{path} is probed without a doubt")
        if self.steps[path].probe == "doubt":
            return IN_DOUBT
        return Done(f"{path}?") if ctx.action_key in self.done else NOT_DONE

    def when(self, ctx: Context) -> bool:
        path = self._prepare(ctx)
        return self.steps[path].when is not False

    def input(self, ctx: Context) -> dict[str, Any]:
        """Another one at each call, though it ought to be pure: it is to be recorded once."""
        path = self._prepare(ctx)
        self.prepared += 1
        return {"for": path, "n": self.prepared}

    def _prepare(self, ctx: Context) -> str:
        with self.lock:
            instance = self._enter("prepare", ctx)
            path, record = path_of(ctx), instance.steps[ctx.step]
            self.require(not record.prepared and record.status in ("pending", "waiting"), f"{path} is prepared again")
            failed = [e_ for e_ in instance.history if isinstance(e_, e.StepFailed) and e_.step == ctx.step]
            if self._told(f"prepare {path}", len(failed)) == "fail":
                raise Refused("no")
        return path

    # What holds of every call -----------------------------------------------------------------------------------------

    def require(self, holds: bool, breach: str) -> None:
        if not holds:
            self.breaches.append(breach)

    def _enter(self, kind: str, ctx: Context) -> SagaInstance:
        self.tick()
        path = path_of(ctx)
        if kind in ("action", "undo"):
            key = self.keys.setdefault(f"{kind} {path}", ctx.idempotency_key)
            self.require(key == ctx.idempotency_key, f"{kind} of {path} got another key")
        if kind != "action":
            known = self.keys.get(f"action {path}", ctx.action_key)
            self.require(known == ctx.action_key, f"{kind} of {path} is told another action's key")
        stored = self.store.load(ctx.instance_id)
        self.require(stored.summary.owner is not None, f"{kind} of {path} while {ctx.instance_id} is unowned")
        self._check_above(kind, ctx)
        return stored.instance

    def _check_above(self, kind: str, ctx: Context) -> None:
        """A nested saga is driven under the claim, and by the word, of what it is nested in."""
        above, _, name = ctx.instance_id.rpartition("/")
        while above:
            stored = self.store.load(above)
            self.require(stored.summary.owner is not None, f"{kind} in {ctx.instance_id} while {above} is unowned")
            record = stored.instance.steps[name]
            told = record.status == "running" or (record.undo == "running" and kind != "action")
            self.require(told, f"{kind} in {ctx.instance_id}, which {above} has as {record.status}, {record.undo}")
            above, _, name = above.rpartition("/")

    def _alone(self, instance: SagaInstance, step: str) -> None:
        for record in instance.steps.values():
            moving = record.undo == "running" and record.name != step
            self.require(not moving, f"{step} is undone beside {record.name} in {instance.id}")
            waits = self.steps[_path(instance.id, record.name)].signal is not None
            under_way = record.status in ("running", "parked") and not waits
            self.require(not under_way, f"{step} is undone while {record.name} is under way in {instance.id}")

    def _told(self, call: str, recorded: int) -> str:
        self.asked.add(call)
        script = self.script.get(call, ())
        return script[recorded] if recorded < len(script) else "ok"

    def _requests(self, path: str, told: str) -> None:
        """What others ask for while the action runs: signals that come during it, and a cancel."""
        if told == "cancel":
            self.post(e.CancelRequested(request_id="r-1", by="me", reason="no"))
        for step in self.plan.walk():
            if step.signal == "during" and path == self.before(step):
                self.post(signal_for(step))

    def before(self, wait: Plan) -> str:
        """The action during which a signal comes: the first of the saga, however far before the wait."""
        leaves = [step.path for step in self.plan.leaves() if step.signal is None and step.when is not False]
        return leaves[0] if leaves else ""

    def post(self, request: e.Request) -> None:
        if not self.store.load(self.root).instance.is_at_rest:
            self.store.post(self.root, request)

    # By hand ----------------------------------------------------------------------------------------------------------

    def do_by_hand(self, path: str) -> None:
        """What an operator does before saying that it is done."""
        if self.steps[path].effect:
            self.done[self.keys.get(f"action {path}", path)] = path
            self.by_hand.add(path)

    def undo_by_hand(self, path: str) -> None:
        """What an operator does before saying that it is undone."""
        self.done = {key: one for key, one in self.done.items() if one != path}


def _path(instance_id: str, step: str) -> str:
    below = instance_id.partition("/")[2]
    return f"{below}/{step}" if below else step


def signal_for(wait: Plan) -> e.SignalReceived:
    return e.SignalReceived(request_id=f"s-{wait.path}", name=wait.path, payload_json='"yes"')


def _is_answer(event: e.Event) -> bool:
    reason = getattr(event, "reason", "")
    return getattr(event, "evidence", "action") == "action" and reason not in ("process_died", "probe")


def _answered(told: str, result: Any) -> Any:
    match told:
        case "fail":
            raise Refused("refused")
        case "permanent":
            raise PermanentFailure("never")
        case "unknown" | "lost":
            raise OutcomeUnknown("no answer")
        case "set":
            return {"not JSON"}
    return result
