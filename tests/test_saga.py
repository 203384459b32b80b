"""The builder: steps in order, defined by decorators or calls, replaced in place, checked at once."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm.definition.definition import Definition
from sagafsm.definition.retry import Retry
from sagafsm.definition.step import Step
from sagafsm.errors import DefinitionError, OutcomeUnknown, ResourceMissing, SagaFailed
from sagafsm.saga import Saga
from support.messages import message_of

SECOND = timedelta(seconds=1)


def act() -> str:
    return "done"


def undo() -> None: ...


def look() -> None: ...


def step_of(saga: Saga, name: str = "charge") -> Any:
    return saga.definition.by_name[name]


def refusal(call: Callable[[], Any]) -> str:
    return message_of(DefinitionError, call)


@pytest.fixture
def order() -> Iterator[Saga]:
    saga = Saga("order")
    yield saga
    saga.orchestrator.close()


# The smallest saga ----------------------------------------------------------------------------------------------------


def test_the_smallest_saga(order: Saga) -> None:
    """Steps are plain functions; each compensation gets its own step's result, in reverse order."""
    calls: list[Any] = []

    @order.step
    def reserve(input):
        calls.append(("reserve", input["product_id"]))
        return {"id": "r-1"}

    @reserve.compensation
    def release(result):
        calls.append(("release", result["id"]))

    @order.step
    def charge(input):
        calls.append(("charge", input["amount"]))
        return {"id": "c-1"}

    @charge.compensation
    def refund(result):
        calls.append(("refund", result["id"]))

    @order.step
    def ship(input, charge):
        calls.append(("ship", charge["id"]))
        if input["address"] is None:
            raise ValueError("no address")
        return "label"

    shipped = order.run({"product_id": "mug", "amount": 1800, "address": "Berlin"}, check=True)
    assert shipped.state == "completed"
    assert shipped.results == {"reserve": {"id": "r-1"}, "charge": {"id": "c-1"}, "ship": "label"}
    assert calls == [("reserve", "mug"), ("charge", 1800), ("ship", "c-1")]
    calls.clear()

    returned = order.run({"product_id": "mug", "amount": 1800, "address": None})
    assert (returned.state, returned.compensated) == ("failed", True)
    assert calls[2:] == [("ship", "c-1"), ("refund", "c-1"), ("release", "r-1")]


def test_running_on_a_loop(order: Saga) -> None:
    """`run_async` runs on the running loop; `run` works inside one too."""

    @order.step
    async def charge(input):
        await asyncio.sleep(0)
        return input

    async def both() -> list[Any]:
        return [(await order.run_async(1, id="a")).results, order.run(2, id="b").results]

    assert asyncio.run(both()) == [{"charge": 1}, {"charge": 2}]


def test_resources_are_given_to_the_run() -> None:
    """A saga names its resources; each run gives them, so that tests can swap them."""
    saga = Saga("order", resources=("shop", "bank"))

    @saga.step
    def charge(input, bank):
        return bank[input]

    assert saga.run("c-1", resources={"shop": None, "bank": {"c-1": 7}}).results == {"charge": 7}
    message = message_of(ResourceMissing, lambda: saga.run("c-1", resources={"bank": {}}))
    assert (
        message == "saga 'order' needs resources that were not given: shop (given: bank); pass resources={name: object}"
    )
    saga.orchestrator.close()


def test_check_raises_unless_completed(order: Saga) -> None:
    """`check=True` turns a failed instance into an error that carries it."""

    @order.step
    def charge():
        raise ValueError("declined")

    with pytest.raises(SagaFailed) as caught:
        order.run(None, id="o-1", check=True)
    expected = "instance 'o-1' failed: step 'charge' failed: ValueError: declined; may remain: nothing"
    assert expected == str(caught.value)


# Steps ----------------------------------------------------------------------------------------------------------------


def test_a_step_is_called_like_its_function(order: Saga) -> None:
    """Calling a step calls its function, with any arguments, and records nothing."""

    @order.step
    def charge(input: int, *, ctx: Any = None) -> int:
        """Take the money."""
        return input + 1

    assert 3 == charge(2) == charge(input=2) == charge(2, ctx="anything")
    assert (charge.__name__, charge.__doc__) == ("charge", "Take the money.")
    assert str(inspect.signature(charge)) == "(input: 'int', *, ctx: 'Any' = None) -> 'int'"
    assert repr(charge) == "<Step 'charge' of saga 'order'>"
    assert isinstance(charge, Step)


