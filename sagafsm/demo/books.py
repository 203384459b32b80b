"""What the participants' files hold, read as they lie on the disk and not through the services."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sagafsm.demo.participants import file_of

NOUNS = {"reserve": "reservation", "charge": "charge", "ship": "label"}
# One row for each amount of an entry: step, key, number, reference, whether it stands, of what, how much.
_EFFECTS = {
    "inventory": """
        SELECT 'reserve', r.key, r.id, r.reference, r.released_under IS NULL,
            coalesce(l.sku, ''), coalesce(l.quantity, 0)
        FROM reservations r LEFT JOIN reserved l ON l.key = r.key ORDER BY r.id, l.sku
        """,
    "payments": """
        SELECT 'charge', c.key, c.id, c.reference, r.key IS NULL, 'cents', c.amount
        FROM charges c LEFT JOIN refunds r ON r.charge = c.key ORDER BY c.id
        """,
    "shipping": """
        SELECT 'ship', key, id, reference, voided_under IS NULL, 'labels', 1 FROM labels ORDER BY id
        """,
}


@attrs.frozen(kw_only=True)
class Effect:
    """One entry of a participant: what it did, under which key, for which order; `stands`: it was not undone."""

    step: str
    number: str
    key: str
    reference: str
    stands: bool
    amounts: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Account:
    """A stock or a card: what it began with, and what is left in it."""

    name: str
    opening: int
    left: int


@attrs.frozen(kw_only=True)
class Books:
    """All that the participants hold. `refunds`: entries of money given back, as (charge's key, cents)."""

    effects: tuple[Effect, ...]
    stock: tuple[Account, ...]
    cards: tuple[Account, ...]
    charged_to: Mapping[str, str]
    refunds: tuple[tuple[str, int], ...]


def read_books(folder: Path) -> Books:
    """The books in `folder` as of now.

    Raises:
        sqlite3.Error: a file is missing or damaged; the message names it.
    """
    effects = [effect for participant in _EFFECTS for effect in _effects(folder, participant)]
    stock = _rows(folder, "inventory", "SELECT sku, initial, on_hand FROM stock ORDER BY sku")
    cards = _rows(folder, "payments", "SELECT token, opening, funds FROM cards ORDER BY token")
    return Books(
        effects=tuple(effects),
        stock=tuple(Account(name=name, opening=opening, left=left) for name, opening, left in stock),
        cards=tuple(Account(name=name, opening=opening, left=left) for name, opening, left in cards),
        charged_to=dict(_rows(folder, "payments", "SELECT key, card FROM charges")),
        refunds=tuple(_rows(folder, "payments", "SELECT charge, amount FROM refunds")),
    )


def _effects(folder: Path, participant: str) -> list[Effect]:
    found: dict[str, Effect] = {}
    for step, key, number, reference, stands, what, amount in _rows(folder, participant, _EFFECTS[participant]):
        amounts = {**(found[key].amounts if key in found else {}), what: amount}
        found[key] = Effect(
            step=step, number=number, key=key, reference=reference, stands=bool(stands), amounts=amounts
        )
    return list(found.values())


def _rows(folder: Path, participant: str, query: str) -> list[tuple[Any, ...]]:
    file = file_of(folder, participant)
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise type(error)(f"{file}: {error}") from error
