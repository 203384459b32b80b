"""The statements, compiled once for the dialect: what runs is text and its parameters."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import attrs
from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Dialect,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from sagafsm.store import Changes
from sagafsm_adapters.sql.tables import EVENTS, INSTANCES, MAIL

_THIS = INSTANCES.c.id == bindparam("this")
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


def _append(parking: bool, adds_block: bool, releases: bool, migrates: bool, any_rest: bool) -> ClauseElement:
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
    return update(INSTANCES).where(_THIS, unchanged, _CLAIMED, *unfinished).values(values)


def _is_this_or_nested(column: ColumnElement[Any]) -> ColumnElement[bool]:
    nested = (column > bindparam("first")) & (column < bindparam("last"))
    return (column == bindparam("this")) | nested


@attrs.frozen
class Placed:
    """A statement that takes its values by place: it runs at every commit, and a name is looked up at each run."""

    text: str
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]

    @classmethod
    def compiled(cls, clause: ClauseElement, dialect: Dialect) -> Placed:
        """The clause as the dialect writes it."""
        of_its_kind: Callable[..., Dialect] = type(dialect)
        compiled = clause.compile(dialect=of_its_kind(paramstyle="qmark"))
        names: list[str] = compiled.positiontup  # type: ignore[attr-defined]  # all but DDL has it
        return cls(str(compiled), itemgetter(*names))


@attrs.frozen
class Statements:
    """Every statement that a store runs, but for `find`'s."""

    appends: dict[tuple[bool, ...], Placed]
    insert_instance: Placed
    insert_event: Placed
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

    def append(self, changed: Changes, *, any_rest: bool) -> Placed:
        """The compare-and-set for an append that changes this; without `any_rest`, from unfinished to unfinished."""
        migrates = changed.version is not None
        return self.appends[changed.parking, changed.adds_block, changed.releases, migrates, any_rest]

    @classmethod
    @functools.cache
    def compiled(cls, dialect: Dialect) -> Statements:
        """All of them as the dialect writes them; once a process, as SQLAlchemy takes 30 ms for it."""

        def text(clause: ClauseElement) -> str:
            return str(clause.compile(dialect=dialect))

        placed = functools.partial(Placed.compiled, dialect=dialect)
        booleans = (False, True)
        claiming: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in ("owner", "process", "token", "lease_until", "claim_checksum")
        }
        renewal = {name: claiming[name] for name in ("lease_until", "claim_checksum")}
        events = select(EVENTS.c.number, EVENTS.c.body, EVENTS.c.checksum)
        mail = select(MAIL.c.position, MAIL.c.body, MAIL.c.checksum)
        known = select(func.count(), func.count().filter(_REQUESTED)).select_from(MAIL)
        return cls(
            appends={key: placed(_append(*key)) for key in itertools.product(booleans, repeat=5)},
            insert_instance=placed(insert(INSTANCES)),
            insert_event=placed(insert(EVENTS)),
            row=text(select(INSTANCES).where(_THIS)),
            events=text(events.where(EVENTS.c.instance_id == bindparam("this")).order_by(EVENTS.c.number)),
            claim=text(update(INSTANCES).where(_THIS).values(claiming)),
            renew=text(update(INSTANCES).where(_THIS, _CLAIMED).values(renewal)),
            release=text(update(INSTANCES).where(_THIS, _CLAIMED).values(_UNOWNED)),
            mail=text(mail.where(_WAITING).order_by(MAIL.c.position)),
            count_waiting=text(select(func.count()).select_from(MAIL).where(_WAITING)),
            mail_known=text(known.where(_MAIL_OF_THIS)),
            insert_mail=text(insert(MAIL)),
            add_mail=text(update(INSTANCES).where(_THIS).values(mail=INSTANCES.c.mail + literal_column("1"))),
            absorb=text(update(MAIL).where(_WAITING, _REQUESTED).values(absorbed_by=bindparam("number"))),
            deletes=tuple(
                text(delete(table).where(_is_this_or_nested(column)))
                for table, column in (
                    (MAIL, MAIL.c.instance_id),
                    (EVENTS, EVENTS.c.instance_id),
                    (INSTANCES, INSTANCES.c.id),
                )
            ),
        )
