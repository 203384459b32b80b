"""The audit says "balanced" of a right world, and names each thing that is wrong in a wrong one, in its own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from sagafsm.demo.audit import Audit, audit
from sagafsm.demo.services import FILES, open_services
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from support.demo_worlds import (
    AT_ONCE,
    ORDER,
    act,
    completed,
    done,
    failed,
    instance_of,
    key,
    numbered,
    started,
    stuck,
    undoing,
    undone,
)

ONE, TWO, THREE = numbered("o-1"), numbered("o-2"), numbered("o-3")
RESERVED = "reservation r-0001 of 1 kettle, 2 mug-stone"


def alter(folder: Path, service: str, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILES[service])) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def compensated(order=TWO) -> SagaInstance:
    """An order that failed at ship and was undone."""
    events = (*done(order, "reserve"), *done(order, "charge"), *failed(order, "ship"))
    return instance_of(
        order, *events, *undone(order, "charge"), *undone(order, "reserve"), e.InstanceFailed(state="failed")
    )


def blocked(order=THREE) -> SagaInstance:
    """An order that failed at ship and whose refund fails."""
    return instance_of(
        order, *done(order, "reserve"), *done(order, "charge"), *failed(order, "ship"), *stuck(order, "charge")
    )


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, list[SagaInstance]]:
    """One order completed, one failed and compensated, one blocked in its refund; and the books that fit."""
    act(tmp_path, ONE, "reserve", "charge", "ship")
    act(tmp_path, TWO, "reserve", "charge", "undo:charge", "undo:reserve")
    act(tmp_path, THREE, "reserve", "charge")
    return tmp_path, [completed(ONE), compensated(TWO), blocked(THREE)]


# Right worlds -------------------------------------------------------------------------------------------------------


def test_a_right_world_is_balanced_and_told_in_full(world: tuple[Path, list[SagaInstance]]):
    found = audit(*world)
    assert not found.problems
    assert found.lines == [
        "orders: 1 of 3 completed",
        "stock: 1152 units - 1146 on hand = 6 taken: 3 by completed orders, 3 by others",
        (
            "money: EUR 291.00 charged - EUR 97.00 refunded = EUR 194.00 held:"
            " EUR 97.00 by completed orders, EUR 97.00 by others"
        ),
        "labels: 1 valid: 1 by completed orders, 0 by others",
        "order 'o-3', step 'reserve': done, found reservation r-0003 of 1 kettle, 2 mug-stone",
        "order 'o-3', step 'charge': done and not undone, found charge ch-0003 of EUR 97.00",
        "balanced",
    ]


def test_an_empty_world_is_balanced(tmp_path: Path):
    act(tmp_path, ONE)
    assert audit(tmp_path, []).lines == [
        "orders: 0 of 0 completed",
        "stock: 1152 units - 1152 on hand = 0 taken: 0 by completed orders, 0 by others",
        "money: EUR 0.00 charged - EUR 0.00 refunded = EUR 0.00 held: EUR 0.00 by completed orders, EUR 0.00 by others",
        "labels: 0 valid: 0 by completed orders, 0 by others",
        "balanced",
    ]


def test_the_audit_asks_no_service_and_changes_nothing(world: tuple[Path, list[SagaInstance]]):
    before = {path.name: path.read_bytes() for path in world[0].glob("*.db")}
    audit(*world)
    assert {path.name: path.read_bytes() for path in world[0].glob("*.db")} == before


def test_the_audit_reads_books_that_are_open_elsewhere(tmp_path: Path):
    services = open_services(tmp_path, pace=AT_ONCE)
    act(tmp_path, ONE, "reserve", "charge", "ship")
    assert audit(tmp_path, [completed(ONE)]).lines[-1] == "balanced"
    for service in services.values():
        service.close()


@pytest.mark.parametrize("acted", [(), ("reserve",)])
def test_a_step_in_doubt_may_be_either_and_is_told(tmp_path: Path, acted: tuple[str, ...]):
    act(tmp_path, ONE, *acted)
    found = audit(tmp_path, [instance_of(ONE, started(ONE, "reserve"))])
    assert not found.problems
    assert found.notes == [f"order 'o-1', step 'reserve': in doubt, found {RESERVED if acted else 'none'}"]


@pytest.mark.parametrize("acted", [("reserve",), ("reserve", "undo:reserve")])
def test_a_compensation_under_way_may_be_either_and_is_told(tmp_path: Path, acted: tuple[str, ...]):
    act(tmp_path, ONE, *acted)
    events = (*done(ONE, "reserve"), *failed(ONE, "charge"), undoing(ONE, "reserve"))
    found = audit(tmp_path, [instance_of(ONE, *events)])
    assert not found.problems
    left = "none" if "undo:reserve" in acted else RESERVED
    assert found.notes == [f"order 'o-1', step 'reserve': its compensation died or is under way, found {left}"]


def test_what_an_operator_says_is_believed_and_told(tmp_path: Path):
    """Refunded by hand: the provider's books still hold the charge."""
    act(tmp_path, THREE, "reserve", "charge", "undo:reserve")
    decided = e.DecisionMade(decision="resolve(undone)", step="charge", by="ada", reason="refunded by hand")
    instance = instance_of(
        THREE,
        *blocked().history[1:],
        decided,
        *undone(THREE, "reserve"),
        e.InstanceFailed(state="failed"),
    )
    found = audit(tmp_path, [instance])
    assert not found.problems
    assert found.notes == ["order 'o-3', step 'charge': as an operator says, found charge ch-0001 of EUR 97.00"]


