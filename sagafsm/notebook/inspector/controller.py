"""What somebody who inspects an instance can do, from a cell or by a click; with a widget or without."""

from __future__ import annotations

import asyncio
import re
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.engine.config import NOT_GIVEN
from sagafsm.errors import SagaError
from sagafsm.history.instance import SagaInstance
from sagafsm.notebook.inspector import actions
from sagafsm.notebook.inspector.actions import (
    OrchestratorCall,
    StoppableCall,
    find_running_action_loop,
    run_action_on_loop,
    start_thread,
)
from sagafsm.notebook.inspector.model import InspectorModel
from sagafsm.notebook.inspector.panes import build_page_state
from sagafsm.notebook.inspector.view_model import ForkOrigin
from sagafsm.notebook.orchestrators import AnyOrchestrator, find_definition
from sagafsm.notebook.page_updates import PageMessage, PageState, PageUpdater, ignore_change
from sagafsm.notebook.polling import PageActivity, Poller
from sagafsm.notebook.saved_output import Snapshots
from sagafsm.render.card import render_html_page, render_instance_card
from sagafsm.render.plain_text import format_instance
from sagafsm.verify.faults import BreakKind, BreakTarget
from sagafsm.verify.simulate.process import Crashed


class Inspection:
    """An instance under inspection; with an `AsyncOrchestrator` what drives it returns an awaitable.

    `instance` is how it stands, and `orchestrator` what drives it: those of the fork, while one is looked at.
    """

    # Whether a page asks for what is shown.
    is_paged = False

    def __init__(self, session: InspectorModel, *, fork_resources: ForkResources | None = None) -> None:
        self._sessions = [session]
        self._fork_resources = fork_resources
        self._uid = f"i{uuid.uuid4().hex[:8]}"
        self._watch = PageActivity(is_paged=self.is_paged)
        self._missed = self._is_closed = False
        self.frames = PageUpdater(self._build_page, self._transmit)
        self._snapshots = Snapshots(lambda: format_instance(self._sessions[0].live))
        self._follower = Poller(weakref.ref(self))
        session.on_change = self._on_change

    def follow(self) -> None:
        """Hear what its orchestrator does with the instance, and look for what others do, until it is closed."""
        self.session.listen()
        self._follower.start()

    # Looking ----------------------------------------------------------------------------------------------------------

    @property
    def session(self) -> InspectorModel:
        """The instance that is looked at: the fork, while one is."""
        return self._sessions[-1]

    @property
    def instance(self) -> SagaInstance:
        """How the instance stands, or the fork that is looked at."""
        if self._follower.is_idle:
            self.session.refresh()
        return self.session.live

    @property
    def orchestrator(self) -> AnyOrchestrator | None:
        """What drives it; None: it is shown by its history alone."""
        return self.session.orchestrator

    def to_html(self) -> str:
        """A page that needs nothing beside it: the instance as it is seen, at the present or the past."""
        seen, nested = self.session.sight().seen
        return render_html_page(f"Instance {seen.id} of saga {seen.saga}", render_instance_card(seen, nested=nested))

    def static(self) -> str:
        """The instance as it stands, and not a fork of it, as a static card."""
        sight = self._sessions[0].sight()
        return render_instance_card(sight.live, nested=sight.nested, note=sight.obstacle)

    def _build_page(self) -> PageState:
        session = self.session
        return build_page_state(session.sight(), find_definition(session.orchestrator, session.live), self._uid)

    def _on_change(self, *, urgent: bool = False) -> None:
        self._missed = self.is_page_gone
        if not self._missed:
            self.frames.request_update(urgent=urgent)
        if urgent:
            self._snapshots.update(self.static)

    def _transmit(self, message: PageMessage) -> None:
        """Send a message to the page; without a widget there is none."""

    @property
    def is_watched(self) -> bool:
        """Whether it may still change, and somebody looks on."""
        return not self.session.live.is_at_rest and self._watch.is_watched

    @property
    def is_page_gone(self) -> bool:
        """Whether nobody looks on any more, so that nothing need be drawn or looked for."""
        return self._watch.is_page_gone

    def refresh(self) -> None:
        """Look into the store, for what others did."""
        self.session.refresh()

    def handle_ping(self, seq: int) -> None:
        """Answer a page that tells what it has seen last."""
        if self._watch.record_ping():
            self._follower.start()
            if self._missed:
                self._on_change(urgent=True)
        self.frames.seen(seq)
        self._transmit({"kind": "pong", "seq": self.frames.seq})

    # Driving ----------------------------------------------------------------------------------------------------------

    def run(self) -> Any:
        """Drive it until it rests or parks; return it as it then stands.

        On the thread of the caller, so that Ctrl-C reaches the action under way; then it goes on by `run` again.
        """
        return self._perform(actions.build_resume(self.session.id))

    def step(self) -> Any:
        """Do one command of it, and return it."""
        return self._perform(actions.build_advance(self.session.id))

    def pause(self) -> None:
        """Stop what drives it from here: the outcome of the action under way is recorded, nothing new starts."""
        self.session.pause()

    def cancel(self, *, reason: str, by: str | None = None) -> Any:
        """Ask it to go back; see `Orchestrator.cancel`."""
        return self._perform(actions.build_cancel(self.session.id, reason=reason, by=by))

    def signal(self, name: str, payload: Any = None) -> Any:
        """Give it a signal; see `Orchestrator.signal`."""
        return self._perform(actions.build_signal(self.session.id, name, payload))

    def decide(
        self,
        decision: str,
        *,
        step: str | None = None,
        reason: str | None = None,
        result: Any = NOT_GIVEN,
        by: str | None = None,
    ) -> Any:
        """Decide what is blocked, by one of its `decisions`, and drive on; see `Orchestrator.retry` and its like."""
        order = actions.build_decision(self.session.id, decision, step=step, reason=reason, result=result, by=by)
        return self._perform(order)

    def break_step(
        self, step: str, kind: BreakKind = "raise_before", *, times: int | None = 1, target: BreakTarget = "action"
    ) -> None:
        """Have a step's action or compensation go wrong when it is called from here; `times` None: always.

        "raise_before": it is refused. "raise_after": it is done, but times out. "crash", "crash_after": the process
        dies before it, or after it was done.

        Raises:
            RequestError: there is no such step, or no such fault.
        """
        self.session.break_step(step, kind, times=times, target=target)

    def mend(self, step: str, *, target: BreakTarget = "action") -> None:
        """Have it work again."""
        self.session.mend(step, target)

    def _perform(self, order: OrchestratorCall) -> Any:
        """Carry an order out on this thread, or, of an async orchestrator, begin it on this loop."""
        session = self.session
        drive = session.begin(order)
        if drive.is_async and find_running_action_loop() is not None:
            task = asyncio.ensure_future(_await_controller_call(session, drive))
            # A task that is cancelled before it has begun never ends what it did not begin.
            task.add_done_callback(lambda _: session.ended(drive, asyncio.CancelledError()))
            return task
        try:
            result = drive.perform()
        except Crashed as crashed:
            session.ended(drive, crashed)
            return session.live
        except BaseException as error:
            session.ended(drive, error)
            raise
        session.ended(drive, None)
        return result

    def begin(self, order: OrchestratorCall) -> None:
        """Carry an order out on a thread of its own; how it ends is told where it is looked at."""
        session = self.session
        drive = session.begin(order)

        def work() -> None:
            try:
                drive.perform()
            except BaseException as error:  # noqa: BLE001 - told to whoever looks on; a thread has nobody else
                session.ended(drive, error)
            else:
                session.ended(drive, None)

        start_thread(work, "drive")

    # Time travel ------------------------------------------------------------------------------------------------------

    def travel(self, event_number: int | None = None) -> None:
        """See it as it was once that event was recorded; None: as it stands, and as it goes on.

        Raises:
            IndexError: there is no event of that number.
        """
        self.session.travel(event_number)

    def fork(self, at: int | None = None, *, resources: Mapping[str, Any] | None = None) -> Any:
        """Look at a what-if: the instance as it was at that event, or where somebody travelled, in memory.

        It has only the `resources` given here or as fork_resources=, never those of the original. `back` returns.

        Raises:
            IndexError: there is no event of that number.
        """
        session = self.session
        at = session.sight().position if at is None else at
        given = self._fork_resources if resources is None else resources
        if isinstance(session.orchestrator, AsyncOrchestrator) and find_running_action_loop() is not None:
            return asyncio.ensure_future(self._fork_async(session, at, given))
        self._show_fork(make_fork(session, at, given), session)
        return self

    async def _fork_async(self, session: InspectorModel, at: int, given: ForkResources | None) -> Inspection:
        self._show_fork(await make_fork_async(session, at, given), session)
        return self

    def begin_fork(self) -> None:
        """Fork where somebody travelled, on a thread of its own."""
        session = self.session
        at = session.sight().position

        def work() -> None:
            try:
                self._show_fork(make_fork(session, at, self._fork_resources), session)
            except Exception as error:  # noqa: BLE001 - told to whoever looks on
                session.show_message(f"{type(error).__name__}: {error}", bad=True)

        start_thread(work, "fork")

    def _show_fork(self, fork: InspectorModel, of: InspectorModel) -> None:
        """Look at a fork, unless somebody who clicked twice looks at one already."""
        if self.session is of:
            fork.on_change = self._on_change
            fork.refresh()
            fork.listen()
            self._sessions.append(fork)
            fork.show_message(
                f"fork of {fork.id} at event {len(fork.live.history)}: nothing of it reaches the original"
            )

    def back(self) -> None:
        """Leave the fork, and look at what it was taken from; of what is no fork nothing happens."""
        if len(self._sessions) > 1:
            fork = self._sessions.pop()
            fork.pause()
            fork.stop_listening()
            fork.on_change = ignore_change
            self.session.show_message(f"back at {self.session.id}")
            start_thread(self.session.refresh, "look")

    # Ending -----------------------------------------------------------------------------------------------------------

    def export(self) -> None:
        """Offer the page as a file to whoever looks on."""
        name = re.sub(r"[^\w.-]+", "-", self.session.id).strip("-.") or "instance"
        self._transmit({"kind": "file", "name": f"{name}.html", "html": self.to_html()})

    def close(self) -> None:
        """Stop what drives it from here and follow it no more; what is shown stays as it is."""
        if self._is_closed:
            return
        self._is_closed = True
        for session in self._sessions:
            session.pause()
            session.stop_listening()
        self._follower.close()
        self._snapshots.update(self.static)
        self.frames.close()


