"""What is read of a store to give an overview of it: bounded, however much there is."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from sagafsm.errors import SagaNotFound
from sagafsm.instance import SagaInstance
from sagafsm.notebook.store_console.overview import Found
from sagafsm.store import Owner, Store, Summary

# Of each kind so many are read at most, those with the least ids.
EACH = 1_000
NAMED = 100
# Each kind with the words under which its instances are counted. What somebody waits for comes whole, or says so.
_KINDS: tuple[tuple[frozenset[str], Mapping[str, Any]], ...] = (
    (frozenset({"blocked"}), {"blocked": True}),
    (frozenset({"running", "waits for a signal", "sleeps"}), {"state": "running", "blocked": False}),
    (frozenset({"compensating", "sleeps"}), {"state": "compensating", "blocked": False}),
    (frozenset({"pending"}), {"state": "pending", "blocked": False}),
    (frozenset({"failed"}), {"state": "failed"}),
    (frozenset({"completed"}), {"state": "completed"}),
)


def survey(store: Store, text: str = "", *, each: int = EACH) -> Found:
    """Up to so many instances of each kind, and those whose id begins with a text, wherever they are.

    Raises:
        StoreError: the store does not answer.
    """
    summaries: dict[str, Summary] = {}
    cut: frozenset[str] = frozenset()
    for words, filters in _KINDS:
        page = store.find(**filters, limit=each + 1)
        cut |= words if len(page) > each else frozenset()
        summaries.update((one.id, one) for one in page[:each])
    if cut and text:
        summaries.update((one.id, one) for one in _named(store, text))
    return Found(summaries=summaries, cut=cut)


def _named(store: Store, text: str) -> Iterator[Summary]:
    with contextlib.suppress(SagaNotFound):
        yield store.load(text).summary
    # Ids are in order: those that begin with the text follow on it.
    yield from itertools.takewhile(lambda one: one.id.startswith(text), store.find(after=text, limit=NAMED))


def summary_of(instance: SagaInstance, known: Summary | None) -> Summary:
    """An instance that a drive has just told of, as a row; what only the store knows is as it was known."""
    owner = None if known is None else known.owner
    if owner is None and instance.owner is not None:
        owner = Owner(name=instance.owner, process="")
    return Summary(
        id=instance.id,
        saga=instance.saga,
        version=instance.version,
        state=instance.state,
        length=len(instance.history),
        created_at=instance.created_at,
        updated_at=instance.updated_at,
        blocked=instance.blocked[0].reason if instance.blocked else None,
        waiting=instance.waiting,
        wake_at=instance.wake_at,
        owner=None if instance.is_at_rest or instance.blocked or instance.waiting else owner,
    )