# Wrong worlds: each positive control is named, and only it ----------------------------------------------------------

Altered = Callable[[Path], None]
C1, C2, K3 = key(ONE, "charge"), key(TWO, "charge"), key(THREE, "ship")


def pay(amount: int, *, card: str = "tok_visa") -> str:
    return f"UPDATE accounts SET balance = balance - {amount} WHERE name = '{card}'"


def entry(key: str, account: str, amount: int, *, number: str, reference: str) -> tuple[str, str]:
    """A request that no saga made."""
    return (
        f"INSERT INTO entries VALUES ('{key}', '{number}', '{reference}', NULL)",
        f"INSERT INTO amounts VALUES ('{key}', '{account}', {amount})",
    )


def refund(charge: str, amount: int) -> tuple[str, ...]:
    """A refund of a charge that no saga asked for."""
    return (
        f"INSERT INTO entries VALUES ('u', NULL, NULL, '{charge}')",
        f"INSERT INTO amounts VALUES ('u', 'tok_visa', {-amount})",
        pay(-amount),
    )


def doubled_charge(folder: Path) -> None:
    booked = entry("again", "tok_visa", ORDER.total, number="ch-0004", reference="o-1")
    alter(folder, "payments", *booked, pay(ORDER.total))


def missing_refund(folder: Path) -> None:
    undo = key(TWO, "charge", "compensation")
    alter(
        folder,
        "payments",
        f"DELETE FROM entries WHERE key = '{undo}'",
        f"DELETE FROM amounts WHERE key = '{undo}'",
        pay(ORDER.total),
    )


def orphan_label(folder: Path) -> None:
    alter(folder, "shipping", *entry("k", "DE", 1, number="lb-0009", reference="o-77"))


def label_of_a_blocked_order(folder: Path) -> None:
    alter(folder, "shipping", *entry(K3, "DE", 1, number="lb-0009", reference="o-3"))


def lost_stock(folder: Path) -> None:
    alter(folder, "inventory", pay(1, card="kettle"))


def unknown_product(folder: Path) -> None:
    alter(folder, "inventory", f"INSERT INTO amounts VALUES ('{key(THREE, 'reserve')}', 'sofa', 3)")


def lost_label(folder: Path) -> None:
    alter(folder, "shipping", "DELETE FROM entries WHERE reference = 'o-1'")


def wrong_quantity(folder: Path) -> None:
    changed = f"UPDATE amounts SET amount = 3 WHERE account = 'mug-stone' AND key = '{key(ONE, 'reserve')}'"
    alter(folder, "inventory", changed, pay(1, card="mug-stone"))


def wrong_amount(folder: Path) -> None:
    alter(folder, "payments", f"UPDATE amounts SET amount = amount - 1 WHERE key = '{C1}'", pay(-1))


