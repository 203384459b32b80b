"""The first commit of an instance: it exists, and, when it is driven at once, its first action is written ahead."""

from __future__ import annotations

from datetime import datetime

from sagafsm import events as e
from sagafsm.batch import Batch
from sagafsm.command import Run
from sagafsm.definition import Definition
from sagafsm.instance import fold


def created(
    definition: Definition, instance_id: str, input_json: str, *, now: datetime, begin: bool
) -> tuple[Batch, Run | None]:
    """The batch that creates an instance and, with `begin`, the command that it writes ahead."""
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
        deadline=None if definition.deadline is None else now + definition.deadline,
    )
    instance = fold(None, (creation,))
    batch = Batch(definition, instance, now, events=[creation], instances=[instance])
    command = batch.proceed() if begin else None
    if isinstance(command, Run):
        batch.record(command.events)
        return batch, command
    return batch, None
