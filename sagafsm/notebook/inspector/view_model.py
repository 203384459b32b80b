"""What is seen of an instance at one moment: a value, from which every pane is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sagafsm.core.nested import count_events_at
from sagafsm.core.triggers import has_passed_pivot
from sagafsm.history.instance import SagaInstance
from sagafsm.verify.faults import Break, BreakTarget

StepTarget = tuple[str, BreakTarget]
Tone = Literal["told", "good", "bad"]


@attrs.frozen(kw_only=True)
class Notice:
    """The last thing that was said to whoever looks on."""

    text: str = ""
    tone: Tone = "told"


@attrs.frozen(kw_only=True)
class ForkOrigin:
    """What a fork was taken from."""

    instance_id: str
    at: int


@attrs.frozen(kw_only=True)
class View:
    """An instance as somebody looks at it.

    `live` is the instance as it stands, `nested` what is nested in it, by path. `at` is the event to which somebody
    travelled, None: it is seen as it stands. `selected` is the step whose panel is open, and `is_zoomed` whether
    the timeline shows that one's time alone. `driving`: it is driven from here; `owner`: who else drives it. `obstacle`
    is why nothing at all can be asked of it from here, and `definition_obstacle` why it cannot be driven.
    """

    live: SagaInstance
    nested: Mapping[str, SagaInstance] = attrs.Factory(dict)
    at: int | None = None
    selected: StepTarget | None = None
    is_zoomed: bool = False
    breaks: Mapping[StepTarget, Break] = attrs.Factory(dict)
    driving: bool = False
    owner: str | None = None
    obstacle: str | None = None
    definition_obstacle: str | None = None
    origin: ForkOrigin | None = None
    message: Notice = Notice()

    @property
    def position(self) -> int:
        """The number of the event as of which it is seen."""
        return len(self.live.history) if self.at is None else self.at

    @property
    def seen(self) -> tuple[SagaInstance, Mapping[str, SagaInstance]]:
        """The instance as of that event, and what was nested in it then."""
        if self.at is None:
            return self.live, self.nested
        return rewind(self.live, self.at, self.nested)

    @property
    def request_obstacle(self) -> str | None:
        """Why no cancel can be asked for, and no signal given; None: they can."""
        if self.obstacle is not None:
            return self.obstacle
        if self.at is not None:
            return f"this is event {self.at}, in the past: go live, or fork from here"
        return "it is at rest" if self.live.is_at_rest else None

    @property
    def cancel_obstacle(self) -> str | None:
        """Why it cannot be cancelled; None: it can."""
        no = self.request_obstacle or find_nested_obstacle(self.live.id)
        if no is not None:
            return no
        if self.live.phase == "compensating":
            return "it goes back already"
        return "its pivot has succeeded: it only goes forward" if has_passed_pivot(self.live) else None

    @property
    def decision_obstacle(self) -> str | None:
        """Why nothing can be decided about it; None: what its state allows can be."""
        if self.obstacle is not None:
            return self.obstacle
        if self.at is not None:
            return f"this is event {self.at}, in the past: go live, or fork from here"
        if (nested := find_nested_obstacle(self.live.id)) is not None:
            return nested
        if self.driving:
            return "it runs"
        if self.owner is not None:
            return f"driven by {self.owner}: a cancel or a signal can be asked for"
        return None

    def find_obstacle_to(self, decision: str) -> str | None:
        """Why this cannot be decided; None: it can, where its state allows it."""
        # An instance whose definition is gone can still be ended.
        return self.decision_obstacle or (None if decision == "abandon" else self.definition_obstacle)

    @property
    def fork_obstacle(self) -> str | None:
        """Why no fork can be taken of it; None: one can."""
        return self.obstacle or find_nested_obstacle(self.live.id)

    @property
    def drive_obstacle(self) -> str | None:
        """Why it cannot be driven on; None: it can."""
        if self.decision_obstacle is not None:
            return self.decision_obstacle
        if self.live.is_at_rest:
            return "it is at rest"
        if self.definition_obstacle is not None:
            return self.definition_obstacle
        if self.live.blocked:
            return "it is blocked: decide"
        if self.live.waiting and self.live.wake_at is None:
            return "it waits for a signal"
        return None


def find_nested_obstacle(instance_id: str) -> str | None:
    """Why an instance is no one to be driven, broken or decided by itself; None: it is one."""
    root, _, path = instance_id.partition("/")
    return f"it is nested in {root!r}: inspect that one" if path else None


def rewind(
    instance: SagaInstance, at: int, nested: Mapping[str, SagaInstance], prefix: str = ""
) -> tuple[SagaInstance, dict[str, SagaInstance]]:
    """An instance as it was once event `at` was recorded, and those nested in it as they were at that moment.

    Raises:
        IndexError: there is no event of that number.
    """
    known, moment = instance.at(at), instance.history[at - 1].at
    found: dict[str, SagaInstance] = {}
    for name, record in known.steps.items():
        child = nested.get(prefix + name)
        if child is None or record.status == "pending":
            continue
        if length := count_events_at(record, child.history, moment):
            found[prefix + name], within = rewind(child, length, nested, f"{prefix}{name}/")
            found |= within
    return known, found
