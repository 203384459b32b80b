"""The mailbox of an instance: requests that wait, and those that were absorbed and stay known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs

from sagafsm.codec import checksum
from sagafsm.events import Event, Request
from sagafsm_adapters.sql.rows import body_of
from sagafsm_adapters.sql.statements import Statements


@functools.cache
def _is_absorbing(kind: type[Event]) -> bool:
    return "request_id" in attrs.fields_dict(kind)


def is_absorbing(events: Sequence[Event]) -> bool:
    """Whether these events take mail out of the mailbox."""
    return any(map(_is_absorbing, map(type, events)))


@attrs.frozen
class Mailbox:
    """Runs the statements of the mailbox, each within a transaction of the caller's."""

    sql: Statements

    def absorb(self, cursor: Any, instance_id: str, events: Sequence[Event]) -> int:
        """Take the mail that these events absorb out of the mailbox, and return how much of it there was."""
        absorbed = 0
        for event in events:
            request_id = getattr(event, "request_id", None)
            if request_id is None:
                continue
            values = {"this": instance_id, "request": request_id, "number": event.number}
            taken = cursor.execute(self.sql.absorb, values).rowcount
            if not taken and isinstance(event, Request):
                # It was never posted: known from now on all the same, should somebody post it.
                self.keep(cursor, instance_id, event, absorbed_by=event.number)
            absorbed += taken
        return absorbed

    def keep(self, cursor: Any, instance_id: str, request: Request, *, absorbed_by: int | None) -> bool:
        """Keep a request, and say whether it was new."""
        asked = {"this": instance_id, "request": request.request_id}
        count, known = cursor.execute(self.sql.mail_known, asked).fetchone()
        if known:
            return False
        body = body_of(request)
        values = {
            "instance_id": instance_id,
            "position": count + 1,
            "request_id": request.request_id,
            "body": body,
            "checksum": checksum(instance_id, count + 1, body),
            "absorbed_by": absorbed_by,
        }
        cursor.execute(self.sql.insert_mail, values)
        return True
