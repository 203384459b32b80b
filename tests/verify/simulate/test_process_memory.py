"""What a process keeps in module-level and closed-over containers is lost when it dies, and is put back at the end."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.simulate.process_memory import ProcessMemory, collect_code, list_functions
from support.verifying import Bank, Bench, kinds, pay, paying, undo

SEEN: list[str] = ["at first"]
PRICES: dict[str, dict[str, int]] = {"mug": {"each": 18}}
QUEUE: deque[str] = deque(["at first"])
TAGS: set[str] = {"at first"}
RAW = bytearray(b"at first")
LOCKS = [threading.Lock()]
UNNAMED: list[str] = []


def remember(bank: Any, ctx: Any) -> None:
    SEEN.append(ctx.step)
    PRICES["mug"]["each"] += 1
    _deeper(ctx.step)
    bank.pay(ctx.idempotency_key)


def _deeper(step: str) -> None:
    QUEUE.append(step)
    _deepest(step)


def _deepest(step: str) -> None:
    TAGS.add(step)
    RAW.extend(step.encode())


def lock(bank: Any, ctx: Any) -> None:
    with LOCKS[0]:
        bank.pay(ctx.idempotency_key)


def contents() -> tuple[Any, ...]:
    return list(SEEN), {"each": PRICES["mug"]["each"]}, list(QUEUE), set(TAGS), bytes(RAW)


AT_FIRST = (["at first"], {"each": 18}, ["at first"], {"at first"}, b"at first")


def remembering() -> Saga:
    saga = Saga("remembering", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", remember, undo)
    saga.add_step("two", remember, undo)
    return saga


def test_containers_are_as_before_once_verified() -> None:
    """Whatever kind they are of, however deep, and also what functions that are called by the steps name."""
    assert verify(remembering(), Bank, depth=1).ok
    assert AT_FIRST == contents()


def test_containers_are_as_before_when_verifying_fails() -> None:
    """Also when somebody stops it."""

    def stop(*_: Any) -> None:
        if len(SEEN) > 1:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        verify(remembering(), Bank, depth=1, progress=stop)
    assert AT_FIRST == contents()


def test_every_run_begins_as_the_first_did() -> None:
    """What one run leaves is nothing to the next."""
    bench = Bench(remembering(), Bank)
    first, second = bench.run(), bench.run()

    assert AT_FIRST == contents()
    assert first.state == second.state == "completed"


def counting() -> Saga:
    """Keeps in memory whether it has paid, and undoes only what it knows of."""
    paid: dict[str, str] = {}

    def spend(bank: Any, ctx: Any) -> None:
        paid["key"] = bank.pay(ctx.idempotency_key)

    def back(bank: Any, ctx: Any) -> None:
        if "key" in paid:
            bank.undo(paid.pop("key"))

    saga = Saga("counting", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", spend, back)
    saga.add_step("end", pay, undo)
    return saga


def test_what_is_only_in_memory_is_lost_by_a_crash() -> None:
    """And a step that relies on it is found; without a crash it is not."""
    assert [("left_behind", "pay")] == kinds(verify(counting(), Bank, schedule="pay.commit/StepSucceeded#1=crash"))
    assert [] == kinds(verify(counting(), Bank, schedule="end.action/bank.pay#1=raise_before"))


def test_were_it_not_lost_nobody_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: a memory that outlives the process."""
    monkeypatch.setattr(ProcessMemory, "reset", lambda self: None)

    assert [] == kinds(verify(counting(), Bank, schedule="pay.commit/StepSucceeded#1=crash"))


def test_a_nested_sagas_memory_is_known_too() -> None:
    outer = Saga("outer", resources=["bank"])
    outer.add_saga("inner", remembering())

    assert any(container is SEEN for container in ProcessMemory.of(outer.definition).contents)
    assert verify(outer, Bank, depth=1).ok
    assert AT_FIRST == contents()


def test_what_cannot_be_copied_is_left_alone() -> None:
    """A list of locks holds the same ones afterwards; and nothing that no function names is touched."""
    saga = Saga("locking", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", lock, undo)
    kept, UNNAMED[:] = LOCKS[0], ["by hand"]
    memory = ProcessMemory.of(saga.definition)
    memory.reset()

    assert [LOCKS] == memory.contents
    assert kept is LOCKS[0]
    assert ["by hand"] == UNNAMED


@given(st.dictionaries(st.text(), st.lists(st.integers())), st.dictionaries(st.text(), st.lists(st.integers())))
def test_whatever_became_of_a_container_it_is_the_same_one_as_before(before: Any, meanwhile: Any) -> None:
    """Never another object, for others name it too; and always the same again, however often it is lost."""
    holding = dict(before)

    def touch(bank: Any) -> Any:
        return holding

    saga = Saga("touching", resources=["bank"])
    saga.add_step("touch", touch)
    memory = ProcessMemory.of(saga.definition)
    for _ in range(2):
        holding.clear()
        holding.update(meanwhile)
        for values in holding.values():
            values.append(1)
        memory.reset()
        assert before == holding
        for values in holding.values():
            values.append(2)  # the next time it must not be found in what is put back
        memory.reset()
        assert before == holding


def test_every_function_of_a_saga_is_known() -> None:
    """Actions, compensations, probes, conditions, inputs, and those of nested sagas."""
    inner = Saga("inner", resources=["bank"])
    inner.add_step("deep", pay, undo)
    outer = Saga("outer", resources=["bank"])
    outer.add_step("one", pay, undo, probe=remember, when=lambda input: True)
    outer.add_saga("nested", inner, input=lambda input: input)

    roles = [function.role for function in list_functions(outer.definition)]
    assert ["action", "compensation", "probe", "condition", "input", "action", "compensation"] == [
        {"when": "condition"}.get(role, role) for role in roles
    ]


def test_the_code_of_a_function_has_that_within_it() -> None:
    def outer() -> Any:
        def inner() -> None: ...

        return inner

    assert {outer.__code__, outer().__code__} == collect_code(outer)
    assert frozenset() == collect_code(print)
    assert [] == ProcessMemory.of(paying().definition).contents
