"""The carrier: makes a label for a parcel, where it delivers and has a lorry to send."""

from __future__ import annotations

import re
import sqlite3
from typing import ClassVar

import attrs

from sagafsm.demo.participants.service import Refused, Service, next_number
from sagafsm.demo.world import DEPOTS, Address

# What people write on letters for boxes that no courier may open, in the languages of the countries served.
_BOX = re.compile(r"\b(p\.? ?o\.? ?box|postfach|packstation|postbus|postboks|apartado|bo[iî]te postale)\b", re.I)


class AddressUndeliverable(Refused):
    """The carrier does not deliver there."""

    def __init__(self, address: Address, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(f"no delivery to {address.street}, {address.city} ({address.country}): {why}")


class CarrierBusy(Refused):
    """503: the depot takes no parcels now; ask again later."""

    def __init__(self, country: str) -> None:
        self.country = country
        super().__init__(f"503 from the depot for {country!r}: no capacity, ask again")


@attrs.frozen(kw_only=True)
class Label:
    """What the carrier answers: the parcel's number."""

    id: str


class Shipping(Service):
    """Makes a label once for each key, and voids it. A depot may have to be asked more than once."""

    SCHEMA: ClassVar[str] = """
CREATE TABLE IF NOT EXISTS depots (country TEXT PRIMARY KEY, refusals INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (key TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, reference TEXT NOT NULL, country TEXT NOT NULL, voided_under TEXT
) WITHOUT ROWID;
"""

    def _furnish(self, db: sqlite3.Connection) -> None:
        rows = [(depot.country, depot.refusals) for depot in DEPOTS]
        db.executemany("INSERT OR IGNORE INTO depots VALUES (?, ?)", rows)

    def make_label(self, key: str, address: Address, *, reference: str) -> Label:
        """Make a label for a parcel to `address`.

        Raises:
            AddressUndeliverable: the carrier will not, however often it is asked.
            CarrierBusy: not now.
            KeyFenced: what this key stands for has been voided.
        """

        def work(db: sqlite3.Connection) -> dict[str, str]:
            number = next_number(db, "lb", "SELECT COUNT(*) FROM labels")
            db.execute("INSERT INTO labels VALUES (?, ?, ?, ?, NULL)", (key, number, reference, address.country))
            return {"id": number}

        with self._call():
            self._check(key, address)
            answer, _ = self._once(key, work)
        return Label(**answer)

    def _check(self, key: str, address: Address) -> None:
        # In a commit of its own: a refusal counts although it raises, so a depot answers the same after a restart.
        with self._transaction() as db:
            depot = db.execute("SELECT refusals FROM depots WHERE country = ?", (address.country,)).fetchone()
            if depot is None:
                raise AddressUndeliverable(address, "no depot in that country")
            if _BOX.search(address.street):
                raise AddressUndeliverable(address, "couriers cannot deliver to a box")
            count = db.execute("SELECT count FROM refusals WHERE key = ?", (key,)).fetchone()
            refused = 0 if count is None else count[0]
            busy = refused < depot[0]
            if busy:
                db.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?)", (key, refused + 1))
        if busy:
            raise CarrierBusy(address.country)

    def void(self, key: str, *, action_key: str) -> None:
        """Void the label that was made under `action_key`, if one was."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE labels SET voided_under = ? WHERE key = ?", (key, action_key))

        with self._call():
            self._undo(key, action_key, work)

    def find(self, key: str) -> Label | None:
        """The label made under `key` and not voided."""
        with self._call():
            answer = self._find(key)
        return None if answer is None else Label(**answer)
