"""How values show themselves in a notebook: they ask here, and what can draw them registers itself here."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

# What draws the values of the core: imported when the first of them is shown, for nobody else has to pay for it.
_RENDERERS = "renderers"
# Control characters but for the end of a line and a tabulator, and those that set the direction of what follows.
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@functools.singledispatch
def as_html(value: object) -> str | None:
    """A value as one piece of HTML; None: nothing draws values of this type."""
    _load_renderers()
    draw = as_html.dispatch(type(value))
    return None if draw is as_html.dispatch(object) else draw(value)


def build_mimebundle(value: object) -> dict[str, str]:
    """What `_repr_mimebundle_` returns: the value in words and, where something draws its type, as HTML.

    It is `str(value)`, and not its repr, that stands where there is no HTML: a notebook's last line is read by people.
    """
    html = as_html(value)
    return {"text/plain": to_text(value)} | ({} if html is None else {"text/html": html})


def _load_renderers() -> None:
    load_renderer(_RENDERERS)


def load_renderer(module: str) -> Any:
    """A module of `sagafsm.render`, for values of the core that draw themselves: they know nothing of it until then."""
    return importlib.import_module(f"sagafsm.render.{module}")


@functools.singledispatch
def as_text(value: object) -> str:
    """A value in words, for where no HTML is shown."""
    _load_renderers()
    tell = as_text.dispatch(type(value))
    return str(value) if tell is as_text.dispatch(object) else tell(value)


def to_text(value: object) -> str:
    """A value in words, without a character that would move a terminal's cursor or turn what is behind it around."""
    return _CONTROL_CHARACTERS.sub("\ufffd", as_text(value))


class Displayable:
    """A value that a notebook shows as what draws its type draws it.

    It stands before other bases: IPython has ways of its own for tuples and exceptions, and asks bases in their order.
    """

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return build_mimebundle(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Within a list or another value it is one of many, and short.
        if cycle or len(printer.stack) > 1:
            printer.text(repr(self))
            return
        printer.text(to_text(self))


def format_count(number: int, what: str) -> str:
    """A number of something: "1 event", "1,200 events"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def truncate(text: str, limit: int) -> str:
    """A text of at most `limit` characters, with an ellipsis where something was left out."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
