"""The first commit of an instance: it exists, and, when it is driven at once, its first calls are written ahead."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sagafsm import events as e
from sagafsm.batch import Batch, Todo
from sagafsm.definition import Definition
from sagafsm.instance import fold


def created(
    definition: Definition,
    instance_id: str,
    input_json: str,
    *,
    now: datetime,
    begin: bool,
    deadline: datetime | None = None,
    mail: Iterable[e.Request] = (),
) -> tuple[Batch, Todo | None]:
    """The batch that creates an instance and, with `begin`, what it leads to.

    `deadline` is the parent's; the saga's own may be earlier. `mail` is what came for it before it was there.
    """
    ends = [] if definition.deadline is None else [now + definition.deadline]
    ends += [] if deadline is None else [deadline]
    creation = e.InstanceCreated(
        number=1,
        at=now,
        state="pending",
        id=instance_id,
        saga=definition.saga,
        version=definition.version,
        fingerprint=definition.fingerprint,
        input_json=input_json,
        steps=definition.outline,
        deadline=min(ends, default=None),
    )
    batch = Batch(definition, fold(None, (creation,)), now, events=[creation], before=None)
    batch.record(mail)
    return batch, batch.proceed() if begin else None
