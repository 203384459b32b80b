"""The payment provider: charges cards and gives money back. All amounts are euro cents."""

from __future__ import annotations

import sqlite3
from typing import ClassVar

import attrs

from sagafsm.demo.participants.service import Refused, Service, next_number
from sagafsm.demo.world import CARDS


class CardDeclined(Refused):
    """The card's bank does not pay."""

    def __init__(self, card: str, why: str) -> None:
        self.card, self.why = card, why
        super().__init__(f"card {card!r} declined: {why}")


class RefundRefused(Refused):
    """The card's bank takes no money back; the charge stands."""

    def __init__(self, card: str, charge: str) -> None:
        self.card, self.charge = card, charge
        super().__init__(f"bank of card {card!r} takes no refund of charge {charge!r}: the account is closed")


@attrs.frozen(kw_only=True)
class Charge:
    """What the provider answers: the charge's number, and how much it took."""

    id: str
    amount: int


class Payments(Service):
    """Charges a card once for each key, and refunds it once."""

    SCHEMA: ClassVar[str] = """
CREATE TABLE IF NOT EXISTS cards (
    token TEXT PRIMARY KEY, opening INTEGER NOT NULL, funds INTEGER NOT NULL CHECK (funds >= 0), refusal TEXT,
    takes_refunds INTEGER NOT NULL, answers_late INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, reference TEXT NOT NULL, card TEXT NOT NULL REFERENCES cards,
    amount INTEGER NOT NULL CHECK (amount >= 0)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds (
    key TEXT PRIMARY KEY, charge TEXT NOT NULL REFERENCES charges, amount INTEGER NOT NULL
) WITHOUT ROWID;
"""

    def _furnish(self, db: sqlite3.Connection) -> None:
        rows = [(c.token, c.funds, c.funds, c.refusal, c.takes_refunds, c.answers_late) for c in CARDS]
        db.executemany("INSERT OR IGNORE INTO cards VALUES (?, ?, ?, ?, ?, ?)", rows)

    def charge(self, key: str, *, card: str, amount: int, reference: str) -> Charge:
        """Take `amount` from `card` for `reference`.

        Raises:
            CardDeclined: nothing was taken.
            TimeoutError: the card's bank is late; the amount was taken all the same, as `find` tells.
            KeyFenced: what this key stands for has been refunded.
        """

        def work(db: sqlite3.Connection) -> dict[str, object]:
            _debit(db, card, amount)
            number = next_number(db, "ch", "SELECT COUNT(*) FROM charges")
            db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", (key, number, reference, card, amount))
            return {"id": number, "amount": amount}

        with self._call():
            answer, fresh = self._once(key, work)
        if fresh and self._is_late(card):
            raise TimeoutError(f"no answer from the bank of card {card!r} in time")
        return Charge(**answer)

    def refund(self, key: str, *, action_key: str) -> None:
        """Give back what was taken under `action_key`, if anything was.

        Raises:
            RefundRefused: the bank takes no money back; nothing has changed.
        """

        def work(db: sqlite3.Connection) -> None:
            number, card, amount = db.execute(
                "SELECT id, card, amount FROM charges WHERE key = ?", (action_key,)
            ).fetchone()
            if not db.execute("SELECT takes_refunds FROM cards WHERE token = ?", (card,)).fetchone()[0]:
                raise RefundRefused(card, number)
            db.execute("UPDATE cards SET funds = funds + ? WHERE token = ?", (amount, card))
            db.execute("INSERT INTO refunds VALUES (?, ?, ?)", (key, action_key, amount))

        with self._call():
            self._undo(key, action_key, work)

    def find(self, key: str) -> Charge | None:
        """What was taken under `key` and not given back."""
        with self._call():
            answer = self._find(key)
        return None if answer is None else Charge(**answer)

    def reopen(self, card: str) -> None:
        """Let the card's bank take refunds again."""
        with self._transaction() as db:
            db.execute("UPDATE cards SET takes_refunds = 1 WHERE token = ?", (card,))

    def _is_late(self, card: str) -> bool:
        with self._transaction() as db:
            return bool(db.execute("SELECT answers_late FROM cards WHERE token = ?", (card,)).fetchone()[0])


def _debit(db: sqlite3.Connection, card: str, amount: int) -> None:
    row = db.execute("SELECT funds, refusal FROM cards WHERE token = ?", (card,)).fetchone()
    if row is None:
        raise CardDeclined(card, "no such card")
    funds, refusal = row
    if refusal is not None:
        raise CardDeclined(card, refusal)
    if funds < amount:
        raise CardDeclined(card, "insufficient funds")
    db.execute("UPDATE cards SET funds = funds - ? WHERE token = ?", (amount, card))
