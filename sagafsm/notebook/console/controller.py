"""What a console does, free of any widget: it follows a store, narrows what is shown, and opens an instance."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from sagafsm.errors import RequestError
from sagafsm.notebook.console.model import ConsoleModel
from sagafsm.notebook.console.panes import build_page_state, render_static_card
from sagafsm.notebook.inspector.controller import Inspection
from sagafsm.notebook.inspector.inspect import open_session
from sagafsm.notebook.inspector.messages import handle_message
from sagafsm.notebook.inspector.model import InspectorModel
from sagafsm.notebook.orchestrators import AnyOrchestrator
from sagafsm.notebook.page_updates import PageMessage, PageState, PageUpdater
from sagafsm.notebook.polling import PageActivity, Poller
from sagafsm.notebook.saved_output import Snapshots

# A look reads up to some thousand rows: not more often than so many seconds.
REFRESH_PERIOD = 2.0
# The snapshot that a saved notebook keeps is drawn anew after so many seconds, where anything has changed.
SNAPSHOT_PERIOD = 5.0


class EmbeddedInspection(Inspection):
    """An instance inspected within a console, through which it speaks to the page."""

    def __init__(self, session: InspectorModel, number: int, send: Callable[[PageMessage], None]) -> None:
        self.number, self._send = number, send
        super().__init__(session)

    def _transmit(self, message: PageMessage) -> None:
        self._send({"kind": "within", "number": self.number, "message": message})


class Console:
    """The instances of a store as somebody looks at them, and the one of them that is open for inspection, if any.

    `opened` is that one's inspector, whose methods do from a cell what its buttons do.
    """

    # Whether a page asks for what is shown.
    is_paged = False

    def __init__(self, orchestrator: AnyOrchestrator) -> None:
        self.orchestrator = orchestrator
        self.opened: EmbeddedInspection | None = None
        self._number = 0
        self._message = ""
        self._refreshed_at = self._snapshot_at = float("-inf")
        self._watch = PageActivity(is_paged=self.is_paged)
        self._missed = self._is_closed = False
        self.model = ConsoleModel(orchestrator)
        self.model.refresh()
        self.model.on_change = self._on_change
        self.frames = PageUpdater(self._build_page, self._transmit)
        self._snapshots = Snapshots()
        self.model.listen()
        self._follower = Poller(weakref.ref(self))

    def follow(self) -> None:
        """Begin to look into the store; again changes nothing."""
        self._follower.start()

    # Looking ----------------------------------------------------------------------------------------------------------

    def static(self) -> str:
        """The first instances, as a static card."""
        return render_static_card(self.model.make_view())

    def _build_page(self) -> PageState:
        return build_page_state(
            self.model.make_view(), opened=None if self.opened is None else self.opened.number, said=self._message
        )

    def _on_change(self, *, urgent: bool = False) -> None:
        self._missed = self.is_page_gone
        if not self._missed:
            self.frames.request_update(urgent=urgent)

    def _transmit(self, message: PageMessage) -> None:
        """Send a message to the page; without a widget there is none."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks on."""
        return self._watch.is_watched

    @property
    def is_page_gone(self) -> bool:
        """Whether nobody looks on any more, so that nothing need be drawn or looked for."""
        return self._watch.is_page_gone

    def refresh(self) -> None:
        """Look into the store, for what others did; no sooner than two seconds after the last look."""
        now = time.monotonic()
        if now - self._refreshed_at < REFRESH_PERIOD:
            return
        self.model.refresh()
        self._refreshed_at = time.monotonic()
        if now - self._snapshot_at > SNAPSHOT_PERIOD:
            self._snapshot_at = now
            self._snapshots.update(self.static)

    def handle_ping(self, seq: int) -> None:
        """Answer a page that tells what it has seen last."""
        if self._watch.record_ping():
            self._follower.start()
            if self._missed:
                self._on_change(urgent=True)
        self.frames.seen(seq)
        self._transmit({"kind": "pong", "seq": self.frames.seq})

    # What can be asked ------------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Show those instances alone whose id, saga and state hold every word of a text."""
        self.model.search(text)

    def toggle(self, state: str) -> None:
        """Show those in a state alone, beside others so chosen; again: no longer.

        Raises:
            RequestError: there is no such state.
        """
        self.model.toggle(state)

    def more(self) -> None:
        """Show more rows."""
        self.model.more()

    def inspect(self, id: str) -> Inspection:
        """Inspect an instance in the place of the list.

        Raises:
            SagaNotFound: there is none of that id.
        """
        session = open_session(id, self.orchestrator)
        self._leave()
        self._number += 1
        self.opened = EmbeddedInspection(session, self._number, self._transmit)
        self.opened.follow()
        self.show_message("")
        self.opened.frames.flush(full=True)
        return self.opened

    def back(self) -> None:
        """Show the list again. What drives the instance from its inspector stops."""
        self._leave()
        self._refreshed_at = float("-inf")
        self.model.refresh()
        self.show_message("")

    def show_message(self, text: str) -> None:
        """Tell whoever looks on."""
        self._message = text
        self._on_change(urgent=True)

    def _leave(self) -> None:
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.close()

    def close(self) -> None:
        """Follow the store no more; what is shown stays as it is."""
        if self._is_closed:
            return
        self._is_closed = True
        self._leave()
        self.model.stop_listening()
        self._follower.close()
        self._snapshots.update(self.static)
        self.frames.close()
        self._transmit({"kind": "closed"})


def handle_console_message(console: Console, command: Mapping[str, Any]) -> None:
    """Do what a page asks for; what is wrong with it is told there, and nothing is raised."""
    if "within" in command:
        if console.opened is not None and command["within"] == console.opened.number:
            handle_message(console.opened, command)
        return
    try:
        known = _COMMANDS.get(str(command.get("do")))
        if known is None:
            raise RequestError(f"a page cannot ask for {command.get('do')!r}")
        known(console, command)
    except Exception as error:  # noqa: BLE001 - whoever clicked is told, whatever it is; a cell's output is elsewhere
        console.show_message(f"{type(error).__name__}: {error}")


def _read_console_text(command: Mapping[str, Any], name: str) -> str:
    value = command.get(name)
    if isinstance(value, str):
        return value
    raise RequestError(f"{command['do']!r} takes {name} as text, not {value!r}")


def _read_console_number(command: Mapping[str, Any], name: str) -> int:
    value = command.get(name)
    if isinstance(value, int):
        return value
    raise RequestError(f"{command['do']!r} takes {name} as a number, not {value!r}")


_COMMANDS: Mapping[str, Callable[[Console, Mapping[str, Any]], object]] = {
    "search": lambda console, command: console.search(_read_console_text(command, "text")),
    "toggle": lambda console, command: console.toggle(_read_console_text(command, "state")),
    "nested": lambda console, command: console.model.show_nested(on=bool(command.get("on"))),
    "more": lambda console, _: console.more(),
    "open": lambda console, command: console.inspect(_read_console_text(command, "id")),
    "list": lambda console, _: console.back(),
    "resync": lambda console, _: console.frames.flush(full=True),
    "ping": lambda console, command: console.handle_ping(_read_console_number(command, "seq")),
}
