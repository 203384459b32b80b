"""A turn that a commit took is given back when that commit fails; whoever goes back, all that is in it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Saga
from sagafsm.core.commands import RunChild
from sagafsm.engine.driven_instance import DrivenInstance
from sagafsm.errors import StoreError
from sagafsm.store import Store
from support.stores import FailingStore

# More than a drive tries again.
FOR_GOOD = ["before"] * 8


def test_a_nested_node_is_open_while_its_parent_has_it() -> None:
    """And the root always."""
    nothing: Any = None
    run = RunChild(step="pay", attempt=1, key="k")
    root = DrivenInstance(nothing, nothing, nothing, nothing, {})
    child = DrivenInstance(nothing, nothing, nothing, nothing, {}, parent=root, run=run)
    assert root.is_open
    assert not child.is_open
    root.children["pay"] = child
    assert child.is_open


def test_a_turn_is_free_again_where_the_start_was_not_recorded(memory: Store) -> None:
    """The store failed for good: that call never begins, and the next one of its step may."""
    saga = Saga("order")
    saga.add_step("a", lambda: None)
    saga.add_step("b", lambda: None, max_concurrency=1)
    store = FailingStore(memory, append=FOR_GOOD)

    async def main() -> str:
        async with AsyncOrchestrator(store, sagas=[saga]) as orchestrator:
            with pytest.raises(StoreError):
                await orchestrator.run(saga, "mug", id="o-1")
            store.faults.clear()
            return (await asyncio.wait_for(orchestrator.run(saga, "mug", id="o-2"), 2)).state

    assert "completed" == asyncio.run(main())
