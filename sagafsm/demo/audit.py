"""The audit: whether stock, money and labels in the participants' own files balance with the outcomes of the orders."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from sagafsm.demo.books import Account, Books, Effect, read_books
from sagafsm.demo.expectation import amounts_of, expectation, keys_given
from sagafsm.demo.orders import Order
from sagafsm.demo.words import described, euros, worded
from sagafsm.errors import PayloadError
from sagafsm.instance import SagaInstance
from sagafsm.payload import decode
from sagafsm.record import StepRecord


@attrs.frozen(kw_only=True)
class Audit:
    """What an audit found: sentences about the totals, what it leaves open, and what does not balance."""

    totals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def balanced(self) -> bool:
        """Whether everything in the books is what the orders account for, and nothing is missing."""
        return not self.problems

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it as sentences; the verdict comes last."""
        if self.balanced:
            return (*self.totals, *self.notes, "balanced")
        verdict = f"NOT balanced, {len(self.problems)} found:"
        return (*self.totals, *self.notes, verdict, *(f"  {problem}" for problem in self.problems))

    def __str__(self) -> str:
        return "\n".join(self.lines)


@attrs.frozen(kw_only=True)
class Finding:
    """What one order accounts for, by step; what it leaves open; what is wrong with it."""

    completed: bool
    accounted: Mapping[str, int] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def audit(folder: Path, instances: Iterable[SagaInstance]) -> Audit:
    """Compare the participants' files in `folder`, not asking the services, with the instances of all orders."""
    try:
        books = read_books(folder)
    except sqlite3.Error as error:
        return Audit(problems=(f"books cannot be read: {error}",))
    all_of_them = tuple(instances)
    by_reference: dict[str, list[Effect]] = {instance.id: [] for instance in all_of_them}
    for effect in books.effects:
        by_reference.setdefault(effect.reference, []).append(effect)
    findings = [_check_order(instance, by_reference.pop(instance.id)) for instance in all_of_them]
    strangers = [effect for left in by_reference.values() for effect in left]
    return Audit(
        totals=_totals(books, findings),
        notes=tuple(note for finding in findings for note in finding.notes),
        problems=(
            *(problem for finding in findings for problem in finding.problems),
            *(f"{described(effect)} for order {effect.reference!r} belongs to no instance" for effect in strangers),
            *_stock_problems(books),
            *_money_problems(books),
        ),
    )


def _check_order(instance: SagaInstance, effects: Sequence[Effect]) -> Finding:
    completed = instance.state == "completed"
    try:
        order: Order = decode(instance.input_json, Order, subject="input")
    except PayloadError as error:
        return Finding(completed=completed, problems=(f"instance {instance.id!r} is no order: {error}",))
    keys = keys_given(instance)
    findings = [
        _check_step(instance, record, order, keys[record.name], [e for e in effects if e.step == record.name])
        for record in instance.steps.values()
    ]
    return Finding(
        completed=completed,
        accounted=dict(item for finding in findings for item in finding.accounted.items()),
        notes=tuple(note for finding in findings for note in finding.notes),
        problems=tuple(problem for finding in findings for problem in finding.problems),
    )


def _check_step(
    instance: SagaInstance, record: StepRecord, order: Order, keys: frozenset[str], effects: Sequence[Effect]
) -> Finding:
    says = expectation(instance, record)
    where = f"order {instance.id!r}, step {record.name!r}"
    standing = [effect for effect in effects if effect.stands]
    found = " and ".join(map(described, standing)) or "none"
    exact = len(standing) == 1 and standing[0].amounts == amounts_of(order, record.name)
    stray = [effect for effect in effects if effect.key not in keys]
    right = {"there": exact, "gone": not standing, "either": exact or not standing}[says.effect]
    problems = [f"{where}: {described(e)} is under key {e.key!r}, which its instance never gave" for e in stray]
    if not right:
        wanted = worded(record.name, amounts_of(order, record.name))
        expected = {"there": wanted, "gone": "none", "either": f"none or {wanted}"}[says.effect]
        problems.insert(0, f"{where}: expected {expected} ({says.why}), found {found}")
    noted = right and (says.effect == "either" or (standing and instance.state != "completed"))
    return Finding(
        completed=instance.state == "completed",
        accounted={record.name: sum(standing[0].amounts.values())} if right and standing else {},
        notes=(f"{where}: {says.why}, found {found}",) if noted else (),
        problems=tuple(problems),
    )


