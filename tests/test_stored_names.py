"""Stored data: histories name errors by class, and these names do not change when a class moves to another module."""

from __future__ import annotations

import pickle

import pytest

from sagafsm import errors
from sagafsm.core.observe import record_error
from sagafsm.core.outcomes import AttemptTimedOut, NeverCalled
from sagafsm.errors import SagaError

STORED = {
    errors.SagaError: "sagafsm.errors.SagaError",
    errors.DefinitionError: "sagafsm.errors.DefinitionError",
    errors.RequestError: "sagafsm.errors.RequestError",
    errors.DefinitionChanged: "sagafsm.errors.DefinitionChanged",
    errors.IllegalTransition: "sagafsm.errors.IllegalTransition",
    errors.SagaNotFound: "sagafsm.errors.SagaNotFound",
    errors.SagaFailed: "sagafsm.errors.SagaFailed",
    errors.SagaUnfinished: "sagafsm.errors.SagaUnfinished",
    errors.PermanentFailure: "sagafsm.errors.PermanentFailure",
    errors.OutcomeUnknown: "sagafsm.errors.OutcomeUnknown",
    errors.PayloadError: "sagafsm.errors.PayloadError",
    errors.InputMismatch: "sagafsm.errors.InputMismatch",
    errors.ResourceMissing: "sagafsm.errors.ResourceMissing",
    errors.StoreError: "sagafsm.errors.StoreError",
    errors.StoreConflict: "sagafsm.errors.StoreConflict",
    errors.NotClaimed: "sagafsm.errors.NotClaimed",
    errors.InstanceExists: "sagafsm.errors.InstanceExists",
    errors.MailWaits: "sagafsm.errors.MailWaits",
    AttemptTimedOut: "sagafsm.outcome.AttemptTimedOut",
    NeverCalled: "sagafsm.outcome.NeverCalled",
}


class Declined(errors.PermanentFailure):
    """An error of a user's own."""


def name_of(kind: type[BaseException]) -> str:
    """The name under which a history keeps an error of this class."""
    return record_error(kind.__new__(kind)).type


@pytest.mark.parametrize("kind", STORED, ids=STORED.values())
def test_a_stored_name_stays(kind: type[BaseException]) -> None:
    """Old and new histories name the same error by the same text, wherever its class is now."""
    assert STORED[kind] == name_of(kind)


def test_every_error_has_a_stored_name() -> None:
    """A new class needs a name here, too: its module may move later."""
    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SagaError)}
    assert known | {AttemptTimedOut, NeverCalled} == set(STORED)


def test_an_error_of_a_user_is_named_by_its_own_module() -> None:
    """Also where its class derives from one of ours."""
    assert f"{__name__}.Declined" == name_of(Declined)
    assert "builtins.ValueError" == name_of(ValueError)


@pytest.mark.parametrize("kind", STORED, ids=STORED.values())
def test_the_module_of_a_class_is_true(kind: type[BaseException]) -> None:
    """Pickle finds the class where `__module__` says; a stored name written there would break that."""
    assert kind is pickle.loads(pickle.dumps(kind))
