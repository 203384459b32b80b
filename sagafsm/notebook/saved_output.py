"""Two outputs for one inspector: a static snapshot that a saved notebook keeps, and the live one that hides it."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from sagafsm.render.html import Html, tag

# A notebook's outputs stand one under the other: the snapshot hides while the one behind it lives, and where that one
# could not be loaded, as in a notebook that was opened again, what is said there instead of it is hidden.
_PAIRED_STYLE = (
    ".jp-OutputArea-child:has(.sgf-static):has(+.jp-OutputArea-child .sgf-live){display:none}"
    ".jp-OutputArea-child:has(.sgf-paired)+.jp-OutputArea-child:not(:has(.sgf-live))"
    "{height:0;overflow:hidden;padding:0;margin:0}"
)


def wrap_snapshot(snapshot: str, *, alone: bool = False) -> Html:
    """A snapshot, which is seen only where no live inspector stands behind it; `alone`: never one will."""
    if alone:
        return tag("div", Html(snapshot), class_="sgf-static")
    return tag("div", tag("style", Html(_PAIRED_STYLE)), Html(snapshot), class_="sgf-static sgf-paired")


@attrs.define(eq=False)
class Snapshots:
    """The snapshots of one inspector that were displayed, each of which is kept up to date.

    `words` tells in plain text what they show.
    """

    words: Callable[[], str] = lambda: "a card"
    _shown: dict[str, bool] = attrs.field(factory=dict, init=False)
    _last: str = attrs.field(default="", init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def display(self, html: str, *, alone: bool = False) -> None:
        """Display one; `alone`: nothing live is displayed behind it."""
        display_id = uuid.uuid4().hex
        _publish_snapshot(wrap_snapshot(html, alone=alone), self.words(), display_id=display_id, update=False)
        with self._lock:
            self._shown[display_id] = alone
            self._last = html

    def update(self, drawn: Callable[[], str]) -> None:
        """Draw them again, where any is shown and it has changed."""
        with self._lock:
            if not self._shown:
                return
            html = drawn()
            if html == self._last:
                return
            self._last = html
            for display_id, alone in self._shown.items():
                _publish_snapshot(wrap_snapshot(html, alone=alone), self.words(), display_id=display_id, update=True)


def publish_bundle(bundle: Any) -> None:
    """Display what a widget gives for itself, in an output of its own; `bundle` with metadata, or without."""
    from IPython.display import display  # noqa: PLC0415 - a notebook has it; nobody else pays for it

    content, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    display(content, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]


def _publish_snapshot(html: str, words: str, *, display_id: str, update: bool) -> None:
    with contextlib.suppress(ImportError):
        from IPython.display import display  # noqa: PLC0415 - a notebook has it; nobody else pays for it

        bundle: dict[str, Any] = {"text/html": html, "text/plain": words}
        display(bundle, raw=True, display_id=display_id, update=update)  # type: ignore[no-untyped-call]
