"""How values show themselves in a notebook: they ask here, and what can draw them registers itself here."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

# What draws the values of the core: imported when the first of them is shown, for nobody else has to pay for it.
_DRAWN_BY = "showing"
# Control characters but for the end of a line and a tabulator, and those that set the direction of what follows.
_MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@functools.singledispatch
def as_html(value: object) -> str | None:
    """A value as one piece of HTML; None: nothing draws values of this type."""
    _load()
    draw = as_html.dispatch(type(value))
    return None if draw is as_html.dispatch(object) else draw(value)


def mimebundle(value: object) -> dict[str, str]:
    """What `_repr_mimebundle_` returns: the value in words and, where something draws its type, as HTML.

    It is `str(value)`, and not its repr, that stands where there is no HTML: a notebook's last line is read by people.
    """
    html = as_html(value)
    return {"text/plain": told(value)} | ({} if html is None else {"text/html": html})


def _load() -> None:
    drawing(_DRAWN_BY)


def drawing(module: str) -> Any:
    """A module of `sagafsm.view`, for values of the core that draw themselves: they know nothing of it until then."""
    return importlib.import_module(f"sagafsm.view.{module}")


@functools.singledispatch
def as_text(value: object) -> str:
    """A value in words, for where no HTML is shown."""
    _load()
    tell = as_text.dispatch(type(value))
    return str(value) if tell is as_text.dispatch(object) else tell(value)


def told(value: object) -> str:
    """A value in words, without a character that would move a terminal's cursor or turn what is behind it around."""
    return _MOVING.sub("\ufffd", as_text(value))


class Shown:
    """A value that a notebook shows as what draws its type draws it.

    It stands before other bases: IPython has ways of its own for tuples and exceptions, and asks bases in their order.
    """

    __slots__ = ()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return mimebundle(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Within a list or another value it is one of many, and short.
        if cycle or len(printer.stack) > 1:
            printer.text(repr(self))
            return
        printer.text(told(self))
