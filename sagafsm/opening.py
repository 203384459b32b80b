"""What both orchestrators do with their arguments, and with what they return."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from sagafsm.drivers.lease import LeaseKeeper
from sagafsm.drivers.settings import Settings
from sagafsm.driving import Driving
from sagafsm.errors import DefinitionError, SagaUnfinished
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.registry import Registry
from sagafsm.steps import Defined
from sagafsm.store import Store

LEASE = timedelta(seconds=30)
NOT_GIVEN: Any = object()


def login_name() -> str:
    """Who is logged in, as far as the machine tells."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def owner_name() -> str:
    """This process, as people would look for it."""
    return f"{login_name()}@{socket.gethostname()}:{os.getpid()}"


def operations_of(
    store: Store,
    *,
    sagas: Iterable[Defined],
    resources: Mapping[str, Any] | None,
    settings: Settings,
    owner: str | None,
) -> Operations:
    """The operations of an orchestrator with these sagas registered."""
    if not hasattr(store, "append"):
        raise DefinitionError(f"an orchestrator takes a store as a URL or as a Store, not {store!r}")
    largest = settings.max_payload
    if isinstance(largest, bool) or not isinstance(largest, int) or largest < 1:
        raise DefinitionError(f"an orchestrator takes a max_payload of 1 or more, in bytes, not {largest!r}")
    if settings.on_event is not None and not callable(settings.on_event):
        raise DefinitionError(f"an orchestrator takes on_event= as a function, not {settings.on_event!r}")
    if not isinstance(sagas, Iterable):
        raise DefinitionError(f"an orchestrator takes sagas=[...], a list of them, not {sagas!r}")
    if hasattr(sagas, "definition"):
        raise DefinitionError(f"an orchestrator takes sagas=[...], a list of them, not {sagas!r}")
    if resources is not None and not isinstance(resources, Mapping):
        raise DefinitionError(f"an orchestrator takes resources={{name: object}}, not {resources!r}")
    registry = Registry()
    for saga in sagas:
        registry.add(saga)
    driving = Driving(
        store=store,
        registry=registry,
        resources=dict(resources or {}),
        settings=settings,
        keeper=LeaseKeeper(settings.lease),
        owner=owner or owner_name(),
    )
    return Operations(driving)


def checked(instance: SagaInstance, check: bool) -> SagaInstance:
    """The instance; with `check`, only when it completed."""
    if check and instance.raise_for_failure().state != "completed":
        raise SagaUnfinished(instance)
    return instance


def check_lease(lease: timedelta) -> timedelta:
    """The lease, when it is one.

    Raises:
        DefinitionError: it is no positive timedelta.
    """
    if not isinstance(lease, timedelta) or lease <= timedelta(0):
        raise DefinitionError(f"an orchestrator takes a lease that is a positive timedelta, not {lease!r}")
    return lease