def wrong_card(folder: Path) -> None:
    moved = f"UPDATE amounts SET account = 'tok_amex' WHERE key = '{C1}'"
    alter(folder, "payments", moved, pay(-ORDER.total), pay(ORDER.total, card="tok_amex"))


def another_key(folder: Path) -> None:
    tables = ("entries", "amounts")
    alter(folder, "payments", *(f"UPDATE {table} SET key = 'other' WHERE key = '{C1}'" for table in tables))


def refunded_twice(folder: Path) -> None:
    alter(folder, "payments", *refund(C2, ORDER.total))


def released_twice(folder: Path) -> None:
    alter(
        folder,
        "inventory",
        f"INSERT INTO entries VALUES ('u', NULL, NULL, '{key(TWO, 'reserve')}')",
        "INSERT INTO amounts VALUES ('u', 'kettle', -1)",
        pay(-1, card="kettle"),
    )


def refund_of_another_amount(folder: Path) -> None:
    undo = key(TWO, "charge", "compensation")
    alter(folder, "payments", f"UPDATE amounts SET amount = amount + 1 WHERE key = '{undo}'", pay(1))


def refund_of_a_completed_order(folder: Path) -> None:
    alter(folder, "payments", *refund(C1, ORDER.total))


def refund_of_nothing(folder: Path) -> None:
    alter(folder, "payments", *refund("nothing", 500))


