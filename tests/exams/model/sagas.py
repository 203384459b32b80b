"""The sagas that are explored: every kind of step, alone, in all pairs, and in covering sets of three."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import InDoubt
from sagafsm.saga import Saga

NAMES = ("a", "b", "c")
HOUR = timedelta(hours=1)


class Kind(NamedTuple):
    """What of a step's definition decides how it may go. `attempts` of its action, `undos` of its compensation."""

    effect: bool = True
    in_doubt: InDoubt = "ask"
    probe: bool = False
    compensation: bool = False
    pivot: bool = False
    attempts: int = 1
    undos: int = 1

    def __str__(self) -> str:
        policy = self.in_doubt if isinstance(self.in_doubt, str) else "+".join(self.in_doubt)
        marks = [policy if self.effect else "no effect", f"x{self.attempts}"]
        marks += ["probe"] if self.probe else []
        marks += [f"undo x{self.undos}"] if self.compensation else []
        marks += ["pivot"] if self.pivot else []
        return " ".join(marks)


def _plain(*, pivot: bool) -> Iterator[Kind]:
    """A step that nothing undoes: all that the definition allows on a pivot and behind it."""
    for in_doubt, probe in itertools.product(("ask", "retry"), (False, True)):
        yield Kind(in_doubt=in_doubt, probe=probe, pivot=pivot)
    yield Kind(effect=False, pivot=pivot)
    yield Kind(effect=False, in_doubt="retry", pivot=pivot)


def _before() -> Iterator[Kind]:
    """All that the definition allows where there is a way back."""
    yield from _plain(pivot=False)
    policies: tuple[InDoubt, ...] = ("ask", "retry", "compensate", ("retry", "compensate"))
    for in_doubt, probe in itertools.product(policies, (False, True)):
        yield Kind(in_doubt=in_doubt, probe=probe, compensation=True)


BEFORE = tuple(_before())
PIVOT = tuple(_plain(pivot=True))
BEHIND = tuple(_plain(pivot=False))


@attrs.frozen
class ModelSaga:
    """A saga to explore, and how far its environment goes.

    `deaths`: how many process deaths in a row it may cause in one step. `thorough`: it also stops drivers between
    commits, cancels what goes back already, and abandons what is not blocked. `silence`: calls may time out, and
    answer or not while they are waited for.
    """

    kinds: tuple[Kind, ...]
    deaths: int = 1
    thorough: bool = True
    silence: bool = True

    def __str__(self) -> str:
        return f"saga [{' | '.join(map(str, self.kinds))}], {self.deaths} deaths in a row"

    @cached_property
    def definition(self) -> Definition:
        return self.saga(_uncalled, _uncalled).definition

    def saga(self, action: Callable[[str], object], compensation: Callable[[str], object]) -> Saga:
        """The saga whose actions and compensations call these with their step's name."""
        saga = Saga("model")
        for name, kind in zip(NAMES, self.kinds, strict=False):
            saga.add_step(
                name,
                _named(action, name),
                _named(compensation, name) if kind.compensation else None,
                probe=_named(_uncalled, name) if kind.probe else None,
                retry=Retry(kind.attempts, backoff=HOUR, max_backoff=HOUR, jitter=False),
                compensation_retry=Retry(kind.undos, backoff=HOUR, max_backoff=HOUR, jitter=False),
                in_doubt=kind.in_doubt,
                pivot=kind.pivot,
                effect=kind.effect,
            )
        return saga


def _named(call: Callable[[str], object], name: str) -> Callable[[], object]:
    def named() -> object:
        return call(name)

    return named


def _uncalled(name: str) -> object:
    raise AssertionError(f"nothing calls {name}")


def _budgeted(kinds: Sequence[Kind], attempts: int, undos: int) -> tuple[Kind, ...]:
    """The kinds with a budget of 2 where a bit is set, of 1 elsewhere."""
    return tuple(
        kind._replace(attempts=1 + (attempts >> i & 1), undos=1 + (undos >> i & 1)) for i, kind in enumerate(kinds)
    )


def one_step() -> list[ModelSaga]:
    """All sagas of one step: every kind, every budget, up to the five process deaths in a row that block."""
    return [
        ModelSaga((kind._replace(attempts=attempts, undos=undos),), deaths=5)
        for kind in (*BEFORE, *PIVOT)
        for attempts in (1, 2)
        for undos in ((1, 2) if kind.compensation else (1,))
    ]


def _pairs() -> Iterator[tuple[Kind, Kind]]:
    yield from itertools.product(BEFORE, BEFORE)
    yield from itertools.product(BEFORE, PIVOT)
    yield from itertools.product(PIVOT, BEHIND)


def two_steps() -> list[ModelSaga]:
    """Every kind before and behind every other that the definition allows there, budgets in turn."""
    return [ModelSaga(_budgeted(kinds, n, n // 4), deaths=1 + (n % 3 == 0)) for n, kinds in enumerate(_pairs())]


def two_steps_long() -> list[ModelSaga]:
    """The same with every budget of their actions, up to the five process deaths in a row that block."""
    return [
        ModelSaga(_budgeted(kinds, attempts, 3 - attempts), deaths=5) for kinds in _pairs() for attempts in range(4)
    ]


def _triples() -> Iterator[tuple[Kind, Kind, Kind]]:
    """A covering set: every pair of kinds in every two of the three places.

    With a and b given, c runs along a shifted diagonal (a + b + k): for one k alone each pair (a, b), (a, c) and
    (b, c) is met. Without a pivot three whole diagonals are taken and half of a fourth, with one a diagonal each.
    """
    n = len(BEFORE)
    for (i, a), (j, b) in itertools.product(enumerate(BEFORE), enumerate(BEFORE)):
        for k in (0, 3, 7, 10) if (i + j) % 2 else (0, 3, 7):
            yield a, b, BEFORE[(i + j + k) % n]
    for first, second, third in ((BEFORE, BEFORE, PIVOT), (BEFORE, PIVOT, BEHIND), (PIVOT, BEHIND, BEHIND)):
        for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second)):
            yield a, b, third[(i + j) % len(third)]


def three_steps() -> list[ModelSaga]:
    """A thousand and more sagas, distinct by construction: no three kinds are taken twice. Budgets in turn.

    One step at most has a second attempt, and one a second try at its compensation.
    """
    return [
        ModelSaga(
            _budgeted(kinds, 8 >> n % 4, 8 >> n // 4 % 4),
            deaths=1 + (n % 7 == 0),
            thorough=n % 13 == 0,
            silence=n // 16 % 2 == 0,
        )
        for n, kinds in enumerate(_triples())
    ]


def three_steps_long() -> list[ModelSaga]:
    """The same, with an environment that does all it can."""
    return [attrs.evolve(saga, deaths=2, thorough=True, silence=True) for saga in three_steps()]
