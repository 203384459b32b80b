"""Three fake services of other companies: inventory, payments and shipping. They know nothing of sagas.

They share one implementation: accounts, and entries that book amounts from the accounts. `services.json` says which
products, cards and depots there are at first, and how they fail.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import attrs

from sagafsm.errors import SagaError

PACE = timedelta(milliseconds=15)
_DATA = json.loads(files("sagafsm.demo").joinpath("services.json").read_text(encoding="utf-8"))
# The units of each product in stock.
STOCK: dict[str, int] = _DATA["stock"]
# For each country with a depot: how often the depot answers 503 to each parcel before it takes the parcel.
DEPOTS: dict[str, int] = _DATA["depots"]
# The funds of each card in euro cents, and the ways in which its bank fails. `refusal` is the reason why the bank pays
# nothing. With `answers_late` the bank books a charge, but the caller's time runs out before the answer.
CARDS: dict[str, dict[str, Any]] = _DATA["cards"]
_SCHEMA = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, opening INTEGER NOT NULL, balance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, number TEXT, reference TEXT, undoes TEXT);
CREATE TABLE IF NOT EXISTS amounts (key TEXT, account TEXT, amount INTEGER NOT NULL, PRIMARY KEY (key, account));
CREATE TABLE IF NOT EXISTS refusals (key TEXT PRIMARY KEY, count INTEGER NOT NULL)
"""
# No courier can open these boxes. The words are those of the countries with a depot.
_BOX = re.compile(r"\b(p\.? ?o\.? ?box|postfach|packstation|postbus|postboks|apartado|bo[iî]te postale)\b", re.I)


@attrs.frozen(kw_only=True)
class Address:
    """The address of a parcel. `country` is an ISO 3166 code of two letters."""

    street: str
    city: str
    postcode: str
    country: str


class Refused(Exception):
    """The service refused a request and changed nothing."""


class KeyFenced(Refused):
    """The request under this key was undone, so the key cannot be used again."""


class OutOfStock(Refused):
    """The warehouse has fewer units on hand than the request wants."""


class UnknownProduct(Refused):
    """The warehouse does not carry the product."""


class CardDeclined(Refused):
    """The card's bank does not pay."""


class RefundRefused(Refused):
    """The card's bank takes no money back, so the charge remains."""


class AddressUndeliverable(Refused):
    """The carrier does not deliver to this address, now or later."""


class CarrierBusy(Refused):
    """503: the depot has no capacity now, and may have some later."""


class Service:
    """A service with a file of its own, which carries out each request once, by the request's key.

    An entry books amounts from accounts, all in one commit: after a crash the file holds all of an entry or nothing.
    An undo is an entry with the negative amounts. Its `undoes` names the key of the undone entry, and no request may
    use that key again. `pace` is the time that a call takes. Any thread may call a service, and close it twice.
    """

    PREFIX: ClassVar[str]
    ACCOUNTS: ClassVar[Mapping[str, int]] = {}

    def __init__(self, path: Path, *, pace: timedelta = PACE) -> None:
        self.path, self.pace = path, pace
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        # A service that is dropped without `close` must not leave an open connection to the garbage collector.
        self.close = weakref.finalize(self, self._connection.close)
        if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'fences'").fetchone():
            raise SagaError(f"{path} is of an older sagafsm's demo (begin anew with sagafsm demo --fresh)")
        # No transaction: each statement can be repeated, so the next start completes what a kill cut off.
        self._connection.executescript(_SCHEMA)
        with self._transaction() as db:
            rows = [(name, opening, opening) for name, opening in self.ACCOUNTS.items()]
            db.executemany("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?)", rows)

    def book(self, key: str, amounts: Mapping[str, int], *, reference: str) -> str:
        """Book `amounts`, by account, for `reference`, and return the entry's number. The same key again books nothing.

        Raises:
            Refused: nothing is booked.
            TimeoutError: the entry is booked, but the answer did not arrive in time.
        """
        with self._transaction() as db:
            if self._is_undone(db, key):
                raise KeyFenced(f"key {key!r} is fenced: what it stands for has been undone")
            known = db.execute("SELECT number FROM entries WHERE key = ?", (key,)).fetchone()
            if known:
                return str(known[0])
            count = db.execute("SELECT COUNT(*) FROM entries WHERE undoes IS NULL").fetchone()[0]
            number = f"{self.PREFIX}-{count + 1:04}"
            db.execute("INSERT INTO entries VALUES (?, ?, ?, NULL)", (key, number, reference))
            for account, amount in amounts.items():
                self._add_amount(db, key, number, account, amount)
        for account in amounts:
            self._check_answer(account)
        return number

    def undo(self, key: str, *, action_key: str) -> None:
        """Take back the entry under `action_key` once, and fence the key, even if no entry was booked under it."""
        with self._transaction() as db:
            if self._is_undone(db, action_key):
                return
            db.execute("INSERT INTO entries VALUES (?, NULL, NULL, ?)", (key, action_key))
            booked = "SELECT number, account, amount FROM entries JOIN amounts USING (key) WHERE key = ?"
            for number, account, amount in db.execute(booked, (action_key,)).fetchall():
                self._add_amount(db, key, number, account, -amount)

    def find(self, key: str) -> str | None:
        """Return the number of the entry under `key`; None if no such entry exists or the entry was undone."""
        with self._transaction() as db:
            row = db.execute("SELECT number FROM entries WHERE key = ?", (key,)).fetchone()
            return None if row is None or self._is_undone(db, key) else str(row[0])

    def _is_undone(self, db: sqlite3.Connection, key: str) -> bool:
        return db.execute("SELECT 1 FROM entries WHERE undoes = ?", (key,)).fetchone() is not None

    def _add_amount(self, db: sqlite3.Connection, key: str, number: str, account: str, amount: int) -> None:
        row = db.execute("SELECT balance FROM accounts WHERE name = ?", (account,)).fetchone()
        self._check(number, account, amount, row[0] if row else 0)
        db.execute("UPDATE accounts SET balance = balance - ? WHERE name = ?", (amount, account))
        db.execute("INSERT INTO amounts VALUES (?, ?, ?)", (key, account, amount))

    def _check(self, number: str, account: str, amount: int, balance: int) -> None:
        """Raise the refusal if the service does not book `amount`, which is negative for an undo of entry `number`."""

    def _check_answer(self, account: str) -> None:
        """Raise `TimeoutError` if the answer to a new entry from `account` does not arrive in time."""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        half = self.pace.total_seconds() / 2
        time.sleep(half)
        # The connection's own `with` commits, or rolls back after an error, but begins no transaction.
        with self._lock, self._connection as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
        # A caller that is killed in this half has an effect without an answer.
        time.sleep(half)


