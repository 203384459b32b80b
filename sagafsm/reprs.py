"""How values show themselves in a notebook: they ask here, and what can draw them registers itself here."""

from __future__ import annotations

import functools


@functools.singledispatch
def as_html(value: object) -> str | None:  # noqa: ARG001 - what is registered for a type is given it
    """A value as one piece of HTML; None: nothing draws values of this type."""
    return None


def mimebundle(value: object) -> dict[str, str]:
    """What `_repr_mimebundle_` returns: the value in words and, where something draws its type, as HTML.

    It is `str(value)`, and not its repr, that stands where there is no HTML: a notebook's last line is read by people.
    """
    html = as_html(value)
    return {"text/plain": str(value)} | ({} if html is None else {"text/html": html})
