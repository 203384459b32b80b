"""One instance as somebody looks at it and drives it: the model of the inspector, which knows of no widget."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs

from sagafsm.definition.definition import HasDefinition
from sagafsm.engine.ownership import is_owned
from sagafsm.errors import RequestError, SagaError, SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, find_outline
from sagafsm.notebook import orchestrators
from sagafsm.notebook.inspector import actions
from sagafsm.notebook.inspector.actions import OrchestratorCall, StoppableCall
from sagafsm.notebook.inspector.view_model import ForkOrigin, Notice, StepTarget, View, find_nested_obstacle
from sagafsm.notebook.orchestrators import AnyOrchestrator
from sagafsm.notebook.page_updates import ignore_change
from sagafsm.render.labels import label_instance
from sagafsm.verify.faults import Break, BreakKind, BreakTarget, BrokenSaga, check_breakable

READ_ONLY = "it is shown by its history alone: give inspect() its orchestrator to drive it"
CLOSED = "its orchestrator is closed: this is how the instance stood last"


@attrs.define(eq=False)
class InspectorModel:
    """An instance, where somebody is in its history, what is broken on purpose, and what drives it from here.

    Every method may be called from any thread, and none waits until an instance is driven: only
    `OrchestratorCall.perform` does.
    """

    live: SagaInstance
    orchestrator: AnyOrchestrator | None = None
    loop: Any = None
    origin: ForkOrigin | None = None
    on_change: Callable[..., None] = ignore_change
    nested: dict[str, SagaInstance] = attrs.Factory(dict)
    at: int | None = None
    selected: StepTarget | None = None
    is_zoomed: bool = False
    breaks: dict[StepTarget, Break] = attrs.Factory(dict)
    owner: str | None = None
    message: Notice = attrs.Factory(Notice)
    gone_reason: str | None = None
    _drives: list[StoppableCall] = attrs.field(factory=list, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    _unsubscribe: Callable[[], None] | None = attrs.field(default=None, init=False)
    _was_closed: bool = attrs.field(default=False, init=False)
    _store_error: str = attrs.field(default="", init=False)

    @property
    def id(self) -> str:
        """The id of the instance."""
        return self.live.id

    # Looking ----------------------------------------------------------------------------------------------------------

    def sight(self) -> View:
        """What is seen of it now."""
        with self._lock:
            return View(
                live=self.live,
                nested=dict(self.nested),
                at=self.at,
                selected=self.selected,
                is_zoomed=self.is_zoomed,
                breaks={place: fault for place, fault in self.breaks.items() if not fault.is_spent},
                driving=bool(self._drives),
                owner=self.owner,
                obstacle=self._find_obstacle(),
                definition_obstacle=self._find_definition_obstacle(),
                origin=self.origin,
                message=self.message,
            )

    def _find_obstacle(self) -> str | None:
        if self.orchestrator is None:
            return READ_ONLY
        return self.gone_reason or (CLOSED if self.orchestrator.is_closed else None)

    def _find_definition_obstacle(self) -> str | None:
        nested = find_nested_obstacle(self.id)
        if nested is not None or self.orchestrator is None:
            return nested
        return orchestrators.find_definition_obstacle(self.orchestrator, self.live)

    def listen(self) -> None:
        """Hear at once what the orchestrator does with it, until `stop_listening`."""
        if self.orchestrator is None or self._unsubscribe is not None:
            return
        self._unsubscribe = orchestrators.subscribe(self.orchestrator, self.handle_event)

    def stop_listening(self) -> None:
        """Hear no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def handle_event(self, instance: SagaInstance, event: e.Event) -> None:  # noqa: ARG002 - a listener is given both
        """Take in what a drive has just made durable."""
        if instance.id == self.id:
            self._replace_live(instance)
        elif instance.id.startswith(f"{self.id}/"):
            with self._lock:
                self._store_nested(instance.id.removeprefix(f"{self.id}/"), instance)
            self.on_change(urgent=False)

    def refresh(self) -> None:
        """Look into the store, for what others did."""
        if self.orchestrator is None or self.gone_reason is not None:
            return
        closed = self.orchestrator.is_closed
        if closed and not self._was_closed:
            self._was_closed = True
            self.on_change(urgent=True)
        try:
            stored = self.orchestrator.store.load(self.id)
            nested = orchestrators.load_nested(self.orchestrator, stored.instance)
        except SagaNotFound as error:
            self._mark_gone(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is looked into again later
            if not closed:
                self._store_error = f"the store does not answer: {error}"
                self.show_message(self._store_error, bad=True)
            return
        if self._store_error == self.message.text != "":
            self.show_message("the store answers again")
        with self._lock:
            for path, instance in nested.items():
                self._store_nested(path, instance)
            owned = stored.summary.owner if is_owned(stored.summary) else None
            owner = None if owned is None or self._drives else owned.name
            changed, self.owner = owner != self.owner or bool(nested), owner
        self._replace_live(stored.instance, changed=changed)

    def _mark_gone(self, why: str) -> None:
        with self._lock:
            self.gone_reason = f"it is gone: {why}"
        self.on_change(urgent=True)

    def _store_nested(self, path: str, instance: SagaInstance) -> None:
        known = self.nested.get(path)
        if known is None or len(instance.history) > len(known.history):
            self.nested[path] = instance

    def _replace_live(self, instance: SagaInstance, *, changed: bool = False) -> None:
        """Make a newer state of the instance the present one; one that is older is late."""
        with self._lock:
            # Of that id there may be another one by now, where this one was deleted.
            is_other = instance.created_at > self.live.created_at
            newer = is_other or len(instance.history) > len(self.live.history)
            was, now = label_instance(self.live).word, label_instance(instance).word
            if is_other:
                self.at, self.nested = None, {}
            if newer:
                self.live = instance
                if was != now or is_other:
                    self.message = Notice(text=f"{self.id}: {now}")
        if newer or changed:
            rests = instance.is_at_rest or bool(instance.blocked) or instance.waiting
            self.on_change(urgent=newer and rests and was != now)

    # Moving about -----------------------------------------------------------------------------------------------------

    def show_message(self, text: str, *, bad: bool = False) -> None:
        """Tell whoever looks on."""
        with self._lock:
            self.message = Notice(text=text, tone="bad" if bad else "told")
        self.on_change(urgent=True)

    def select(self, step: str | None, target: BreakTarget = "action") -> None:
        """Open the panel of a step, by its path; None: close it.

        Raises:
            RequestError: there is no such step.
        """
        if step is not None:
            require_outline(self.live, step)
        with self._lock:
            self.selected = None if step is None else (step, target)
            self.is_zoomed = self.is_zoomed and step is not None
        self.on_change(urgent=False)

    def zoom(self, *, on: bool) -> None:
        """Have the timeline show the time of the selected step alone, or all of it."""
        with self._lock:
            self.is_zoomed = on and self.selected is not None
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

    def break_step(self, step: str, kind: BreakKind, *, times: int | None, target: BreakTarget) -> None:
        """Have a step's action or compensation go wrong when it is called.

        Raises:
            RequestError: there is no such step, nothing of it is called, or there is no such fault.
        """
        self._check_breakable(step, target)
        fault = Break(kind, times)
        with self._lock:
            self.breaks[step, target] = fault
        self.show_message(f"the {target} of {step} breaks: {fault}")

    def _check_breakable(self, step: str, target: BreakTarget) -> None:
        obstacle = self._find_obstacle() or find_nested_obstacle(self.id)
        if obstacle is not None:
            raise RequestError(f"instance {self.id!r}: {obstacle}")
        check_breakable(require_outline(self.live, step), step, target)

    def mend(self, step: str, target: BreakTarget) -> None:
        """Have it work again.

        Raises:
            RequestError: there is no such step, or nothing of it is called.
        """
        self._check_breakable(step, target)
        with self._lock:
            self.breaks.pop((step, target), None)
        self.show_message(f"the {target} of {step} works again")

    # Driving ----------------------------------------------------------------------------------------------------------

    def begin(self, order: OrchestratorCall) -> StoppableCall:
        """An order, about to be carried out; who begins one performs it.

        Raises:
            SagaError: there is no orchestrator, or it is closed.
        """
        with self._lock:
            obstacle = self._find_obstacle()
            if self.orchestrator is None or obstacle is not None:
                raise SagaError(f"instance {self.id!r}: {obstacle}")
            sagas = [self._wrap_broken(saga) for saga in self.orchestrator.sagas]
            # Whoever listens hears it from the orchestrator itself.
            hears = None if self._unsubscribe is not None else self.handle_event
            private = self.orchestrator.alongside(sagas=sagas, on_event=hears)
            drive = StoppableCall(private, order, self.loop, began_at=len(self.live.history))
            self._drives.append(drive)
            self.owner = None
            self.message = Notice()
        try:
            self.on_change(urgent=False)
        except BaseException:
            # Ctrl-C: whoever would have performed it does not come to it.
            with self._lock:
                self._drives.remove(drive)
            raise
        return drive

    def _wrap_broken(self, saga: HasDefinition) -> HasDefinition:
        # What is broken are steps of this instance's saga: others may have some of the same name.
        return BrokenSaga(saga, self.breaks) if saga.definition.saga == self.live.saga else saga

    def ended(self, drive: StoppableCall, error: BaseException | None) -> None:
        """Take in how an order ended; again changes nothing."""
        with self._lock:
            if drive not in self._drives:
                return
            self._drives.remove(drive)
        self.refresh()
        stopped, idle = drive.is_stopped, drive.began_at == len(self.live.history)
        fork = self.origin is not None
        told = actions.describe_end(error, self.live, stopped=stopped, idle=idle, owner=self.owner, is_fork=fork)
        if told is not None:
            self.show_message(told, bad=actions.is_failure(error, stopped=stopped))
        else:
            self.on_change(urgent=True)

    def pause(self) -> None:
        """Stop what drives it from here: the outcome of the action under way is recorded, nothing new starts."""
        with self._lock:
            drives = tuple(self._drives)
        for drive in drives:
            drive.stop()
        if drives:
            self.show_message("pausing: what is under way is recorded, nothing new starts")


def require_outline(instance: SagaInstance, step: str) -> e.StepOutline:
    """The outline of a step, by its path.

    Raises:
        RequestError: there is no such step.
    """
    try:
        return find_outline(instance.outline, step)
    except KeyError:
        raise RequestError(f"saga {instance.saga!r} has no step {step!r}") from None
