"""The instances of a store as somebody looks at them: the model of the console, which knows of no widget."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from sagafsm import events as e
from sagafsm.errors import RequestError
from sagafsm.instance import SagaInstance
from sagafsm.notebook import behind
from sagafsm.notebook.behind import Orchestrating
from sagafsm.notebook.store_console.overview import Found, Overview, Question, overview
from sagafsm.notebook.store_console.survey import summary_of, survey
from sagafsm.store import Summary
from sagafsm.view.listing import ORDER

CLOSED = "its orchestrator is closed: this is how its instances stood last"
# So many of those that a drive told of are kept beside what was read: a store lists by id, not by what is new.
MOST_HEARD = 1_000
# Ages are told anew after so many seconds, even where nothing has changed.
AGES_AFTER = 10.0


def _unheard(*, urgent: bool) -> None:
    """What a change is told to before anybody looks on."""


@attrs.frozen(kw_only=True)
class Glance:
    """What is seen of a store now: the answer to a question, and as of when its ages are told."""

    overview: Overview
    question: Question
    now: datetime
    url: str
    message: str = ""


@attrs.define(eq=False)
class Roster:
    """What a store holds, as it was read last and as drives told of since, and what somebody asked to see of it.

    Every method may be called from any thread.
    """

    orchestrator: Orchestrating
    on_change: Callable[..., None] = _unheard
    question: Question = attrs.field(factory=Question)
    message: str = ""
    monotonic: Callable[[], float] = time.monotonic
    cost: float = attrs.field(default=0.0, init=False)
    _found: Found = attrs.field(factory=Found, init=False)
    _heard: OrderedDict[str, Summary] = attrs.field(factory=OrderedDict, init=False)
    _told_at: tuple[float, datetime] | None = attrs.field(default=None, init=False)
    _silence: Callable[[], None] | None = attrs.field(default=None, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    def glance(self) -> Glance:
        """What is seen now."""
        with self._lock:
            if self._told_at is None:
                self._told_at = self.monotonic(), behind.now(self.orchestrator)
            return Glance(
                overview=overview(self._known(), self.question),
                question=self.question,
                now=self._told_at[1],
                url=self.orchestrator.store.url,
                message=CLOSED if behind.is_closed(self.orchestrator) else self.message,
            )

    def _known(self) -> Found:
        known = dict(self._found.summaries)
        for id, one in self._heard.items():
            if id not in known or known[id].length < one.length:
                known[id] = one
        return Found(summaries=known, cut=self._found.cut)

    def listen(self) -> None:
        """Hear at once what the orchestrator does, until `ignore`."""
        if self._silence is not None:
            return
        self._silence = behind.hearing(self.orchestrator, self.heard)

    def ignore(self) -> None:
        """Hear no more."""
        if self._silence is not None:
            self._silence()
            self._silence = None

    def heard(self, instance: SagaInstance, event: e.Event) -> None:  # noqa: ARG002 - a listener is given both
        """Take in what a drive has just made durable."""
        with self._lock:
            known = self._heard.pop(instance.id, None) or self._found.summaries.get(instance.id)
            self._heard[instance.id] = summary_of(instance, known)
            while len(self._heard) > MOST_HEARD:
                self._heard.popitem(last=False)
            self._told_at = None
        self.on_change(urgent=False)

    def refresh(self) -> None:
        """Look into the store, for what others did."""
        began, heard = self.monotonic(), dict(self._heard)
        try:
            found, message = survey(self.orchestrator.store, self.question.text.strip()), ""
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is looked into again later
            found, message = self._found, f"the store does not answer: {error}"
        with self._lock:
            self.cost = self.monotonic() - began
            was, self._found = (self._found, self.message), found
            if not message and not found.cut:
                self._forget(heard)
            self.message = message
            old = self._told_at is None or self.monotonic() - self._told_at[0] > AGES_AFTER
            changed = old or was != (found, message)
            self._told_at = None if changed else self._told_at
        if changed:
            self.on_change(urgent=False)

    def _forget(self, heard: Mapping[str, Summary]) -> None:
        """Let go of what a drive told of before everything was read, and what is not there any more."""
        for id, one in heard.items():
            if id not in self._found.summaries and self._heard.get(id) is one:
                del self._heard[id]

    # What somebody asks to see ----------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """See those alone that hold every word of a text in their id, saga or state."""
        self._ask(attrs.evolve(self.question, text=text, shown=Question().shown))
        if self._found.cut:
            self.refresh()

    def toggle(self, state: str) -> None:
        """See, or no longer see, those in a state.

        Raises:
            RequestError: there is no such state.
        """
        if state not in ORDER:
            raise RequestError(f"no instance is ever {state!r}")
        self._ask(self.question.toggled(state))

    def show_nested(self, *, on: bool) -> None:
        """See those too that are nested in others, or not."""
        self._ask(attrs.evolve(self.question, nested=on))

    def more(self) -> None:
        """See more rows."""
        self._ask(self.question.with_more())

    def _ask(self, question: Question) -> None:
        with self._lock:
            self.question = question
        self.on_change(urgent=True)
