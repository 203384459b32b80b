"""The immutable definition: fingerprints, differences, labels, names and policies."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.definition.definition import Definition
from sagafsm.definition.fingerprint import compute_fingerprint, list_differences
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import check_duration, check_label, check_name, parse_policies
from sagafsm.errors import DefinitionError
from sagafsm.history.events import StepOutline
from sagafsm.saga import Saga
from support.messages import message_of


def outline(*names: str, **of: Any) -> tuple[StepOutline, ...]:
    """Steps of these names; `of` changes the first."""
    first, *others = (StepOutline(name=name) for name in names)
    return (attrs.evolve(first, **of), *others)


# Fingerprints ---------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_kept_in_databases() -> None:
    """A fingerprint is stored with every instance, so it never changes between versions of sagafsm."""
    steps = (
        StepOutline(name="reserve", compensation=True, probe=True),
        StepOutline(name="check", effect=False),
        StepOutline(name="ship", pivot=True),
    )
    assert compute_fingerprint(steps) == FINGERPRINT


FINGERPRINT = "4835f2c3e7dad8fc"


@pytest.mark.parametrize(
    "other",
    [
        outline("a"),
        outline("b", "a"),
        outline("a", "c"),
        outline("a", "b", "c"),
        outline("a", "b", effect=False),
        outline("a", "b", compensation=True),
        outline("a", "b", probe=True),
        outline("a", "b", pivot=True),
    ],
)
def test_a_changed_structure_is_another_fingerprint(other: tuple[StepOutline, ...]) -> None:
    """Names, order, effect, pivot, and having a compensation or a probe count."""
    assert compute_fingerprint(outline("a", "b")) != compute_fingerprint(other)


def test_what_is_no_structure_keeps_the_fingerprint() -> None:
    """A title, a policy or another function changes nothing: an old instance resumes under the mended function."""

    def old(input): ...

    def mended(input, ctx): ...

    one, other = Saga("order"), Saga("order", unknown_on=[KeyError], in_doubt="retry")
    one.add_step("charge", old, lambda result: None)
    later = timedelta(seconds=3)
    other.add_step(
        "charge", mended, lambda: None, title="Charge", retry=Retry(9), timeout=later, compensation_timeout=later
    )

    assert one.definition.fingerprint == other.definition.fingerprint


OUTLINES = st.lists(
    st.builds(
        StepOutline,
        name=st.sampled_from("abcd"),
        title=st.none() | st.text(max_size=3),
        effect=st.booleans(),
        compensation=st.booleans(),
        probe=st.booleans(),
        pivot=st.booleans(),
    ),
    unique_by=lambda step: step.name,
    max_size=4,
)


@given(one=OUTLINES, other=OUTLINES)
def test_fingerprints_differ_exactly_where_there_is_a_difference(
    one: list[StepOutline], other: list[StepOutline]
) -> None:
    """Two definitions have the same fingerprint exactly when no difference between them can be told."""
    assert (compute_fingerprint(one) == compute_fingerprint(other)) == (list_differences(one, other) == ())


def test_differences_name_the_steps() -> None:
    """What changed is told a phrase each, from the old definition to the new."""
    old = (
        StepOutline(name="a", compensation=True),
        StepOutline(name="b"),
        StepOutline(name="c", pivot=True),
        StepOutline(name="gone"),
    )
    new = (
        StepOutline(name="new"),
        StepOutline(name="b", effect=False, probe=True),
        StepOutline(name="a"),
        StepOutline(name="c", pivot=True),
    )
    assert list_differences(old, new) == (
        "step 'gone' is gone",
        "step 'new' is new",
        "the order was a, b, c",
        "step 'a' lost its compensation",
        "step 'b' lost its effect",
        "step 'b' gained its probe",
    )


# Labels and names -----------------------------------------------------------------------------------------------------

LABELS = ["a", "order 17", "Größe #2", "日本", "a" * 200, " ", "a.b:c", "..", "🙂", "a\u00a0b"]
NO_LABELS = ["", "a" * 201, "a/b", "/", "a\n", "\t", "\x00", "\x7f", "\x85", "\ud800", None, 17, b"a", ["a"]]


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_free_text(label: str) -> None:
    """A saga's name and an id are any text of up to 200 characters."""
    assert label == check_label(label, "a saga name")
    assert label == Saga(label).name


@pytest.mark.parametrize("label", NO_LABELS)
def test_labels_that_are_none(label: Any) -> None:
    """No control characters, no '/', not empty, no lone surrogate (which has no UTF-8), no other type."""
    expected = f"a saga name takes 1 to 200 characters, none a control character or '/', not {label!r}"
    assert expected == message_of(DefinitionError, lambda: Saga(label))
    expected = f"an instance id takes 1 to 200 characters, none a control character or '/', not {label!r}"
    assert expected == message_of(DefinitionError, lambda: check_label(label, "an instance id"))