class Inventory(Service):
    """The warehouse. Each product is an account, and its balance is the number of units on hand."""

    PREFIX = "r"
    ACCOUNTS = STOCK

    def _check(self, number: str, account: str, amount: int, balance: int) -> None:  # noqa: ARG002
        if account not in STOCK:
            raise UnknownProduct(f"no product {account!r} in the warehouse")
        if balance < amount:
            raise OutOfStock(f"{amount} of {account!r} wanted, {balance} on hand")


class Payments(Service):
    """The payment provider. Each card is an account, and its balance is the card's funds."""

    PREFIX = "ch"
    ACCOUNTS: ClassVar[Mapping[str, int]] = {token: card["funds"] for token, card in CARDS.items()}

    def _check(self, number: str, account: str, amount: int, balance: int) -> None:
        card = CARDS.get(account, {"refusal": "no such card"})
        if amount < 0 and not card.get("takes_refunds", True):
            raise RefundRefused(f"bank of card {account!r} takes no refund of charge {number!r}: the account is closed")
        if amount >= 0 and ("refusal" in card or balance < amount):
            raise CardDeclined(f"card {account!r} declined: {card.get('refusal', 'insufficient funds')}")

    def _check_answer(self, account: str) -> None:
        if CARDS[account].get("answers_late"):
            raise TimeoutError(f"no answer from the bank of card {account!r} in time")


class Shipping(Service):
    """The carrier. It books one label in the name of a country."""

    PREFIX = "lb"

    def make_label(self, key: str, address: Address, *, reference: str) -> str:
        """Make a label for a parcel to `address`. After `CarrierBusy`, a later call under the same key may succeed."""
        country, where = address.country, f"no delivery to {address.street}, {address.city} ({address.country})"
        if country not in DEPOTS:
            raise AddressUndeliverable(f"{where}: no depot in that country")
        if _BOX.search(address.street):
            raise AddressUndeliverable(f"{where}: couriers cannot deliver to a box")
        if DEPOTS[country] > 0:
            # A commit of its own: the refusal counts although nothing is booked, so a restart changes no answer.
            with self._transaction() as db:
                db.execute("INSERT OR IGNORE INTO refusals VALUES (?, 0)", (key,))
                counting = "UPDATE refusals SET count = count + 1 WHERE key = ? AND count < ?"
                is_busy = db.execute(counting, (key, DEPOTS[country])).rowcount > 0
            if is_busy:
                raise CarrierBusy(f"503 from the depot for {country!r}: no capacity, ask again")
        return self.book(key, {country: 1}, reference=reference)


SERVICES: dict[str, type[Service]] = {"inventory": Inventory, "payments": Payments, "shipping": Shipping}
FILES = {name: f"{name}.db" for name in SERVICES}


def open_services(folder: Path, *, pace: timedelta = PACE) -> dict[str, Service]:
    """Open the three services on their files in `folder`, and create the folder and the files that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return {name: service(folder / FILES[name], pace=pace) for name, service in SERVICES.items()}
