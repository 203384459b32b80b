"""Sagas of up to 12 steps, grouped and nested: every single crash point and every pair of failures ends clean.

The plans come from `support.plans`: members of groups, with and without a limit; nested sagas, up to two deep, alone and
in groups, with their parent's input and with a computed one; waits that are signalled early, meanwhile, late or never;
conditions; pivots; every policy, probe and budget. Processes run in turns: calls beside each other end in an order that
the seed draws. What "clean" is, `support.verdicts` says; what is a crash point, `support.lives`; what may fail,
`support.plans.failures`. Whatever is decided meanwhile is true, and drawn by the seed.
"""

from __future__ import annotations

import logging

import pytest

from support.plans import seeded
from support.selection import rotating
from support.sittings import Sitting

# By number of steps, the seed of a saga; together they have everything that a plan can have.
EVERY_PAIR = {12: 297, 8: 281, 6: 281, 5: 361, 4: 361, 3: 47, 2: 199, 1: 66}
EVERY_PAIR_LONG = {11: 21, 10: 204, 9: 105, 7: 123}
BATCHES = 8


def parts(size: int) -> int:
    """In how many tests the pairs of a saga are examined, so that both cores have their share."""
    return 1 if size < 5 else 4


# Of each saga that is examined in parts, a slice has one.
EACH_PART = [(size, part) for size in EVERY_PAIR for part in range(parts(size))]
SMALL = [(size, 0) for size in EVERY_PAIR if parts(size) == 1]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keeping what is logged of a hundred thousand events takes as long as they do."""
    caplog.set_level(logging.CRITICAL, logger="sagafsm")


@pytest.mark.parametrize("each", rotating(EACH_PART, always=SMALL), ids=lambda each: "{}-{}".format(*each))
def test_every_pair_of_failures_ends_clean(each: tuple[int, int]) -> None:
    """For each of these sagas, exhaustively, at one order of what runs beside each other.

    - Each crash point alone, a cancel and each late signal at each of them, and each failure alone: of each action (at each attempt, for good, in doubt and done, in
      doubt and not done, unstorable, cancelled meanwhile), condition, computed input and compensation (once, for good,
      done all the same).
    - Each crash with each later one, so also those during the recovery from the first.
    - Each failure that takes place, with each crash point of the life in which it does.
    - Each failure with each of another call, where one life can have both.

    In all 235 crash points, 215 single failures, and 12,859 pairs: 5,196 of crashes, 5,519 of a failure and a crash,
    2,144 of failures.
    """
    size, part = each
    seed = EVERY_PAIR[size]
    Sitting(seeded(seed, [size]), seed).pairs(part, parts(size))


@pytest.mark.long
@pytest.mark.parametrize("size", EVERY_PAIR_LONG)
def test_every_pair_of_failures_ends_clean_in_more_sagas(size: int) -> None:
    """The same, for sagas that take as long again."""
    seed = EVERY_PAIR_LONG[size]
    Sitting(seeded(seed, [size]), seed).pairs()


@pytest.mark.parametrize("batch", rotating(range(BATCHES)))
def test_every_single_failure_ends_clean(batch: int) -> None:
    """Each crash point alone, and each failure alone, of 40 sagas more."""
    for seed in range(batch, 40, BATCHES):
        for _ in Sitting(seeded(seed), seed).singles():
            pass


@pytest.mark.long
@pytest.mark.parametrize("batch", range(40))
def test_every_single_failure_ends_clean_in_more_sagas(batch: int) -> None:
    """The same, of 400 more."""
    for seed in range(1000 + batch, 1400, 40):
        for _ in Sitting(seeded(seed), seed).singles():
            pass
