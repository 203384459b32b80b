"""Sagas as explicit, durable finite state machines.

Import public names from here, and from `sagafsm.store`, `.errors`, `.verify`, `.notebook` and `.testing`.

To learn how sagafsm works, read these modules in this order:

1. `history.events`: the facts that a history records.
2. `history.fold`: how the facts become a `SagaInstance`.
3. `core.decide`: which command comes next for an instance.
4. `engine.drive_loop`: the loop that turns commands into effects, and their outcomes into events.

Then `definition.machine` (the states and the table of moves), `store` (what a store promises) and
`runtime.sync_performer` (how effects are carried out on threads).

The packages form layers. A layer imports only from layers below it:

    cli                                  the commands
    demo, notebook, testing              what users run, see and test with
    verify                               tries every failure point of a saga
    saga                                 the builder of a definition
    orchestrator, async_orchestrator     run, recover and decide, over a store
    runtime                              threads, event loops, leases, shutdown: carries out effects
    engine, render                       execution without I/O; values as SVG, HTML and text
    core, results                        what comes next, pure; what find() and recover() return
    definition, store                    what a saga is, pure; the protocol of a store
    history                              what happened, pure: events, instance, payloads
    errors, value, display, clock        the ground

Stores and tracing are in the package `sagafsm_adapters`.
"""

from typing import TYPE_CHECKING, Any

from sagafsm.clock import Clock, SystemClock
from sagafsm.core.context import Context
from sagafsm.core.outcomes import IN_DOUBT, NOT_DONE, Done
from sagafsm.definition.retry import Retry
from sagafsm.definition.risks import Risk
from sagafsm.definition.step import Step
from sagafsm.definition.unknown_outcome import network_errors
from sagafsm.errors import (
    DefinitionChanged,
    DefinitionError,
    IllegalTransition,
    InputMismatch,
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
from sagafsm.history.step_state import Block, Residue
from sagafsm.orchestrator import Orchestrator
from sagafsm.results import AsyncFound, Found, RecoveryReport
from sagafsm.saga import Saga
from sagafsm.store import Summary, open_store

if TYPE_CHECKING:
    from sagafsm.async_orchestrator import AsyncOrchestrator

__all__ = [
    "IN_DOUBT",
    "NOT_DONE",
    "AsyncFound",
    "AsyncOrchestrator",
    "Block",
    "Clock",
    "Context",
    "DefinitionChanged",
    "DefinitionError",
    "Done",
    "Found",
    "IllegalTransition",
    "InputMismatch",
    "Orchestrator",
    "OutcomeUnknown",
    "PayloadError",
    "PermanentFailure",
    "RecoveryReport",
    "RequestError",
    "Residue",
    "ResourceMissing",
    "Retry",
    "Risk",
    "Saga",
    "SagaError",
    "SagaFailed",
    "SagaInstance",
    "SagaNotFound",
    "SagaUnfinished",
    "Step",
    "StoreConflict",
    "StoreError",
    "Summary",
    "SystemClock",
    "network_errors",
    "open_store",
]


def __getattr__(name: str) -> Any:
    """Import `AsyncOrchestrator` when it is first used: asyncio takes a fifth of the import time of all else."""
    if name == "AsyncOrchestrator":
        from sagafsm.async_orchestrator import AsyncOrchestrator  # noqa: PLC0415 - see above

        return AsyncOrchestrator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
