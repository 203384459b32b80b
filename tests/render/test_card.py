"""Cards and pages: nothing given is markup, nothing outside is referred to, and without any style they are words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from sagafsm.history.instance import fold
from sagafsm.render.card import make_uid, render_definition_card, render_html_page, render_instance_card
from sagafsm.testing.sample_histories import make_every_event
from support.clock import FakeClock
from support.pages import Page
from support.shown import Course, evil, harmless, instance_of, marked, order

COURSES: tuple[Course, ...] = ("pending", "running", "completed", "blocked", "doubt", "failed")


def structure(html: str) -> list[tuple[str, list[str]]]:
    """The elements with the names of their attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in Page(html).elements]


def bare(html: str) -> str:
    """What a site that drops styles and drawings leaves, but for the words in these."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r"</?(?:svg|g|text|title|rect|path|line|circle)\b[^>]*>", "", html)
    return Page(re.sub(r"<(\w+)[^>]*>", r"<\1>", html)).words


@settings(deadline=None)
@given(text=evil())
def test_nothing_that_a_user_gives_is_markup(text: str) -> None:
    """Ids, names, titles, errors, keys and values of payloads, reasons, signals: a card has the same elements."""
    instance = marked(text)
    assert structure(render_instance_card(marked(harmless(text)))) == structure(render_instance_card(instance))
    page = Page(render_html_page(text, render_instance_card(instance)))
    assert {"script", "img"}.isdisjoint(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]


def test_the_control_markup_that_is_not_escaped_is_seen() -> None:
    """What the test above compares differs where a single string gets through."""
    html = render_instance_card(marked("<b>x"))
    assert structure(html) != structure(html.replace("&lt;b&gt;", "<b>").replace("<b>x", "<b>x</b>"))


@pytest.mark.parametrize("course", COURSES)
def test_a_page_refers_to_nothing_outside_itself(course: Course) -> None:
    """No address, no script; the same for the same instance; it can be encoded."""
    page = render_html_page("x", render_instance_card(instance_of(course)))
    assert page.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport"')
    assert not re.search(r"https?:|//|<script|@import|url\((?!#)|\bsrc=|\bhref=", page)
    assert page == render_html_page("x", render_instance_card(instance_of(course)))
    assert page.encode()


@pytest.mark.parametrize(
    ("course", "told"),
    [
        ("pending", ["pending", "not begun"]),
        ("running", ["running:fulfil", "done", "running", "not begun"]),
        ("completed", ["completed", "done"]),
        ("blocked", ["blocked", "undo failed 2 attempts", "retry call it again, with a new budget", "gateway timeout"]),
        ("doubt", ["blocked", "in doubt", "it is not known whether it took effect"]),
        ("failed", ["failed, compensated", "undone", "failed 3 attempts", "StepFailed send_receipt"]),
    ],
)
def test_without_style_and_drawings_it_reads_as_words(course: Course, told: list[str]) -> None:
    """State, steps, cause and decisions are there where a site drops all but words and tables."""
    words = bare(render_instance_card(instance_of(course)))
    assert [] == [one for one in told if one not in words]


def test_a_card_of_every_kind_of_event() -> None:
    """Each is drawn, whatever it holds."""
    history = make_every_event("o-1")
    words = Page(render_instance_card(fold(None, history))).words
    assert [] == [str(event).split()[0] for event in history if str(event).split()[0] not in words]


def test_payloads_of_a_mebibyte_do_not_make_a_card_large() -> None:
    """They are cut, and their size is told."""
    value = "x" * 1_000_000
    card = render_instance_card(instance_of("completed", text=value))
    assert len(card) < 60_000
    assert "input, 1,000,042 bytes, first" in Page(card).words


def test_ids_are_of_the_instance_and_its_last_event() -> None:
    """Two outputs of two moments share none."""
    assert make_uid(instance_of("running")) == make_uid(instance_of("running"))
    assert make_uid(instance_of("running")) != make_uid(instance_of("completed"))
    assert re.fullmatch(r"s[0-9a-f]{8}", make_uid(marked("<")))


def test_a_sagas_card_tells_its_steps_policies_and_risks() -> None:
    """What a person has to know before running it."""
    words = Page(render_definition_card(order(6, FakeClock()).definition)).words
    for told in (
        "saga order",
        "up to 3 attempts, again after 0.06 s",
        "in group fulfil",
        "a crash here waits for a person",
    ):
        assert told in words


def test_long_tables_of_steps_are_folded() -> None:
    """Of thirty steps the pictures tell the most."""
    assert "details" in Page(render_definition_card(order(30, FakeClock()).definition)).tags
    assert "details" not in Page(render_definition_card(order(6, FakeClock()).definition)).tags