def test_an_async_step_is_called_like_its_function(order: Saga) -> None:
    """Calling an async step gives its coroutine."""

    @order.step
    async def charge(input):
        return input + 1

    assert asyncio.run(charge(2)) == 3


def test_compensation_and_probe_are_the_plain_functions(order: Saga) -> None:
    """The decorators for compensation and probe give the function back as it was."""
    charge = order.step(act, name="charge")

    assert undo is charge.compensation(undo)
    assert look is charge.probe(look)
    again = order.step(look, name="ship").compensation(retry=Retry(2), timeout=SECOND)
    assert undo is again(undo)


def test_both_forms_of_step_say_the_same() -> None:
    """With parentheses, without, and by `add_step`: the same definition."""
    bare, called, added = Saga("order"), Saga("order"), Saga("order")
    bare.step(act)
    called.step()(act)
    added.add_step("act", act)

    assert bare.definition == called.definition == added.definition


def test_what_a_step_says_for_itself() -> None:
    """Every option of a step reaches its definition."""
    saga = Saga("order")
    saga.add_step(
        "charge",
        act,
        undo,
        probe=look,
        compensation_retry=Retry(2),
        compensation_timeout=2 * SECOND,
        title="Take the money",
        retry=Retry(3),
        timeout=SECOND,
        in_doubt=("retry", "compensate"),
    )
    step = step_of(saga)

    assert (step.name, step.title, step.pivot, step.effect) == ("charge", "Take the money", False, True)
    assert (Retry(3), SECOND, ("retry", "compensate")) == (step.retry, step.timeout, step.in_doubt)
    assert (Retry(2), 2 * SECOND) == (step.compensation_retry, step.compensation_timeout)
    assert (act, undo, look) == (step.action.call, step.compensation.call, step.probe.call)


def test_the_defaults_of_a_step() -> None:
    """One attempt, no timeout, ask when in doubt; a compensation has five attempts."""
    saga = Saga("order")
    saga.add_step("charge", act, undo)
    step = step_of(saga)

    assert (None, Retry(1), None, ("ask",), False, True) == (
        step.title,
        step.retry,
        step.timeout,
        step.in_doubt,
        step.pivot,
        step.effect,
    )
    assert (Retry(5), None) == (step.compensation_retry, step.compensation_timeout)


def test_the_sagas_policies_are_defaults_for_its_steps() -> None:
    """`retry`, `timeout` and `in_doubt` of the saga hold for steps that say nothing themselves."""
    saga = Saga("order", retry=Retry(3), timeout=SECOND, in_doubt="retry")
    saga.add_step("charge", act)
    saga.add_step("ship", act, retry=Retry(1), timeout=2 * SECOND, in_doubt="ask")
    charge, ship = step_of(saga), step_of(saga, "ship")

    assert (Retry(3), SECOND, ("retry",)) == (charge.retry, charge.timeout, charge.in_doubt)
    assert (Retry(1), 2 * SECOND, ("ask",)) == (ship.retry, ship.timeout, ship.in_doubt)


@pytest.mark.parametrize("policy", ["compensate", ("retry", "compensate")])
def test_a_saga_wide_policy_holds_where_it_is_allowed(policy: Any) -> None:
    """A saga-wide `in_doubt` that undoes holds for steps with a compensation, and elsewhere the answer is to ask."""
    saga = Saga("order", in_doubt=policy)
    saga.add_step("reserve", act, undo)
    saga.add_step("check", act, effect=False)
    saga.add_step("charge", act)
    saga.add_step("ship", act, pivot=True)
    saga.add_step("mail", act)
    wide = (policy,) if isinstance(policy, str) else policy

    assert [wide, ("ask",), ("ask",), ("ask",), ("ask",)] == [step.in_doubt for step in saga.definition.steps]


def test_a_saga_shows_its_steps() -> None:
    """The repr names saga, version and steps."""
    saga = Saga("order", version=2)
    assert repr(saga) == "<Saga 'order' version 2: no steps yet>"
    saga.add_step("reserve", act)
    saga.add_step("charge", act)
    assert repr(saga) == "<Saga 'order' version 2: reserve -> charge>"


# Names ----------------------------------------------------------------------------------------------------------------


def test_a_step_is_named_by_its_function_or_by_name() -> None:
    """A function's name is its step's, unless `name=` says otherwise."""
    saga = Saga("order")

    assert [saga.step(act).name, saga.step(look, name="charge").name] == ["act", "charge"]


