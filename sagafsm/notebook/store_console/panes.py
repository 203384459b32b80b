"""All that the console shows of a store, drawn from what is seen of it: a pure function."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagafsm.notebook.frames import Picture
from sagafsm.notebook.inspector.controls import button
from sagafsm.notebook.store_console.overview import MOST_SHOWN, PAGE, Overview
from sagafsm.notebook.store_console.roster import Glance
from sagafsm.notebook.store_console.survey import EACH
from sagafsm.view import listing
from sagafsm.view.page import Html, card, chip, given, joined, tag
from sagafsm.view.phrases import count
from sagafsm.view.theme import style

STYLES = (listing.STYLE,)
# A saved notebook keeps so many rows.
MOST_KEPT = 20
_PASSWORD = re.compile("//[^/@]*@")


def picture(glance: Glance, *, opened: int | None = None, said: str = "") -> Picture:
    """What a page shows of a store.

    `opened` is the number of the inspector that stands in its place, `said` what is to be told beside.
    """
    return Picture(
        panes={
            "head": _head(glance),
            "filters": _filters(glance),
            "list": _list(glance),
            "rest": _rest(glance.overview),
        },
        story=glance.url,
        total=0,
        rows=lambda _: "",
        facts={
            "message": ". ".join(told for told in (said, glance.message) if told),
            "said": _said(glance.overview),
            "text": glance.question.text,
            "opened": opened,
        },
    )


def static_card(glance: Glance) -> Html:
    """The first rows of a store, with the counts of all, as a static card."""
    shown = glance.overview.rows[:MOST_KEPT]
    numbers = (joined(_counted(glance.overview, word), " ") for word in glance.overview.counts)
    return card(
        style(*STYLES),
        _head(glance),
        tag("div", *numbers, class_="sgf-chips"),
        listing.listing(shown, now=glance.now, more=glance.overview.matching > len(shown)),
        label="Instances of a store",
    )


def _head(glance: Glance) -> Html:
    where = _PASSWORD.sub("//…@", glance.url)
    return tag("p", tag("b", "Instances"), " ", tag("span", given(where), class_="sgf-dim"), class_="sgf-top")


def _number(seen: Overview, word: str) -> str:
    return f"{seen.counts[word]:,}{'+' if word in seen.cut else ''} {word}"


def _counted(seen: Overview, word: str) -> Html:
    return chip(_number(seen, word), listing.tone_of(word))


def _filters(glance: Glance) -> Html:
    """A button for each state, that has those alone shown; pressed: they are."""
    seen, question = glance.overview, glance.question
    states = (
        tag(
            "button",
            _number(seen, word),
            type="button",
            class_=f"sgf-chip sgf-filter sgf-{listing.tone_of(word)}",
            aria_pressed="true" if word in question.chosen else "false",
            data_do="toggle",
            data_state=word,
        )
        for word in seen.counts
    )
    nested = tag(
        "button",
        "nested too",
        type="button",
        class_="sgf-chip sgf-filter sgf-none",
        aria_pressed="true" if question.nested else "false",
        data_do="nested",
        data_on="" if question.nested else "yes",
    )
    return tag("div", *states, nested, class_="sgf-chips", role="group", aria_label="which are shown")


def _list(glance: Glance) -> Html:
    if glance.overview.rows:
        return listing.listing(glance.overview.rows, now=glance.now, interactive=True)
    asked = glance.question.text.strip() or glance.question.chosen
    told = "no instance is like that" if asked else "there is no instance yet: it shows here once one begins"
    return tag("p", told, class_="sgf-dim sgf-empty")


def _rest(seen: Overview) -> Html:
    return joined(*_notes(seen), button(f"Show {PAGE} more", data_do="more") if seen.is_more else None)


def _notes(seen: Overview) -> Iterator[Html]:
    if len(seen.rows) < seen.matching:
        yield tag("p", f"{len(seen.rows):,} of {seen.matching:,} are shown", class_="sgf-dim")
        if not seen.is_more:
            yield tag("p", f"No more than {MOST_SHOWN} at once: search for others.", class_="sgf-dim")
    if seen.cut:
        words = " or ".join(word for word in listing.ORDER if word in seen.cut)
        told = f"There are more that are {words}: of each the first {EACH:,} by id are counted, and those that changed"
        yield tag(
            "p", f"{told} while this was open. Search for an id, or for how it begins, to find any.", class_="sgf-dim"
        )


def _said(seen: Overview) -> str:
    """How many there are, for those who listen."""
    blocked = seen.counts.get("blocked", 0)
    return f"{count(seen.matching, 'instance')}, {blocked:,} blocked"
