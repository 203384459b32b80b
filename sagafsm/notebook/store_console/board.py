"""What a console does, free of any widget: it follows a store, narrows what is shown, and opens an instance."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from sagafsm.errors import RequestError
from sagafsm.notebook import pairing
from sagafsm.notebook.behind import Orchestrating
from sagafsm.notebook.following import Follower, Watch
from sagafsm.notebook.frames import Frames, Message, Picture
from sagafsm.notebook.inspector.commands import obey
from sagafsm.notebook.inspector.inspection import Inspection
from sagafsm.notebook.inspector.inspector import session_of
from sagafsm.notebook.inspector.session import Session
from sagafsm.notebook.store_console.panes import picture, static_card
from sagafsm.notebook.store_console.roster import Roster

# A look reads up to some thousand rows: not more often than so many seconds.
PERIOD = 2.0
# The snapshot that a saved notebook keeps is drawn anew after so many seconds, where anything has changed.
KEPT_AFTER = 5.0


class Opened(Inspection):
    """An instance inspected within a console, through which it speaks to the page."""

    def __init__(self, session: Session, number: int, send: Callable[[Message], None]) -> None:
        self.number, self._send = number, send
        super().__init__(session)

    def _transmit(self, message: Message) -> None:
        self._send({"kind": "within", "number": self.number, "message": message})


class Console:
    """The instances of a store as somebody looks at them, and the one of them that is open for inspection, if any.

    `opened` is that one's inspector, whose methods do from a cell what its buttons do.
    """

    # Whether a page asks for what is shown.
    is_paged = False

    def __init__(self, orchestrator: Orchestrating) -> None:
        self.orchestrator = orchestrator
        self.opened: Opened | None = None
        self._number = 0
        self._said = ""
        self._looked = self._kept = float("-inf")
        self._watch = Watch(is_paged=self.is_paged)
        self._missed = self._is_closed = False
        self.roster = Roster(orchestrator)
        self.roster.refresh()
        self.roster.on_change = self._changed
        self.frames = Frames(self._picture, self._transmit)
        self._snapshots = pairing.Snapshots()
        self.roster.listen()
        self._follower = Follower(weakref.ref(self))

    def follow(self) -> None:
        """Begin to look into the store; again changes nothing."""
        self._follower.start()

    # Looking ----------------------------------------------------------------------------------------------------------

    def static(self) -> str:
        """The first instances, as a static card."""
        return static_card(self.roster.glance())

    def _picture(self) -> Picture:
        return picture(
            self.roster.glance(), opened=None if self.opened is None else self.opened.number, said=self._said
        )

    def _changed(self, *, urgent: bool = False) -> None:
        self._missed = self.is_forgotten
        if not self._missed:
            self.frames.changed(urgent=urgent)

    def _transmit(self, message: Message) -> None:
        """Send a message to the page; without a widget there is none."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks on."""
        return self._watch.is_watched

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody looks on any more, so that nothing need be drawn or looked for."""
        return self._watch.is_forgotten

    def refresh(self) -> None:
        """Look into the store, for what others did; no sooner than two seconds after the last look."""
        now = time.monotonic()
        if now - self._looked < PERIOD:
            return
        self.roster.refresh()
        self._looked = time.monotonic()
        if now - self._kept > KEPT_AFTER:
            self._kept = now
            self._snapshots.update(self.static)

    def pinged(self, seq: int) -> None:
        """Answer a page that tells what it has seen last."""
        if self._watch.asked():
            self._follower.start()
            if self._missed:
                self._changed(urgent=True)
        self.frames.seen(seq)
        self._transmit({"kind": "pong", "seq": self.frames.seq})

    # What can be asked ------------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Show those instances alone whose id, saga and state hold every word of a text."""
        self.roster.search(text)

    def toggle(self, state: str) -> None:
        """Show those in a state alone, beside others so chosen; again: no longer.

        Raises:
            RequestError: there is no such state.
        """
        self.roster.toggle(state)

    def more(self) -> None:
        """Show more rows."""
        self.roster.more()

    def inspect(self, id: str) -> Inspection:
        """Inspect an instance in the place of the list.

        Raises:
            SagaNotFound: there is none of that id.
        """
        session = session_of(id, self.orchestrator)
        self._leave()
        self._number += 1
        self.opened = Opened(session, self._number, self._transmit)
        self.opened.follow()
        self.say("")
        self.opened.frames.flush(full=True)
        return self.opened

    def back(self) -> None:
        """Show the list again. What drives the instance from its inspector stops."""
        self._leave()
        self._looked = float("-inf")
        self.roster.refresh()
        self.say("")

    def say(self, text: str) -> None:
        """Tell whoever looks on."""
        self._said = text
        self._changed(urgent=True)

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
        self.roster.ignore()
        self._follower.close()
        self._snapshots.update(self.static)
        self.frames.close()
        self._transmit({"kind": "closed"})


def heed(console: Console, command: Mapping[str, Any]) -> None:
    """Do what a page asks for; what is wrong with it is told there, and nothing is raised."""
    if "within" in command:
        if console.opened is not None and command["within"] == console.opened.number:
            obey(console.opened, command)
        return
    try:
        known = _COMMANDS.get(str(command.get("do")))
        if known is None:
            raise RequestError(f"a page cannot ask for {command.get('do')!r}")
        known(console, command)
    except Exception as error:  # noqa: BLE001 - whoever clicked is told, whatever it is; a cell's output is elsewhere
        console.say(f"{type(error).__name__}: {error}")


def _text(command: Mapping[str, Any], name: str) -> str:
    value = command.get(name)
    if isinstance(value, str):
        return value
    raise RequestError(f"{command['do']!r} takes {name} as text, not {value!r}")


def _number(command: Mapping[str, Any], name: str) -> int:
    value = command.get(name)
    if isinstance(value, int):
        return value
    raise RequestError(f"{command['do']!r} takes {name} as a number, not {value!r}")


_COMMANDS: Mapping[str, Callable[[Console, Mapping[str, Any]], object]] = {
    "search": lambda console, command: console.search(_text(command, "text")),
    "toggle": lambda console, command: console.toggle(_text(command, "state")),
    "nested": lambda console, command: console.roster.show_nested(on=bool(command.get("on"))),
    "more": lambda console, _: console.more(),
    "open": lambda console, command: console.inspect(_text(command, "id")),
    "list": lambda console, _: console.back(),
    "resync": lambda console, _: console.frames.flush(full=True),
    "ping": lambda console, command: console.pinged(_number(command, "seq")),
}
