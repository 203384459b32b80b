"""Small sagas with scripts, for the properties of the laws: drawn by Hypothesis and run by a bench."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from sagafsm import Saga
from support.bench import Bench, is_async
from support.services import STEADY, Service, saga_of


@attrs.frozen
class Case:
    """A saga with a script of its services, flat or nested in another."""

    steps: dict[str, dict[str, Any]]
    script: dict[str, list[str]]
    nested: bool = False

    def bench(self, store: Any, way: str = "sync", **options: Any) -> tuple[Bench, Service]:
        """Return a bench for the saga, and its services."""
        service, outer = Service(script=self.script), Saga("outer")
        saga = saga_of(service, is_async=is_async(way), **self.steps)
        if self.nested:
            outer.add_saga("pay", saga)
            outer.add_step("z", lambda: "z!", effect=False)  # never in doubt
        return Bench(store, outer if self.nested else saga, way, options=options), service


OPTIONS: tuple[dict[str, Any], ...] = ({}, {"retry": STEADY}, {"probe": True}, {"in_doubt": "compensate"})
CALLS = ("a", "b", "c", "probe a", "undo a", "undo b", "undo c")
ANSWERS = st.lists(st.sampled_from(("ok", "fail", "lost", "permanent")), max_size=3)
cases = st.builds(
    Case,
    steps=st.fixed_dictionaries({name: st.sampled_from(OPTIONS) for name in "abc"}),
    script=st.dictionaries(st.sampled_from(CALLS), ANSWERS, max_size=4),
    nested=st.booleans(),
)
