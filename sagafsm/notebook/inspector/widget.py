"""The inspector as a widget: it shows what the kernel draws, and passes on what is clicked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sagafsm.notebook.inspector.controller import ForkResources, Inspection
from sagafsm.notebook.inspector.messages import handle_message
from sagafsm.notebook.inspector.model import InspectorModel
from sagafsm.notebook.inspector.panes import STYLES
from sagafsm.notebook.page_updates import PageMessage
from sagafsm.notebook.saved_output import publish_bundle
from sagafsm.render.theme import make_stylesheet

_STATIC = Path(__file__).parents[1] / "static"


def _draw_inspector_widget(_: object, widget: Inspector) -> PageMessage:
    """The state of the widget is drawn when it is asked for: a page that is loaded again has all at once."""
    return widget.frames.make_full_frame()


class Inspector(Inspection, anywidget.AnyWidget):
    """An inspector that lives in a notebook's output, in as many views as it is displayed."""

    is_paged = True
    _esm = (_STATIC / "inspector.js").read_text(encoding="utf-8")
    _css = f"{make_stylesheet(*STYLES)}\n{(_STATIC / 'inspector.css').read_text(encoding='utf-8')}"
    frame = traitlets.Dict().tag(sync=True, to_json=_draw_inspector_widget)

    def __init__(self, session: InspectorModel, *, fork_resources: ForkResources | None = None) -> None:
        Inspection.__init__(self, session, fork_resources=fork_resources)
        anywidget.AnyWidget.__init__(self)
        self.on_msg(self._on_message)

    def _on_message(self, _: object, command: Any, __: object) -> None:
        if isinstance(command, dict):
            handle_message(self, command)

    def _transmit(self, message: PageMessage) -> None:
        self.send(message)

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static())
        publish_bundle(self._repr_mimebundle_())

    def close(self) -> None:
        """Stop what drives it from here and follow it no more; the page keeps what it shows."""
        Inspection.close(self)
        anywidget.AnyWidget.close(self)
