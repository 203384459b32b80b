"""The audit: compare the books in the services' files with the outcomes of the orders."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import attrs

from sagafsm.demo.saga import Order
from sagafsm.demo.services import FILES
from sagafsm.errors import PayloadError
from sagafsm.history.events import Decision, DecisionMade, StepStarted
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import decode
from sagafsm.history.step_state import StepState

SERVICES = {"reserve": "inventory", "charge": "payments", "ship": "shipping"}
NOUNS = {"reserve": "reservation", "charge": "charge", "ship": "label"}
UNDOS = {"reserve": ("release", "released"), "charge": ("refund", "refunded"), "ship": ("void", "voided")}
# An operator who resolves a step acted by hand, so the books need not fit. The others let an effect remain.
_RESOLVED: frozenset[Decision] = frozenset(("resolve(result)", "resolve(not_done)", "resolve(undone)"))
_REMAINS: frozenset[Decision] = frozenset(("skip", "abandon"))


@attrs.define
class Audit:
    """The result of an audit, in sentences: the totals, the open points, and the problems."""

    totals: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    # The amounts in the books that the outcomes explain, by step and by whether the order is completed.
    explained: Counter[tuple[str, bool]] = attrs.field(factory=Counter)

    @property
    def lines(self) -> list[str]:
        """All sentences. The verdict comes after the notes."""
        verdict = f"NOT balanced, {len(self.problems)} found:" if self.problems else "balanced"
        return [*self.totals, *self.notes, verdict, *(f"  {problem}" for problem in self.problems)]


@attrs.frozen(kw_only=True)
class Entry:
    """An entry for a step, with the total of each undo by its key. If nothing but undos exists, the number is None."""

    step: str
    key: str
    number: str | None
    reference: str | None
    amounts: Counter[str] = attrs.field(factory=Counter)
    undos: Counter[str] = attrs.field(factory=Counter)

    def __str__(self) -> str:
        return f"{NOUNS[self.step]} {self.number}{_describe_amounts(self.step, self.amounts)}"


@attrs.frozen
class Books:
    """The books of one service: entries, accounts (name, opening, balance), and the amounts held from each account."""

    entries: list[Entry]
    accounts: list[tuple[Any, ...]]
    held: Counter[str]


def audit(folder: Path, instances: Iterable[SagaInstance]) -> Audit:
    """Compare the services' files in `folder` with the instances of all orders, and change nothing."""
    books: dict[str, Books] = {}
    for step, service in SERVICES.items():
        file = folder / FILES[service]
        try:
            books[step] = _read_books(file, step)
        except sqlite3.Error as error:
            return Audit(problems=[f"books cannot be read: {file}: {error}"])
    result, completed = Audit(), 0
    keys: dict[str, set[tuple[str, str]]] = {}
    for instance in instances:
        _audit_order(instance, books, result)
        completed += instance.state == "completed"
        # The saga stores a key before the call of the service, so this set is complete, even after a crash.
        started = (event for event in instance.history if isinstance(event, StepStarted))
        keys[instance.id] = {(event.step, event.key) for event in started}
    for step, kept in books.items():
        result.problems += [*_check_entries(step, kept, keys), *_check_accounts(step, kept)]
    result.totals = [f"orders: {completed} of {len(keys)} completed", *_sum_up(books, result.explained)]
    return result


def _read_books(file: Path, step: str) -> Books:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as db:
        # The undos come last: NULL is first. A fence, the undo of nothing, has no amounts, so the join leaves it out.
        rows = db.execute("SELECT * FROM entries JOIN amounts USING (key) ORDER BY undoes, number, account").fetchall()
        accounts = db.execute("SELECT name, opening, balance FROM accounts ORDER BY name").fetchall()
    entries: dict[str, Entry] = {}
    held: Counter[str] = Counter()
    for key, number, reference, undoes, account, amount in rows:
        booked = undoes or key
        entry = entries.setdefault(booked, Entry(step=step, key=booked, number=number, reference=reference))
        held[account] += amount
        if undoes:
            entry.undos[key] -= amount
        else:
            entry.amounts[account] = amount
    return Books(list(entries.values()), accounts, held)


def _audit_order(instance: SagaInstance, books: Mapping[str, Books], result: Audit) -> None:
    try:
        order: Order = decode(instance.input_json, Order, subject="input")
    except PayloadError as error:
        result.problems.append(f"instance {instance.id!r} is no order: {error}")
        return
    amounts = {"reserve": order.quantities, "charge": {order.card: order.total}, "ship": {order.address.country: 1}}
    for step, record in instance.steps.items():
        expected, why = _expect_audited_effect(instance, record)
        where = f"order {instance.id!r}, step {step!r}"
        wanted = f"a {NOUNS[step]}{_describe_amounts(step, amounts[step])}"
        valid = [entry for entry in books[step].entries if entry.reference == instance.id and not entry.undos]
        found = " and ".join(map(str, valid)) or "none"
        is_exact = [entry.amounts for entry in valid] == [amounts[step]]
        if (is_exact and expected != "gone") or (not valid and expected != "there"):
            if expected == "either" or (valid and instance.state != "completed"):
                result.notes.append(f"{where}: {why}, found {found}")
            result.explained[step, instance.state == "completed"] += sum(entry.amounts.total() for entry in valid)
        else:
            words = {"there": wanted, "gone": "none", "either": f"none or {wanted}"}[expected]
            result.problems.append(f"{where}: expected {words} ({why}), found {found}")


