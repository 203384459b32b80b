"""Somebody who looks on: what an inspector sends to a page, and waiting until it shows something."""

from __future__ import annotations

import threading
from html.parser import HTMLParser

import attrs

from sagafsm.notebook import inspect
from sagafsm.notebook.inspector.messages import handle_message


@attrs.define(eq=False)
class Onlooker:
    """A page without a browser: it keeps what was sent, and clicks."""

    inspection: object
    messages: list = attrs.Factory(list)
    changed: threading.Condition = attrs.Factory(threading.Condition)

    def __attrs_post_init__(self):
        self.inspection.frames.send = self._hear
        self.inspection._transmit = self._hear

    def _hear(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def click(self, do, **told):
        handle_message(self.inspection, {"do": do, **told})

    def until(self, holds, *, within=10.0):
        with self.changed:
            assert self.changed.wait_for(holds, within), (self.said, self.inspection.instance)

    def rests(self):
        """Wait until nothing drives it from here any more."""
        self.until(lambda: not self.inspection.session.sight().driving and self._fact("driving") is not True)

    def _fact(self, name):
        return next((message[name] for message in reversed(self.messages) if name in message), None)

    @property
    def said(self):
        return self._fact("message")

    @property
    def state(self):
        return self._fact("state")


def looking(what, orchestrator, **given):
    """An inspector and who looks at it; close the inspector at the end."""
    return Onlooker(inspect(what, orchestrator, **given))


class Controls(HTMLParser):
    """Buttons and forms of a pane, by what they send or open."""

    def __init__(self, html):
        super().__init__()
        self.buttons: dict[str, dict[str, str | None]] = {}
        self.forms: dict[str, dict[str, str | None]] = {}
        self.fields: dict[str, list[dict[str, str | None]]] = {}
        self._form: str | None = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "button":
            self.buttons[given.get("data-do") or given.get("data-open") or "submit"] = given
        if tag == "form":
            self._form = given.get("data-form") or given["data-do"]
            self.forms[self._form] = given
        if tag in ("input", "textarea", "select") and self._form:
            self.fields.setdefault(self._form, []).append(given)

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None

    @property
    def enabled(self):
        return {name for name, given in self.buttons.items() if "disabled" not in given}