class Service:
    def __call__(self): ...


@pytest.mark.parametrize("fn", [lambda: None, functools.partial(act), Service()])
def test_what_has_no_name_needs_one(fn: Callable[..., Any]) -> None:
    """Lambdas, partials and callable objects need a name."""
    saga = Saga("order")

    assert f"a step of saga 'order' made of {fn!r} needs a name (name=...)" == refusal(lambda: saga.step(fn))
    assert saga.step(fn, name="charge").name == "charge"


@pytest.mark.parametrize("name", ["", "two words", "2nd", 3])
def test_a_step_name_is_an_identifier(name: Any) -> None:
    """Step names are identifiers, so that a later step can ask for the result by that name."""
    expected = f"step name {name!r} is no identifier (use title= for free text)"
    assert expected == refusal(lambda: Saga("order").step(act, name=name))
    assert expected == refusal(lambda: Saga("order").add_step(name, act))


def test_reserved_step_names() -> None:
    """A step called `input` is refused, also where the name is its function's."""
    expected = "step name 'input' is reserved (reserved: input, result, ctx)"
    assert expected == refusal(lambda: Saga("order").step(act, name="input"))

    def ctx(): ...

    expected = "step name 'ctx' is reserved (reserved: input, result, ctx)"
    assert expected == refusal(lambda: Saga("order").step(ctx))


def test_names_of_steps_and_resources_are_unique_together() -> None:
    """A step cannot have the name of another step, nor of a resource."""
    saga = Saga("order", resources=("shop",))
    saga.step(act)

    assert refusal(lambda: saga.add_step("act", look)) == "step name 'act' is taken by a step of saga 'order'"
    assert refusal(lambda: saga.add_step("shop", look)) == "step name 'shop' is taken by a resource of saga 'order'"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ("shop", "saga 'order' takes resources as names in a tuple, not 'shop'"),
        (("a b",), "resource name 'a b' is no identifier (steps ask for it by a parameter of that name)"),
        (("ctx",), "resource name 'ctx' is reserved (reserved: input, result, ctx)"),
        (("shop", "shop"), "resource name 'shop' is taken by another resource of saga 'order'"),
    ],
)
def test_resource_names(resources: Any, expected: str) -> None:
    """Resources have names like steps."""
    assert expected == refusal(lambda: Saga("order", resources=resources))


@pytest.mark.parametrize("fn", [None, 3, "act"])
def test_what_is_no_function_is_no_step(fn: Any) -> None:
    """Actions, compensations and probes are functions."""
    assert f"a step of saga 'order' takes a function, not {fn!r}" == refusal(lambda: Saga("order").add_step("a", fn))
    if fn is not None:
        step = Saga("order").step(act)
        expected = f"the compensation of step 'act' must be a function, not {fn!r}"
        assert expected == refusal(lambda: step.compensation(fn))
        assert f"the probe of step 'act' must be a function, not {fn!r}" == refusal(lambda: step.probe(fn))


# Options of a saga ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_versions_count_from_one(version: Any) -> None:
    """A version is a whole number from 1."""
    assert f"saga 'order' takes a version of 1 or more, not {version!r}" == refusal(
        lambda: Saga("order", version=version)
    )


@pytest.mark.parametrize("value", [timedelta(0), 30, -SECOND])
def test_durations_of_a_saga(value: Any) -> None:
    """Deadline and timeout are positive timedeltas."""
    what = f"of saga 'order' takes a positive timedelta, not {value!r}"
    assert f"deadline {what}" == refusal(lambda: Saga("order", deadline=value))
    assert f"timeout {what}" == refusal(lambda: Saga("order", timeout=value))


@pytest.mark.parametrize("value", [timedelta(0), 30, -SECOND])
def test_durations_of_a_step(value: Any) -> None:
    """The timeout of an action or a compensation is a positive timedelta."""
    what = f"takes a positive timedelta, not {value!r}"
    step = Saga("order").step(look)

    assert f"timeout of step 'act' {what}" == refusal(lambda: Saga("order").step(act, timeout=value))
    expected = f"timeout of the compensation of step 'look' {what}"
    assert expected == refusal(lambda: step.compensation(undo, timeout=value))


