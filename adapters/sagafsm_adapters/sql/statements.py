"""The statements, compiled once for the dialect: what runs is text and its parameters."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

import attrs
from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Dialect,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)

from sagafsm.history.events import BlockReason
from sagafsm.history.instance import AT_REST
from sagafsm.store import Changes
from sagafsm_adapters.sql.tables import EVENTS, INSTANCES, MAIL, format_utc

_INSTANCE = INSTANCES.c.id == bindparam("this")
_CLAIMED = (INSTANCES.c.token == bindparam("claim")) & INSTANCES.c.owner.is_not(None)

_UNOWNED = {
    "owner": null(),
    "process": null(),
    "lease_until": null(),
    "claim_checksum": bindparam("new_claim_checksum"),
}

_MAIL_OF_THIS = MAIL.c.instance_id == bindparam("this")
_WAITING = _MAIL_OF_THIS & MAIL.c.absorbed_by.is_(None)
_REQUESTED = MAIL.c.request_id == bindparam("request")


def _build_append(parking: bool, adds_block: bool, releases: bool, migrates: bool, any_rest: bool) -> ClauseElement:
    """The compare-and-set of an append. Mail that the same transaction did not absorb makes it touch no row."""
    values: dict[str, Any] = {
        "version": bindparam("version"),
        "updated_at": bindparam("updated_at"),
        "state": func.coalesce(bindparam("state"), INSTANCES.c.state),
        "mail": literal_column("0"),
    }
    if migrates:
        values["saga_version"] = bindparam("saga_version")
    if any_rest:
        values["unfinished"] = func.coalesce(bindparam("unfinished"), INSTANCES.c.unfinished)
    if parking:
        reason: ColumnElement[Any] = bindparam("blocked")
        values["blocked"] = func.coalesce(INSTANCES.c.blocked, reason) if adds_block else reason
        values["waiting"] = bindparam("waiting")
        values["wake_at"] = bindparam("wake_at")
    if releases:
        values |= _UNOWNED
    unchanged = (INSTANCES.c.version == bindparam("expected")) & (INSTANCES.c.mail == bindparam("absorbed"))
    # An index that stands in SET is written anew, changed or not: most appends leave `unfinished` alone.
    unfinished = [] if any_rest else [INSTANCES.c.unfinished > literal_column("0")]
    return update(INSTANCES).where(_INSTANCE, unchanged, _CLAIMED, *unfinished).values(values)


def _match_this_or_nested(column: ColumnElement[Any]) -> ColumnElement[bool]:
    nested = (column > bindparam("first")) & (column < bindparam("last"))
    return (column == bindparam("this")) | nested


@attrs.frozen
class PositionalStatement:
    """A statement that takes its values by place: it runs at every commit, and a name is looked up at each run."""

    text: str
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]

    @classmethod
    def compile_for(cls, clause: ClauseElement, dialect: Dialect) -> PositionalStatement:
        """The clause as the dialect writes it."""
        of_its_kind: Callable[..., Dialect] = type(dialect)
        compiled = clause.compile(dialect=of_its_kind(paramstyle="qmark"))
        names: list[str] = compiled.positiontup  # type: ignore[attr-defined]  # all but DDL has it
        return cls(str(compiled), itemgetter(*names))


@attrs.frozen
class Statements:
    """Every statement that a store runs, but for `find`'s."""

    appends: dict[tuple[bool, ...], PositionalStatement]
    insert_instance: PositionalStatement
    insert_event: PositionalStatement
    row: str
    events: str
    claim: str
    renew: str
    release: str
    mail: str
    count_waiting: str
    mail_known: str
    insert_mail: str
    add_mail: str
    absorb: str
    deletes: tuple[str, ...]

    def append(self, changed: Changes, *, any_rest: bool) -> PositionalStatement:
        """The compare-and-set for an append that changes this; without `any_rest`, from unfinished to unfinished."""
        migrates = changed.version is not None
        return self.appends[changed.parking, changed.adds_block, changed.releases, migrates, any_rest]

    @classmethod
    @functools.cache
    def compile_for(cls, dialect: Dialect) -> Statements:
        """All of them as the dialect writes them; once a process, as SQLAlchemy takes 30 ms for it."""

        def text(clause: ClauseElement) -> str:
            return str(clause.compile(dialect=dialect))

        placed = functools.partial(PositionalStatement.compile_for, dialect=dialect)
        booleans = (False, True)
        claiming: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in ("owner", "process", "token", "lease_until", "claim_checksum")
        }
        renewal = {name: claiming[name] for name in ("lease_until", "claim_checksum")}
        events = select(EVENTS.c.number, EVENTS.c.body, EVENTS.c.checksum)
        mail = select(MAIL.c.position, MAIL.c.body, MAIL.c.checksum)
        known = select(func.count(), func.count().filter(_REQUESTED)).select_from(MAIL)
        return cls(
            appends={key: placed(_build_append(*key)) for key in itertools.product(booleans, repeat=5)},
            insert_instance=placed(insert(INSTANCES)),
            insert_event=placed(insert(EVENTS)),
            row=text(select(INSTANCES).where(_INSTANCE)),
            events=text(events.where(EVENTS.c.instance_id == bindparam("this")).order_by(EVENTS.c.number)),
            claim=text(update(INSTANCES).where(_INSTANCE).values(claiming)),
            renew=text(update(INSTANCES).where(_INSTANCE, _CLAIMED).values(renewal)),
            release=text(update(INSTANCES).where(_INSTANCE, _CLAIMED).values(_UNOWNED)),
            mail=text(mail.where(_WAITING).order_by(MAIL.c.position)),
            count_waiting=text(select(func.count()).select_from(MAIL).where(_WAITING)),
            mail_known=text(known.where(_MAIL_OF_THIS)),
            insert_mail=text(insert(MAIL)),
            add_mail=text(update(INSTANCES).where(_INSTANCE).values(mail=INSTANCES.c.mail + literal_column("1"))),
            absorb=text(update(MAIL).where(_WAITING, _REQUESTED).values(absorbed_by=bindparam("number"))),
            deletes=tuple(
                text(delete(table).where(_match_this_or_nested(column)))
                for table, column in (
                    (MAIL, MAIL.c.instance_id),
                    (EVENTS, EVENTS.c.instance_id),
                    (INSTANCES, INSTANCES.c.id),
                )
            ),
        )


