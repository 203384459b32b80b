"""A saved notebook keeps a static card of each inspector, kept up to date, and hidden while the live one stands by."""

from __future__ import annotations

import json

import pytest

from sagafsm import Orchestrator, Saga
from sagafsm.display import as_text
from sagafsm.notebook import inspect, saved_output
from sagafsm.notebook.inspector import inspect as inspector
from support.looking import looking
from support.pages import Page


def order():
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input, lambda result: None)
    saga.wait_for("approval")
    saga.add_step("charge", lambda input: input)
    return saga


@pytest.fixture
def outputs(monkeypatch):
    """What was displayed: for each display id its last HTML, and what came without an id."""
    shown = {}

    def display(bundle, *, raw, display_id=None, update=False, metadata=None):
        assert raw
        assert update == (display_id in shown)
        shown[display_id] = bundle

    monkeypatch.setattr("IPython.display.display", display)
    return shown


@pytest.fixture
def orchestrator():
    with Orchestrator("memory://", sagas=[order()]) as opened:
        opened.start(order(), 7, id="o-1")
        yield opened


def html_of(outputs):
    (html,) = (bundle["text/html"] for bundle in outputs.values() if "text/html" in bundle)
    return html


def test_the_snapshot_comes_first_and_the_widget_in_an_output_of_its_own(outputs, orchestrator):
    page = looking("o-1", orchestrator)
    page.inspection._ipython_display_()
    first, second = outputs.values()
    assert "sgf-static" in first["text/html"]
    assert "application/vnd.jupyter.widget-view+json" not in first
    assert "application/vnd.jupyter.widget-view+json" in second
    assert "text/html" not in second
    page.inspection.close()


def test_the_snapshot_follows_to_every_rest(outputs, orchestrator):
    page = looking("o-1", orchestrator)
    page.inspection._ipython_display_()
    seen = [Page(html_of(outputs)).words]
    page.inspection.run()
    seen.append(Page(html_of(outputs)).words)
    page.inspection.signal("approval", True)
    seen.append(Page(html_of(outputs)).words)
    assert [True, True, True] == [
        word in words for word, words in zip(("pending", "waits for approval", "completed"), seen, strict=True)
    ]
    page.inspection.close()


def test_the_snapshot_never_tells_of_a_fork(outputs, orchestrator):
    page = looking("o-1", orchestrator)
    page.inspection._ipython_display_()
    page.inspection.fork(1)
    page.inspection.cancel(reason="a what-if")
    assert "failed" in page.inspection.instance.state
    assert "a what-if" not in html_of(outputs)
    page.inspection.close()
    assert "pending" in Page(html_of(outputs)).words


def test_the_snapshot_hides_only_beside_what_lives():
    html = saved_output.wrap_snapshot("<p>told</p>")
    style = Page(html).styles
    assert ".jp-OutputArea-child:has(.sgf-static):has(+.jp-OutputArea-child .sgf-live){display:none}" in style
    assert "told" in Page(html).words
    assert "" == Page(saved_output.wrap_snapshot("<p>told</p>", alone=True)).styles


def test_the_snapshot_is_told_in_words_where_no_html_is_shown(outputs, orchestrator):
    page = looking("o-1", orchestrator)
    page.inspection._ipython_display_()
    page.inspection.run()
    first = next(iter(outputs.values()))
    assert as_text(page.inspection.instance) == first["text/plain"]
    page.inspection.close()


def test_without_a_widget_there_is_a_static_card_and_all_methods_work(outputs, orchestrator, monkeypatch):
    def missing():
        raise ImportError("No module named 'anywidget'")

    monkeypatch.setattr(inspector, "_load_widget", missing)
    inspection = inspect("o-1", orchestrator)
    inspection._ipython_display_()
    inspection.break_step("charge")
    inspection.run()
    inspection.decide("abandon", reason="enough")
    assert "failed" in Page(html_of(outputs)).words
    assert {"text/plain", "text/html"} == set(inspection._repr_mimebundle_())
    inspection.close()


def test_outside_a_notebook_it_displays_nothing_and_works(orchestrator):
    inspection = inspect("o-1", orchestrator)
    assert inspection.run().waiting
    inspection.close()


def test_what_it_sends_can_be_sent(orchestrator):
    page = looking("o-1", orchestrator)
    page.inspection.run()
    assert page.messages
    json.dumps(page.messages)
    json.dumps(page.inspection.get_state())
    page.inspection.close()
