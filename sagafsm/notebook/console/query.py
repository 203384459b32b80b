"""Which instances of many are shown to somebody, in which order, and how many there are of each state. Pure."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from sagafsm.errors import SagaNotFound
from sagafsm.history.instance import SagaInstance
from sagafsm.render.tables.instances import STATUS_ORDER, label_summary
from sagafsm.store import Owner, Store, Summary

# So many rows are shown, and so many more each time that more are asked for.
PAGE = 100
MAX_SHOWN = 500


@attrs.frozen(kw_only=True)
class ConsoleQuery:
    """What somebody asks to see: instances that hold every word of `text`, in one of the `states`, if any are given.

    `nested`: those too that are nested in others. `max_rows` is how many rows at most.
    """

    text: str = ""
    states: frozenset[str] = frozenset()
    nested: bool = False
    max_rows: int = PAGE

    def with_toggled(self, state: str) -> ConsoleQuery:
        """The question with a state chosen, or, where it was, not chosen any more."""
        return attrs.evolve(self, states=self.states ^ {state}, max_rows=PAGE)

    def with_more(self) -> ConsoleQuery:
        """The question for more rows."""
        return attrs.evolve(self, max_rows=min(self.max_rows + PAGE, MAX_SHOWN))


@attrs.frozen(kw_only=True)
class StoreSample:
    """What was found in a store: summaries by id, and the states of which there are more than were read."""

    summaries: Mapping[str, Summary] = attrs.Factory(dict)
    incomplete: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Overview:
    """The rows to show, of `matching` that there are; `counts` tells how many match the text, by state.

    `incomplete` names the states of which there are more than were read.
    """

    rows: tuple[Summary, ...]
    matching: int
    counts: Mapping[str, int]
    incomplete: frozenset[str] = frozenset()

    @property
    def is_more(self) -> bool:
        """Whether more rows could be shown."""
        return len(self.rows) < min(self.matching, MAX_SHOWN)


def build_overview(found: StoreSample, question: ConsoleQuery) -> Overview:
    """What of all that was found answers a question: what is blocked first, then what changed last."""
    texts = question.text.casefold().split()
    named = [
        (label_summary(one).word, one)
        for one in found.summaries.values()
        if (question.nested or "/" not in one.id) and _matches_console_query(one, texts)
    ]
    numbers = Counter(word for word, _ in named)
    rows = sorted(
        (one for word, one in named if not question.states or word in question.states), key=_make_query_sort_key
    )
    return Overview(
        rows=tuple(rows[: question.max_rows]),
        matching=len(rows),
        counts={word: numbers[word] for word in STATUS_ORDER if numbers[word] or word in question.states},
        incomplete=found.incomplete,
    )


def _matches_console_query(one: Summary, texts: Iterable[str]) -> bool:
    told = f"{one.id}\n{one.saga}\n{one.state}\n{label_summary(one).word}".casefold()
    return all(text in told for text in texts)


def _make_query_sort_key(one: Summary) -> tuple[bool, float, str]:
    return one.blocked is None, -one.updated_at.timestamp(), one.id


# Of each kind so many are read at most, those with the least ids.
MAX_PER_KIND = 1_000
MAX_BY_ID = 100

# Each kind with the words under which its instances are counted. What somebody waits for comes whole, or says so.
_KINDS: tuple[tuple[frozenset[str], Mapping[str, Any]], ...] = (
    (frozenset({"blocked"}), {"blocked": True}),
    (frozenset({"running", "waits for a signal", "sleeps"}), {"state": "running", "blocked": False}),
    (frozenset({"compensating", "sleeps"}), {"state": "compensating", "blocked": False}),
    (frozenset({"pending"}), {"state": "pending", "blocked": False}),
    (frozenset({"failed"}), {"state": "failed"}),
    (frozenset({"completed"}), {"state": "completed"}),
)


def read_sample(store: Store, text: str = "", *, each: int = MAX_PER_KIND) -> StoreSample:
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
        summaries.update((one.id, one) for one in _query_by_id(store, text))
    return StoreSample(summaries=summaries, incomplete=cut)


def _query_by_id(store: Store, text: str) -> Iterator[Summary]:
    with contextlib.suppress(SagaNotFound):
        yield store.load(text).summary
    # Ids are in order: those that begin with the text follow on it.
    yield from itertools.takewhile(lambda one: one.id.startswith(text), store.find(after=text, limit=MAX_BY_ID))


def make_summary(instance: SagaInstance, known: Summary | None) -> Summary:
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
