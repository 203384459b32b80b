"""What all drives of one orchestrator share."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from sagafsm.clock import Clock
from sagafsm.drivers.journal import Listener
from sagafsm.values import Value

if TYPE_CHECKING:
    from sagafsm.drivers.limits import Limits


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Settings(Value):
    """`stopping`: whether the orchestrator closes, so that nothing new may start; `draw`: chance, from 0 to 1.

    `limits`: how often the calls of one step run at once, where that is bounded.
    """

    clock: Clock
    lease: timedelta
    max_payload: int
    on_event: Listener | None
    stopping: Callable[[], bool]
    draw: Callable[[], float] = random.random
    limits: Limits | None = None
