"""What groups, nested sagas and waits must look like: what is wrong is refused at once, naming it and the way out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from sagafsm import DefinitionError, Saga
from support.messages import message_of


def act() -> int:
    return 1


def undo() -> None: ...


def saga_with(**steps: dict[str, Any]) -> Saga:
    saga = Saga("order", resources=["shop"])
    for name, options in steps.items():
        saga.add_step(name, act, **options)
    return saga


def child_with(**steps: dict[str, Any]) -> Saga:
    saga = Saga("payment")
    for name, options in (steps or {"charge": {}}).items():
        saga.add_step(name, act, **options)
    return saga


G: dict[str, Any] = {"group": "g"}
REFUSED: list[tuple[str, Saga, Callable[[Saga], Any], str]] = [
    # Groups
    ("a second member of the name", saga_with(a=G), lambda s: s.add_step("a", undo, group="g"),
     "step name 'a' is taken by a step of saga 'order'"),
    ("a group like a step", saga_with(a={}), lambda s: s.add_step("b", act, group="a"),
     "group name 'a' is taken by a step of saga 'order'"),
    ("a group like its own step", saga_with(), lambda s: s.add_step("b", act, group="b"),
     "group name 'b' is taken by a step of saga 'order'"),
    ("a step like a group", saga_with(a=G), lambda s: s.add_step("g", act),
     "step name 'g' is taken by a group of saga 'order'"),
    ("a group like a resource", saga_with(), lambda s: s.add_step("b", act, group="shop"),
     "group name 'shop' is taken by a resource of saga 'order'"),
    ("a group of two words", saga_with(), lambda s: s.add_step("b", act, group="two words"),
     "group name 'two words' is no identifier (it names a state)"),
    ("a reserved group", saga_with(), lambda s: s.group("input"),
     "group name 'input' is reserved (reserved: input, result, ctx)"),
    ("a group that is no text", saga_with(), lambda s: s.group(3),
     "group name 3 is no identifier (it names a state)"),
    ("a limit of 0", saga_with(), lambda s: s.group("g", max_concurrency=0),
     "group 'g' takes a max_concurrency of 1 or more, not 0"),
    ("a limit that is true", saga_with(), lambda s: s.add_step("a", act, max_concurrency=True),
     "step 'a' takes a max_concurrency of 1 or more, not True"),
    ("a group again later", saga_with(a=G, b={}), lambda s: s.add_step("c", act, group="g"),
     "step 'c' is in group 'g', which ended before it (the members of a group stand together: a, c)"),
    ("an action that reads a sibling", saga_with(z={}, a=G), lambda s: s.add_step("b", lambda a: 1, group="g"),
     ("action of step 'b' takes 'a', which runs beside it in its group, so that it has no result yet "
     "(available: input, ctx, z, shop)")),
    ("a compensation that reads a sibling", saga_with(a=G),
     lambda s: s.add_step("b", act, lambda a: None, group="g"),
     ("compensation of step 'b' takes 'a', which runs beside it in its group, so that it has no result yet "
     "(available: input, ctx, result, shop)")),
    ("a condition that reads a sibling", saga_with(a=G),
     lambda s: s.add_step("b", act, when=lambda a: True, group="g"),
     ("when of step 'b' takes 'a', which runs beside it in its group, so that it has no result yet "
     "(available: input, ctx)")),
    ("an input that reads a sibling, with a default", saga_with(a=G),
     lambda s: s.add_saga("b", child_with(), input=lambda a=1: a, group="g"),
     ("input of step 'b' takes 'a', which runs beside it in its group, so that it has no result yet "
     "(available: input, ctx)")),
    # Nested sagas
    ("no saga", saga_with(), lambda s: s.add_saga("pay", "payment"), "nested saga 'pay' must be a saga, not 'payment'"),
    ("none", saga_with(), lambda s: s.add_saga("pay", None), "nested saga 'pay' must be a saga, not None"),
    ("a nested saga of two words", saga_with(), lambda s: s.add_saga("two words", child_with()),
     "step name 'two words' is no identifier (use title= for free text)"),
    ("a nested saga like a step", saga_with(pay={}), lambda s: s.add_saga("pay", child_with()),
     "step name 'pay' is taken by a step of saga 'order'"),
    ("a nested saga like a resource", saga_with(), lambda s: s.add_saga("shop", child_with()),
     "step name 'shop' is taken by a resource of saga 'order'"),
    ("itself", saga_with(), lambda s: s.add_saga("again", s),
     "nested saga 'again' contains saga 'order', which would contain itself"),
    # Waits
    ("a wait like a step", saga_with(go={}), lambda s: s.wait_for("go"),
     "signal name 'go' is taken by a step of saga 'order'"),
    ("a wait of two words", saga_with(), lambda s: s.wait_for("two words"),
     "signal name 'two words' is no identifier (use title= for free text)"),
    ("a wait called ctx", saga_with(), lambda s: s.wait_for("ctx"),
     "signal name 'ctx' is reserved (reserved: input, result, ctx)"),
    # Titles
    ("a title of a step", saga_with(), lambda s: s.add_step("a", act, title=3),
     "step 'a' takes title= as text, not 3"),
    ("a title of a wait", saga_with(), lambda s: s.wait_for("go", title=3), "step 'go' takes title= as text, not 3"),
    ("a title of a nested saga", saga_with(), lambda s: s.add_saga("pay", child_with(), title=3),
     "step 'pay' takes title= as text, not 3"),
]  # fmt: skip


@pytest.mark.parametrize(("saga", "define", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_is_refused_at_once(saga: Saga, define: Callable[[Saga], Any], told: str) -> None:
    """The message names what is wrong, and the saga stays as it was."""
    before = dict(saga.drafts.steps), dict(saga.drafts.limits)
    assert told == message_of(DefinitionError, lambda: define(saga))
    assert before == (saga.drafts.steps, saga.drafts.limits)


@pytest.mark.parametrize("limit", [None, 2])
def test_a_group_of_nothing(limit: int | None) -> None:
    """A group whose limit is set has members, by the time that the saga is run; they may come later."""
    saga = saga_with(a={})
    saga.group("g", max_concurrency=limit)
    assert "group 'g' of saga 'order' has no members (name it by a step's group=)" == message_of(
        DefinitionError, lambda: saga.definition
    )
    saga.add_step("b", act, group="g")
    assert limit == saga.definition.units["g"].max_concurrency


def test_a_nested_saga_without_steps() -> None:
    """It may get them later; it needs them by the time that its parent is run."""
    child, saga = Saga("payment"), Saga("order")
    saga.add_saga("pay", child)
    assert "saga 'payment' has no steps (define one with @saga.step)" == message_of(
        DefinitionError, lambda: saga.definition
    )
    child.add_step("charge", act)
    assert ["charge"] == [step.name for step in saga.definition.steps[0].child.steps]


def test_a_saga_that_contains_its_parent() -> None:
    """At any depth, whichever is nested first."""
    order, payment, bank = Saga("order"), Saga("payment"), Saga("bank")
    order.add_saga("pay", payment)
    payment.add_saga("bank", bank)
    for saga, told in ((order, "bank"), (payment, "bank")):
        assert f"nested saga 'again' contains saga {told!r}, which would contain itself" == message_of(
            DefinitionError, lambda saga=saga: bank.add_saga("again", saga)
        )


def test_a_step_that_comes_to_run_beside_what_it_reads() -> None:
    """A cell run again that puts a step into the group of one that reads its result is refused."""
    saga = Saga("order")

    def a() -> int:
        return 1

    def b(a: int) -> int:
        return a

    saga.step(a)
    saga.step(b, group="g")
    assert (
        "action of step 'b' takes 'a', which would run beside it in group 'g', and have no result yet"
    ) == message_of(DefinitionError, lambda: saga.step(a, group="g"))
    assert {"a": 1, "b": 1} == saga.run(None).results
    saga.orchestrator.close()


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1), 30, datetime(2026, 1, 1)])
def test_durations_of_waits(value: Any) -> None:
    """A timeout is a positive timedelta; a moment, naive or not, is none."""
    assert f"timeout of wait 'go' takes a positive timedelta, not {value!r}" == message_of(
        DefinitionError, lambda: Saga("order").wait_for("go", timeout=value)
    )
    assert f"deadline of saga 'order' takes a positive timedelta, not {value!r}" == message_of(
        DefinitionError, lambda: Saga("order", deadline=value)
    )


def test_cells_run_again() -> None:
    """A nested saga or a wait defined again stands where it stood, with its new options."""
    child, saga = child_with(), Saga("order")
    for title in ("old", "new"):
        saga.add_saga("pay", child, title=title)
        saga.wait_for("go", title=title)
    assert [("pay", "new"), ("go", "new")] == [(step.name, step.title) for step in saga.definition.steps]
    assert "step name 'pay' is taken by a saga of saga 'order'" == message_of(
        DefinitionError, lambda: saga.add_saga("pay", child_with())
    )


def test_a_saga_shows_its_groups_and_what_is_nested() -> None:
    """The repr tells groups with their members, nested sagas with theirs, and needs no whole definition."""
    saga = saga_with(a={}, b=G, c=G)
    saga.add_saga("pay", Saga("payment"))
    saga.wait_for("go")
    assert "<Saga 'order' version 1: a -> g[b, c] -> pay(saga 'payment') -> go>" == repr(saga)


def test_two_groups_may_stand_side_by_side() -> None:
    """One ends where the other begins."""
    saga = saga_with(a=G, b=G, c={"group": "h"})
    assert ("pending", "running:g", "running:h", "completed", "failed") == saga.states


def test_the_fingerprint_tells_groups_and_what_is_nested() -> None:
    """Structure counts, titles and limits do not."""
    found = {
        saga.definition.fingerprint
        for saga in (
            saga_with(a={}, b={}),
            saga_with(a=G, b=G),
            saga_with(a=G, b={}),
            saga_with(a={"group": "h"}, b={"group": "h"}),
        )
    }
    assert 4 == len(found)
    limited = saga_with(a=G, b=G)
    limited.group("g", max_concurrency=1)
    titled = saga_with(a={**G, "title": "A"}, b=G)
    assert limited.definition.fingerprint == titled.definition.fingerprint
    one, other = Saga("order"), Saga("order")
    one.add_saga("pay", child_with())
    other.add_saga("pay", child_with(charge={}, fee={}))
    assert one.definition.fingerprint != other.definition.fingerprint
