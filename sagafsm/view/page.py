"""HTML as values: what was not built here is text and is escaped, so that nothing given by a user is ever markup."""

from __future__ import annotations

import html
import re

# Tags without an end.
_VOID = frozenset({"br", "hr", "col"})
# What no parser of HTML, nor any encoder, keeps as it is: it is shown to be there.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """Markup; any other string is text. Made by the functions of this module alone."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Text as markup; an `Html` as it is."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True))


def joined(*parts: str | None, between: str = "") -> Html:
    """Parts one after another; None is left out."""
    return Html(escaped(between).join(escaped(part) for part in parts if part is not None))


def tag(name: str, *children: str | None, **attributes: str | None) -> Html:
    """An element; `class_` is the attribute class, `aria_label` aria-label, and one that is None is left out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    told = "".join(f" {key}" if not value else f' {key}="{escaped(value)}"' for key, value in given.items())
    return Html(f"<{name}{told}>" if name in _VOID else f"<{name}{told}>{joined(*children)}</{name}>")


def given(text: str) -> Html:
    """Text by a user, in a direction of its own: written from right to left, it does not turn what is around it."""
    return tag("bdi", text)


def code(text: str) -> Html:
    """Text as a piece of code, within a line; always from left to right."""
    return tag("code", text, dir="ltr")


def code_block(text: str) -> Html:
    """Text as lines of code."""
    return tag("pre", code(text))


def chip(text: str, tone: str) -> Html:
    """A word in its colour; `tone` is one of `sagafsm.view.theme.TONES`."""
    return tag("span", text, class_=f"sgf-chip sgf-{tone}")


def heading(text: str) -> Html:
    """A title within a card. No h3: a notebook would list it in its table of contents."""
    return tag("p", tag("b", text), class_="sgf-head")


def folded(summary: str, *children: str | None, is_open: bool = False) -> Html:
    """A part that is unfolded by a click, without any script."""
    return tag("details", tag("summary", summary), *children, open="" if is_open else None)


def bullets(*items: str) -> Html | None:
    """A list; None: there is nothing to list."""
    return tag("ul", *(tag("li", item) for item in items)) if items else None


def card(style: str, *children: str | None, label: str) -> Html:
    """Everything as one piece for a notebook or a page, with its style, which applies to it alone.

    Without the style, as where a site drops it, it reads as words in tables and lists.
    """
    return tag("div", tag("style", Html(style)), *children, class_="sgf", role="group", aria_label=label)