def lost_money(folder: Path) -> None:
    alter(folder, "payments", pay(5, card="tok_amex"))


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (
            doubled_charge,
            [
                (
                    "order 'o-1', step 'charge': expected a charge of EUR 97.00 (completed),"
                    " found charge ch-0001 of EUR 97.00 and charge ch-0004 of EUR 97.00"
                ),
                (
                    "order 'o-1', step 'charge': charge ch-0004 of EUR 97.00 is under key 'again',"
                    " which its instance never gave"
                ),
            ],
        ),
        (
            missing_refund,
            ["order 'o-2', step 'charge': expected none (failed), found charge ch-0002 of EUR 97.00"],
        ),
        (orphan_label, ["label lb-0009 for order 'o-77' belongs to no instance"]),
        (
            label_of_a_blocked_order,
            ["order 'o-3', step 'ship': expected none (failed), found label lb-0009"],
        ),
        (lost_stock, ["product 'kettle': 18 at first, but 15 on hand + 2 reserved = 17"]),
        (
            unknown_product,
            [
                (
                    "order 'o-3', step 'reserve': expected a reservation of 2 mug-stone, 1 kettle (done),"
                    " found reservation r-0003 of 1 kettle, 2 mug-stone, 3 sofa"
                ),
                "product 'sofa': 3 reserved, but there is no stock of it",
            ],
        ),
        (lost_label, ["order 'o-1', step 'ship': expected a label (completed), found none"]),
        (
            wrong_quantity,
            [
                (
                    "order 'o-1', step 'reserve': expected a reservation of 2 mug-stone, 1 kettle (completed),"
                    " found reservation r-0001 of 1 kettle, 3 mug-stone"
                )
            ],
        ),
        (
            wrong_amount,
            [
                "order 'o-1', step 'charge': expected a charge of EUR 97.00 (completed), found charge ch-0001 of EUR 96.99"
            ],
        ),
        (
            another_key,
            [
                (
                    "order 'o-1', step 'charge': charge ch-0001 of EUR 97.00 is under key 'other',"
                    " which its instance never gave"
                )
            ],
        ),
        (
            wrong_card,
            [
                "order 'o-1', step 'charge': expected a charge of EUR 97.00 (completed), found charge ch-0001 of EUR 97.00"
            ],
        ),
        (released_twice, ["reservation r-0002 of 1 kettle, 2 mug-stone: released 2 times, 4 in all"]),
        (refund_of_another_amount, ["charge ch-0002 of EUR 97.00: refunded 1 times, EUR 96.99 in all"]),
        (refunded_twice, ["charge ch-0002 of EUR 97.00: refunded 2 times, EUR 194.00 in all"]),
        (
            refund_of_a_completed_order,
            ["order 'o-1', step 'charge': expected a charge of EUR 97.00 (completed), found none"],
        ),
        (refund_of_nothing, ["refund of EUR 5.00 belongs to no charge (key 'nothing')"]),
        (
            lost_money,
            [
                (
                    "card 'tok_amex': EUR 100,000.00 at first, less charges, plus refunds = EUR 100,000.00,"
                    " but EUR 99,999.95 left"
                )
            ],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_balance_is_named(world: tuple[Path, list[SagaInstance]], change: Altered, problems: list[str]):
    change(world[0])
    found = audit(*world)
    assert found.problems
    assert list(found.problems) == problems
    assert found.lines[-1 - len(problems) :] == [
        f"NOT balanced, {len(problems)} found:",
        *(f"  {problem}" for problem in problems),
    ]


def test_an_order_that_ended_without_undoing_a_step_is_named(tmp_path: Path):
    """The books fit the record, but not the outcome: nobody let it be."""
    act(tmp_path, TWO, "reserve", "charge", "undo:reserve")
    history = compensated(TWO).history[1:]
    unrefunded = [event for event in history if "Compensation" not in type(event).__name__ or event.step != "charge"]
    found = audit(tmp_path, [instance_of(TWO, *unrefunded)])
    assert found.problems == ["order 'o-2', step 'charge': expected none (failed), found charge ch-0001 of EUR 97.00"]


def test_an_order_that_completed_without_a_step_is_named(tmp_path: Path):
    act(tmp_path, ONE, "reserve", "charge")
    unshipped = instance_of(ONE, *done(ONE, "reserve"), *done(ONE, "charge"), e.InstanceCompleted(state="completed"))
    assert audit(tmp_path, [unshipped]).problems == [
        "order 'o-1', step 'ship': expected a label (completed), found none",
    ]


@pytest.mark.parametrize(("decision", "step"), [("skip", "charge"), ("abandon", None)])
def test_what_an_operator_lets_be_stands_and_is_told(tmp_path: Path, decision: e.Decision, step: str | None):
    act(tmp_path, THREE, "reserve", "charge", *(["undo:reserve"] if step else []))
    decided = e.DecisionMade(decision=decision, step=step, by="ada", reason="let it be")
    events = (*blocked().history[1:], decided, *(undone(THREE, "reserve") if step else ()))
    found = audit(tmp_path, [instance_of(THREE, *events, e.InstanceFailed(state="failed"))])
    assert not found.problems
    assert found.notes[-1] == ("order 'o-3', step 'charge': done and not undone, found charge ch-0001 of EUR 97.00")


def test_an_instance_that_is_lost_leaves_its_effects_without_one(world: tuple[Path, list[SagaInstance]]):
    folder, instances = world
    assert list(audit(folder, instances[1:]).problems) == [
        f"{RESERVED} for order 'o-1' belongs to no instance",
        "charge ch-0001 of EUR 97.00 for order 'o-1' belongs to no instance",
        "label lb-0001 for order 'o-1' belongs to no instance",
    ]


def test_two_effects_of_a_step_in_doubt_are_not_allowed(tmp_path: Path):
    act(tmp_path, ONE, "reserve", "charge")
    doubled_charge(tmp_path)
    events = (*done(ONE, "reserve"), started(ONE, "charge"))
    assert audit(tmp_path, [instance_of(ONE, *events)]).problems[0] == (
        "order 'o-1', step 'charge': expected none or a charge of EUR 97.00 (in doubt),"
        " found charge ch-0001 of EUR 97.00 and charge ch-0004 of EUR 97.00"
    )


def test_an_instance_whose_input_is_no_order_is_named(tmp_path: Path):
    act(tmp_path, ONE)
    strange = attrs.evolve(instance_of(ONE), input_json='{"id":7}')
    assert audit(tmp_path, [strange]).problems == [
        "instance 'o-1' is no order: input at $.id: int where str is declared",
    ]


def test_books_that_cannot_be_read_do_not_balance(tmp_path: Path):
    missing = audit(tmp_path, [])
    assert missing == Audit(
        problems=[f"books cannot be read: {tmp_path / 'inventory.db'}: unable to open database file"]
    )
    act(tmp_path, ONE)
    (tmp_path / "payments.db").write_bytes(b"no database at all, but long enough to look like one" * 10)
    assert audit(tmp_path, []).lines == [
        "NOT balanced, 1 found:",
        f"  books cannot be read: {tmp_path / 'payments.db'}: file is not a database",
    ]
