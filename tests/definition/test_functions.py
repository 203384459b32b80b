"""Users' functions: parameters matched by name, checked at definition."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.definition.functions import RESERVED, Function, Role, Scope, bind, find_function_name, find_origin
from sagafsm.errors import DefinitionError
from support.messages import message_of

AVAILABLE = "input, ctx, reserve, charge, shop"


@attrs.frozen
class Order:
    """A type that only this module knows."""

    product: str


def scope(role: Role = "action") -> Scope:
    return Scope(step="ship", role=role, earlier=("reserve", "charge"), resources=("shop",))


def bound(fn: Callable[..., Any], role: Role = "action") -> Function:
    return bind(fn, scope(role))


def sources(function: Function) -> dict[str, str]:
    return {parameter.name: parameter.source for parameter in function.parameters}


def types_of(function: Function) -> dict[str, Any]:
    return {parameter.name: parameter.type for parameter in function.parameters}


# Matching by name -----------------------------------------------------------------------------------------------------


def test_an_action_is_given_what_it_names() -> None:
    """`input`, earlier steps, resources and `ctx` are matched by name, in whatever order they are asked for."""

    def ship(charge, shop, *, ctx, reserve, input): ...

    expected = {"charge": "step", "shop": "resource", "ctx": "ctx", "reserve": "step", "input": "input"}
    assert expected == sources(bound(ship))


def test_a_compensation_is_given_its_result() -> None:
    """A compensation may ask for `result`, its own step's, beside all that an action may."""

    def recall(result, input, reserve, shop, ctx): ...

    assert list(sources(bound(recall, "compensation")).values()) == ["result", "input", "step", "resource", "ctx"]


def test_a_probe_is_given_what_an_action_is() -> None:
    """A probe takes an action's parameters, and has no result."""

    def look(input, charge, shop, ctx): ...

    def wrong(result): ...

    assert list(sources(bound(look, "probe")).values()) == ["input", "step", "resource", "ctx"]
    expected = f"probe of step 'ship' takes 'result', which is nothing it can be given (available: {AVAILABLE})"
    assert expected == message_of(DefinitionError, lambda: bound(wrong, "probe"))


def test_no_parameters_are_fine() -> None:
    """A function need not ask for anything."""
    assert bound(lambda: None).parameters == ()


@pytest.mark.parametrize("role", ["action", "compensation", "probe"])
def test_an_unknown_parameter_is_refused(role: Role) -> None:
    """A parameter that matches nothing and has no default is an error that lists what is available."""

    def ship(adress): ...

    available = AVAILABLE.replace("ctx", "ctx, result") if role == "compensation" else AVAILABLE
    expected = f"{role} of step 'ship' takes 'adress', which is nothing it can be given (available: {available})"
    assert expected == message_of(DefinitionError, lambda: bound(ship, role))


def test_an_unknown_parameter_with_a_default_is_left_alone() -> None:
    """A parameter with a default that matches nothing keeps its default and is listed."""

    def ship(input, attempts=3, *, express=False): ...

    function = bound(ship)

    assert sources(function) == {"input": "input"}
    assert function.unmatched == ("attempts", "express")


def test_a_known_parameter_with_a_default_is_given() -> None:
    """A default does not keep a parameter from being matched."""

    def ship(input=None, reserve=None): ...

    assert sources(bound(ship)) == {"input": "input", "reserve": "step"}


@pytest.mark.parametrize(
    ("fn", "name"), [(lambda *args: None, "*args"), (lambda reserve, **kwargs: None, "**kwargs"), (print, "*args")]
)
def test_any_number_of_arguments_is_refused(fn: Callable[..., Any], name: str) -> None:
    """`*args` and `**kwargs` are refused, saying so: nothing could be matched to them by name."""
    expected = (
        f"action of step 'ship' takes {name}, but parameters are matched by name "
        f"(name those it needs; available: {AVAILABLE})"
    )
    assert expected == message_of(DefinitionError, lambda: bound(fn))


def test_an_action_has_no_result() -> None:
    """`result` is a compensation's own; an action has none yet."""
    expected = f"action of step 'ship' takes 'result', which is nothing it can be given (available: {AVAILABLE})"
    assert expected == message_of(DefinitionError, lambda: bound(lambda result: None))


def test_a_compensation_names_its_own_result_result() -> None:
    """Its own step's name in a compensation is an error that says what to use."""
    expected = "compensation of step 'ship' takes 'ship', its own step's name; use 'result'"
    assert expected == message_of(DefinitionError, lambda: bound(lambda ship: None, "compensation"))
    assert expected == message_of(DefinitionError, lambda: bound(lambda ship=1: None, "compensation"))