def test_retries_are_retries() -> None:
    """Where a Retry is wanted, a bare number says too little."""
    step = Saga("order").step(look)

    assert refusal(lambda: Saga("order", retry=3)) == "saga 'order' takes retry=Retry(...), not 3"  # type: ignore[arg-type]
    assert refusal(lambda: Saga("order").step(act, retry=3)) == "step 'act' takes retry=Retry(...), not 3"  # type: ignore[call-overload]
    expected = "the compensation of step 'look' takes retry=Retry(...), not 3"
    assert expected == refusal(lambda: step.compensation(undo, retry=3))  # type: ignore[call-overload]


@pytest.mark.parametrize("unknown_on", [(ValueError(),), ("ValueError",), (KeyboardInterrupt,)])
def test_unknown_on_holds_exception_types(unknown_on: Any) -> None:
    """`unknown_on` adds types of Exception."""
    expected = f"saga 'order' takes unknown_on= as Exception types, not {unknown_on!r}"
    assert expected == refusal(lambda: Saga("order", unknown_on=unknown_on))


def test_unknown_on_is_several() -> None:
    """A single type in `unknown_on` is refused, saying how it is meant."""
    expected = "saga 'order' takes unknown_on= as Exception types in a tuple, not <class 'ValueError'>"
    assert expected == refusal(lambda: Saga("order", unknown_on=ValueError))  # type: ignore[arg-type]


def test_in_doubt_of_a_saga_or_a_step() -> None:
    """`in_doubt` is one of four policies, wherever it is said."""
    wrong: Any = "compensate, then retry"
    allowed = f"takes in_doubt='ask', 'retry', 'compensate', ('retry', 'compensate'), not {wrong!r}"

    assert f"saga 'order' {allowed}" == refusal(lambda: Saga("order", in_doubt=wrong))
    assert f"step 'act' {allowed}" == refusal(lambda: Saga("order").step(act, in_doubt=wrong))


# Compensations, probes and pivots -------------------------------------------------------------------------------------


def test_a_second_compensation_is_refused() -> None:
    """A step has one compensation, and one probe."""
    saga = Saga("order")
    step = saga.add_step("charge", act, undo, probe=look)

    assert refusal(lambda: step.compensation(act)) == "step 'charge' has a compensation already ('undo')"
    assert refusal(lambda: step.probe(act)) == "step 'charge' has a probe already ('look')"
    assert (undo, look) == (step_of(saga).compensation.call, step_of(saga).probe.call)


def test_a_second_lambda_is_another_compensation() -> None:
    """A lambda is never the same as before, so a second one is a second compensation."""
    step = Saga("order").add_step("charge", act, lambda: None, probe=lambda: None)

    assert refusal(lambda: step.compensation(lambda: None)) == "step 'charge' has a compensation already ('charge')"
    assert refusal(lambda: step.probe(lambda: None)) == "step 'charge' has a probe already ('charge')"


def test_a_pivot_defined_again_is_still_the_pivot() -> None:
    """Running the pivot's cell again makes no second pivot, and moves it nowhere."""
    saga = Saga("order")
    saga.step(look)
    saga.step(act, pivot=True)
    saga.add_step("mail", undo)
    saga.step(act, pivot=True, title="Ship")

    assert [(s.name, s.pivot) for s in saga.definition.steps] == [("look", False), ("act", True), ("mail", False)]


def test_a_step_without_effect_has_nothing_to_undo_or_to_find_out() -> None:
    """`effect=False` and a compensation or a probe contradict each other."""
    saga = Saga("order")
    step = saga.add_step("check", act, effect=False)
    nothing_to_undo = "step 'check' has effect=False, so there is nothing for a compensation to undo"
    nothing_to_ask = "step 'check' has effect=False, so there is nothing for a probe to find out"

    assert nothing_to_undo == refusal(lambda: step.compensation(undo))
    assert nothing_to_ask == refusal(lambda: step.probe(look))


@pytest.mark.parametrize("kept", ["compensation", "probe"])
def test_a_step_without_effect_keeps_neither(kept: str) -> None:
    """A step defined again with `effect=False` cannot keep its compensation or probe."""
    saga = Saga("order")
    step = saga.step(act)
    getattr(step, kept)(undo)
    end = "compensation to undo" if kept == "compensation" else "probe to find out"

    expected = f"step 'act' has effect=False, so there is nothing for a {end}"
    assert expected == refusal(lambda: saga.step(act, effect=False))


