"""Every crash point of a saga, and every pair of failures: each is a life of its own, and each must end as it should."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from sagafsm.history import events as e
from sagafsm_adapters.memory import MemoryStore
from support.lives import Life
from support.plans import SagaPlan, failures
from support.reality import signal_for
from support.verdicts import check

Script = Mapping[str, tuple[str, ...]]


def requests_for(plan: SagaPlan) -> Iterator[e.Request]:
    """What may come in at any moment: a cancel, and each signal that is not sent before."""
    yield e.CancelRequested(request_id="r-2", by="me", reason="no")
    yield from (signal_for(step) for step in plan.walk() if step.signal in ("late", "during"))


@attrs.define(eq=False)
class Sitting:
    """One saga under every failure; `lives` counts them by kind. A life that goes wrong says how it can be had again."""

    plan: SagaPlan
    seed: int
    lives: Counter[str] = attrs.Factory(Counter)
    verdict: Callable[[Life], None] = check
    # What the processes see of the store.
    through: Callable[[Any], Any] = lambda store: store

    def live(
        self,
        kind: str,
        *,
        script: Script | None = None,
        crashes: tuple[int, ...] = (),
        requests: Mapping[int, e.Request] | None = None,
    ) -> Life:
        self.lives[kind] += 1
        life = Life(
            MemoryStore(), self.plan, script or {}, crashes, self.seed, requests=requests or {}, through=self.through
        )
        try:
            life.live()
            self.verdict(life)
        except Exception as error:
            told = f"seed={self.seed}, script={script or {}}, crashes={crashes}, requests={requests or {}}"
            error.add_note(f"plan: {self.plan}\n{told}")
            raise
        return life

    def singles(self) -> Iterator[tuple[Script, Life]]:
        """Nothing fails; then each thing does, alone."""
        for script, life in self.failures():
            yield script, life
            if not script:
                self.points(life)

    def points(self, whole: Life) -> None:
        """Each crash, and each request, at each point of a life in which nothing fails."""
        for point in range(1, whole.ticks + 1):
            self.live("crash", crashes=(point,))
            for request in requests_for(self.plan):
                self.live("request", requests={point: request})

    def failures(self) -> Iterator[tuple[Script, Life]]:
        """None, and then each alone."""
        yield {}, self.live("whole")
        for call, told in failures(self.plan):
            script = {call: told}
            life = self.live("failure", script=script)
            yield script, life

    def pairs(self, part: int = 0, of: int = 1) -> None:
        """Beside the singles, each crash with each later one, each failure with each crash, and with each other.

        `part` of so many: those whose first is its turn; the singles are the first part's.
        """
        lives = list(self.failures() if part else self.singles())
        _, whole = lives[0]
        for first in range(1 + part, whole.ticks + 1, of):
            once = self.live("crash, again", crashes=(first,))
            for second in range(first + 1, once.ticks + 1):
                self.live("crash and crash", crashes=(first, second))
        for script, life in lives[1 + part :: of]:
            if script.keys() <= life.world.asked:
                for point in range(1, life.ticks + 1):
                    self.live("failure and crash", script=script, crashes=(point,))
        for (one, life), (other, its) in itertools.islice(itertools.combinations(lives[1:], 2), part, None, of):
            # Where one keeps the other from happening, that life is the one of a single failure.
            both = one.keys() | other.keys()
            if one.keys() != other.keys() and (both <= life.world.asked or both <= its.world.asked):
                self.live("failure and failure", script={**one, **other})
