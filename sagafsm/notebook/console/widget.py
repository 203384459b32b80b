"""The console as a widget: it shows what the kernel draws, and passes on what is clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sagafsm.notebook.console.controller import Console, handle_console_message
from sagafsm.notebook.console.panes import STYLES
from sagafsm.notebook.inspector.widget import Inspector
from sagafsm.notebook.orchestrators import AnyOrchestrator
from sagafsm.notebook.page_updates import PageMessage
from sagafsm.notebook.saved_output import publish_bundle
from sagafsm.render.theme import make_stylesheet

_STATIC = Path(__file__).parents[1] / "static"


def load_script() -> str:
    """The module that shows it in a page: the inspector's, whose parts it uses, and its own behind it."""
    shared = str(Inspector._esm).replace("export default () =>", "const alone = () =>")
    return f"{shared}\n{(_STATIC / 'console.js').read_text(encoding='utf-8')}"


def load_stylesheet() -> str:
    """The rules of the widget: those of the inspector, and its own."""
    own = make_stylesheet(*STYLES, (_STATIC / "console.css").read_text(encoding="utf-8"))
    return f"{Inspector._css}\n{own}"


def _draw_console_widget(_: object, widget: LiveConsole) -> PageMessage:
    """The state of the widget is drawn when it is asked for: a page that is loaded again has all at once."""
    return widget.frames.make_full_frame()


class LiveConsole(Console, anywidget.AnyWidget):
    """A console that lives in a notebook's output, in as many views as it is displayed."""

    is_paged = True
    _esm = load_script()
    _css = load_stylesheet()
    frame = traitlets.Dict().tag(sync=True, to_json=_draw_console_widget)

    def __init__(self, orchestrator: AnyOrchestrator) -> None:
        Console.__init__(self, orchestrator)
        anywidget.AnyWidget.__init__(self)
        self.on_msg(self._on_message)

    def _on_message(self, _: object, command: Any, __: object) -> None:
        if isinstance(command, dict):
            handle_console_message(self, command)

    def _transmit(self, message: PageMessage) -> None:
        self.send(message)

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static())
        publish_bundle(self._repr_mimebundle_())

    def close(self) -> None:
        """Follow the store no more; the page keeps what it shows."""
        Console.close(self)
        anywidget.AnyWidget.close(self)