def test_a_compensation_may_be_retried_on_anything() -> None:
    """Compensations are called at least once anyway: their retries name what they like."""
    saga = Saga("order")
    saga.add_step("charge", act, undo, compensation_retry=Retry(2, on=(TimeoutError, OutcomeUnknown)))

    assert (TimeoutError, OutcomeUnknown) == step_of(saga).compensation_retry.on


# Parameters across a saga ---------------------------------------------------------------------------------------------


def test_a_step_sees_only_earlier_steps() -> None:
    """Results are those of steps before; a step defined again still stands where it stood."""
    saga = Saga("order")
    saga.add_step("reserve", lambda: None)

    @saga.step
    def charge(reserve): ...

    expected = (
        "action of step 'ship' takes 'mail', which is nothing it can be given (available: input, ctx, reserve, charge)"
    )
    assert expected == refusal(lambda: saga.add_step("ship", lambda mail: None))
    saga.add_step("ship", lambda: None)

    @charge.compensation
    def refund(result, reserve): ...

    expected = "probe of step 'charge' takes 'ship', which is nothing it can be given (available: input, ctx, reserve)"
    assert expected == refusal(lambda: charge.probe(lambda ship: None))


@attrs.frozen
class Order:
    amount: int


@attrs.frozen
class Other:
    amount: int


def test_the_input_type_is_taken_from_the_steps() -> None:
    """Without `input=` the steps' annotations say what the input is; what says nothing counts for nothing."""
    saga = Saga("order")

    @saga.step
    def reserve(input): ...

    assert Any is saga.definition.input

    @saga.step
    def charge(input: Order): ...

    @charge.compensation
    def refund(input: Order): ...

    @charge.probe
    def look_up(input: Any): ...

    assert Order is saga.definition.input


@pytest.mark.parametrize("role", ["compensation", "probe"])
def test_input_types_that_differ_are_refused(role: str) -> None:
    """Two annotations that differ are refused, naming both, unless `input=` decides."""

    def one(input: Order): ...

    def other(input: Other): ...

    def define(saga: Saga) -> Definition:
        saga.add_step("reserve", one)
        getattr(saga.add_step("charge", act), role)(other)
        return saga.definition

    expected = (
        f"saga 'order' is given its input as different types: by the action of step 'reserve' as {Order!r} "
        f"and by the {role} of step 'charge' as {Other!r} (declare input=...)"
    )
    assert expected == refusal(lambda: define(Saga("order")))
    assert Order is define(Saga("order", input=Order)).input


# Defining again -------------------------------------------------------------------------------------------------------


def cell(saga: Saga, answer: str, **options: Any) -> Step[..., Any]:
    """A cell of a notebook: run again, it defines the same function again."""

    @saga.step(**options)
    def charge(input):
        return answer

    return charge


def test_a_cell_run_again_replaces_its_step_in_place(order: Saga) -> None:
    """Defined again from the same place, a step is replaced where it stands, keeping compensation and probe."""
    order.add_step("reserve", act)
    step = cell(order, "old")
    step.compensation(undo, retry=Retry(2), timeout=SECOND)
    step.probe(look)
    order.add_step("ship", act)

    cell(order, "new", title="Charge", retry=Retry(3))

    assert [s.name for s in order.definition.steps] == ["reserve", "charge", "ship"]
    charge = step_of(order)
    assert (undo, look, Retry(2), SECOND) == (
        charge.compensation.call,
        charge.probe.call,
        charge.compensation_retry,
        charge.compensation_timeout,
    )
    assert ("Charge", Retry(3)) == (charge.title, charge.retry)
    assert order.run(None).results["charge"] == "new"


def test_what_a_replaced_step_kept_can_be_replaced_once() -> None:
    """A kept compensation or probe is replaced by any other, once; after that a second is a second."""
    saga = Saga("order")
    step = cell(saga, "old")
    step.compensation(undo)
    step.probe(look)

    step = cell(saga, "new")
    step.compensation(act)
    step.probe(act)

    assert (act, act) == (step_of(saga).compensation.call, step_of(saga).probe.call)
    assert refusal(lambda: step.compensation(undo)) == "step 'charge' has a compensation already ('act')"
    assert refusal(lambda: step.probe(look)) == "step 'charge' has a probe already ('act')"


def test_a_compensation_run_again_replaces_itself() -> None:
    """The same compensation or probe, defined again, is replaced with its options."""
    saga = Saga("order")
    step = saga.add_step("charge", act, undo, probe=look)

    step.compensation(undo, retry=Retry(9))
    step.probe(look)

    assert Retry(9) == step_of(saga).compensation_retry


