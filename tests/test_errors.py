"""Every error: its message, the arguments it keeps, the builtin it resembles, and the way through a pickle."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from sagafsm import errors
from sagafsm.errors import (
    DefinitionChanged,
    DefinitionError,
    IllegalTransition,
    InputMismatch,
    InstanceExists,
    MailWaits,
    NotClaimed,
    OutcomeUnknown,
    PayloadError,
    PermanentFailure,
    RequestError,
    ResourceMissing,
    SagaError,
    SagaFailed,
    SagaNotFound,
    SagaUnfinished,
    StoreConflict,
    StoreError,
)
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga


def act() -> str:
    return "done"


def refuse() -> None:
    raise ValueError("declined")


def unknown() -> None:
    raise OutcomeUnknown("no answer")


def instance_of(*actions: Any) -> SagaInstance:
    """An instance of steps a, b, …, as far as it gets."""
    saga = Saga("order")
    for name, action in zip("abc", actions, strict=False):
        saga.add_step(name, action)
    with Orchestrator("memory://") as orchestrator:
        return orchestrator.run(saga, None, id="o-17")


def made() -> Iterator[tuple[SagaError, str, dict[str, Any], type[Exception]]]:
    """One of each class, its message, what it keeps, and the builtin class that also catches it."""
    yield DefinitionError("saga 'a' has no steps"), "saga 'a' has no steps", {}, ValueError
    yield RequestError("find takes limit= of 1 or more, not 0"), "find takes limit= of 1 or more, not 0", {}, ValueError
    yield NotClaimed("instance 'o-17' is owned by 'b'"), "instance 'o-17' is owned by 'b'", {}, RuntimeError
    yield (
        DefinitionChanged("o-17", "order", 2, ("step 'a' is gone", "step 'b' is new")),
        (
            "instance 'o-17' was begun under another definition of saga 'order' version 2: step 'a' is gone; step 'b' is new "
            "(register the old definition under its version and give the new one another)"
        ),
        {
            "instance_id": "o-17",
            "saga": "order",
            "version": 2,
            "differences": ("step 'a' is gone", "step 'b' is new"),
        },
        RuntimeError,
    )
    yield (
        IllegalTransition("o-17", "completed", "cancel", ["compensate"]),
        "instance 'o-17' is completed, which does not allow 'cancel' (allowed: compensate)",
        {"instance_id": "o-17", "state": "completed", "operation": "cancel", "allowed": ("compensate",)},
        RuntimeError,
    )
    yield (
        IllegalTransition("o-17", "failed", "retry", ()),
        "instance 'o-17' is failed, which does not allow 'retry' (allowed: nothing)",
        {"allowed": ()},
        RuntimeError,
    )
    yield (
        SagaNotFound("o-17", "memory://"),
        "no instance 'o-17' in memory:// (find() lists what is there)",
        {"instance_id": "o-17", "store": "memory://"},
        LookupError,
    )
    yield PermanentFailure("closed"), "closed", {}, RuntimeError
    yield OutcomeUnknown("no answer"), "no answer", {}, RuntimeError
    for builtin in (TypeError, ValueError):
        yield (
            PayloadError("result of step 'a'", "$.x[0]", "bytes is no JSON value"),
            "result of step 'a' at $.x[0]: bytes is no JSON value",
            {"subject": "result of step 'a'", "path": "$.x[0]", "problem": "bytes is no JSON value"},
            builtin,
        )
    yield (
        InputMismatch("o-17", "with another input"),
        "instance 'o-17' exists with another input (choose another id, or start it with the same)",
        {"instance_id": "o-17", "difference": "with another input"},
        ValueError,
    )
    yield (
        ResourceMissing("order", ["shop", "bank"], {"mail": 1}),
        "saga 'order' needs resources that were not given: shop, bank (given: mail); pass resources={name: object}",
        {"saga": "order", "missing": ("shop", "bank"), "given": ("mail",)},
        LookupError,
    )
    yield (
        ResourceMissing("order", ["shop"], ()),
        "saga 'order' needs resources that were not given: shop (given: none); pass resources={name: object}",
        {"given": ()},
        LookupError,
    )
    yield StoreError("disk full"), "disk full", {"outcome": None}, RuntimeError
    yield StoreConflict("owned by 'a'"), "owned by 'a'", {"outcome": None}, StoreError
    yield InstanceExists("o-17"), "instance 'o-17' exists already", {"instance_id": "o-17"}, StoreConflict
    yield (
        MailWaits("o-17"),
        "instance 'o-17' has mail that the append does not absorb",
        {"instance_id": "o-17"},
        StoreError,
    )
    failed = instance_of(act, refuse)
    yield (
        SagaFailed(failed),
        "instance 'o-17' failed: step 'b' failed: ValueError: declined; may remain: a (no_compensation)",
        {"instance": failed},
        RuntimeError,
    )
    blocked = instance_of(unknown)
    yield (
        SagaUnfinished(blocked),
        (
            "instance 'o-17' is running:a and unfinished: step 'a' is blocked (in_doubt; decide: retry, resolve(result), "
            "resolve(not_done), compensate, abandon)"
        ),
        {"instance": blocked},
        RuntimeError,
    )


CASES = list(made())
EVERY = pytest.mark.parametrize(
    ("error", "message", "kept", "builtin"), CASES, ids=[type(c[0]).__name__ for c in CASES]
)


def test_every_error_is_examined() -> None:
    """Each class of the module has a case here."""
    classes = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SagaError)}

    assert classes - {SagaError} == {type(error) for error, *_ in CASES}


@EVERY
def test_messages_name_the_thing_its_state_and_the_way_out(
    error: SagaError, message: str, kept: dict[str, Any], builtin: type[Exception]
) -> None:
    """The class builds the whole message from its arguments, and keeps them."""
    assert message == str(error)
    assert kept == {name: getattr(error, name) for name in kept}


@EVERY
def test_errors_are_caught_as_the_builtin_they_resemble(
    error: SagaError, message: str, kept: dict[str, Any], builtin: type[Exception]
) -> None:
    """`except SagaError` catches all of them; so does the builtin class that a reader would expect."""
    assert isinstance(error, SagaError)
    assert isinstance(error, builtin)


@EVERY
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_a_pickle(
    error: SagaError, message: str, kept: dict[str, Any], builtin: type[Exception], protocol: int
) -> None:
    """Between processes nothing of an error is lost: class, message, arguments, notes."""
    noted = copy.copy(error)
    noted.add_note("see the log")

    for again in (pickle.loads(pickle.dumps(noted, protocol)), copy.copy(noted), copy.deepcopy(noted)):
        assert type(error) is type(again)
        assert message == str(again)
        assert kept == {name: getattr(again, name) for name in kept}
        assert ["see the log"] == again.__notes__


def test_what_a_store_error_could_not_record() -> None:
    """`outcome` is what a user's function had answered, and survives a pickle, too."""
    error = StoreConflict("taken over")
    error.outcome = {"id": "c-1"}

    assert {"id": "c-1"} == pickle.loads(pickle.dumps(error)).outcome


