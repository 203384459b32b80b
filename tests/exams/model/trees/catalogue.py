"""The sagas with groups and nested sagas that are explored, in sets by what they show."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs

from exams.model.sagas import Kind
from exams.model.trees.sagas import Awaited, Group, Nested, Part, Step, TreeSaga

ASK = Kind(compensation=True)
PLAIN = Kind()
RETRY = Kind(in_doubt="retry", compensation=True, attempts=2)
BACK = Kind(in_doubt="compensate", compensation=True)
NOTHING = Kind(effect=False)
PROBE = Kind(probe=True, compensation=True)
BOTH = Kind(in_doubt=("retry", "compensate"), compensation=True, attempts=2, undos=2)
PIVOT = Kind(pivot=True)
AGAIN = Kind(in_doubt="retry", attempts=2)
KINDS = (ASK, PLAIN, RETRY, BACK, NOTHING, PROBE, BOTH)
WHEN = ("", "yes", "no", "raises")
A = Step(ASK)


def _steps(*kinds: Kind) -> tuple[Step, ...]:
    return tuple(Step(kind) for kind in kinds)


def _group(*kinds: Kind, limit: int | None = None) -> Group:
    return Group(_steps(*kinds), limit)


def _nested(*kinds: Kind) -> Nested:
    return Nested(_steps(*kinds))


def pairs() -> list[TreeSaga]:
    """Every kind beside every other."""
    return [TreeSaga((_group(*kinds),)) for kinds in itertools.product(KINDS, KINDS)]


def triples() -> list[TreeSaga]:
    """Three members, all at once, or one or two at a time."""
    kinds = ((ASK, ASK, ASK), (ASK, RETRY, PLAIN), (PROBE, ASK, NOTHING), (BACK, ASK, RETRY), (NOTHING, PROBE, BACK))
    return [TreeSaga((_group(*three, limit=limit),)) for limit in (None, 1, 2) for three in kinds]


def conditions() -> list[TreeSaga]:
    """Members, and steps alone, that are called only when something holds."""
    found: list[tuple[Part, ...]] = [
        (Group((Step(ASK, first), Step(ASK, second))),) for first, second in itertools.product(WHEN, WHEN)
    ]
    for when in WHEN[1:]:
        found += [(Step(ASK, when), A), (A, Step(ASK, when)), (Group((A, Step(ASK, when)), limit=1),)]
    return [TreeSaga(parts) for parts in found[1:]]


def nested() -> list[TreeSaga]:
    """A nested saga of one or two steps, alone, before and behind a step."""
    found: list[tuple[Part, ...]] = [(_nested(kind),) for kind in KINDS]
    found += [(A, _nested(first, second)) for first in (ASK, PROBE) for second in KINDS]
    found += [(_nested(kind), Step(behind)) for kind in (ASK, PLAIN) for behind in (ASK, PLAIN, RETRY, BACK, PROBE)]
    found += [(A, Nested((A,), when, computed)) for when in WHEN for computed in (False, True)]
    return [TreeSaga(parts) for parts in found]


def members() -> list[TreeSaga]:
    """A nested saga as a member of a group."""
    kinds = (ASK, PLAIN, RETRY, BACK, PROBE)
    found = [Group((Step(kind), _nested(inner))) for kind in kinds for inner in (*kinds, NOTHING)]
    found += [Group((_nested(inner), Step(kind))) for kind in (ASK, RETRY) for inner in (ASK, PLAIN, BACK, PROBE)]
    found += [Group((_nested(first), _nested(second))) for first in (ASK, RETRY) for second in (ASK, BACK, PROBE)]
    found += [Group((Step(kind), _nested(ASK, inner))) for kind in (ASK, RETRY) for inner in (ASK, RETRY, BACK)]
    found += [Group((A, Nested((Step(ASK, inner),), when))) for when in WHEN[1:] for inner in ("", "no", "raises")]
    found += [Group((A, _nested(ASK), Step(PLAIN)), limit) for limit in (None, 1)]
    return [TreeSaga((group,)) for group in found]


def inner_groups() -> list[TreeSaga]:
    """A group within a nested saga."""
    found: list[Part] = [Nested((_group(first, second),)) for first in (ASK, RETRY) for second in (ASK, PLAIN, BACK)]
    found.append(Group((A, Nested((_group(ASK, ASK),)))))
    return [TreeSaga((part,)) for part in found]


def waits() -> list[TreeSaga]:
    """Waits for a signal, at the top and in nested sagas."""
    return [TreeSaga(parts) for timeout in (False, True) for parts in _waiting(Awaited(timeout))]


def _waiting(wait: Awaited) -> Iterator[tuple[Part, ...]]:
    yield (A, wait)
    yield from ((wait, Step(kind)) for kind in (ASK, NOTHING))
    yield (A, Nested((wait, A)))
    yield from ((Group((Step(kind), Nested((wait,)))),) for kind in (ASK, PLAIN, RETRY))
    yield (Group((A, Nested((A, wait, Step(PLAIN))))),)
    yield (Group((Nested((wait,)), _nested(RETRY))),)
    yield (Group((Nested((wait,)), Nested((wait,)))),)


def pivots() -> list[TreeSaga]:
    """A pivot behind, and before, a group; behind a nested saga."""
    found: list[tuple[Part, ...]] = [
        (_group(first, second), Step(PIVOT)) for first in (ASK, RETRY) for second in (ASK, PROBE)
    ]
    found += [(Step(PIVOT), _group(first, second)) for first in (PLAIN, NOTHING) for second in (PLAIN, AGAIN)]
    found.append((_nested(ASK), Step(PIVOT), Step(PLAIN)))
    return [TreeSaga(parts) for parts in found]


def silent() -> list[TreeSaga]:
    """Calls that time out, and answer or not while they are waited for."""
    found = [_group(first, second) for first in (ASK, RETRY, BACK, NOTHING, PROBE) for second in (ASK, RETRY, NOTHING)]
    nested = [Group((A, _nested(RETRY))), _nested(RETRY, ASK)]
    return [TreeSaga((part,), silence=True) for part in (*found, *nested)]


def stopped() -> list[TreeSaga]:
    """Drivers that are asked to stop at any point."""
    found: list[tuple[Part, ...]] = [(_group(ASK, ASK), A), (_group(RETRY, ASK), A)]
    found += [(Group((A, _nested(ASK, PLAIN))),), (_nested(ASK, RETRY),)]
    return [TreeSaga(parts, stops=True) for parts in found]


def thorough() -> list[TreeSaga]:
    """All that the environment can do."""
    found: list[tuple[Part, ...]] = [(_group(ASK, RETRY),), (Group((A, _nested(ASK))),), (A, _nested(ASK, ASK))]
    return [TreeSaga(parts, thorough=True) for parts in found] + [
        TreeSaga((A, _nested(BOTH)), thorough=True, silence=True)
    ]


SETS: dict[str, Callable[[], list[TreeSaga]]] = {
    made.__name__: made
    for made in (
        pairs, triples, conditions, nested, members, inner_groups, waits, pivots, silent, stopped, thorough
    )
}  # fmt: skip


def all_sagas() -> list[TreeSaga]:
    """Every one of them. On some two things may go wrong on one path, on the others one."""
    made = (enumerate(sagas()) for sagas in SETS.values())
    return [attrs.evolve(saga, mishaps=1 if number % 16 else 2) for sagas in made for number, saga in sagas]
