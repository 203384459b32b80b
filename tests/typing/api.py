"""The public API as type checkers see it: checked by mypy and pyright, never run.

What must be an error is marked with `# type: ignore[code]` and `# pyright: ignore[rule]`; both checkers report one
that is not needed, so that each stays an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, ClassVar, assert_type

from hypothesis.strategies import SearchStrategy

from sagafsm import (
    IN_DOUBT,
    NOT_DONE,
    AsyncOrchestrator,
    Context,
    Done,
    IllegalTransition,
    Orchestrator,
    Retry,
    Saga,
    SagaInstance,
    Step,
    StoreError,
    open_store,
)
from sagafsm.clock import Clock, SystemClock
from sagafsm.definition.risks import Risk
from sagafsm.definition.step import SagaOfSteps
from sagafsm.history.events import RecordedError
from sagafsm.history.step_state import Block, Cause, Residue, StepState
from sagafsm.results import Found, RecoveryReport
from sagafsm.store import Store, Summary
from sagafsm.testing import DrawnSaga, SagaStateMachine, VerifySaga, fault_schedules, sagas
from sagafsm.verify import Finding, Report, World, verify

order = Saga("order", version=1, resources=("shop",), unknown_on=[KeyError], in_doubt=("retry", "compensate"))
SECOND = timedelta(seconds=1)


# Steps keep their signatures ------------------------------------------------------------------------------------------


@order.step
def reserve(input: str, /, ctx: Context, *, shop: list[str]) -> int:
    assert_type(ctx.deadline is None, bool)
    return len(input) + len(shop)


def call_reserve(ctx: Context) -> None:
    assert_type(reserve("mug", ctx, shop=[]), int)
    assert_type(reserve.name, str)
    reserve(3, ctx, shop=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    reserve("mug", ctx)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    reserve(input="mug", ctx=ctx, shop=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@reserve.compensation
def release(result: int) -> None:
    assert_type(result, int)


@order.step(name="charge", title="Take the money", retry=Retry(3), timeout=SECOND, in_doubt="retry", pivot=False)
async def charge(input: str) -> dict[str, int]:
    return {input: 1}


@charge.compensation(retry=Retry(5, backoff=SECOND, jitter=False), timeout=SECOND)
async def refund(result: dict[str, int] | None) -> None: ...


@charge.probe
def look(input: str, ctx: Context) -> object:
    if ctx.in_doubt:
        return Done({"id": "c-1"})
    return NOT_DONE if input else IN_DOUBT


def act() -> str:
    return "done"


def undo(result: str) -> None: ...


def steps_and_functions() -> None:
    coroutine: Coroutine[Any, Any, dict[str, int]] = charge("mug")
    assert_type(asyncio.run(coroutine), dict[str, int])
    assert_type(release(1), None)
    assert_type(look("mug", ctx=context()), object)
    assert_type(asyncio.run(refund(None)), None)
    release("r-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert_type(order.step(act), Step[[], str])
    assert_type(order.step(name="other")(act), Step[[], str])
    added = order.add_step("ship", act, undo, probe=act, compensation_retry=Retry(2), compensation_timeout=SECOND)
    assert_type(added, Step[[], str])
    assert_type(added(), str)
    assert_type(added.fn, Callable[[], str])
    undo_again: Callable[[str], None] = added.compensation(undo)
    assert_type(undo_again("done"), None)
    assert_type(added.saga, SagaOfSteps)


def holds(input: str) -> bool:
    return bool(input)


def same(input: str) -> str:
    return input


def more_than_a_row_of_steps() -> None:
    trip = Saga("trip", version=2)
    member = trip.step(name="hotel", group="stay", when=holds, max_concurrency=2)(act)
    assert_type(member, Step[[], str])
    trip.group("stay", max_concurrency=2)
    assert_type(trip.add_saga("papers", order, input=same, group="both", title="Papers"), None)
    assert_type(trip.wait_for("approval", timeout=SECOND), None)

    @trip.migrate_from(1)
    def renamed() -> dict[str, str | None]:
        return {"room": "hotel", "old": None}

    assert_type(renamed(), dict[str, str | None])
    trip.wait_for("approval", timeout=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    trip.add_saga("papers", "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def context() -> Context:
    return Context(
        saga="order",
        instance_id="o-1",
        step="charge",
        attempt=1,
        idempotency_key="k",
        action_key="k",
        in_doubt=False,
        deadline=None,
    )


def wrong_definitions() -> None:
    Saga(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Saga("order", in_doubt="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Saga("order", unknown_on=ValueError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Saga("order", unknown_on=[KeyboardInterrupt])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Saga("order", timeout=30)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.step(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    order.step(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    order.add_step("ship")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.add_step("ship", "act")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(backoff=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(3, SECOND)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Retry(3).attempts = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    context().attempt = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# A saga ---------------------------------------------------------------------------------------------------------------


async def a_saga() -> None:
    assert_type(order.run({"a": 1}, id="o-1", resources={"shop": []}, check=True), SagaInstance)
    assert_type(await order.run_async(None), SagaInstance)
    assert_type(order.diagram(), str)
    assert_type(order.risks(), tuple[Risk, ...])
    assert_type(order.states, tuple[str, ...])
    assert_type(order.table["start", "pending"], str)
    assert_type(order.orchestrator, Orchestrator)
    order.run()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.table["start", "pending"] = "failed"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def an_instance(instance: SagaInstance) -> None:
    assert_type(instance.state, str)
    assert_type(instance.phase, str)
    assert_type(instance.input, Any)
    assert_type(instance.results, dict[str, Any])
    assert_type(instance.steps, Mapping[str, StepState])
    assert_type(instance.error, RecordedError | None)
    assert_type(instance.errors, tuple[RecordedError, ...])
    assert_type(instance.cause, Cause | None)
    assert_type(instance.blocked, tuple[Block, ...])
    assert_type(instance.residue, tuple[Residue, ...])
    assert_type(instance.compensated, bool)
    assert_type(instance.raise_for_failure(), SagaInstance)
    assert_type(instance.at(1), SagaInstance)
    instance.state = "failed"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# Both orchestrators ---------------------------------------------------------------------------------------------------


def a_sync_orchestrator(store: Store) -> None:
    with Orchestrator(
        "sqlite:///orders.db",
        sagas=[order],
        resources={"shop": []},
        clock=SystemClock(),
        owner="me",
        lease=SECOND,
        max_payload=1_000,
        on_event=lambda instance, event: print(instance.id, event.number),
    ) as orchestrator:
        assert_type(orchestrator, Orchestrator)
        assert_type(orchestrator.run(order, {"a": 1}, id="o-1", check=True), SagaInstance)
        assert_type(orchestrator.start(order, None), SagaInstance)
        assert_type(orchestrator.advance("o-1"), SagaInstance)
        assert_type(orchestrator.resume("o-1"), SagaInstance)
        assert_type(orchestrator.recover(), RecoveryReport)
        assert_type(orchestrator.get("o-1"), SagaInstance)
        assert_type(orchestrator.signal("o-1", "approval", {"by": "me"}, request_id="r"), SagaInstance)
        assert_type(orchestrator.fork("o-1", at=3, resources={"shop": []}), Orchestrator)
        found = orchestrator.find(
            saga="order", state="running", blocked="in_doubt", older_than=SECOND, after="a", limit=3
        )
        assert_type(found, Found)
        assert_type(orchestrator.cancel("o-1", by="me", reason="no stock"), SagaInstance)
        assert_type(orchestrator.retry("o-1", step="charge"), SagaInstance)
        assert_type(orchestrator.resolve("o-1", result={"id": "c-1"}, reason="seen"), SagaInstance)
        assert_type(orchestrator.resolve("o-1", not_done=True, reason="seen"), SagaInstance)
        assert_type(orchestrator.compensate("o-1"), SagaInstance)
        assert_type(orchestrator.skip("o-1", reason="by hand"), SagaInstance)
        assert_type(orchestrator.abandon("o-1", reason="test"), SagaInstance)
        orchestrator.cancel("o-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        orchestrator.resolve("o-1", result=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        orchestrator.abandon("o-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        orchestrator.find(blocked="asleep")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        orchestrator.run("order", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Orchestrator(store, clock=Frozen()).close()
    Orchestrator(store, clock=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Orchestrator()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def an_async_orchestrator() -> None:
    async with AsyncOrchestrator("memory://", sagas=[order]) as orchestrator:
        assert_type(orchestrator, AsyncOrchestrator)
        assert_type(await orchestrator.run(order, {"a": 1}, id="o-1", check=True), SagaInstance)
        assert_type(await orchestrator.start(order, None), SagaInstance)
        assert_type(await orchestrator.advance("o-1"), SagaInstance)
        assert_type(await orchestrator.resume("o-1"), SagaInstance)
        assert_type(await orchestrator.recover(), RecoveryReport)
        assert_type(await orchestrator.get("o-1"), SagaInstance)
        async for summary in orchestrator.find(blocked=True, limit=3):
            assert_type(summary, Summary)
        assert_type(await orchestrator.cancel("o-1", reason="no stock"), SagaInstance)
        assert_type(await orchestrator.retry("o-1"), SagaInstance)
        assert_type(await orchestrator.resolve("o-1", undone=True, reason="seen"), SagaInstance)
        assert_type(await orchestrator.compensate("o-1", step="charge"), SagaInstance)
        assert_type(await orchestrator.skip("o-1", reason="by hand"), SagaInstance)
        assert_type(await orchestrator.abandon("o-1", reason="test"), SagaInstance)
        await orchestrator.cancel("o-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        list(orchestrator.find())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class Frozen:
    """A clock of the user's own: a Clock by its methods."""

    def now(self) -> Any: ...

    def sleep(self, duration: timedelta) -> None: ...

    async def asleep(self, duration: timedelta) -> None: ...


