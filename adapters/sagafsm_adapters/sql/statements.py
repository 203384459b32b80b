"""The statements, compiled once for the dialect: what runs at every commit is text and a tuple."""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import (
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    bindparam,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.engine.default import DefaultDialect

from sagafsm_adapters.sql.tables import EVENTS, INSTANCES, MAIL


@attrs.frozen
class Statement:
    """One statement as text, with the order of its parameters."""

    text: str
    names: tuple[str, ...]

    @classmethod
    def compiled(cls, clause: ClauseElement, dialect: Dialect) -> Statement:
        """The statement as the dialect writes it."""
        made: Any = clause.compile(dialect=dialect)
        return cls(str(made), tuple(made.positiontup))

    def run(self, connection: Connection, **values: Any) -> CursorResult[Any]:
        """Run it with these values."""
        return connection.exec_driver_sql(self.text, tuple([values[name] for name in self.names]))

    def run_many(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Run it for each row, whose values are in the order of `names`."""
        connection.exec_driver_sql(self.text, rows)


_this = INSTANCES.c.id == bindparam("this")
_claimed = (INSTANCES.c.token == bindparam("claim")) & INSTANCES.c.owner.is_not(None)
_UNOWNED = {"owner": null(), "process": null(), "lease_until": null()}


def _append(*, parking: bool, releasing: bool) -> ClauseElement:
    """The compare-and-set of an append. Mail that the same transaction did not absorb makes it touch no row."""
    values: dict[str, Any] = {
        "version": bindparam("version"),
        "updated_at": bindparam("updated_at"),
        "state": func.coalesce(bindparam("state"), INSTANCES.c.state),
        "unfinished": func.coalesce(bindparam("unfinished"), INSTANCES.c.unfinished),
        "mail": literal_column("0"),
    }
    if parking:
        values |= {"blocked": bindparam("blocked"), "wake_at": bindparam("wake_at")}
    if releasing:
        values |= _UNOWNED
    unchanged = (INSTANCES.c.version == bindparam("expected")) & (INSTANCES.c.mail == bindparam("absorbed"))
    return update(INSTANCES).where(_this, unchanged, _claimed).values(values)


@attrs.frozen
class Statements:
    """Every statement that a store runs often."""

    append: dict[tuple[bool, bool], Statement]
    insert_instance: Statement
    insert_event: Statement
    row: Statement
    events: Statement
    claim: Statement
    renew: Statement
    release: Statement
    mail: Statement
    mail_known: Statement
    insert_mail: Statement
    count_mail: Statement
    absorb: Statement

    @classmethod
    def compiled(cls, dialect: DefaultDialect) -> Statements:
        """All of them for one dialect."""

        def made(clause: ClauseElement) -> Statement:
            return Statement.compiled(clause, dialect)

        claiming = {name: bindparam(f"new_{name}") for name in ("owner", "process", "token", "lease_until")}
        mail_of = MAIL.c.instance_id == bindparam("this")
        waiting = mail_of & MAIL.c.absorbed_by.is_(None)
        requested = MAIL.c.request_id == bindparam("request")
        return cls(
            append={
                (parking, releasing): made(_append(parking=parking, releasing=releasing))
                for parking in (False, True)
                for releasing in (False, True)
            },
            insert_instance=made(insert(INSTANCES)),
            insert_event=made(insert(EVENTS)),
            row=made(select(INSTANCES).where(_this)),
            events=made(
                select(EVENTS.c.number, EVENTS.c.body, EVENTS.c.checksum)
                .where(EVENTS.c.instance_id == bindparam("this"))
                .order_by(EVENTS.c.number)
            ),
            claim=made(update(INSTANCES).where(_this).values(claiming)),
            renew=made(update(INSTANCES).where(_this, _claimed).values(lease_until=bindparam("until"))),
            release=made(update(INSTANCES).where(_this, _claimed).values(_UNOWNED)),
            mail=made(select(MAIL.c.body).where(waiting).order_by(MAIL.c.position)),
            mail_known=made(select(func.count(), func.count().filter(requested)).select_from(MAIL).where(mail_of)),
            insert_mail=made(insert(MAIL)),
            count_mail=made(update(INSTANCES).where(_this).values(mail=INSTANCES.c.mail + literal_column("1"))),
            absorb=made(update(MAIL).where(waiting, requested).values(absorbed_by=bindparam("number"))),
        )
