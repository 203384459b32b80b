"""What a notebook shows of each value of the core: HTML and words, neither of which needs the other."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings

from sagafsm import AsyncOrchestrator, Orchestrator, Saga, SagaFailed, SagaUnfinished
from sagafsm.display import as_html, build_mimebundle
from sagafsm.errors import DefinitionError
from sagafsm.history import events as e
from sagafsm.render.plain_text import format_definition
from sagafsm.results import Found, RecoveryReport
from sagafsm.store import Owner, Summary
from sagafsm.testing.sample_histories import START, make_every_event
from support.clock import FakeClock
from support.pages import Page
from support.shown import evil, harmless, instance_of, marked, order


def shown(value: object) -> dict[str, str]:
    return value._repr_mimebundle_()  # type: ignore[attr-defined,no-any-return]


def summary(text: str = "o-1") -> Summary:
    owner = Owner(name=text, process=text)
    return Summary(
        id=text, saga=text, version=1, state="running:a", length=2, created_at=START, updated_at=START, owner=owner
    )


def found(*rows: Summary) -> Found:
    return Found(lambda after, _: rows if after is None else (), None, None)


def values(text: str) -> dict[str, Any]:
    """One of each kind, in which every string given is this text."""
    instance = marked(text)
    error = e.RecordedError(type=text, message=text, traceback=text)
    return {
        "instance": instance,
        "history": instance.history,
        "event": instance.history[5],
        "error": error,
        "failed": SagaFailed(instance),
        "unfinished": SagaUnfinished(instance),
        "report": RecoveryReport(resumed=(text,), errors={text: RuntimeError(text)}),
        "found": found(summary(text)),
        "comparison": instance.compare(marked("plain")),
    }


@pytest.mark.parametrize("kind", values("x"))
def test_each_is_html_and_words(kind: str) -> None:
    """One card at least, with a name for those who listen, the same for equal values; nothing loaded, no script."""
    bundle = shown(values("x")[kind])
    assert {"text/plain", "text/html"} == set(bundle)
    page = Page(bundle["text/html"])
    assert page.elements[0][0] == "div"
    assert page.elements[0][1]["aria-label"]
    assert {"script", "img", "link", "iframe"}.isdisjoint(page.tags)
    assert not re.search(r"https?:|url\((?!#)", bundle["text/html"])
    assert bundle == shown(values("x")[kind])
    assert "<" not in bundle["text/plain"].replace("<SagaInstance", "").replace("<Saga", "")


@settings(deadline=None, max_examples=30)
@given(text=evil())
def test_nothing_that_a_user_gives_is_markup(text: str) -> None:
    """Whatever is shown."""
    plain = values(harmless(text))
    for kind, value in values(text).items():
        shapes = [[tag for tag, _ in Page(as_html(one) or "").elements] for one in (value, plain[kind])]
        assert shapes[0] == shapes[1], kind


def test_a_saga_is_its_diagram_its_steps_and_its_risks() -> None:
    """In words, too."""
    saga = order(6, FakeClock())
    bundle = shown(saga)
    assert format_definition(saga.definition) == bundle["text/plain"]
    words = Page(bundle["text/html"]).words
    assert "saga order" in words
    assert "svg" in Page(bundle["text/html"]).tags
    assert "a crash here waits for a person" in words


def test_a_saga_in_the_making_says_what_is_missing() -> None:
    """It is looked at before it is done."""
    saga = Saga("order")
    assert "not well formed saga 'order' has no steps" in Page(shown(saga)["text/html"]).words
    assert as_html(DefinitionError("x")) is not None


def test_an_instance_in_words_keeps_its_repr_first() -> None:
    """`str` and `repr` are as they were."""
    instance = instance_of("failed", 3)
    lines = shown(instance)["text/plain"].split("\n")
    assert repr(instance) == str(instance) == lines[0]
    assert 4 == len(lines)


def test_an_instance_as_a_page() -> None:
    """One file with the card of the instance, and of those nested in it where they are given."""
    child = Saga("payment")
    child.add_step("charge", lambda: 1, lambda result: None)
    saga = Saga("order")
    saga.add_saga("pay", child)
    orchestrator = Orchestrator("memory://", sagas=[saga])
    root = orchestrator.run(saga, None, id="o-1")
    page = root.to_html(nested={"pay": orchestrator.get("o-1/pay")})
    assert page.startswith("<!doctype html>")
    assert "<title>instance o-1</title>" in page
    assert page.count("charge") > root.to_html().count("charge")


def test_a_history_of_hundreds_is_shown_from_both_ends() -> None:
    """With how many there are."""
    history = instance_of("failed", 50).history
    words = Page(shown(history)["text/html"]).words
    assert words.startswith("201 events")
    assert "… 1 event more" in words
    assert "no events" == shown(e.History())["text/plain"]
    assert "0 events" == Page(shown(e.History())["text/html"]).words


def test_every_kind_of_event_is_shown() -> None:
    """By its name, with what it carries."""
    for event in make_every_event("o-1"):
        assert str(event).split()[0] in Page(shown(event)["text/html"]).words
        assert str(event) in shown(event)["text/plain"]


def test_an_exception_tells_what_remains_and_shows_its_instance() -> None:
    """The message first, then the card of the instance."""
    instance = instance_of("blocked", 3)
    words = Page(shown(SagaUnfinished(instance))["text/html"]).words
    assert words.startswith("SagaUnfinished instance 'order-4711' is compensating:reserve_stock and unfinished")
    assert "undo failed 2 attempts" in words


def test_a_recovery() -> None:
    """Who was resumed, and what went wrong with whom."""
    report = RecoveryReport(resumed=("a", "b"), errors={"c": RuntimeError("gone")})
    assert "recovery 2 resumed 1 in error resumed: a, b c: RuntimeError: gone" == Page(shown(report)["text/html"]).words
    assert "recovery 0 resumed 0 in error" == Page(shown(RecoveryReport())["text/html"]).words


def test_what_find_gives_is_looked_at_without_being_taken_away() -> None:
    """Whoever reads on gets all of it."""
    rows = [summary(f"o-{n:02}") for n in range(25)]
    one = found(*rows)
    bundle = shown(one)
    words = Page(bundle["text/html"]).words
    assert "more than these 20" in words
    assert bundle["text/plain"].endswith("… and more")
    assert rows == list(one)


def test_the_report_of_a_verification_is_shown_as_before() -> None:
    """It has the rules of style of what it holds; a value of the core has them not."""
    assert ".sgf-matrix" not in str(as_html(instance_of("pending")))
    assert json.dumps(build_mimebundle(instance_of("pending")))


@pytest.mark.parametrize(("steps", "most"), [(6, 30_000), (50, 80_000)])
@pytest.mark.parametrize("course", ["pending", "running", "completed", "blocked", "doubt", "failed"])
def test_cards_are_small(steps: int, most: int, course: Any) -> None:
    """30 KB for 6 steps and 80 KB for 50."""
    assert len(shown(instance_of(course, steps))["text/html"].encode()) <= most


def test_a_recovery_in_words_names_what_could_not_be_resumed() -> None:
    """A line for each, cut where it is long, and the number of those that are left out."""
    errors = {f"o-{n:03}": ValueError("no " * 100) for n in range(205)}
    words = shown(RecoveryReport(resumed=("o-900",), errors=errors))["text/plain"].split("\n")
    assert ["1 resumed, 205 in error", "  resumed: o-900"] == words[:2]
    assert words[2].startswith("  o-000: ValueError: no no")
    assert max(map(len, words)) <= 160
    assert "  … 5 more in .errors" == words[-1]


def test_a_saga_in_the_making_is_one_line_in_words() -> None:
    """What is missing, too."""
    making = shown(Saga("empty"))["text/plain"]
    assert making.startswith("<Saga 'empty'")
    assert "\n" not in making


def test_words_move_no_cursor_and_turn_nothing_around() -> None:
    """Whatever an error's message holds, it is written to a terminal."""
    evil_words = "\x1b[2J\x9b31m\u202eabc\u2066\r\x07"
    error = e.RecordedError(type="ValueError", message=evil_words)
    words = shown(error)["text/plain"]
    assert not set(words) & set("\x1b\x9b\u202e\u2066\r\x07")
    assert "[2J" in words
    assert "abc" in words


