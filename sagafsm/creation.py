"""The first commit of an instance: it exists, and, when it is driven at once, its first calls are written ahead."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sagafsm import events as e
from sagafsm.batch import Batch, Todo
from sagafsm.command import Run, RunAction
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
    has_limits: bool = True,
) -> tuple[Batch, Todo | None]:
    """The batch that creates an instance and, with `begin`, what it leads to.

    `deadline` is the parent's; the saga's own may be earlier. `mail` is what came for it before it was there.
    `has_limits`: whether the orchestrator counts calls against `max_concurrency`. Only an async orchestrator does.
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
    batch = Batch(definition, fold(None, (creation,)), now, creation=creation)
    batch.record(mail)
    return batch, batch.proceed(admits=lambda run: not (has_limits and _is_limited(definition, run))) if begin else None


def _is_limited(definition: Definition, run: Run) -> bool:
    """Whether the call may have to wait for its turn: it is started by whoever counts, once the instance exists."""
    return isinstance(run, RunAction) and definition.by_name[run.step].max_concurrency is not None
