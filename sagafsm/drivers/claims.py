"""Claims and creations as effects: what is granted is known for certain, or the claim is not counted as ours."""

from __future__ import annotations

import contextlib
import functools
from datetime import timedelta
from typing import Any

from sagafsm.batch import Batch
from sagafsm.drivers.effects import Steps, StoreCall, Write
from sagafsm.drivers.lease import Lease
from sagafsm.errors import InstanceExists, MailWaits, NotClaimed, SagaNotFound, StoreConflict, StoreError
from sagafsm.store import Create, Store, Stored

CREATE_AGAIN = 3


def claimed(lease: Lease, duration: timedelta, *, replacing: int | None) -> Steps[int]:
    """The token of a claim. Its refusal is told apart from the loss of a claim that was granted."""
    claim = functools.partial(
        lease.store.claim, lease.instance_id, owner=lease.owner, lease=duration, replacing=replacing
    )
    try:
        token: int = yield StoreCall(claim)
    except StoreConflict as conflict:
        raise NotClaimed(str(conflict)) from conflict
    return token


def create(
    batch: Batch, lease: Lease | None, duration: timedelta, *, store: Store | None = None, under: int | None = None
) -> Steps[None]:
    """Store a new instance; with a `lease` it is claimed in the same commit, `under` the root's claim if it is nested.

    A failed or ambiguous creation is looked up, and repeated when it did not take place.

    Raises:
        InstanceExists: the id is taken.
        StoreConflict: the root is owned by somebody else now.
        MailWaits: a request waits for an instance in which this one is nested.
    """
    store = lease.store if lease is not None else store
    assert store is not None  # noqa: S101 - one of the two is always given
    events, instance_id = tuple(batch.events), batch.instance.id
    claim: dict[str, Any] = {} if lease is None else {"owner": lease.owner, "lease": duration}
    make = Create(instance_id=instance_id, events=events, under=under, **claim)
    for tries_left in range(CREATE_AGAIN, -1, -1):
        try:
            token: int = yield Write(store, make)
        except (InstanceExists, MailWaits, StoreConflict):
            raise
        except StoreError as error:
            stored = yield from _looked_up(store, instance_id, error)
            if stored is None and tries_left:
                continue
            ours = stored is not None and stored.instance.history == events
            if stored is None or not ours or (lease is not None and stored.summary.owner != lease.owner):
                raise
            token = stored.summary.token
        break
    if lease is not None:
        lease.token = token


def _looked_up(store: Store, instance_id: str, error: StoreError) -> Steps[Stored | None]:
    try:
        stored: Stored = yield StoreCall(functools.partial(store.load, instance_id))
    except SagaNotFound:
        return None
    except StoreError:
        raise error from None
    return stored


def release(lease: Lease) -> Steps[None]:
    """Give a claim up, when there is one."""
    if lease.token is None or lease.released:
        return
    # Where it fails the drive counts as ended all the same: this process finds it free, others when it runs out.
    with contextlib.suppress(StoreError):
        yield StoreCall(functools.partial(lease.store.release, lease.instance_id, token=lease.token))
