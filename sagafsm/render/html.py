"""HTML as values: what was not built here is text and is escaped, so that nothing given by a user is ever markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import LiteralString

# Tags without an end.
_VOID = frozenset({"br", "hr", "col", "meta", "input"})
# Nothing in it is markup, or cannot be shown.
_PLAIN = re.compile(r"[\w .,:;/%()#+=-]*")
# What no parser of HTML, nor any encoder, keeps as it is: it is shown to be there.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """Markup; any other string is text. Made by the functions of this module alone."""

    __slots__ = ()


_NOT_ESCAPED = (Html, float, int)


def escape(text: str) -> Html:
    """Text as markup; an `Html` as it is."""
    return text if isinstance(text, Html) else Html(_escape(text))


def _escape(text: str) -> str:
    # Most of what is shown are words and numbers, and nine tenths of the time would go into looking at them thrice.
    if _PLAIN.fullmatch(text) is not None:
        return text
    return html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True)


def join(*parts: str | None, between: str = "") -> Html:
    """Parts one after another; None is left out."""
    told = [part if type(part) is Html else _escape(part) for part in parts if part is not None]
    return Html(_escape(between).join(told) if between else "".join(told))


def tag(name: str, *children: str | None, **attributes: str | None) -> Html:
    """An element; `class_` is the attribute class, `aria_label` aria-label, and one that is None is left out."""
    told = "".join([_format_attribute(key, value) for key, value in attributes.items() if value is not None])
    return Html(f"<{name}{told}>" if name in _VOID else f"<{name}{told}>{join(*children)}</{name}>")


def _format_attribute(key: str, value: str) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f' {name}="{_escape(value)}"' if value else f" {name}"


def fill(form: LiteralString, *parts: str | float) -> Html:
    """Markup from the code itself with parts in the place of each `{}`; it takes a tenth of the time of many tags.

    Nothing but a literal is a form, so that what is given by a user is only ever a part, which is escaped; a number
    needs no escape, and is formatted as the form says.
    """
    return Html(form.format(*[part if part.__class__ in _NOT_ESCAPED else _escape(part) for part in parts]))  # type: ignore[arg-type]


def user_text(text: str) -> Html:
    """Text by a user, in a direction of its own: written from right to left, it does not turn what is around it."""
    return fill("<bdi>{}</bdi>", text)


def code(text: str) -> Html:
    """Text as a piece of code, within a line; always from left to right."""
    return fill('<code dir="ltr">{}</code>', text)


def code_block(text: str) -> Html:
    """Text as lines of code."""
    return tag("pre", code(text))


def chip(text: str, tone: str) -> Html:
    """A word in its colour; `tone` is one of `sagafsm.render.theme.TONES`."""
    return fill('<span class="sgf-chip sgf-{}">{}</span>', tone, text)


def heading(text: str) -> Html:
    """A title within a card. No h3: a notebook would list it in its table of contents."""
    return tag("p", tag("b", text), class_="sgf-head")


def details(summary: str, *children: str | None, is_open: bool = False) -> Html:
    """A part that is unfolded by a click, without any script."""
    return tag("details", tag("summary", summary), *children, open="" if is_open else None)


def bullets(*items: str) -> Html | None:
    """A list; None: there is nothing to list."""
    return tag("ul", *(tag("li", item) for item in items)) if items else None


def render_table(titles: Iterable[str], rows: Iterable[Html], *, class_: str) -> Html:
    """A table that scrolls sideways where the page is narrow; each of the `rows` is a `tr`."""
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_=class_)
    return tag("div", table, class_="sgf-wide")


def render_card(style: str, *children: str | None, label: str) -> Html:
    """Everything as one piece for a notebook or a page, with its style, which applies to it alone.

    Without the style, as where a site drops it, it reads as words in tables and lists.
    """
    return tag("div", tag("style", Html(style)), *children, class_="sgf", role="group", aria_label=label)
