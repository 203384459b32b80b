"""Sagas as explicit, durable finite state machines."""

from typing import TYPE_CHECKING, Any

from sagafsm.context import Context
from sagafsm.errors import (
    DefinitionChanged,
    DefinitionError,
    IllegalTransition,
    InputMismatch,
    OutcomeUnknown,
    PayloadError,
    PermanentFailure,
    SagaError,
    SagaFailed,
    SagaNotFound,
    SagaUnfinished,
    StoreConflict,
    StoreError,
)
from sagafsm.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.outcome import IN_DOUBT, NOT_DONE, Done
from sagafsm.retry import Retry
from sagafsm.saga import Saga
from sagafsm.step import Step
from sagafsm.store import open_store

if TYPE_CHECKING:
    from sagafsm.async_orchestrator import AsyncOrchestrator

__all__ = [
    "IN_DOUBT",
    "NOT_DONE",
    "AsyncOrchestrator",
    "Context",
    "DefinitionChanged",
    "DefinitionError",
    "Done",
    "IllegalTransition",
    "InputMismatch",
    "Orchestrator",
    "OutcomeUnknown",
    "PayloadError",
    "PermanentFailure",
    "Retry",
    "Saga",
    "SagaError",
    "SagaFailed",
    "SagaInstance",
    "SagaNotFound",
    "SagaUnfinished",
    "Step",
    "StoreConflict",
    "StoreError",
    "open_store",
]


def __getattr__(name: str) -> Any:
    """`AsyncOrchestrator`, once it is asked for: asyncio takes a fifth of the time that the import does without it."""
    if name == "AsyncOrchestrator":
        from sagafsm.async_orchestrator import AsyncOrchestrator  # noqa: PLC0415 - see above

        return AsyncOrchestrator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