@given(text=st.text(st.characters(), max_size=210))
def test_any_text_is_a_label_or_refused(text: str) -> None:
    """Whatever the text, it is taken as it is or refused."""
    bad = any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c == "/" or 0xD800 <= ord(c) < 0xE000 for c in text)

    if bad or not 1 <= len(text) <= 200:
        with pytest.raises(DefinitionError):
            check_label(text, "an instance id")
    else:
        assert text == check_label(text, "an instance id")


@pytest.mark.parametrize("name", ["", "two words", "2nd", "a-b", "a.b", None, 3])
def test_names_are_identifiers(name: Any) -> None:
    """A step or resource has a name that a parameter can have; free text goes into the title."""
    expected = f"step name {name!r} is no identifier (use title= for free text)"
    assert expected == message_of(DefinitionError, lambda: check_name(name, "step", {}))


@pytest.mark.parametrize("name", ["input", "result", "ctx"])
def test_reserved_names(name: str) -> None:
    """The names that mean something else to a function are no step's."""
    expected = f"resource name {name!r} is reserved (reserved: input, result, ctx)"
    assert expected == message_of(DefinitionError, lambda: check_name(name, "resource", {}))


def test_taken_names() -> None:
    """A name that is taken is refused, saying by what."""
    expected = "step name 'shop' is taken by a resource of saga 'order'"
    taken = {"shop": "a resource of saga 'order'"}
    assert expected == message_of(DefinitionError, lambda: check_name("shop", "step", taken))


# Policies -------------------------------------------------------------------------------------------------------------

POLICIES = [("ask",), ("retry",), ("compensate",), ("retry", "compensate")]


@pytest.mark.parametrize("given_", ["ask", "retry", "compensate"])
def test_a_policy_in_one_word(given_: Any) -> None:
    """One word is the policy alone."""
    assert (given_,) == parse_policies(given_, "step 'a'")


def test_every_combination_of_policies() -> None:
    """Of all combinations those of the design are taken, the others refused, listing those that exist."""
    words = ("ask", "retry", "compensate")
    for given_ in [c for n in range(4) for c in itertools.product(words, repeat=n)]:
        if given_ in POLICIES:
            assert given_ == parse_policies(given_, "step 'a'")
        else:
            expected = f"step 'a' takes in_doubt='ask', 'retry', 'compensate', ('retry', 'compensate'), not {given_!r}"
            assert expected == message_of(DefinitionError, lambda given_=given_: parse_policies(given_, "step 'a'"))


@pytest.mark.parametrize("given_", [3, None, True])
def test_a_policy_of_another_type(given_: Any) -> None:
    """What is no policy at all is refused like a wrong one."""
    expected = f"step 'a' takes in_doubt='ask', 'retry', 'compensate', ('retry', 'compensate'), not {given_!r}"
    assert expected == message_of(DefinitionError, lambda: parse_policies(given_, "step 'a'"))


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1), 3, math.inf, "1 s"])
def test_durations_are_positive_timedeltas(value: Any) -> None:
    """A timeout or deadline is a positive timedelta, or absent."""
    expected = f"timeout of step 'a' takes a positive timedelta, not {value!r}"
    assert expected == message_of(DefinitionError, lambda: check_duration(value, "timeout of step 'a'"))
    check_duration(None, "timeout of step 'a'")
    check_duration(timedelta(microseconds=1), "timeout of step 'a'")


# The definition as a whole --------------------------------------------------------------------------------------------


def test_a_definition_has_steps() -> None:
    """A saga without steps is refused when its definition is taken."""
    expected = "saga 'empty' has no steps (define one with @saga.step)"
    assert expected == message_of(DefinitionError, lambda: Saga("empty").definition)
    assert expected == message_of(DefinitionError, lambda: Saga("empty").run(None))


def order() -> Definition:
    saga = Saga("order", version=3, deadline=timedelta(hours=1), resources=["shop"])
    saga.add_step("reserve", lambda ctx: None, lambda: None)
    saga.add_step("charge", lambda shop: None, pivot=True)
    saga.add_step("ship", lambda: None)
    return saga.definition


def test_what_a_definition_tells() -> None:
    """Steps by name and position, the pivot, the outline, the table and the states."""
    definition = order()

    assert ("order", 3, timedelta(hours=1), ("shop",)) == (
        definition.saga,
        definition.version,
        definition.deadline,
        definition.resources,
    )
    assert definition.positions == {"reserve": 0, "charge": 1, "ship": 2}
    assert list(definition.by_name) == ["reserve", "charge", "ship"]
    assert definition.pivot == 1
    assert (
        StepOutline(name="reserve", compensation=True),
        StepOutline(name="charge", pivot=True),
        StepOutline(name="ship"),
    ) == definition.outline
    assert definition.table["succeed", "running:ship"] == "completed"
    assert "compensating:reserve" in definition.states


def test_a_definition_does_not_change() -> None:
    """Nothing of a definition can be assigned."""
    definition = order()

    with pytest.raises(AttributeError):
        definition.saga = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        definition.steps[0].name = "other"  # type: ignore[misc]