# Totals ---------------------------------------------------------------------------------------------------------------


def _totals(books: Books, findings: Sequence[Finding]) -> tuple[str, ...]:
    charged = sum(effect.amounts["cents"] for effect in books.effects if effect.step == "charge")
    refunded = sum(amount for _, amount in books.refunds)
    opening, on_hand = sum(a.opening for a in books.stock), sum(a.left for a in books.stock)
    labels = sum(1 for effect in books.effects if effect.step == "ship" and effect.stands)
    units, cents, parcels = (_split(findings, step) for step in ("reserve", "charge", "ship"))
    completed = sum(1 for finding in findings if finding.completed)
    held = charged - refunded
    return (
        f"orders: {completed} of {len(findings)} completed",
        f"stock: {opening} units - {on_hand} on hand = {opening - on_hand} taken: {_shares(units, str)}",
        f"money: {euros(charged)} charged - {euros(refunded)} refunded = {euros(held)} held: {_shares(cents, euros)}",
        f"labels: {labels} valid: {_shares(parcels, str)}",
    )


def _shares(amounts: tuple[int, int], word: Callable[[int], str]) -> str:
    return f"{word(amounts[0])} by completed orders, {word(amounts[1])} by others"


def _split(findings: Sequence[Finding], step: str) -> tuple[int, int]:
    """How much completed orders account for, and how much all others."""
    completed = sum(finding.accounted.get(step, 0) for finding in findings if finding.completed)
    others = sum(finding.accounted.get(step, 0) for finding in findings if not finding.completed)
    return completed, others


def _stock_problems(books: Books) -> list[str]:
    taken: Counter[str] = Counter()
    for effect in books.effects:
        if effect.step == "reserve" and effect.stands:
            taken.update(effect.amounts)
    known = {account.name for account in books.stock}
    missing = [f"product {sku!r}: {taken[sku]} reserved, but there is no stock of it" for sku in taken.keys() - known]
    return [
        f"product {account.name!r}: {account.opening} at first, but {account.left} on hand + {taken[account.name]}"
        f" reserved = {account.left + taken[account.name]}"
        for account in books.stock
        if account.opening != account.left + taken[account.name]
    ] + sorted(missing)


def _money_problems(books: Books) -> list[str]:
    charges = {effect.key: effect for effect in books.effects if effect.step == "charge"}
    problems: list[str] = []
    for key, times in Counter(key for key, _ in books.refunds).items():
        given = sum(amount for charge, amount in books.refunds if charge == key)
        if key not in charges:
            problems.append(f"refund of {euros(given)} belongs to no charge (key {key!r})")
        elif given != charges[key].amounts["cents"] or times > 1:
            problems.append(f"{described(charges[key])}: refunded {times} times, {euros(given)} in all")
    return problems + [_card_problem(card, books) for card in books.cards if card.left != _funds(card, books)]


def _funds(card: Account, books: Books) -> int:
    """What must be left on a card, by its charges and refunds."""
    charged = sum(e.amounts["cents"] for e in books.effects if books.charged_to.get(e.key) == card.name)
    refunded = sum(amount for key, amount in books.refunds if books.charged_to.get(key) == card.name)
    return card.opening - charged + refunded


def _card_problem(card: Account, books: Books) -> str:
    expected = _funds(card, books)
    return (
        f"card {card.name!r}: {euros(card.opening)} at first, less charges, plus refunds = {euros(expected)}, but"
        f" {euros(card.left)} left"
    )
