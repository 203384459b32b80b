"""The head: what an instance is, how it stands, why, what it waits for, what may remain."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.history.instance import fold
from sagafsm.history.step_state import Residue
from sagafsm.render.card import render_head, render_residue
from sagafsm.render.labels import label_instance
from sagafsm.testing.sample_histories import START, make_history, make_step_retrying, make_step_started
from sagafsm.value import replace
from support.pages import Page
from support.shown import evil, harmless, instance_of, lived, marked


def words(instance: object, **options: str) -> str:
    return Page(render_head(instance, **options)).words  # type: ignore[arg-type]


def test_a_compensated_instance() -> None:
    """Id, saga, version, state, events, time, cause."""
    expected = (
        "instance order-4711 of saga order v1 failed, compensated 13 events · 0.786 s "
        "cause: step 'charge_card' failed: RuntimeError: gateway timeout (503)"
    )
    assert expected == words(instance_of("failed", 3))
    assert f"{expected} as of a month ago" == words(instance_of("failed", 3), note="as of a month ago")


def test_a_blocked_instance_tells_what_may_be_decided() -> None:
    """Each decision with what it means."""
    told = words(instance_of("blocked"))
    assert "state: compensating:reserve_stock" in told
    assert "blocked: reserve_stock: its compensation failed for good. It waits for one of retry call it again" in told


def test_who_drives_it_and_when_it_goes_on() -> None:
    """An owner, a backoff, a signal."""
    sleeping = fold(None, make_history("o-1", make_step_started(), make_step_retrying(START + timedelta(minutes=5))))
    assert "sleeps" in words(sleeping)
    assert "goes on by itself at 2026-03-01 12:05:00 UTC" in words(sleeping)
    assert "driven by Zoë" in words(replace(sleeping, owner="Zoë"))
    outline = (e.StepOutline(name="approval", kind="wait"),)
    first, wait = make_history("o-1", e.WaitStarted(step="approval", waiting=True, state="running:approval"))
    waiting = fold(None, (replace(first, steps=outline), wait))
    assert "waits for approval" in words(waiting)
    assert "waits for signal approval" in words(waiting)


@pytest.mark.parametrize("reason", ["no_compensation", "in_doubt", "skipped", "abandoned"])
def test_what_may_remain_has_its_reason(reason: e.ResidueReason) -> None:
    """In words."""
    assert Page(render_residue(Residue(step="pay/charge", reason=reason, result=1))).words.startswith("pay/charge: ")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_instance_has_its_state_in_words(data: st.DataObject) -> None:
    """And each thing that may remain, and each step that is blocked."""
    root, nested = lived(data.draw)
    for instance in (root, *nested.values()):
        told = words(instance)
        assert label_instance(instance).word in told
        assert [] == [left.step for left in instance.residue if left.step not in told]
        assert [] == [block.step for block in instance.blocked if block.step not in told]


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Id, saga, cause, owner."""
    assert [tag for tag, _ in Page(render_head(marked(text))).elements] == [
        tag for tag, _ in Page(render_head(marked(harmless(text)))).elements
    ]


def test_a_very_long_cause_is_cut() -> None:
    """The event table has all of it."""
    instance = instance_of("failed")
    assert instance.cause is not None
    cause = replace(instance.cause, error=e.RecordedError(type="E", message="m" * 9_000))
    assert len(words(attrs.evolve(instance, cause=cause))) < 700