def test_an_unfinished_instance_that_nobody_drives() -> None:
    """Why an instance is not at rest is told: nobody drives it, somebody does, or it waits for a time."""
    saga = Saga("order")
    saga.add_step("a", act)
    with Orchestrator("memory://") as orchestrator:
        orchestrator.start(saga, None, id="o-17")
        instance = orchestrator.get("o-17")

    expected = "instance 'o-17' is pending and unfinished: nobody drives it (resume() or recover() goes on)"
    assert expected == str(SagaUnfinished(instance))
    assert "instance 'o-17' is pending and unfinished: it is driven by 'ann'" == str(
        SagaUnfinished(changed(instance, owner="ann"))
    )
    at = instance.created_at
    assert f"instance 'o-17' is pending and unfinished: it waits until {at.isoformat()}" == str(
        SagaUnfinished(changed(instance, wake_at=at))
    )


def changed(instance: SagaInstance, **changes: Any) -> SagaInstance:
    copied = copy.copy(instance)
    copied.__dict__.update(changes)
    return copied


@pytest.mark.parametrize("error", [error for error, *_ in CASES if not isinstance(error, (SagaFailed, SagaUnfinished))])
def test_messages_are_no_sentences(error: SagaError) -> None:
    """A message begins small and ends without a full stop, so that it can stand inside another."""
    assert str(error)[0].islower()
    assert not str(error).endswith(".")
