"""The console as a widget: it shows what the kernel draws, and passes on what is clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sagafsm.notebook.behind import Orchestrating
from sagafsm.notebook.frames import Message
from sagafsm.notebook.inspector.widget import Inspector
from sagafsm.notebook.pairing import publish
from sagafsm.notebook.store_console.board import Console, heed
from sagafsm.notebook.store_console.panes import STYLES
from sagafsm.view.theme import style

_STATIC = Path(__file__).parents[1] / "static"


def script() -> str:
    """The module that shows it in a page: the inspector's, whose parts it uses, and its own behind it."""
    shared = str(Inspector._esm).replace("export default () =>", "const alone = () =>")
    return f"{shared}\n{(_STATIC / 'console.js').read_text(encoding='utf-8')}"


def stylesheet() -> str:
    """The rules of the widget: those of the inspector, and its own."""
    own = style(*STYLES, (_STATIC / "console.css").read_text(encoding="utf-8"))
    return f"{Inspector._css}\n{own}"


def _complete(_: object, widget: LiveConsole) -> Message:
    """The state of the widget is drawn when it is asked for: a page that is loaded again has all at once."""
    return widget.frames.complete()


class LiveConsole(Console, anywidget.AnyWidget):
    """A console that lives in a notebook's output, in as many views as it is displayed."""

    is_paged = True
    _esm = script()
    _css = stylesheet()
    frame = traitlets.Dict().tag(sync=True, to_json=_complete)

    def __init__(self, orchestrator: Orchestrating) -> None:
        Console.__init__(self, orchestrator)
        anywidget.AnyWidget.__init__(self)
        self.on_msg(self._asked)

    def _asked(self, _: object, command: Any, __: object) -> None:
        if isinstance(command, dict):
            heed(self, command)

    def _transmit(self, message: Message) -> None:
        self.send(message)

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static())
        publish(self._repr_mimebundle_())

    def close(self) -> None:
        """Follow the store no more; the page keeps what it shows."""
        Console.close(self)
        anywidget.AnyWidget.close(self)
