"""How values show themselves: in words always, as HTML where something draws their type."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sagafsm import SagaFailed, SagaUnfinished
from sagafsm.display import as_html, build_mimebundle
from sagafsm.results import RecoveryReport
from support.shown import instance_of


class Plain:
    def __str__(self) -> str:
        return "in words"


class Drawn(Plain): ...


@as_html.register
def _(value: Drawn) -> str:
    return f"<b>{value}</b>"


class MoreDrawn(Drawn): ...


def test_a_value_that_nothing_draws_is_its_words() -> None:
    """There is no empty HTML that would be shown instead of the words."""
    assert {"text/plain": "in words"} == build_mimebundle(Plain())


def test_a_value_is_drawn_by_what_registered_for_its_type() -> None:
    """So is one of a subclass; the words stay for those who cannot show HTML."""
    assert (
        {"text/plain": "in words", "text/html": "<b>in words</b>"}
        == build_mimebundle(Drawn())
        == build_mimebundle(MoreDrawn())
    )


# What IPython makes of values: it has ways of its own for tuples, dictionaries and exceptions ---------------------------


def displayed(value: object) -> dict[str, Any]:
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    formatter.ipython_display_formatter.enabled = False
    data, _ = formatter.format(value)
    return dict(data)


@pytest.mark.parametrize("kind", ["history", "event", "error", "instance", "failed", "unfinished", "report"])
def test_ipython_shows_our_words_and_our_html(kind: str) -> None:
    """Also of a tuple, and of exceptions as values."""
    instance = instance_of("failed", 3)
    value = {
        "history": instance.history,
        "event": instance.history[4],
        "error": instance.error,
        "instance": instance,
        "failed": SagaFailed(instance),
        "unfinished": SagaUnfinished(instance),
        "report": RecoveryReport(resumed=("a",)),
    }[kind]
    assert build_mimebundle(value) == {key: displayed(value)[key] for key in ("text/plain", "text/html")}


def test_within_another_value_it_is_its_repr() -> None:
    """A list of instances is a list of short words; so is a history within a list."""
    instance = instance_of("failed", 3)
    assert f"[{instance!r}]" == displayed([instance])["text/plain"]
    assert "InstanceCreated(" in displayed([instance.history])["text/plain"]


def test_a_history_is_a_tuple_all_the_same() -> None:
    """Its parts, its length, its comparisons and its repr."""
    history = instance_of("failed", 3).history
    assert isinstance(history, tuple)
    assert history == tuple(history)
    assert repr(tuple(history)) == repr(history)
    assert history[0] == next(iter(history))


def test_the_core_does_not_import_what_draws_it() -> None:
    """Only who shows a value pays for it."""
    told = "import sys, sagafsm; print([m for m in sys.modules if m.startswith('sagafsm.render.')])"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert "['sagafsm.render.diagram', 'sagafsm.render.diagram.mermaid']" == found.strip()
