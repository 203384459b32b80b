"""The inspector as a widget: it shows what the kernel draws, and passes on what is clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sagafsm.notebook.frames import Message
from sagafsm.notebook.inspector.commands import obey
from sagafsm.notebook.inspector.forking import Resources
from sagafsm.notebook.inspector.inspection import Inspection
from sagafsm.notebook.inspector.panes import STYLES
from sagafsm.notebook.inspector.session import Session
from sagafsm.notebook.pairing import publish
from sagafsm.view.theme import style

_STATIC = Path(__file__).parents[1] / "static"


def _complete(_: object, widget: Inspector) -> Message:
    """The state of the widget is drawn when it is asked for: a page that is loaded again has all at once."""
    return widget.frames.complete()


class Inspector(Inspection, anywidget.AnyWidget):
    """An inspector that lives in a notebook's output, in as many views as it is displayed."""

    is_paged = True
    _esm = (_STATIC / "inspector.js").read_text(encoding="utf-8")
    _css = f"{style(*STYLES)}\n{(_STATIC / 'inspector.css').read_text(encoding='utf-8')}"
    frame = traitlets.Dict().tag(sync=True, to_json=_complete)

    def __init__(self, session: Session, *, fork_resources: Resources | None = None) -> None:
        Inspection.__init__(self, session, fork_resources=fork_resources)
        anywidget.AnyWidget.__init__(self)
        self.on_msg(self._asked)

    def _asked(self, _: object, command: Any, __: object) -> None:
        if isinstance(command, dict):
            obey(self, command)

    def _transmit(self, message: Message) -> None:
        self.send(message)

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static())
        publish(self._repr_mimebundle_())

    def close(self) -> None:
        """Stop what drives it from here and follow it no more; the page keeps what it shows."""
        Inspection.close(self)
        anywidget.AnyWidget.close(self)
