"""Each service does a thing once for a key, undoes it once, and then does it no more; also when it is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm.demo.services import (
    CARDS,
    PACE,
    Address,
    AddressUndeliverable,
    CardDeclined,
    CarrierBusy,
    Inventory,
    KeyFenced,
    OutOfStock,
    Payments,
    RefundRefused,
    Shipping,
    UnknownProduct,
    open_services,
)
from sagafsm.errors import SagaError
from support.demo_worlds import AT_ONCE


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    with closing(Inventory(tmp_path / "inventory.db", pace=AT_ONCE)) as service:
        yield service


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[Payments]:
    with closing(Payments(tmp_path / "payments.db", pace=AT_ONCE)) as service:
        yield service


@pytest.fixture
def shipping(tmp_path: Path) -> Iterator[Shipping]:
    with closing(Shipping(tmp_path / "shipping.db", pace=AT_ONCE)) as service:
        yield service


def rows(service: Inventory | Payments | Shipping, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(service.path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


UNDONE = "SELECT undoes, amount FROM entries JOIN amounts USING (key) WHERE undoes IS NOT NULL"


def on_hand(inventory: Inventory, sku: str) -> object:
    return dict(rows(inventory, "SELECT name, balance FROM accounts"))[sku]


def funds(payments: Payments, card: str) -> object:
    return dict(rows(payments, "SELECT name, balance FROM accounts"))[card]


def to(country: str, street: str = "Main Street 1") -> Address:
    return Address(street=street, city="Town", postcode="1", country=country)


# Inventory ----------------------------------------------------------------------------------------------------------


def test_reserving_twice_under_one_key_reserves_once_and_answers_the_same(inventory: Inventory):
    first = inventory.book("k", {"mug-stone": 2, "kettle": 1}, reference="o-1")
    again = inventory.book("k", {"mug-stone": 2, "kettle": 1}, reference="o-1")
    assert first == again == inventory.find("k")
    assert (on_hand(inventory, "mug-stone"), on_hand(inventory, "kettle")) == (118, 17)


def test_another_key_reserves_again(inventory: Inventory):
    assert inventory.book("a", {"mug-stone": 1}, reference="o-1") == "r-0001"
    assert inventory.book("b", {"mug-stone": 1}, reference="o-1") == "r-0002"
    assert on_hand(inventory, "mug-stone") == 118


def test_an_order_is_reserved_whole_or_not_at_all(inventory: Inventory):
    with pytest.raises(OutOfStock) as caught:
        inventory.book("k", {"mug-stone": 2, "keyboard-75": 12}, reference="o-1")
    assert str(caught.value) == "12 of 'keyboard-75' wanted, 7 on hand"
    assert on_hand(inventory, "mug-stone") == 120
    assert rows(inventory, "SELECT * FROM entries") == rows(inventory, "SELECT * FROM amounts") == []
    assert inventory.find("k") is None


def test_a_refusal_binds_no_key(inventory: Inventory):
    inventory.book("a", {"lamp-brass": 2}, reference="o-1")
    with pytest.raises(OutOfStock):
        inventory.book("b", {"lamp-brass": 1}, reference="o-2")
    inventory.undo("u", action_key="a")
    assert inventory.book("b", {"lamp-brass": 1}, reference="o-2") == inventory.find("b")


def test_an_unknown_product_is_refused(inventory: Inventory):
    with pytest.raises(UnknownProduct) as caught:
        inventory.book("k", {"sofa": 1}, reference="o-1")
    assert str(caught.value) == "no product 'sofa' in the warehouse"


def test_releasing_twice_puts_back_once(inventory: Inventory):
    inventory.book("k", {"mug-stone": 2, "kettle": 1}, reference="o-1")
    inventory.undo("u", action_key="k")
    inventory.undo("u", action_key="k")
    inventory.undo("another", action_key="k")
    assert (on_hand(inventory, "mug-stone"), on_hand(inventory, "kettle")) == (120, 18)
    assert inventory.find("k") is None


def test_what_is_released_or_was_to_be_is_not_reserved_any_more(inventory: Inventory):
    inventory.book("done", {"mug-stone": 1}, reference="o-1")
    for number, key in enumerate(("done", "never")):
        inventory.undo(f"u-{number}", action_key=key)
        with pytest.raises(KeyFenced) as caught:
            inventory.book(key, {"mug-stone": 1}, reference="o-1")
        assert str(caught.value) == f"key {key!r} is fenced: what it stands for has been undone"
    assert on_hand(inventory, "mug-stone") == 120


@given(st.lists(st.tuples(st.sampled_from(["reserve", "release"]), st.sampled_from("abc")), max_size=20))
@settings(max_examples=50, deadline=None)
def test_stock_is_what_stands_whatever_the_order_of_calls(tmp_path_factory: pytest.TempPathFactory, calls):
    """Any sequence of reserving and releasing under any keys: on hand is initial less what stands."""
    stands: dict[str, bool] = {}
    with closing(Inventory(tmp_path_factory.mktemp("i") / "inventory.db", pace=AT_ONCE)) as inventory:
        for what, key in calls:
            if what == "release":
                inventory.undo(f"u-{key}", action_key=key)
                stands[key] = False
            elif stands.setdefault(key, True):
                inventory.book(key, {"mug-stone": 3}, reference="o-1")
            else:
                with pytest.raises(KeyFenced):
                    inventory.book(key, {"mug-stone": 3}, reference="o-1")
        assert on_hand(inventory, "mug-stone") == 120 - 3 * sum(stands.values())


# Payments -----------------------------------------------------------------------------------------------------------


def test_charging_twice_under_one_key_charges_once_and_answers_the_same(payments: Payments):
    first = payments.book("k", {"tok_visa": 1800}, reference="o-1")
    again = payments.book("k", {"tok_visa": 1800}, reference="o-1")
    assert first == again == payments.find("k")
    assert rows(payments, "SELECT key, account, amount FROM amounts") == [("k", "tok_visa", 1800)]
    assert funds(payments, "tok_visa") == 10_000_000 - 1800


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ("tok_insufficient_funds", "insufficient funds"),
        ("tok_expired", "expired"),
        ("tok_stolen", "reported stolen"),
        ("tok_nobody", "no such card"),
    ],
)
def test_a_declined_card_is_not_charged(payments: Payments, card: str, why: str):
    with pytest.raises(CardDeclined) as caught:
        payments.book("k", {card: 501}, reference="o-1")
    assert str(caught.value) == f"card {card!r} declined: {why}"
    assert rows(payments, "SELECT * FROM entries") == []
    assert payments.find("k") is None


def test_a_late_bank_charges_and_the_key_tells(payments: Payments):
    with pytest.raises(TimeoutError) as caught:
        payments.book("k", {"tok_slow_bank": 1800}, reference="o-1")
    assert str(caught.value) == "no answer from the bank of card 'tok_slow_bank' in time"
    found = payments.find("k")
    assert found is not None
    assert payments.book("k", {"tok_slow_bank": 1800}, reference="o-1") == found
    assert funds(payments, "tok_slow_bank") == 10_000_000 - 1800


def test_refunding_twice_gives_back_once(payments: Payments):
    payments.book("k", {"tok_visa": 1800}, reference="o-1")
    payments.undo("u", action_key="k")
    payments.undo("u", action_key="k")
    assert funds(payments, "tok_visa") == 10_000_000
    assert rows(payments, UNDONE) == [("k", -1800)]
    assert payments.find("k") is None
    with pytest.raises(KeyFenced):
        payments.book("k", {"tok_visa": 1800}, reference="o-1")


def test_refunding_what_was_never_charged_changes_nothing_and_fences(payments: Payments):
    payments.undo("u", action_key="k")
    assert rows(payments, UNDONE) == []
    with pytest.raises(KeyFenced):
        payments.book("k", {"tok_visa": 1800}, reference="o-1")
    assert funds(payments, "tok_visa") == 10_000_000


def test_a_refused_refund_leaves_the_charge_until_the_account_is_reopened(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
):
    charge = payments.book("k", {"tok_prepaid_closed": 1800}, reference="o-1")
    for _ in range(2):
        with pytest.raises(RefundRefused) as caught:
            payments.undo("u", action_key="k")
    assert str(caught.value) == (
        "bank of card 'tok_prepaid_closed' takes no refund of charge 'ch-0001': the account is closed"
    )
    assert payments.find("k") == charge
    monkeypatch.setitem(CARDS["tok_prepaid_closed"], "takes_refunds", True)
    payments.undo("u", action_key="k")
    assert funds(payments, "tok_prepaid_closed") == 10_000_000


# Shipping -----------------------------------------------------------------------------------------------------------


def test_labelling_twice_under_one_key_makes_one_label(shipping: Shipping):
    first = shipping.make_label("k", to("DE"), reference="o-1")
    assert first == shipping.make_label("k", to("DE"), reference="o-1") == shipping.find("k")
    assert rows(shipping, "SELECT COUNT(*) FROM entries") == [(1,)]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (to("FK"), "Main Street 1, Town (FK): no depot in that country"),
        (to("US", "PO Box 4471"), "PO Box 4471, Town (US): couriers cannot deliver to a box"),
        (to("US", "P.O. Box 4471"), "P.O. Box 4471, Town (US): couriers cannot deliver to a box"),
        (to("DE", "Packstation 145"), "Packstation 145, Town (DE): couriers cannot deliver to a box"),
    ],
)
def test_an_undeliverable_address_gets_no_label(shipping: Shipping, address: Address, why: str):
    with pytest.raises(AddressUndeliverable) as caught:
        shipping.make_label("k", address, reference="o-1")
    assert str(caught.value) == f"no delivery to {why}"
    assert shipping.find("k") is None


def test_a_busy_depot_refuses_each_key_as_often_as_it_says_also_across_restarts(tmp_path: Path):
    answers = []
    for _ in range(4):
        with closing(Shipping(tmp_path / "shipping.db", pace=AT_ONCE)) as shipping:
            for key in ("a", "b"):
                try:
                    answers.append(shipping.make_label(key, to("IE"), reference="o-1"))
                except CarrierBusy as busy:
                    answers.append(str(busy))
    refused = "503 from the depot for 'IE': no capacity, ask again"
    assert answers == [refused] * 4 + ["lb-0001", "lb-0002"] * 2


def test_voiding_twice_voids_once_and_fences(shipping: Shipping):
    shipping.make_label("k", to("DE"), reference="o-1")
    shipping.undo("u", action_key="k")
    shipping.undo("u", action_key="k")
    assert rows(shipping, UNDONE) == [("k", -1)]
    with pytest.raises(KeyFenced):
        shipping.make_label("k", to("DE"), reference="o-1")


# Files, kills, time -------------------------------------------------------------------------------------------------


def test_opening_again_keeps_what_is_there(tmp_path: Path):
    for expected in (120, 118):
        services = open_services(tmp_path / "new" / "folder", pace=AT_ONCE)
        assert on_hand(services["inventory"], "mug-stone") == expected
        services["inventory"].book("k", {"mug-stone": 2}, reference="o-1")
        for service in services.values():
            service.close()
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "inventory.db",
        "payments.db",
        "shipping.db",
    }


def test_a_file_of_the_first_demo_is_refused_and_kept(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "inventory.db")) as connection, connection:
        connection.execute("CREATE TABLE fences (action_key TEXT PRIMARY KEY)")
    with pytest.raises(SagaError) as caught:
        Inventory(tmp_path / "inventory.db", pace=AT_ONCE)
    assert str(caught.value) == (
        f"{tmp_path}/inventory.db is of an older sagafsm's demo (begin anew with sagafsm demo --fresh)"
    )
    with closing(sqlite3.connect(tmp_path / "inventory.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("fences",)]


def test_a_service_that_is_dropped_lets_go_of_its_file(tmp_path: Path):
    """An unclosed connection would be a ResourceWarning, which fails the test."""
    Inventory(tmp_path / "inventory.db", pace=AT_ONCE)


def test_every_commit_reaches_the_disk(payments: Payments):
    settings_of = payments._connection.execute
    assert settings_of("PRAGMA synchronous").fetchone() == (2,)
    assert settings_of("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_call_takes_its_pace_half_before_and_half_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    slept: list[tuple[float, int]] = []
    with closing(Inventory(tmp_path / "inventory.db")) as inventory:
        monkeypatch.setattr(
            "time.sleep", lambda s: slept.append((s, rows(inventory, "SELECT COUNT(*) FROM entries")[0][0]))
        )
        inventory.book("k", {"mug-stone": 2}, reference="o-1")
    assert slept == [(PACE.total_seconds() / 2, 0), (PACE.total_seconds() / 2, 1)]
    assert timedelta(milliseconds=15) == PACE


CHARGING = """
    import sys
    from pathlib import Path
    from sagafsm.demo.services import Payments
    payments = Payments(Path(sys.argv[1]))
    print("begun", flush=True)
    for number in range(int(sys.argv[2])):
        payments.book(f"k-{number}", {"tok_visa": 100 + number}, reference=f"o-{number}")
        print(number, flush=True)