def test_an_action_cannot_ask_for_its_own_step() -> None:
    """An action has no result of its own to be given, nor one of a later step."""
    expected = f"action of step 'ship' takes 'ship', which is nothing it can be given (available: {AVAILABLE})"
    assert expected == message_of(DefinitionError, lambda: bound(lambda ship: None))


def test_positional_only_parameters_are_given_by_position() -> None:
    """Positional-only parameters are matched by name like any other, and passed by position."""

    def ship(input, reserve, /, ctx): ...

    assert [parameter.positional for parameter in bound(ship).parameters] == [True, True, False]


def test_what_has_no_signature_is_refused() -> None:
    """A callable whose parameters cannot be read is refused, with the reason."""

    def ship(): ...

    ship.__signature__ = 5  # type: ignore[attr-defined]
    message = message_of(DefinitionError, lambda: bound(ship))
    assert message.startswith(
        f"action of step 'ship' is {ship!r}, whose parameters cannot be read: unexpected object 5"
    )


NAMES = st.sampled_from(["input", "result", "ctx", "reserve", "charge", "ship", "shop", "later", "other"])


@given(
    names=st.lists(NAMES, unique=True),
    defaults=st.booleans(),
    role=st.sampled_from(["action", "compensation", "probe"]),
)
def test_any_signature_is_matched_or_refused(names: list[str], defaults: bool, role: Role) -> None:
    """Whatever a function asks for, each parameter is matched by its name, left alone, or refused; never guessed."""
    known = {"input", "ctx", "reserve", "charge", "shop"} | ({"result"} if role == "compensation" else set())
    default = None if defaults else inspect.Parameter.empty
    parameters = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default) for n in names]

    def fn(**given: Any) -> None: ...

    fn.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    unknown = [name for name in names if name not in known]
    own = role == "compensation" and "ship" in names

    if own or (unknown and not defaults):
        with pytest.raises(DefinitionError):
            bound(fn, role)
    else:
        function = bound(fn, role)
        assert [name for name in names if name in known] == list(sources(function))
        assert tuple(unknown) == function.unmatched


# Kinds of callables ---------------------------------------------------------------------------------------------------


class Shipping:
    """A service whose methods, and which itself, can be steps."""

    def __call__(self, input: Order, charge: Order | None = None) -> Order:
        return input

    def label(self, input: Order) -> Order:
        return input

    async def label_async(self, input: Order) -> Order:
        return input

    @classmethod
    def by_class(cls, input: Order) -> Order:
        return input

    @staticmethod
    def by_nobody(input: Order) -> Order:
        return input


class AsyncShipping:
    """A callable object whose call is async."""

    async def __call__(self, input: Order) -> Order:
        return input


def plain(input: Order, reserve: str) -> Order:
    return input


async def plain_async(input: Order) -> Order:
    return input


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


CALLABLES = [
    (plain, False),
    (plain_async, True),
    (wrapped, False),
    (Shipping().label, False),
    (Shipping().label_async, True),
    (Shipping.by_class, False),
    (Shipping.by_nobody, False),
    (Shipping(), False),
    (AsyncShipping(), True),
    (functools.partial(plain, reserve="r-1"), False),
    (functools.partial(plain_async), True),
    (functools.partial(Shipping().label), False),
    (functools.partial(Shipping()), False),
]


@pytest.mark.parametrize(("fn", "is_async"), CALLABLES)
def test_any_callable_can_be_a_step(fn: Callable[..., Any], is_async: bool) -> None:
    """Functions, methods, partials, callable objects and their async variants; their text annotations are resolved."""
    function = bound(fn)

    assert sources(function)["input"] == "input"
    assert Order is types_of(function)["input"]
    assert Order is function.returns
    assert is_async == function.is_async


def test_a_class_can_be_a_step() -> None:
    """A class is called like any function; its constructor's parameters count."""

    class Label:
        def __init__(self, input: Order, charge: str) -> None: ...

    assert {"input": Order, "charge": str} == types_of(bound(Label))


def test_what_a_partial_gives_is_not_asked_for() -> None:
    """What a partial holds by position is gone; what it holds by name has a default, and is left alone or given."""

    def ship(address, input, charge="c"): ...

    assert sources(bound(functools.partial(ship, "Berlin"))) == {"input": "input", "charge": "step"}
    assert bound(functools.partial(ship, address="Berlin")).unmatched == ("address",)


# Annotations ----------------------------------------------------------------------------------------------------------