def _expect_audited_effect(instance: SagaInstance, record: StepState) -> tuple[Literal["there", "gone", "either"], str]:
    """Return whether the effect of a step must be in the books, by the order's instance alone, and the reason."""
    decided = {e.decision for e in instance.history if isinstance(e, DecisionMade) and e.step in (record.name, None)}
    is_repeated = record.status in ("waiting", "failed", "pending")
    if decided & _RESOLVED:
        return "either", "as an operator says"
    if instance.state == "completed":
        return "there", "completed"
    # The outcome counts here, not the record: the audit must find an order that ended without an undo.
    if instance.state == "failed" and not decided & _REMAINS:
        return "gone", "failed"
    if record.undo == "undone":
        return "gone", "undone"
    if record.undo == "running" or record.compensation.deaths:
        return "either", "its compensation died or is under way"
    # A compensation that raised has changed nothing, so the action's status decides.
    if record.status in ("done", "unstorable"):
        return "there", "done" if record.undo is None else "done and not undone"
    if record.status in ("running", "in_doubt") or (is_repeated and record.doubt_before):
        return "either", "in doubt"
    return "gone", "never begun" if record.status == "pending" else "failed"


def _check_accounts(step: str, books: Books) -> Iterator[str]:
    rest = Counter(books.held)
    for name, opening, balance in books.accounts:
        held = rest.pop(name, 0)
        if opening != balance + held and step == "reserve":
            yield f"product {name!r}: {opening} at first, but {balance} on hand + {held} reserved = {balance + held}"
        elif opening != balance + held:
            first, expected, left = map(describe_money, (opening, opening - held, balance))
            yield f"card {name!r}: {first} at first, less charges, plus refunds = {expected}, but {left} left"
    for name, held in sorted((+rest).items()) if step == "reserve" else ():
        yield f"product {name!r}: {held} reserved, but there is no stock of it"


def _check_entries(step: str, books: Books, keys: dict[str, set[tuple[str, str]]]) -> Iterator[str]:
    """Check the entries without regard to outcomes. `keys` holds the step and key of each call, by order."""
    undo, undone = UNDOS[step]
    for entry in books.entries:
        returned = _describe_amount(step, entry.undos.total())
        if entry.number is None:
            yield f"{undo} of {returned} belongs to no {NOUNS[step]} (key {entry.key!r})"
        elif entry.reference not in keys:
            yield f"{entry} for order {entry.reference!r} belongs to no instance"
        elif (step, entry.key) not in keys[entry.reference]:
            where = f"order {entry.reference!r}, step {step!r}"
            yield f"{where}: {entry} is under key {entry.key!r}, which its instance never gave"
        if entry.number and entry.undos and (len(entry.undos) > 1 or entry.undos.total() != entry.amounts.total()):
            yield f"{entry}: {undone} {len(entry.undos)} times, {returned} in all"


def _sum_up(books: Mapping[str, Books], explained: Mapping[tuple[str, bool], int]) -> Iterator[str]:
    shares = {}
    for step in books:
        completed, others = (_describe_amount(step, explained[step, is_completed]) for is_completed in (True, False))
        shares[step] = f"{completed} by completed orders, {others} by others"
    opening = sum(account[1] for account in books["reserve"].accounts)
    on_hand = sum(account[2] for account in books["reserve"].accounts)
    yield f"stock: {opening} units - {on_hand} on hand = {opening - on_hand} taken: {shares['reserve']}"
    cents = sum(entry.amounts.total() for entry in books["charge"].entries)
    left = books["charge"].held.total()
    charged, refunded, held = map(describe_money, (cents, cents - left, left))
    yield f"money: {charged} charged - {refunded} refunded = {held} held: {shares['charge']}"
    yield f"labels: {books['ship'].held.total()} valid: {shares['ship']}"


def describe_money(cents: int) -> str:
    """Write an amount of euro cents, as in "EUR 1,234.50"."""
    return f"{'-' if cents < 0 else ''}EUR {abs(cents) // 100:,}.{abs(cents) % 100:02}"


def _describe_amount(step: str, amount: int) -> str:
    return describe_money(amount) if step == "charge" else str(amount)


def _describe_amounts(step: str, amounts: Mapping[str, int]) -> str:
    if step == "reserve":
        return " of " + ", ".join(f"{amount} {sku}" for sku, amount in amounts.items())
    return f" of {describe_money(sum(amounts.values()))}" if step == "charge" else ""
