"""The file `v0_1.db`: sagas, and the instances that version 0.1 stored of them. Run this module to make the file anew.

Do it only to add instances while the schema stays: the point of the file is that an older sagafsm wrote it.

    python tests/adapters/stored/v0_1.py

The steps do their work in the resource `done`, a list that tells what was done.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sagafsm import Done, Orchestrator, Retry, Saga
from sagafsm.store import Owner

FILE = Path(__file__).with_suffix(".db")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class CardDeclined(Exception):
    """A user's own error."""


class Noon:
    """A clock at which it is noon."""

    def now(self) -> datetime:
        return NOON

    def sleep(self, duration: timedelta) -> None:
        raise KeyboardInterrupt  # the process ends instead of a pause


# The order saga: what goes wrong is the input's `wrong`, and goes wrong for as long as `done` is `ILL`. ----------------

ILL = "ill"
order = Saga("order", resources=("done",))


def is_wrong(input: dict[str, Any], what: str, done: list[str]) -> bool:
    return ILL in done and input["wrong"] == what


@order.step
def reserve(input: dict[str, Any], done: list[str]) -> dict[str, str]:
    if is_wrong(input, "interrupted", done):
        raise KeyboardInterrupt
    done.append("reserve")
    return {"id": f"r-{input['product']}"}


@reserve.compensation
def release(result: dict[str, str], done: list[str]) -> None:
    done.append(f"release {result['id']}")


@reserve.probe
def find_reservation(input: dict[str, Any], done: list[str]) -> Done:
    done.append("probe")
    return Done({"id": "r-found"})


@order.step(
    retry=Retry(3, backoff=timedelta(minutes=1), jitter=False, on=(ConnectionRefusedError,)),
    timeout=timedelta(seconds=10),
)
def charge(input: dict[str, Any], done: list[str]) -> Any:
    if input["wrong"] == "declined":
        raise CardDeclined("limit «reached»")
    if is_wrong(input, "later", done):
        raise ConnectionRefusedError("the bank is closed")
    if is_wrong(input, "lost", done):
        raise ConnectionResetError("no answer")
    if is_wrong(input, "slow", done):
        time.sleep(40)  # beyond the grace, too: else the answer still counts
    done.append("charge")
    return object() if is_wrong(input, "unstorable", done) else {"id": "c-1", "amount": 12.5}


@charge.compensation(retry=Retry(1))
def refund(input: dict[str, Any], done: list[str]) -> None:
    if is_wrong(input, "address", done):
        raise RuntimeError("the bank is closed")
    done.append("refund")


@order.step(effect=False)
def check_address(input: dict[str, Any]) -> None:
    if input["wrong"] == "address":
        raise ValueError("nobody lives there")


order.wait_for("approval")


@order.step
def ship(input: dict[str, Any], approval: Any, done: list[str]) -> str:
    done.append(f"ship {approval}")
    return "s-1"


# The trip saga: a group, one of whose members is a nested saga. --------------------------------------------------------

payment = Saga("payment", resources=("done",))


@payment.step
def debit(input: dict[str, Any], done: list[str]) -> str:
    if is_wrong(input, "lost", done):
        raise TimeoutError("no answer")
    done.append("debit")
    return "d-1"


@debit.compensation
def credit(done: list[str]) -> None:
    done.append("credit")


trip = Saga("trip", resources=("done",))


@trip.step(group="book")
def flight(input: dict[str, Any], done: list[str]) -> str:
    done.append("flight")
    return "f-1"


@flight.compensation
def cancel_flight(done: list[str]) -> None:
    done.append("cancel flight")


trip.add_saga("pay", payment, group="book")


@trip.step
def confirm(input: dict[str, Any], done: list[str]) -> None:
    if input["wrong"] == "confirm":
        raise CardDeclined("too late")
    done.append("confirm")


SAGAS = (order, payment, trip)


def of(wrong: str | None = None) -> dict[str, Any]:
    """The input of an instance in which this goes wrong."""
    return {"product": "mug ☕", "wrong": wrong}


# Making the file -------------------------------------------------------------------------------------------------------


def make(path: Path) -> None:
    """Make the file. It holds no path and no name of the machine, and no journal beside it."""
    path.unlink(missing_ok=True)
    with patch.object(traceback, "format_exception", without_folders(traceback.format_exception)):
        options: dict[str, Any] = {"sagas": SAGAS, "owner": "worker-1", "clock": Noon(), "resources": {"done": [ILL]}}
        with Orchestrator(f"sqlite:///{path}", **options) as orchestrator:
            fill(orchestrator)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")


def without_folders(format_exception: Callable[..., list[str]]) -> Callable[..., list[str]]:
    return lambda error: [re.sub(r'File "[^"]*[/\\]', 'File "', line) for line in format_exception(error)]


def fill(orchestrator: Orchestrator) -> None:
    """Make each instance as far as it gets."""
    for wrong in ("declined", "address", "lost", "slow", "unstorable"):
        orchestrator.run(order, of(wrong), id=wrong)
    orchestrator.run(order, of(), id="waiting")
    orchestrator.run(order, of(), id="completed")
    orchestrator.signal("completed", "approval", {"by": "ann"}, request_id="signal-1")
    orchestrator.run(order, of(), id="cancelled")
    orchestrator.cancel("cancelled", by="ann", reason="changed her mind")
    orchestrator.run(order, of("address"), id="abandoned")
    orchestrator.abandon("abandoned", by="ann", reason="paid by hand")
    # The process "ends" in the pause before a retry, and within an action.
    for wrong in ("later", "interrupted"):
        with suppress(KeyboardInterrupt):
            orchestrator.run(order, of(wrong), id=wrong)
    orchestrator.start(order, of(), id="pending")
    orchestrator.start(order, of(), id="mailed")
    with Orchestrator(orchestrator.store, owner="another", clock=Noon()) as another:
        another.signal("mailed", "approval", "early", request_id="signal-2")
    orchestrator.start(order, of(), id="owned")
    orchestrator.advance("owned")
    # The claim of a process that has died: its lease ran out a long time ago, whatever the machine's clock says.
    dead = Owner(name="worker-0", process="host/1")
    orchestrator.store.claim("owned", owner=dead, lease=timedelta(days=-10_000))
    for wrong in (None, "lost", "confirm"):
        orchestrator.run(trip, of(wrong), id=f"trip-{wrong or 'completed'}")


if __name__ == "__main__":
    # Imported anew, so that errors are stored under the module's name.
    sys.path[0] = str(Path(__file__).parents[1])
    from stored import v0_1

    v0_1.make(FILE)
