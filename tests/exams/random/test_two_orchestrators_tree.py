"""Laws 8 to 12 with two orchestrators on one store: a group, a nested saga in it, waits, and being sent back."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from exams.random.test_two_orchestrators import IDS, TwoOrchestrators
from sagafsm import IllegalTransition, Retry, Saga, StoreConflict
from sagafsm.core.decide import build_idempotency_key
from sagafsm.history import events as e
from support.bench import line
from support.turns import TurnPerformer

# Each step with an effect, by its path.
EFFECTS = ("a", "b", "n/c", "n/d")


class TwoOrchestratorsOnATree(TwoOrchestrators):
    """Members of a group have their turn, so that what Hypothesis finds happens again."""

    def _saga(self) -> Saga:
        saga, nested = Saga("order"), Saga("nested")
        retry = Retry(2, backoff=timedelta(seconds=5), factor=1, jitter=False)
        nested.add_step("c", self._act, self._undo, retry=retry)
        nested.wait_for("ok", timeout=timedelta(seconds=90))
        nested.add_step("d", self._act, self._undo, probe=self._ask, retry=retry, in_doubt="retry")
        saga.add_step("a", self._act, self._undo, in_doubt="compensate")
        saga.add_step("b", self._act, self._undo, probe=self._ask, retry=retry, group="both")
        saga.add_saga("n", nested, input=lambda a: {"for": a}, group="both")
        saga.wait_for("go")
        return saga

    def _open(self, n: int) -> None:
        super()._open(n)
        self.processes[n]._performer = TurnPerformer(self.clock, n)

    def _holder(self, id: str, path: str) -> tuple[str, str]:
        """The instance that has a step, and the step's name there."""
        above, _, name = f"{id}/{path}".rpartition("/")
        return above, name

    processes_ = st.integers(0, 1)
    instances = st.sampled_from(IDS)

    @rule(n=processes_, id=instances, wait=st.sampled_from(("go", "n/ok")), twice=st.booleans())
    def signal(self, n: int, id: str, wait: str, twice: bool) -> None:
        """By whoever it is, by the root's id or, for the nested wait, by the nested instance's own."""
        if id not in self.seen:
            return
        holder, name = self._holder(id, wait)
        for above, path in [(id, wait), (holder, name)][: 1 + twice]:
            with contextlib.suppress(StoreConflict, IllegalTransition):
                self.processes[n].signal(above, path, "yes", request_id=f"s-{id}-{wait}")

    @rule(n=processes_, id=instances)
    def send_back(self, n: int, id: str) -> None:
        if id in self.seen and self.store.load(id).instance.state == "completed":
            with contextlib.suppress(StoreConflict, IllegalTransition):
                self.processes[n].compensate(id)

    @rule(n=processes_, id=instances, data=st.data())
    def decide(self, n: int, id: str, data: st.DataObject) -> None:
        blocked = self.store.load(id).instance.blocked if id in self.seen else ()
        if not blocked:
            return
        block = data.draw(st.sampled_from(blocked))
        holder = self._holder(id, block.step)
        offered: dict[str, tuple[str, dict[str, Any]]] = {"retry": ("retry", {}), "compensate": ("compensate", {})}
        offered["skip"] = ("skip", {"reason": "enough"})
        if holder in self.done.values():
            offered["resolve(result)"] = ("resolve", {"result": "told", "reason": "seen"})
        else:
            offered["resolve(not_done)"] = ("resolve", {"not_done": True, "reason": "seen"})
        possible = [offered[one] for one in block.decisions if one in offered]
        if possible:
            operation, given = data.draw(st.sampled_from(possible))
            if "not_done" in given:
                instance = self.store.load(holder[0]).instance
                self.void[build_idempotency_key(instance, holder[1], "action")] = instance.steps[holder[1]].attempt
            with contextlib.suppress(StoreConflict, IllegalTransition):
                getattr(self.processes[n], operation)(id, step=block.step, **given)

    @invariant()
    def what_is_recorded_is_lawful(self) -> None:
        """No start after a cause; outcomes once; undone one at a time, in reverse, and not beside what runs."""
        assert [] == self.breaches
        for id, history in self.seen.items():
            told = [line(event) for event in history]
            cause = next((n for n, event in enumerate(history) if isinstance(event, e.CauseRecorded)), len(history))
            starts = [event for event in history if isinstance(event, e.StepStarted)]
            assert not [event for event in history[cause:] if isinstance(event, e.StepStarted)], (id, told)
            assert len({event.step for event in starts}) == len([one for one in starts if one.attempt == 1])
            for kind in (e.StepSucceeded, e.CompensationSucceeded):
                steps = [event.step for event in history if isinstance(event, kind)]
                assert len(set(steps)) == len(steps), (id, told)
            order = list(dict.fromkeys(event.step for event in starts))
            undos = [event.step for event in history if isinstance(event, e.CompensationStarted) and event.attempt == 1]
            assert sorted(undos, key=order.index, reverse=True) == undos, (id, told)

    @invariant()
    def the_end_is_true(self) -> None:
        """Completed: all effects are there. Failed: what is there is residue, and so the nested saga says."""
        for id in [id for id in IDS if id in self.seen]:
            instance = self.store.load(id).instance
            held = {path for path in EFFECTS if self._holder(id, path) in self.done.values()}
            if instance.state == "completed":
                assert set(EFFECTS) == held
            if instance.state == "failed":
                assert held <= {left.step for left in instance.residue}
            if instance.is_at_rest and f"{id}/n" in self.seen:
                nested = self.store.load(f"{id}/n").instance
                assert nested.is_at_rest, (instance, nested)
                assert nested.state == "failed" or instance.state == "completed" or not nested.history


class TwoOrchestratorsOnATreeOnSQLite(TwoOrchestratorsOnATree):
    kind = "sql"


common: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "stateful_step_count": 40}
TestTwoOrchestratorsOnATree = TwoOrchestratorsOnATree.TestCase
TestTwoOrchestratorsOnATree.settings = settings(max_examples=60, **common)
TestTwoOrchestratorsOnATreeOnSQLite = TwoOrchestratorsOnATreeOnSQLite.TestCase
TestTwoOrchestratorsOnATreeOnSQLite.settings = settings(max_examples=15, **common)
del TwoOrchestrators  # it is examined where it is written