"""


@pytest.mark.parametrize("answers", [0, 3, 7])
def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(tmp_path: Path, answers: int):
    """A process killed while it charges; what it had answered is there, and doing all again charges each once."""
    file = tmp_path / "payments.db"
    command = [sys.executable, "-c", textwrap.dedent(CHARGING), str(file)]
    with subprocess.Popen([*command, "1000"], stdout=subprocess.PIPE, text=True) as child:
        told = [child.stdout.readline().strip() for _ in range(answers + 1)]
        os.kill(child.pid, signal.SIGKILL)
        told += child.stdout.read().split()
    assert child.returncode == -signal.SIGKILL
    assert told == ["begun", *map(str, range(len(told) - 1))]
    with closing(Payments(file, pace=AT_ONCE)) as payments:
        before = rows(payments, "SELECT key, amount FROM amounts ORDER BY amount")
        # What was answered is there; of what was not, at most the one under way.
        assert len(told) - 1 <= len(before) <= len(told)
        for number in range(12):
            payments.book(f"k-{number}", {"tok_visa": 100 + number}, reference=f"o-{number}")
        after = rows(payments, "SELECT key, amount FROM amounts ORDER BY amount")
        assert after == [(f"k-{n}", 100 + n) for n in range(max(12, len(before)))]
        assert funds(payments, "tok_visa") == 10_000_000 - sum(amount for _, amount in after)


BOOKING = """
    import os, sys
    from pathlib import Path
    from sagafsm.demo.services import Payments
    payments = Payments(Path(sys.argv[1]))
    if sys.argv[2] == "in the transaction":
        payments._connection.set_trace_callback(lambda sql: "INTO amounts" in sql and os.kill(os.getpid(), 9))
    else:
        import time
        calls = []
        time.sleep = lambda _: calls.append(_) or (len(calls) == 2 and os.kill(os.getpid(), 9))
    payments.book("k", {"tok_visa": 1800}, reference="o-1")
"""


@pytest.mark.parametrize(("where", "booked"), [("in the transaction", 0), ("on the way back", 1)])
def test_a_kill_at_the_worst_moments_leaves_effect_and_answer_or_neither(tmp_path: Path, where: str, booked: int):
    file = tmp_path / "payments.db"
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(BOOKING), str(file), where], check=False)
    assert child.returncode == -signal.SIGKILL
    with closing(Payments(file, pace=AT_ONCE)) as payments:
        assert rows(payments, "SELECT COUNT(*) FROM entries") == [(booked,)]
        assert (payments.find("k") is not None) == bool(booked)
        assert funds(payments, "tok_visa") == 10_000_000 - 1800 * booked
        assert payments.book("k", {"tok_visa": 1800}, reference="o-1") == "ch-0001"
        assert funds(payments, "tok_visa") == 10_000_000 - 1800
