"""The warehouse: how many of each product are on hand, and what is set aside for whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import ClassVar

import attrs

from sagafsm.demo.participants.service import Refused, Service, next_number
from sagafsm.demo.world import STOCK


class OutOfStock(Refused):
    """There are fewer on hand than were asked for."""

    def __init__(self, sku: str, wanted: int, on_hand: int) -> None:
        self.sku, self.wanted, self.on_hand = sku, wanted, on_hand
        super().__init__(f"{wanted} of {sku!r} wanted, {on_hand} on hand")


class UnknownProduct(Refused):
    """The warehouse does not carry it."""

    def __init__(self, sku: str) -> None:
        self.sku = sku
        super().__init__(f"no product {sku!r} in the warehouse")


@attrs.frozen(kw_only=True)
class Reservation:
    """What the warehouse answers: the number under which goods are set aside."""

    id: str


class Inventory(Service):
    """Sets goods aside, all of an order or nothing, and puts them back."""

    SCHEMA: ClassVar[str] = """
CREATE TABLE IF NOT EXISTS stock (
    sku TEXT PRIMARY KEY, title TEXT NOT NULL, initial INTEGER NOT NULL, on_hand INTEGER NOT NULL CHECK (on_hand >= 0)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, reference TEXT NOT NULL, released_under TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reserved (
    key TEXT NOT NULL REFERENCES reservations, sku TEXT NOT NULL, quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (key, sku)
) WITHOUT ROWID;
"""

    def _furnish(self, db: sqlite3.Connection) -> None:
        rows = [(product.sku, product.title, product.units, product.units) for product in STOCK]
        db.executemany("INSERT OR IGNORE INTO stock VALUES (?, ?, ?, ?)", rows)

    def reserve(self, key: str, quantities: Mapping[str, int], *, reference: str) -> Reservation:
        """Set `quantities` (by sku) aside for `reference`.

        Raises:
            OutOfStock, UnknownProduct: nothing is set aside.
            KeyFenced: what this key stands for has been released.
        """

        def work(db: sqlite3.Connection) -> dict[str, str]:
            number = next_number(db, "r", "SELECT COUNT(*) FROM reservations")
            db.execute("INSERT INTO reservations VALUES (?, ?, ?, NULL)", (key, number, reference))
            for sku, quantity in quantities.items():
                _take(db, key, sku, quantity)
            return {"id": number}

        with self._call():
            answer, _ = self._once(key, work)
        return Reservation(**answer)

    def release(self, key: str, *, action_key: str) -> None:
        """Put back what was set aside under `action_key`, if anything was."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE reservations SET released_under = ? WHERE key = ?", (key, action_key))
            db.execute(
                "UPDATE stock SET on_hand = on_hand + quantity FROM reserved"
                " WHERE stock.sku = reserved.sku AND reserved.key = ?",
                (action_key,),
            )

        with self._call():
            self._undo(key, action_key, work)

    def find(self, key: str) -> Reservation | None:
        """What is set aside under `key`."""
        with self._call():
            answer = self._find(key)
        return None if answer is None else Reservation(**answer)


def _take(db: sqlite3.Connection, key: str, sku: str, quantity: int) -> None:
    row = db.execute("SELECT on_hand FROM stock WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        raise UnknownProduct(sku)
    if row[0] < quantity:
        raise OutOfStock(sku, quantity, row[0])
    db.execute("UPDATE stock SET on_hand = on_hand - ? WHERE sku = ?", (quantity, sku))
    db.execute("INSERT INTO reserved VALUES (?, ?, ?)", (key, sku, quantity))
