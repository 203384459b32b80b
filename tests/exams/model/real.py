"""The same runs by the real orchestrator over a real store: the model is to commit as the drive does."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from exams.model.sagas import ModelSaga
from exams.model.world import World
from sagafsm.errors import PermanentFailure
from sagafsm.history.events import Event
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.store import Owner
from sagafsm_adapters.memory import MemoryStore


class CountingStore(MemoryStore):
    """A memory store that counts its commits."""

    commits = 0

    def create(self, instance_id: str, events: Sequence[Event], *, owner: Owner | None = None, **rest: object) -> int:
        self.commits += 1
        return super().create(instance_id, events, owner=owner, **rest)  # type: ignore[arg-type]

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        self.commits += 1
        return super().append(instance_id, events, expected_version=expected_version, token=token)


@attrs.frozen
class RealRun:
    """How a real run ended, what it left in the world, and how many commits it took."""

    instance: SagaInstance
    world: World
    commits: int


def run_really(saga: ModelSaga, refuses: int) -> RealRun:
    """Run the saga; the service of step `refuses` (-1: none) refuses for good, and a person does its work by hand."""
    names = tuple(saga.definition.by_name)
    there: set[str] = set()

    def action(name: str) -> str:
        if names.index(name) == refuses:
            raise PermanentFailure("never")
        if saga.kinds[names.index(name)].effect:
            there.add(name)
        return name

    store = CountingStore()
    with Orchestrator(store) as orchestrator:
        instance = orchestrator.run(saga.saga(action, there.discard), {}, id="i")
        if instance.blocked:
            if saga.kinds[refuses].effect:
                there.add(names[refuses])
            instance = orchestrator.resolve("i", result=names[refuses], reason="by hand")
        return RealRun(instance, tuple(int(name in there) for name in names), store.commits)