def test_add_step_run_again() -> None:
    """`add_step` with the same functions replaces; without a compensation it keeps the one there was."""
    saga = Saga("order")
    for title in ("old", "new"):
        saga.add_step("charge", act, undo, probe=look, title=title)
    saga.add_step("charge", act, title="newest")

    step = step_of(saga)
    assert ("newest", undo, look) == (step.title, step.compensation.call, step.probe.call)


def test_another_function_of_the_same_name_is_a_duplicate() -> None:
    """A closure from another line, or a function from elsewhere, is not the same step."""
    saga = Saga("order")
    cell(saga, "old")

    @attrs.frozen
    class Elsewhere:
        @staticmethod
        def charge(input): ...

    expected = "step name 'charge' is taken by a step of saga 'order'"
    assert expected == refusal(lambda: saga.step(Elsewhere.charge))
    assert saga.definition.steps[0].action.call(None) == "old"


@pytest.mark.parametrize("make", [lambda: lambda: None, lambda: functools.partial(act), Service])
def test_some_callables_are_never_defined_again(make: Callable[[], Callable[..., Any]]) -> None:
    """Lambdas, partials and callable objects are always another step, so the name is taken."""
    saga = Saga("order")
    saga.add_step("charge", make())

    expected = "step name 'charge' is taken by a step of saga 'order'"
    assert expected == refusal(lambda: saga.add_step("charge", make()))


def test_a_refused_definition_changes_nothing() -> None:
    """A step defined again wrongly leaves the saga as it was."""
    saga = Saga("order")
    saga.step(act)
    before = saga.definition

    assert refusal(lambda: saga.step(act, timeout=3))  # type: ignore[call-overload]
    assert before == saga.definition


@pytest.mark.parametrize(
    ("compensation", "probe", "options"),
    [
        (lambda nothing: None, None, {}),
        (undo, lambda nothing: None, {}),
        (undo, None, {"pivot": True}),
        (undo, None, {"compensation_timeout": 3}),
        (None, look, {"effect": False}),
    ],
)
def test_add_step_is_all_or_nothing(compensation: Any, probe: Any, options: Any) -> None:
    """One call is one definition: a refused compensation or probe leaves no half-defined step behind."""
    saga = Saga("order")
    saga.add_step("reserve", look)
    before = saga.definition

    assert refusal(lambda: saga.add_step("charge", act, compensation, probe=probe, **options))
    assert before == saga.definition
    saga.add_step("reserve", look, undo)
    kept = saga.definition
    assert refusal(lambda: saga.add_step("reserve", look, lambda nothing: None))
    assert kept == saga.definition


def test_a_definition_is_not_changed_by_what_comes_after() -> None:
    """Each run takes the present definition; one that was taken stays as it is."""
    saga = Saga("order")
    saga.step(act)
    taken = saga.definition

    saga.add_step("ship", look)
    saga.step(act, title="other")

    assert [(step.name, step.title) for step in taken.steps] == [("act", None)]
    assert [(step.name, step.title) for step in saga.definition.steps] == [("act", "other"), ("ship", None)]
    assert saga.definition is saga.definition


def test_a_mended_function_keeps_the_fingerprint() -> None:
    """A function mended between runs resumes what the old one began."""
    saga = Saga("order")
    cell(saga, "old")
    before = saga.definition.fingerprint

    cell(saga, "mended")

    assert before == saga.definition.fingerprint
    saga.add_step("ship", act)
    assert before != saga.definition.fingerprint


def test_an_instance_under_way_is_resumed_by_a_mended_function(order: Saga) -> None:
    """A cell run again between two steps of an instance is what the second of them calls."""
    order.add_step("reserve", act)
    cell(order, "old")
    order.orchestrator.start(order, None, id="o-1")
    order.orchestrator.advance("o-1")

    cell(order, "mended")

    assert order.orchestrator.resume("o-1").results == {"reserve": "done", "charge": "mended"}


def test_the_views_of_a_saga() -> None:
    """States, table, diagram and risks are those of the present definition."""
    saga = Saga("order")
    saga.add_step("charge", act, undo)

    assert saga.states == ("pending", "running:charge", "completed", "compensating:charge", "failed")
    assert saga.table["go_back", "completed"] == "compensating:charge"
    assert saga.diagram().startswith("stateDiagram-v2\n")
    assert [risk.kind for risk in saga.risks()] == ["waits_for_a_person"]