def test_what_somebody_gave_is_cut_wherever_it_is_shown() -> None:
    """A reason of half a million letters, or errors by the thousand, are told by their size."""
    long = "x" * 500_000
    decided = e.DecisionMade(decision="abandon", by=long, reason=long, request_id="r")
    for value in (
        decided,
        RecoveryReport(errors={f"o-{n}": ValueError(long) for n in range(99)}),
        RecoveryReport(resumed=(long,)),
    ):
        html = shown(value)["text/html"]
        assert len(html) < 60_000
        assert "500,0" in html


def test_what_find_gave_is_told_after_its_orchestrator_was_closed() -> None:
    """A notebook shows it in a later cell."""
    orchestrator = Orchestrator("memory://")
    one = orchestrator.find()
    orchestrator.close()
    bundle = shown(one)
    told = "this orchestrator is closed, or closing: nothing new starts (open another)"
    assert (told, f"<Found: {told}>") == (Page(bundle["text/html"]).words, bundle["text/plain"])


def test_what_an_async_find_gives_is_shown_too() -> None:
    """A table of those still to come, which whoever reads on gets all the same; nothing once it is read."""

    async def course() -> tuple[dict[str, str], list[str], dict[str, str], str]:
        saga = Saga("order")
        saga.add_step("charge", lambda: 1)
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            for number in range(5):
                await orchestrator.run(saga, number, id=f"o-{number}")
            found = orchestrator.find(limit=4)
            first = (await anext(found)).id
            bundle = shown(found)
            rest = [one.id async for one in found]
            left = orchestrator.find()
        return bundle, [first, *rest], shown(found), repr(left)

    bundle, ids, after, closed = asyncio.run(course())
    assert ["o-0", "o-1", "o-2", "o-3"] == ids
    assert [row[0] for row in Page(bundle["text/html"]).rows[1:]] == ["o-1", "o-2", "o-3"]
    assert ["o-1", "o-2", "o-3"] == [line.split()[0] for line in bundle["text/plain"].split("\n")]
    assert "no instance" == after["text/plain"]
    assert "<AsyncFound: this orchestrator is closed, or closing: nothing new starts (open another)>" == closed
