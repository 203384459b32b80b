"""The instances of a store as somebody looks at them: the model of the console, which knows of no widget."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from sagafsm.errors import RequestError
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.notebook import orchestrators
from sagafsm.notebook.console.query import (
    ConsoleQuery,
    Overview,
    StoreSample,
    build_overview,
    make_summary,
    read_sample,
)
from sagafsm.notebook.orchestrators import AnyOrchestrator
from sagafsm.notebook.page_updates import ignore_change
from sagafsm.render.tables.instances import STATUS_ORDER
from sagafsm.store import Summary

CLOSED = "its orchestrator is closed: this is how its instances stood last"
# So many of those that a drive told of are kept beside what was read: a store lists by id, not by what is new.
MAX_RECENT = 1_000
# Ages are told anew after so many seconds, even where nothing has changed.
AGE_PERIOD = 10.0


@attrs.frozen(kw_only=True)
class ConsoleView:
    """What is seen of a store now: the answer to a question, and as of when its ages are told."""

    overview: Overview
    query: ConsoleQuery
    now: datetime
    url: str
    message: str = ""


@attrs.define(eq=False)
class ConsoleModel:
    """What a store holds, as it was read last and as drives told of since, and what somebody asked to see of it.

    Every method may be called from any thread.
    """

    orchestrator: AnyOrchestrator
    on_change: Callable[..., None] = ignore_change
    query: ConsoleQuery = attrs.field(factory=ConsoleQuery)
    message: str = ""
    monotonic: Callable[[], float] = time.monotonic
    cost: float = attrs.field(default=0.0, init=False)
    _stored: StoreSample = attrs.field(factory=StoreSample, init=False)
    _recent: OrderedDict[str, Summary] = attrs.field(factory=OrderedDict, init=False)
    _ages_at: tuple[float, datetime] | None = attrs.field(default=None, init=False)
    _unsubscribe: Callable[[], None] | None = attrs.field(default=None, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    def make_view(self) -> ConsoleView:
        """What is seen now."""
        with self._lock:
            if self._ages_at is None:
                self._ages_at = self.monotonic(), self.orchestrator.clock.now()
            return ConsoleView(
                overview=build_overview(self._merge_recent(), self.query),
                query=self.query,
                now=self._ages_at[1],
                url=self.orchestrator.store.url,
                message=CLOSED if self.orchestrator.is_closed else self.message,
            )

    def _merge_recent(self) -> StoreSample:
        known = dict(self._stored.summaries)
        for id, one in self._recent.items():
            if id not in known or known[id].length < one.length:
                known[id] = one
        return StoreSample(summaries=known, incomplete=self._stored.incomplete)

    def listen(self) -> None:
        """Hear at once what the orchestrator does, until `stop_listening`."""
        if self._unsubscribe is not None:
            return
        self._unsubscribe = orchestrators.subscribe(self.orchestrator, self.handle_event)

    def stop_listening(self) -> None:
        """Hear no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def handle_event(self, instance: SagaInstance, event: e.Event) -> None:  # noqa: ARG002 - a listener is given both
        """Take in what a drive has just made durable."""
        with self._lock:
            known = self._recent.pop(instance.id, None) or self._stored.summaries.get(instance.id)
            self._recent[instance.id] = make_summary(instance, known)
            while len(self._recent) > MAX_RECENT:
                self._recent.popitem(last=False)
            self._ages_at = None
        self.on_change(urgent=False)

    def refresh(self) -> None:
        """Look into the store, for what others did."""
        began, heard = self.monotonic(), dict(self._recent)
        try:
            found, message = read_sample(self.orchestrator.store, self.query.text.strip()), ""
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is looked into again later
            found, message = self._stored, f"the store does not answer: {error}"
        with self._lock:
            self.cost = self.monotonic() - began
            was, self._stored = (self._stored, self.message), found
            if not message and not found.incomplete:
                self._drop_recent(heard)
            self.message = message
            old = self._ages_at is None or self.monotonic() - self._ages_at[0] > AGE_PERIOD
            changed = old or was != (found, message)
            self._ages_at = None if changed else self._ages_at
        if changed:
            self.on_change(urgent=False)

    def _drop_recent(self, heard: Mapping[str, Summary]) -> None:
        """Let go of what a drive told of before everything was read, and what is not there any more."""
        for id, one in heard.items():
            if id not in self._stored.summaries and self._recent.get(id) is one:
                del self._recent[id]

    # What somebody asks to see ----------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """See those alone that hold every word of a text in their id, saga or state."""
        self._set_query(attrs.evolve(self.query, text=text, max_rows=ConsoleQuery().max_rows))
        if self._stored.incomplete:
            self.refresh()

    def toggle(self, state: str) -> None:
        """See, or no longer see, those in a state.

        Raises:
            RequestError: there is no such state.
        """
        if state not in STATUS_ORDER:
            raise RequestError(f"no instance is ever {state!r}")
        self._set_query(self.query.with_toggled(state))

    def show_nested(self, *, on: bool) -> None:
        """See those too that are nested in others, or not."""
        self._set_query(attrs.evolve(self.query, nested=on))

    def more(self) -> None:
        """See more rows."""
        self._set_query(self.query.with_more())

    def _set_query(self, question: ConsoleQuery) -> None:
        with self._lock:
            self.query = question
        self.on_change(urgent=True)
