"""All that the console shows of a store, drawn from what is seen of it: a pure function."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagafsm.display import format_count
from sagafsm.notebook.console.model import ConsoleView
from sagafsm.notebook.console.query import MAX_PER_KIND, MAX_SHOWN, PAGE, Overview
from sagafsm.notebook.inspector.forms import render_button
from sagafsm.notebook.page_updates import PageState
from sagafsm.render.html import Html, chip, join, render_card, tag, user_text
from sagafsm.render.tables.instances import STATUS_ORDER, STYLE, get_tone, render_instance_table
from sagafsm.render.theme import make_stylesheet

STYLES = (STYLE,)
# A saved notebook keeps so many rows.
MAX_SAVED = 20
_PASSWORD = re.compile("//[^/@]*@")


def build_page_state(glance: ConsoleView, *, opened: int | None = None, said: str = "") -> PageState:
    """What a page shows of a store.

    `opened` is the number of the inspector that stands in its place, `said` what is to be told beside.
    """
    return PageState(
        panes={
            "head": _render_console_head(glance),
            "filters": _render_filters(glance),
            "list": _render_console_list(glance),
            "rest": _render_console_rest(glance.overview),
        },
        history_key=glance.url,
        total=0,
        rows=lambda _: "",
        facts={
            "message": ". ".join(told for told in (said, glance.message) if told),
            "said": _describe_counts(glance.overview),
            "text": glance.query.text,
            "opened": opened,
        },
    )


def render_static_card(glance: ConsoleView) -> Html:
    """The first rows of a store, with the counts of all, as a static card."""
    shown = glance.overview.rows[:MAX_SAVED]
    numbers = (join(_render_console_count(glance.overview, word), " ") for word in glance.overview.counts)
    return render_card(
        make_stylesheet(*STYLES),
        _render_console_head(glance),
        tag("div", *numbers, class_="sgf-chips"),
        render_instance_table(shown, now=glance.now, more=glance.overview.matching > len(shown)),
        label="Instances of a store",
    )


def _render_console_head(glance: ConsoleView) -> Html:
    where = _PASSWORD.sub("//…@", glance.url)
    return tag("p", tag("b", "Instances"), " ", tag("span", user_text(where), class_="sgf-dim"), class_="sgf-top")


def _format_console_pane_count(seen: Overview, word: str) -> str:
    return f"{seen.counts[word]:,}{'+' if word in seen.incomplete else ''} {word}"


def _render_console_count(seen: Overview, word: str) -> Html:
    return chip(_format_console_pane_count(seen, word), get_tone(word))


def _render_filters(glance: ConsoleView) -> Html:
    """A button for each state, that has those alone shown; pressed: they are."""
    seen, question = glance.overview, glance.query
    states = (
        tag(
            "button",
            _format_console_pane_count(seen, word),
            type="button",
            class_=f"sgf-chip sgf-filter sgf-{get_tone(word)}",
            aria_pressed="true" if word in question.states else "false",
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


def _render_console_list(glance: ConsoleView) -> Html:
    if glance.overview.rows:
        return render_instance_table(glance.overview.rows, now=glance.now, interactive=True)
    asked = glance.query.text.strip() or glance.query.states
    told = "no instance is like that" if asked else "there is no instance yet: it shows here once one begins"
    return tag("p", told, class_="sgf-dim sgf-empty")


def _render_console_rest(seen: Overview) -> Html:
    return join(
        *_render_console_notes(seen), render_button(f"Show {PAGE} more", data_do="more") if seen.is_more else None
    )


def _render_console_notes(seen: Overview) -> Iterator[Html]:
    if len(seen.rows) < seen.matching:
        yield tag("p", f"{len(seen.rows):,} of {seen.matching:,} are shown", class_="sgf-dim")
        if not seen.is_more:
            yield tag("p", f"No more than {MAX_SHOWN} at once: search for others.", class_="sgf-dim")
    if seen.incomplete:
        words = " or ".join(word for word in STATUS_ORDER if word in seen.incomplete)
        told = (
            f"There are more that are {words}: of each the first {MAX_PER_KIND:,} by id are counted, "
            "and those that changed"
        )
        yield tag(
            "p", f"{told} while this was open. Search for an id, or for how it begins, to find any.", class_="sgf-dim"
        )


def _describe_counts(seen: Overview) -> str:
    """How many there are, for those who listen."""
    blocked = seen.counts.get("blocked", 0)
    return f"{format_count(seen.matching, 'instance')}, {blocked:,} blocked"