clock: Clock = Frozen()


def stores_and_errors() -> None:
    assert_type(open_store("memory://"), Store)
    try:
        order.run(None)
    except IllegalTransition as error:
        assert_type(error.allowed, tuple[str, ...])
    except StoreError as error:
        assert_type(error.outcome, object)


class Shop:
    """A world of the user's own: a World by its methods."""

    def resources(self) -> Mapping[str, Any]:
        return {"shop": self}

    def snapshot(self) -> Any:
        return None


a_world: World = Shop()


class Orders(SagaStateMachine):
    saga = order
    world = Shop
    inputs = (1, 2)
    signals: ClassVar[Mapping[str, Any]] = {"approval": "yes"}


def verifying(verify_saga: VerifySaga) -> None:
    report = verify(order, Shop, inputs=[1], faults="strict", depth=1, budget=timedelta(seconds=3))
    assert_type(report, Report)
    assert_type(report.findings, tuple[Finding, ...])
    assert_type(report.errors[0].schedule, str)
    assert_type(verify_saga(order, Shop, inputs=[1]), Report)
    assert_type(sagas(min_steps=1, max_steps=2), SearchStrategy[DrawnSaga])
    assert_type(fault_schedules(order, Shop, inputs=[1], max_faults=2), SearchStrategy[str])
    assert_type(Orders().get("i-1"), SagaInstance | None)
    verify(order, Shop, faults="some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    verify("order", Shop)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sagas(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fault_schedules("order", Shop)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
