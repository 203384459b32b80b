"""One instance as somebody looks at it and drives it: the model of the inspector, which knows of no widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.drivers.lease import is_owned
from sagafsm.errors import RequestError, SagaError, SagaNotFound
from sagafsm.instance import SagaInstance
from sagafsm.notebook import behind
from sagafsm.notebook.behind import Orchestrating
from sagafsm.notebook.inspector import endings
from sagafsm.notebook.inspector.running import Drive, Order
from sagafsm.notebook.inspector.sight import Message, Origin, Place, Sight, nested_hindrance
from sagafsm.steps import Defined
from sagafsm.verify.breaking import Break, BreakKind, Broken, Target, check_breakable
from sagafsm.view.panel import outlined
from sagafsm.view.words import instance_standing

READ_ONLY = "it is shown by its history alone: give inspect() its orchestrator to drive it"
CLOSED = "its orchestrator is closed: this is how the instance stood last"


def _unheard(*, urgent: bool) -> None:
    """What a change is told to before anybody looks on."""


@attrs.define(eq=False)
class Session:
    """An instance, where somebody is in its history, what is broken on purpose, and what drives it from here.

    Every method may be called from any thread, and none waits for an instance to be driven but `perform`.
    """

    live: SagaInstance
    orchestrator: Orchestrating | None = None
    loop: Any = None
    origin: Origin | None = None
    on_change: Callable[..., None] = _unheard
    nested: dict[str, SagaInstance] = attrs.Factory(dict)
    at: int | None = None
    selected: Place | None = None
    zoomed: bool = False
    breaks: dict[Place, Break] = attrs.Factory(dict)
    owner: str | None = None
    message: Message = attrs.Factory(Message)
    lost: str | None = None
    _drives: list[Drive] = attrs.field(factory=list, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    _silence: Callable[[], None] | None = attrs.field(default=None, init=False)
    _was_closed: bool = attrs.field(default=False, init=False)
    _unanswered: str = attrs.field(default="", init=False)

    @property
    def id(self) -> str:
        """The id of the instance."""
        return self.live.id

    # Looking ----------------------------------------------------------------------------------------------------------

    def sight(self) -> Sight:
        """What is seen of it now."""
        with self._lock:
            return Sight(
                live=self.live,
                nested=dict(self.nested),
                at=self.at,
                selected=self.selected,
                zoomed=self.zoomed,
                breaks={place: fault for place, fault in self.breaks.items() if not fault.is_spent},
                driving=bool(self._drives),
                owner=self.owner,
                hindrance=self._hindrance(),
                undrivable=self._undrivable(),
                origin=self.origin,
                message=self.message,
            )

    def _hindrance(self) -> str | None:
        if self.orchestrator is None:
            return READ_ONLY
        return self.lost or (CLOSED if behind.is_closed(self.orchestrator) else None)

    def _undrivable(self) -> str | None:
        nested = nested_hindrance(self.id)
        if nested is not None or self.orchestrator is None:
            return nested
        return behind.undrivable(self.orchestrator, self.live)

    def listen(self) -> None:
        """Hear at once what the orchestrator does with it, until `ignore`."""
        if self.orchestrator is None or self._silence is not None:
            return
        self._silence = behind.hearing(self.orchestrator, self.heard)

    def ignore(self) -> None:
        """Hear no more."""
        if self._silence is not None:
            self._silence()
            self._silence = None

    def heard(self, instance: SagaInstance, event: e.Event) -> None:  # noqa: ARG002 - a listener is given both
        """Take in what a drive has just made durable."""
        if instance.id == self.id:
            self._take(instance)
        elif instance.id.startswith(f"{self.id}/"):
            with self._lock:
                self._nest(instance.id.removeprefix(f"{self.id}/"), instance)
            self.on_change(urgent=False)

    def refresh(self) -> None:
        """Look into the store, for what others did."""
        if self.orchestrator is None or self.lost is not None:
            return
        closed = behind.is_closed(self.orchestrator)
        if closed and not self._was_closed:
            self._was_closed = True
            self.on_change(urgent=True)
        try:
            stored = self.orchestrator.store.load(self.id)
            nested = behind.nested_in(self.orchestrator, stored.instance)
        except SagaNotFound as error:
            self._lose(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is looked into again later
            if not closed:
                self._unanswered = f"the store does not answer: {error}"
                self.say(self._unanswered, bad=True)
            return
        if self._unanswered == self.message.text != "":
            self.say("the store answers again")
        with self._lock:
            for path, instance in nested.items():
                self._nest(path, instance)
            owned = stored.summary.owner if is_owned(stored.summary) else None
            owner = None if owned is None or self._drives else owned.name
            changed, self.owner = owner != self.owner or bool(nested), owner
        self._take(stored.instance, changed=changed)

    def _lose(self, why: str) -> None:
        with self._lock:
            self.lost = f"it is gone: {why}"
        self.on_change(urgent=True)

    def _nest(self, path: str, instance: SagaInstance) -> None:
        known = self.nested.get(path)
        if known is None or len(instance.history) > len(known.history):
            self.nested[path] = instance

    def _take(self, instance: SagaInstance, *, changed: bool = False) -> None:
        """Make a newer state of the instance the present one; one that is older is late."""
        with self._lock:
            # Of that id there may be another one by now, where this one was deleted.
            is_other = instance.created_at > self.live.created_at
            newer = is_other or len(instance.history) > len(self.live.history)
            was, now = instance_standing(self.live).word, instance_standing(instance).word
            if is_other:
                self.at, self.nested = None, {}
            if newer:
                self.live = instance
                if was != now or is_other:
                    self.message = Message(text=f"{self.id}: {now}")
        if newer or changed:
            rests = instance.is_at_rest or bool(instance.blocked) or instance.waiting
            self.on_change(urgent=newer and rests and was != now)

    # Moving about -----------------------------------------------------------------------------------------------------

    def say(self, text: str, *, bad: bool = False) -> None:
        """Tell whoever looks on."""
        with self._lock:
            self.message = Message(text=text, tone="bad" if bad else "told")
        self.on_change(urgent=True)

    def select(self, step: str | None, target: Target = "action") -> None:
        """Open the panel of a step, by its path; None: close it.

        Raises:
            RequestError: there is no such step.
        """
        if step is not None:
            outlined_step(self.live, step)
        with self._lock:
            self.selected = None if step is None else (step, target)
            self.zoomed = self.zoomed and step is not None
        self.on_change(urgent=False)

    def zoom(self, *, on: bool) -> None:
        """Have the timeline show the time of the selected step alone, or all of it."""
        with self._lock:
            self.zoomed = on and self.selected is not None
        self.on_change(urgent=False)

    def travel(self, event_number: int | None) -> None:
        """See it as it was once that event was recorded; None: as it stands.

        Raises:
            IndexError: there is no event of that number.
        """
        with self._lock:
            if event_number is not None:
                self.live.at(event_number)
            self.at = event_number
        self.on_change(urgent=False)

    def break_step(self, step: str, kind: BreakKind, *, times: int | None, target: Target) -> None:
        """Have a step's action or compensation go wrong when it is called.

        Raises:
            RequestError: there is no such step, nothing of it is called, or there is no such fault.
        """
        self._check_breakable(step, target)
        fault = Break(kind, times)
        with self._lock:
            self.breaks[step, target] = fault
        self.say(f"the {target} of {step} breaks: {fault}")

    def _check_breakable(self, step: str, target: Target) -> None:
        hindrance = self._hindrance() or nested_hindrance(self.id)
        if hindrance is not None:
            raise RequestError(f"instance {self.id!r}: {hindrance}")
        check_breakable(outlined_step(self.live, step), step, target)

    def mend(self, step: str, target: Target) -> None:
        """Have it work again.

        Raises:
            RequestError: there is no such step, or nothing of it is called.
        """
        self._check_breakable(step, target)
        with self._lock:
            self.breaks.pop((step, target), None)
        self.say(f"the {target} of {step} works again")

    # Driving ----------------------------------------------------------------------------------------------------------

    def begin(self, order: Order) -> Drive:
        """An order, about to be carried out; who begins one performs it.

        Raises:
            SagaError: there is no orchestrator, or it is closed.
        """
        with self._lock:
            hindrance = self._hindrance()
            if self.orchestrator is None or hindrance is not None:
                raise SagaError(f"instance {self.id!r}: {hindrance}")
            sagas = [self._as_broken(saga) for saga in behind.sagas(self.orchestrator)]
            # Whoever listens hears it from the orchestrator itself.
            hears = None if self._silence is not None else self.heard
            private = self.orchestrator.alongside(sagas=sagas, on_event=hears)
            drive = Drive(private, order, self.loop, began_at=len(self.live.history))
            self._drives.append(drive)
            self.owner = None
            self.message = Message()
        try:
            self.on_change(urgent=False)
        except BaseException:
            # Ctrl-C: whoever would have performed it does not come to it.
            with self._lock:
                self._drives.remove(drive)
            raise
        return drive

    def _as_broken(self, saga: Defined) -> Defined:
        # What is broken are steps of this instance's saga: others may have some of the same name.
        return Broken(saga, self.breaks) if saga.definition.saga == self.live.saga else saga

    def ended(self, drive: Drive, error: BaseException | None) -> None:
        """Take in how an order ended; again changes nothing."""
        with self._lock:
            if drive not in self._drives:
                return
            self._drives.remove(drive)
        self.refresh()
        stopped, idle = drive.is_stopped, drive.began_at == len(self.live.history)
        fork = self.origin is not None
        told = endings.told(error, self.live, stopped=stopped, idle=idle, owner=self.owner, is_fork=fork)
        if told is not None:
            self.say(told, bad=endings.is_bad(error, stopped=stopped))
        else:
            self.on_change(urgent=True)

    def pause(self) -> None:
        """Stop what drives it from here: the outcome of the action under way is recorded, nothing new starts."""
        with self._lock:
            drives = tuple(self._drives)
        for drive in drives:
            drive.stop()
        if drives:
            self.say("pausing: what is under way is recorded, nothing new starts")

    @property
    def is_driving(self) -> bool:
        """Whether it is driven from here."""
        return bool(self._drives)


def outlined_step(instance: SagaInstance, step: str) -> e.StepOutline:
    """The outline of a step, by its path.

    Raises:
        RequestError: there is no such step.
    """
    try:
        return outlined(instance.outline, step)
    except KeyError:
        raise RequestError(f"saga {instance.saga!r} has no step {step!r}") from None