def test_text_annotations_name_types() -> None:
    """Text annotations, and forward references inside them, name what the function's module and closure know."""

    class Local: ...

    def ship(input: Local, reserve: list[Order], charge: Order | None) -> dict[str, Local]:
        return {"": Local()}

    function = bound(ship)

    assert {"input": Local, "reserve": list[Order], "charge": Order | None} == types_of(function)
    assert dict[str, Local] == function.returns


def test_annotations_beside_a_name_assigned_later() -> None:
    """A function that encloses a name which is assigned only later has its annotations resolved all the same."""

    def ship(input: Order) -> Order:
        return later(input)

    function = bound(ship)

    def later(order: Order) -> Order:
        return order

    assert {"input": Order} == types_of(function)


def test_annotated_keeps_what_it_adds() -> None:
    """`Annotated` arrives whole, for those who read it."""

    def ship(input: Annotated[int, "grams"]): ...

    assert {"input": Annotated[int, "grams"]} == types_of(bound(ship))


def test_no_annotation_is_any() -> None:
    """Without an annotation a value is any JSON value."""

    def ship(input, reserve): ...

    function = bound(ship)

    assert {"input": Any, "reserve": Any} == types_of(function)
    assert Any is function.returns


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ("Nowhere", "name 'Nowhere' is not defined"),
        ("functools.Nothing", "module 'functools' has no attribute 'Nothing'"),
    ],
)
def test_an_annotation_that_names_nothing_is_refused(annotation: str, problem: str) -> None:
    """A type that cannot be found is told at definition, not when the first result is lost."""

    def ship(input): ...

    ship.__annotations__["input"] = annotation
    what = "parameter 'input' of action of step 'ship'"
    expected = f"{what} has annotation {annotation!r}, which cannot be resolved: {problem}"
    assert expected == message_of(DefinitionError, lambda: bound(ship))

    def send(): ...

    send.__annotations__["return"] = annotation
    expected = f"action of step 'ship' has annotation {annotation!r}, which cannot be resolved: {problem}"
    assert expected == message_of(DefinitionError, lambda: bound(send))


@pytest.mark.parametrize("annotation", ["the order", "int | 'Order'", "list[Nowhere]"])
def test_an_annotation_that_is_no_type_is_refused(annotation: str) -> None:
    """What is no type in an annotation is told at definition."""

    def ship(input): ...

    ship.__annotations__["input"] = annotation
    expected = f"parameter 'input' of action of step 'ship' has annotation {annotation!r}, which cannot be resolved: "
    assert message_of(DefinitionError, lambda: bound(ship)).startswith(expected)


def test_annotations_that_only_checkers_know() -> None:
    """A resource is handed over as it is, and a compensation's return is not kept: their annotations are not read."""

    def ship(shop: Nowhere, ctx: Nowhere): ...  # noqa: F821

    def recall(result) -> Nowhere: ...  # noqa: F821

    assert {"shop": Any, "ctx": Any} == types_of(bound(ship))
    assert Any is bound(recall, "compensation").returns


# Names and sameness ---------------------------------------------------------------------------------------------------


def test_functions_and_methods_have_names() -> None:
    """Lambdas, partials and callable objects have none of their own."""
    assert [find_function_name(fn) for fn in (plain, plain_async, Shipping().label, Shipping.by_class)] == [
        "plain",
        "plain_async",
        "label",
        "by_class",
    ]
    assert [find_function_name(fn) for fn in (lambda: None, functools.partial(plain), Shipping(), AsyncShipping())] == [
        None
    ] * 4


def made(shift: int) -> Callable[..., Any]:
    if shift:

        def ship(input):
            return shift

    else:

        def ship(input):
            return "other"

    return ship


def test_the_same_function_is_one_of_the_same_place() -> None:
    """The same: same module and qualified name; closures also need the same first line."""
    again = functools.wraps(plain)(lambda *_: None)

    assert (__name__, "plain") == find_origin(plain) == find_origin(again)
    assert find_origin(made(1)) == find_origin(made(2))
    assert find_origin(made(1)) != find_origin(made(0))
    assert find_origin(Shipping().label) == find_origin(Shipping().label)
    assert find_origin(plain) != find_origin(plain_async)


def test_some_callables_are_never_the_same() -> None:
    """Lambdas, partials and callable objects are never the same as before: nothing tells one from another."""
    assert [find_origin(fn) for fn in (lambda: None, functools.partial(plain), Shipping())] == [None] * 3


def test_the_reserved_names() -> None:
    """No step and no resource can have one of these names."""
    assert RESERVED == ("input", "result", "ctx")
