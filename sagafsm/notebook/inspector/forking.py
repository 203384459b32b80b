"""Taking a fork of an instance that is looked at, to look at that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.errors import SagaError
from sagafsm.notebook.behind import Orchestrating
from sagafsm.notebook.inspector.running import on_loop
from sagafsm.notebook.inspector.session import Session
from sagafsm.notebook.inspector.sight import Origin

# What a fork is given: never the original's.
Resources = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


def fork(session: Session, at: int, resources: Resources | None) -> Session:
    """A session over the instance as it was at that event; one of an async orchestrator is waited for on this thread.

    Raises:
        IndexError: there is no event of that number.
    """
    orchestrator, given = _source(session), _made(resources)
    if isinstance(orchestrator, AsyncOrchestrator):
        made: Orchestrating = on_loop(lambda: orchestrator.fork(session.id, at=at, resources=given), session.loop)
    else:
        made = orchestrator.fork(session.id, at=at, resources=given)
    return _over(made, session, at)


async def fork_async(session: Session, at: int, resources: Resources | None) -> Session:
    """The same for an async orchestrator, on its loop."""
    made = await _source(session).fork(session.id, at=at, resources=_made(resources))
    return _over(made, session, at)


def _source(session: Session) -> Any:
    if session.orchestrator is None:
        raise SagaError(f"instance {session.id!r} is shown by its history alone: inspect() needs its orchestrator")
    return session.orchestrator


def _made(resources: Resources | None) -> Mapping[str, Any] | None:
    return resources() if callable(resources) else resources


def _over(made: Orchestrating, session: Session, at: int) -> Session:
    live = made.store.load(session.id).instance
    return Session(live=live, orchestrator=made, loop=session.loop, origin=Origin(instance_id=session.id, at=at))
