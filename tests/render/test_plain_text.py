"""Values in words for a terminal: short lines, nothing but text."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm.render.plain_text import format_definition, format_event, format_history, format_instance, format_instances
from sagafsm.store import Summary
from sagafsm.testing.sample_histories import START, make_every_event
from support.clock import FakeClock
from support.shown import instance_of, lived, order

BLOCKED = """\
<SagaInstance 'order-4711' of 'order': compensating:reserve_stock; blocked on reserve_stock: compensation_failed; \
step 'charge_card' failed: RuntimeError: gateway timeout (503)>
  reserve_stock    done                undo failed
  charge_card      failed, 3 attempts
  create_shipment  not begun
  blocked: reserve_stock: its compensation failed for good; decide:
    retry: call it again, with a new budget
    resolve(undone): it is undone: go on
    skip: leave it as it is, and go on; it stays as residue
    abandon: end here; all that is left is residue"""


def test_an_instance() -> None:
    """Its repr, then its steps, then what it waits for."""
    assert BLOCKED == format_instance(instance_of("blocked", 3))


def test_a_history() -> None:
    """A line for each event; of a long one both ends."""
    lines = format_history(instance_of("failed", 3).history).split("\n")
    assert "  5    0.226 s  StepFailed charge_card: RuntimeError: gateway timeout (503)" == lines[4]
    long = format_history(instance_of("failed", 50).history).split("\n")
    assert (61, "… 141 events more") == (len(long), long[30])
    assert "no events" == format_history(())


def test_an_event_of_every_kind_is_one_short_line() -> None:
    """Whatever it holds."""
    for event in make_every_event("o-1"):
        told = format_event(event)
        assert str(event) in told
        assert "\n" not in told
        assert len(told) <= 160


def test_a_saga() -> None:
    """Its steps with their policies, and its risks."""
    lines = format_definition(order(2, FakeClock()).definition).split("\n")
    assert "saga 'order' version 1" == lines[0]
    assert lines[1].startswith("  1  reserve_stock  up to 3 attempts, again after 0.06 s")
    assert "  risk: step 'charge_card' has neither probe nor policy: a crash here waits for a person" == lines[-1]


def test_a_listing() -> None:
    """A line for each instance."""
    one = Summary(id="o-1", saga="order", version=1, state="running:a", length=2, created_at=START, updated_at=START)
    assert "o-1  order  running  running:a  3 s ago\n… and more" == format_instances(
        [one], now=START + timedelta(seconds=3), more=True
    )
    assert "no instance" == format_instances([])
    many = format_instances([one] * 300).split("\n")
    assert (201, "… 100 rows more") == (len(many), many[-1])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_instance_has_a_line_for_each_step(data: st.DataObject) -> None:
    """In order, and the repr stays the first."""
    root, _ = lived(data.draw)
    lines = format_instance(root).split("\n")
    assert repr(root) == lines[0]
    assert [step.name for step in root.outline] == [line.split()[0] for line in lines[1 : len(root.outline) + 1]]