async def _await_controller_call(session: InspectorModel, drive: StoppableCall) -> SagaInstance:
    """How an async orchestrator's order ends, on its loop."""
    try:
        result: SagaInstance = await drive.awaited()
    except Crashed as crashed:
        await asyncio.to_thread(session.ended, drive, crashed)
        return session.live
    except BaseException as error:
        session.ended(drive, error)
        raise
    await asyncio.to_thread(session.ended, drive, None)
    return result


# What a fork is given: never the original's.
ForkResources = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


def make_fork(session: InspectorModel, at: int, resources: ForkResources | None) -> InspectorModel:
    """A session over the instance as it was at that event; one of an async orchestrator is waited for on this thread.

    Raises:
        IndexError: there is no event of that number.
    """
    orchestrator, given = _require_orchestrator(session), _make_resources(resources)
    if isinstance(orchestrator, AsyncOrchestrator):
        made: AnyOrchestrator = run_action_on_loop(
            lambda: orchestrator.fork(session.id, at=at, resources=given), session.loop
        )
    else:
        made = orchestrator.fork(session.id, at=at, resources=given)
    return _open_fork(made, session, at)


async def make_fork_async(session: InspectorModel, at: int, resources: ForkResources | None) -> InspectorModel:
    """The same for an async orchestrator, on its loop."""
    made = await _require_orchestrator(session).fork(session.id, at=at, resources=_make_resources(resources))
    return _open_fork(made, session, at)


def _require_orchestrator(session: InspectorModel) -> Any:
    if session.orchestrator is None:
        raise SagaError(f"instance {session.id!r} is shown by its history alone: inspect() needs its orchestrator")
    return session.orchestrator


def _make_resources(resources: ForkResources | None) -> Mapping[str, Any] | None:
    return resources() if callable(resources) else resources


def _open_fork(made: AnyOrchestrator, session: InspectorModel, at: int) -> InspectorModel:
    live = made.store.load(session.id).instance
    return InspectorModel(
        live=live, orchestrator=made, loop=session.loop, origin=ForkOrigin(instance_id=session.id, at=at)
    )
