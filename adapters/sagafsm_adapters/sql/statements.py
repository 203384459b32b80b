"""The statements, compiled once for the dialect: what runs at every commit is text and its parameters by name."""

from __future__ import annotations

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
_UNOWNED = {"owner": null(), "process": null(), "lease_until": null()}
_MAIL_OF_THIS = MAIL.c.instance_id == bindparam("this")
_WAITING = _MAIL_OF_THIS & MAIL.c.absorbed_by.is_(None)
_REQUESTED = MAIL.c.request_id == bindparam("request")


def _append(*, parking: bool, adds_block: bool, releases: bool) -> ClauseElement:
    """The compare-and-set of an append. Mail that the same transaction did not absorb makes it touch no row."""
    values: dict[str, Any] = {
        "version": bindparam("version"),
        "updated_at": bindparam("updated_at"),
        "state": func.coalesce(bindparam("state"), INSTANCES.c.state),
        "unfinished": func.coalesce(bindparam("unfinished"), INSTANCES.c.unfinished),
        "mail": literal_column("0"),
    }
    if parking:
        reason: ColumnElement[Any] = bindparam("blocked")
        values["blocked"] = func.coalesce(INSTANCES.c.blocked, reason) if adds_block else reason
        values["wake_at"] = bindparam("wake_at")
    if releases:
        values |= _UNOWNED
    unchanged = (INSTANCES.c.version == bindparam("expected")) & (INSTANCES.c.mail == bindparam("absorbed"))
    return update(INSTANCES).where(_THIS, unchanged, _CLAIMED).values(values)


@attrs.frozen
class Statements:
    """Every statement that a store runs, but for `find`'s."""

    appends: dict[tuple[bool, bool, bool], str]
    insert_instance: str
    insert_event: str
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

    def append(self, changed: Changes) -> str:
        """The compare-and-set for an append that changes this."""
        return self.appends[changed.parking, changed.adds_block, changed.releases]

    @classmethod
    def compiled(cls, dialect: Dialect) -> Statements:
        """All of them as the dialect writes them."""

        def text(clause: ClauseElement) -> str:
            return str(clause.compile(dialect=dialect))

        booleans = (False, True)
        claiming: dict[str, Any] = {
            name: bindparam(f"new_{name}") for name in ("owner", "process", "token", "lease_until")
        }
        events = select(EVENTS.c.number, EVENTS.c.body, EVENTS.c.checksum)
        mail = select(MAIL.c.position, MAIL.c.body, MAIL.c.checksum)
        known = select(func.count(), func.count().filter(_REQUESTED)).select_from(MAIL)
        return cls(
            appends={
                (parking, adds, releases): text(_append(parking=parking, adds_block=adds, releases=releases))
                for parking in booleans
                for adds in booleans
                for releases in booleans
            },
            insert_instance=text(insert(INSTANCES)),
            insert_event=text(insert(EVENTS)),
            row=text(select(INSTANCES).where(_THIS)),
            events=text(events.where(EVENTS.c.instance_id == bindparam("this")).order_by(EVENTS.c.number)),
            claim=text(update(INSTANCES).where(_THIS).values(claiming)),
            renew=text(update(INSTANCES).where(_THIS, _CLAIMED).values(lease_until=bindparam("until"))),
            release=text(update(INSTANCES).where(_THIS, _CLAIMED).values(_UNOWNED)),
            mail=text(mail.where(_WAITING).order_by(MAIL.c.position)),
            count_waiting=text(select(func.count()).select_from(MAIL).where(_WAITING)),
            mail_known=text(known.where(_MAIL_OF_THIS)),
            insert_mail=text(insert(MAIL)),
            add_mail=text(update(INSTANCES).where(_THIS).values(mail=INSTANCES.c.mail + literal_column("1"))),
            absorb=text(update(MAIL).where(_WAITING, _REQUESTED).values(absorbed_by=bindparam("number"))),
            deletes=tuple(
                text(delete(table).where(column == bindparam("this")))
                for table, column in (
                    (MAIL, MAIL.c.instance_id),
                    (EVENTS, EVENTS.c.instance_id),
                    (INSTANCES, INSTANCES.c.id),
                )
            ),
        )