_COLUMNS = INSTANCES.c


def build_find_query(
    *,
    saga: str | None,
    state: str | None,
    blocked: bool | BlockReason | None,
    updated_before: datetime | None,
    due: datetime | None,
    after: str | None,
    limit: int,
) -> Select[Any]:
    """One page of rows in order of id."""
    conditions: list[Any] = [] if saga is None else [_COLUMNS.saga == saga]
    conditions += [] if after is None else [_COLUMNS.id > after]
    conditions += [] if updated_before is None else [_COLUMNS.updated_at < format_utc(updated_before)]
    conditions += [] if state is None else _match_state(state)
    conditions += [] if blocked is None else _match_blocked(blocked)
    conditions += [] if due is None else _match_due(format_utc(due))
    return select(INSTANCES).where(*conditions).order_by(_COLUMNS.id).limit(limit)


# `unfinished` stands in each condition that implies it: its index then keeps what is at rest out of the search.
def _match_state(state: str) -> list[Any]:
    # Not LIKE, for which "Running" is the same as "running" in some databases.
    in_phase = func.substr(_COLUMNS.state, 1, len(state) + 1) == f"{state}:"
    resting = _COLUMNS.unfinished == 0 if state in AT_REST else _COLUMNS.unfinished > 0
    return [or_(_COLUMNS.state == state, in_phase), resting]


def _match_blocked(blocked: bool | BlockReason) -> list[Any]:
    if blocked is False:
        return [_COLUMNS.blocked.is_(None)]
    matches = _COLUMNS.blocked.is_not(None) if blocked is True else _COLUMNS.blocked == blocked
    return [matches, _COLUMNS.unfinished > 0]


def _match_due(now: str) -> list[Any]:
    awake = or_(
        _COLUMNS.wake_at <= now, and_(_COLUMNS.wake_at.is_(None), _COLUMNS.blocked.is_(None), _COLUMNS.waiting == 0)
    )
    return [_COLUMNS.unfinished == 1, or_(_COLUMNS.mail > 0, awake)]
