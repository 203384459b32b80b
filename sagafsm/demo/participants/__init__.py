"""Inventory, payments and shipping: three small services that share nothing but the folder their files lie in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sagafsm.demo.participants.inventory import Inventory
from sagafsm.demo.participants.payments import Payments
from sagafsm.demo.participants.service import PACE, Service
from sagafsm.demo.participants.shipping import Shipping

KINDS: dict[str, type[Service]] = {"inventory": Inventory, "payments": Payments, "shipping": Shipping}


def file_of(folder: Path, participant: str) -> Path:
    """Where a participant keeps its books."""
    return folder / f"{participant}.db"


def open_participants(folder: Path, *, pace: timedelta = PACE) -> dict[str, Service]:
    """The three participants with their files in `folder`, by the names under which the saga asks for them.

    Folder, files, stock and cards are made where they are missing; what is there stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {name: kind(file_of(folder, name), pace=pace) for name, kind in KINDS.items()}
