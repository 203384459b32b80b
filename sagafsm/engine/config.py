"""The settings that all drives of one orchestrator share, their defaults, and the checks of what users pass in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, get_args

import attrs

from sagafsm.clock import Clock
from sagafsm.definition.definition import Definition, HasDefinition
from sagafsm.engine.listeners import Listener
from sagafsm.errors import (
    DefinitionError,
    RequestError,
    ResourceMissing,
    SagaUnfinished,
    format_list,
)
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.value import Value

if TYPE_CHECKING:
    from sagafsm.engine.concurrency import Limits

# The defaults of the orchestrators' arguments. `MAX_PAYLOAD`, which `encode` needs too, is in history/payload.
LEASE = timedelta(seconds=30)
MAX_IN_FLIGHT = 256
POLL_INTERVAL = timedelta(seconds=1)
NOT_GIVEN: Any = object()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Settings(Value):
    """The settings of an engine.

    `stopping` tells whether a drive may start nothing new. `draw` returns a random number from 0 to 1. `limits`, where
    there are any, bounds how many calls of one step run at once.
    """

    clock: Clock
    lease: timedelta
    max_payload: int
    on_event: Listener | None
    stopping: Callable[[], bool]
    draw: Callable[[], float] = random.random
    limits: Limits | None = None


class OrchestratorArguments(TypedDict):
    """The arguments beside the store that both orchestrators take."""

    sagas: Iterable[HasDefinition]
    resources: Mapping[str, Any] | None
    clock: Clock
    owner: str | None
    lease: timedelta
    max_payload: int
    on_event: Listener | None


def select_resources(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given resources that the saga declares.

    Raises:
        ResourceMissing: a declared resource is not given.
    """
    missing = [name for name in definition.all_resources if name not in given]
    if missing:
        raise ResourceMissing(definition.saga, missing, given)
    return {name: given[name] for name in definition.all_resources}


def raise_unless_completed(instance: SagaInstance, check: bool) -> SagaInstance:
    """Return the instance; with `check`, raise unless it is completed.

    Raises:
        SagaFailed: the instance failed.
        SagaUnfinished: the instance is not at rest.
    """
    if check and instance.raise_for_failure().state != "completed":
        raise SagaUnfinished(instance)
    return instance


def check_orchestrator_arguments(store: object, given: OrchestratorArguments) -> None:
    """Check the arguments of an orchestrator, before a store is opened. Callers without a type checker make mistakes.

    Raises:
        DefinitionError: an argument is of another kind than the orchestrator takes.
    """
    lease, limit, on_event = given["lease"], given["max_payload"], given["on_event"]
    sagas, resources = given["sagas"], given["resources"]
    if not isinstance(lease, timedelta) or lease <= timedelta(0):
        raise DefinitionError(f"an orchestrator takes a lease that is a positive timedelta, not {lease!r}")
    if not isinstance(store, str) and not hasattr(store, "append"):
        raise DefinitionError(f"an orchestrator takes a store as a URL or as a Store, not {store!r}")
    if not _is_positive_int(limit):
        raise DefinitionError(f"an orchestrator takes a max_payload of 1 or more, in bytes, not {limit!r}")
    if on_event is not None and not callable(on_event):
        raise DefinitionError(f"an orchestrator takes on_event= as a function, not {on_event!r}")
    # The second condition finds `sagas=order` in the place of `sagas=[order]`.
    if not isinstance(sagas, Iterable) or hasattr(sagas, "definition"):
        raise DefinitionError(f"an orchestrator takes sagas=[...], a list of them, not {sagas!r}")
    if resources is not None and not isinstance(resources, Mapping):
        raise DefinitionError(f"an orchestrator takes resources={{name: object}}, not {resources!r}")


def check_max_in_flight(max_in_flight: object) -> None:
    """Check how many instances an orchestrator may drive at once.

    Raises:
        DefinitionError: the number is not a whole number of 1 or more.
    """
    if not _is_positive_int(max_in_flight):
        raise DefinitionError(f"an orchestrator takes a max_in_flight of 1 or more, not {max_in_flight!r}")


def check_poll_interval(poll: object) -> None:
    """Check how often `serve` asks the store.

    Raises:
        RequestError: the interval is not a positive timedelta.
    """
    if not isinstance(poll, timedelta) or poll <= timedelta(0):
        raise RequestError(f"serve takes poll= as a positive timedelta, not {poll!r}")


def _is_positive_int(value: object) -> bool:
    # A bool is an int in Python, but True is not meant as 1.
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def choose_resolution(result: bool, *, not_done: bool, undone: bool) -> e.Decision:
    """Return the decision for the one of its three arguments that `resolve` was given.

    Raises:
        TypeError: none of them was given, or several.
    """
    told: list[e.Decision] = []
    told += ["resolve(result)"] if result else []
    told += ["resolve(not_done)"] if not_done else []
    told += ["resolve(undone)"] if undone else []
    if len(told) != 1:
        raise TypeError(f"resolve takes exactly one of result=, not_done=True, undone=True, not {len(told)} of them")
    return told[0]


def check_by_and_reason(operation: str, *, by: object, reason: object, required: bool) -> None:
    """Check a reason and a name, which the history keeps.

    Raises:
        RequestError: one of them is not text, or the operation needs a reason and has none.
    """
    for name, value in (("by", by), ("reason", reason)):
        if value is not None and not isinstance(value, str):
            raise RequestError(f"{operation!r} takes {name}= as text, not {value!r}")
    if required and not reason:
        raise RequestError(f"{operation!r} takes reason=, which the history keeps; it is empty")


def check_request_ids(instance_id: object, request_id: object) -> None:
    """Check the ids that `signal` was given.

    Raises:
        RequestError: the instance's id is not text, or the request's id is not text of 1 to 200 printable characters.
    """
    if not isinstance(instance_id, str):
        raise RequestError(f"'signal' takes an instance's id as text, not {instance_id!r}")
    if request_id is None or (isinstance(request_id, str) and 0 < len(request_id) <= 200 and request_id.isprintable()):
        return
    raise RequestError(f"'signal' takes request_id= as text of 1 to 200 printable characters, not {request_id!r}")


def check_filters(*, blocked: object, older_than: object, limit: object, **texts: object) -> None:
    """Check the arguments of `find`.

    Raises:
        RequestError: an argument is of another kind than `find` takes.
    """
    if limit is not None and not _is_positive_int(limit):
        raise RequestError(f"find takes limit= of 1 or more, not {limit!r}")
    if older_than is not None and not isinstance(older_than, timedelta):
        raise RequestError(f"find takes older_than= as a timedelta, not {older_than!r}")
    if not isinstance(blocked, (bool, type(None))) and blocked not in get_args(e.BlockReason):
        raise RequestError(
            f"find takes blocked= as True, False or one of {format_list(get_args(e.BlockReason))}, not {blocked!r}"
        )
    for name, value in texts.items():
        if not isinstance(value, (str, type(None))):
            raise RequestError(f"find takes {name}= as text, not {value!r}")
