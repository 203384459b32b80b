"""The query behind `find`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from sagafsm.events import BlockReason
from sagafsm.instance import AT_REST
from sagafsm_adapters.sql.tables import INSTANCES, as_text

_THIS = INSTANCES.c


def query(
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
    conditions: list[Any] = [] if saga is None else [_THIS.saga == saga]
    conditions += [] if after is None else [_THIS.id > after]
    conditions += [] if updated_before is None else [_THIS.updated_at < as_text(updated_before)]
    conditions += [] if state is None else _in_state(state)
    conditions += [] if blocked is None else _is_blocked(blocked)
    conditions += [] if due is None else _is_due(as_text(due))
    return select(INSTANCES).where(*conditions).order_by(_THIS.id).limit(limit)


# `unfinished` stands in each condition that implies it: its index then keeps what is at rest out of the search.
def _in_state(state: str) -> list[Any]:
    # Not LIKE, for which "Running" is the same as "running" in some databases.
    in_phase = func.substr(_THIS.state, 1, len(state) + 1) == f"{state}:"
    resting = _THIS.unfinished == 0 if state in AT_REST else _THIS.unfinished > 0
    return [or_(_THIS.state == state, in_phase), resting]


def _is_blocked(blocked: bool | BlockReason) -> list[Any]:
    if blocked is False:
        return [_THIS.blocked.is_(None)]
    matches = _THIS.blocked.is_not(None) if blocked is True else _THIS.blocked == blocked
    return [matches, _THIS.unfinished > 0]


def _is_due(now: str) -> list[Any]:
    awake = or_(_THIS.wake_at <= now, and_(_THIS.wake_at.is_(None), _THIS.blocked.is_(None), _THIS.waiting == 0))
    return [_THIS.unfinished == 1, or_(_THIS.mail > 0, awake)]
