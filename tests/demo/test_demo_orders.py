"""Orders come from JSON Lines; a file with a bad line is refused as a whole, naming file, line and problem."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sagafsm.demo.saga import SHIPPED_ORDERS, Order, read_orders
from sagafsm.demo.services import CARDS, DEPOTS, STOCK
from sagafsm.errors import SagaError
from sagafsm.history.payload import decode, encode

GOOD = {
    "id": "o-1",
    "customer": "Ada",
    "lines": [{"sku": "mug-stone", "quantity": 2, "unit_price": 1400}],
    "address": {"street": "Sonnenallee 41", "city": "Berlin", "postcode": "12045", "country": "DE"},
    "card": "tok_visa",
}
GOOD_LINE = json.dumps(GOOD)


def without(name: str) -> str:
    return json.dumps({field: value for field, value in GOOD.items() if field != name})


def changed(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def line(**changes: object) -> list[dict[str, object]]:
    return [{"sku": "mug-stone", "quantity": 2, "unit_price": 1400, **changes}]


# The shipped file ---------------------------------------------------------------------------------------------------


def test_shipped_orders_are_sixty_and_distinct():
    orders = read_orders()
    assert len(orders) == 60
    assert len({order.id for order in orders}) == 60
    assert len({order.customer for order in orders}) == 60
    assert len({order.address.country for order in orders}) > 15


def test_shipped_orders_say_nothing_of_what_will_become_of_them():
    fields = {name for text in SHIPPED_ORDERS.read_text(encoding="utf-8").splitlines() for name in json.loads(text)}
    assert fields == {"id", "customer", "lines", "address", "card"}


def test_shipped_orders_name_products_that_exist_at_one_price_each():
    lines = [line for order in read_orders() for line in order.lines]
    assert {line.sku for line in lines} <= STOCK.keys()
    assert max(Counter(sku for sku, _ in {(line.sku, line.unit_price) for line in lines}).values()) == 1


def test_shipped_orders_name_cards_that_exist():
    assert {order.card for order in read_orders()} == CARDS.keys()


def test_shipped_orders_hold_every_special_kind():
    orders = read_orders()
    sold_out = [o for o in orders if any(n > STOCK[sku] for sku, n in o.quantities.items())]
    last_ones = [o for o in orders if "lamp-brass" in o.quantities]
    declined = [o for o in orders if o.card in ("tok_insufficient_funds", "tok_expired", "tok_stolen")]
    no_depot = [o for o in orders if o.address.country not in DEPOTS]
    boxes = [o for o in orders if o.address.street.startswith(("PO Box", "Postfach", "Packstation"))]
    retried = [o for o in orders if 0 < DEPOTS.get(o.address.country, 0) < 5]
    struck = [o for o in orders if DEPOTS.get(o.address.country, 0) >= 5]
    late = [o for o in orders if o.card == "tok_slow_bank"]
    stuck = [o for o in orders if o.card == "tok_prepaid_closed"]
    counts = [len(group) for group in (sold_out, last_ones, declined, no_depot, boxes, retried, struck, late, stuck)]
    assert counts == [3, 3, 4, 1, 4, 8, 1, 4, 1]
    assert stuck[0] in boxes
    assert [order.id for order in late if order in boxes] == ["o-1047"]


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_file_gives_its_orders_in_its_order(tmp_path: Path):
    file = tmp_path / "orders.jsonl"
    file.write_text(f"{changed(id='o-2')}\n\n{GOOD_LINE}\n", encoding="utf-8")
    assert [order.id for order in read_orders(file)] == ["o-2", "o-1"]


def test_total_and_quantities_are_sums_over_lines():
    order = decode(changed(lines=line() + line(quantity=1) + line(sku="kettle", unit_price=6900)), Order, subject="x")
    assert order.total == 2 * 1400 + 1400 + 2 * 6900
    assert order.quantities == {"mug-stone": 3, "kettle": 2}


def test_an_order_survives_being_stored():
    for order in read_orders():
        assert decode(encode(order, Order, subject="order"), Order, subject="order") == order


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{'id': 1}",
            "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (without("card"), "card: missing 'card'"),
        ("[]", "no JSON object but list"),
        (changed(id=17), "id: int where str is declared"),
        (changed(id="a/b"), "id takes 1 to 200 characters, none a control character or '/', not 'a/b'"),
        (changed(lines=[]), "does not fit Order: lines is empty"),
        (changed(lines=line(quantity=0)), "lines[0]: quantity is 0, which is less than 1"),
        (changed(lines=line(quantity="2")), "lines[0].quantity: str where int is declared"),
        (changed(lines=line(unit_price=1.5)), "lines[0].unit_price: float where int is declared"),
        (GOOD_LINE, "order 'o-1' stands in line 1 already"),
    ],
    ids=["json", "missing", "list", "type", "id", "empty", "zero", "text", "float", "twice"],
)
def test_a_bad_line_is_named_with_file_number_and_problem(tmp_path: Path, text: str, problem: str):
    file = tmp_path / "orders.jsonl"
    file.write_text(f"{GOOD_LINE}\n{text}\n{changed(id='o-3')}\n", encoding="utf-8")
    with pytest.raises(SagaError) as caught:
        read_orders(file)
    assert str(caught.value) == f"orders in {file} cannot be read, nothing was run:\n  line 2: {problem}"


def test_every_bad_line_is_told_up_to_ten(tmp_path: Path):
    file = tmp_path / "orders.jsonl"
    file.write_text("{}\n" * 12, encoding="utf-8")
    with pytest.raises(SagaError) as caught:
        read_orders(file)
    assert str(caught.value).splitlines()[-2:] == ["  line 10: id: missing 'id'", "  and 2 more"]


def test_bytes_that_are_no_text_are_named(tmp_path: Path):
    file = tmp_path / "orders.jsonl"
    file.write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(SagaError) as caught:
        read_orders(file)
    assert str(caught.value) == f"orders in {file} cannot be read, nothing was run:\n  line 1: not UTF-8 at byte 9"


def test_a_file_without_orders_is_refused(tmp_path: Path):
    file = tmp_path / "orders.jsonl"
    file.write_text("\n\n", encoding="utf-8")
    with pytest.raises(SagaError) as caught:
        read_orders(file)
    assert str(caught.value) == f"orders in {file} cannot be read, nothing was run:\n  no order in it"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    for path, problem in ((tmp_path / "no.jsonl", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SagaError) as caught:
            read_orders(path)
        assert str(caught.value) == f"orders in {path} cannot be read, nothing was run:\n  {problem}"
