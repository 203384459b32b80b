"""One execution of a saga, as its history tells it: `fold` is the only way to make or change one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, Self

import attrs

from sagafsm.display import Displayable, load_renderer
from sagafsm.errors import SagaError, SagaFailed
from sagafsm.history import events as e
from sagafsm.history.comparison import Comparison, compare_instances
from sagafsm.history.draft import InstanceDraft
from sagafsm.history.fold import fold_into
from sagafsm.history.residue import collect_residue
from sagafsm.history.signals import list_awaited
from sagafsm.history.step_state import AT_REST, Block, Cause, HasState, Residue, StepState

__all__ = ["AT_REST", "SagaInstance", "apply", "fold"]


@attrs.frozen(kw_only=True, repr=False, slots=False)
class SagaInstance(HasState, Displayable):
    """One execution of a saga: immutable, and complete without its definition.

    `steps` maps every step's name to its record, in order of definition; `started` names those that began, in order
    of first start; `errors` holds the failures that were not retried away, in order. `owner` names who drove the
    instance when it was loaded. `waiting`: it is parked until a signal comes. `deadline`: when the clock cancels it.
    """

    id: str
    saga: str
    version: int
    fingerprint: str
    state: str
    input_json: str
    outline: tuple[e.StepOutline, ...]
    steps: Mapping[str, StepState]
    started: tuple[str, ...] = ()
    history: e.History
    errors: tuple[e.RecordedError, ...] = ()
    cause: Cause | None = None
    cancel: e.CancelRequested | None = None
    signals: tuple[e.SignalReceived, ...] = ()
    waiting: bool = False
    blocked: tuple[Block, ...] = ()
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None = None
    deadline: datetime | None = None
    owner: str | None = None

    @property
    def input(self) -> Any:
        """A fresh decode of the stored input."""
        return json.loads(self.input_json)

    @property
    def results(self) -> dict[str, Any]:
        """The recorded results by step, each a fresh decode, in order of definition."""
        return {name: record.result for name, record in self.steps.items() if record.result_json is not None}

    @property
    def error(self) -> e.RecordedError | None:
        """The first failure; later ones follow it in `errors`."""
        return self.errors[0] if self.errors else None

    @property
    def residue(self) -> tuple[Residue, ...]:
        """What may remain in the world although the instance goes or went back, in order of start."""
        if self.phase not in ("compensating", "failed"):
            return ()
        return collect_residue(self.outline, self.steps, self.started, ended=self.state == "failed")

    @property
    def awaited(self) -> tuple[str, ...]:
        """The signals for which it is parked, each of which would do; those of nested sagas by their paths."""
        if not self.waiting:
            return ()
        received = {event.name for event in self.history if isinstance(event, e.SignalReceived)}
        return tuple(list_awaited(self.outline, self.steps, received))

    @property
    def why(self) -> str | None:
        """Why it went back or was abandoned, in words; None while it does neither."""
        for event in reversed(self.history[-2:]):
            if isinstance(event, e.DecisionMade) and event.decision == "abandon":
                return f"abandoned by {event.by}: {event.reason}"
        return None if self.cause is None else str(self.cause)

    @property
    def compensated(self) -> bool:
        """Whether the instance failed and nothing of it remains."""
        return self.state == "failed" and not self.residue

    def raise_for_failure(self) -> Self:
        """The instance itself, unless it failed.

        Raises:
            SagaFailed: it ended `failed`.
        """
        if self.state == "failed":
            raise SagaFailed(self)
        return self

    def at(self, event_number: int) -> SagaInstance:
        """The instance as it was once that event was recorded.

        Raises:
            IndexError: there is no event of that number.
        """
        if not 1 <= event_number <= len(self.history):
            raise IndexError(f"instance {self.id!r} has events 1 to {len(self.history)}, not {event_number!r}")
        return fold(None, self.history[:event_number])

    def compare(self, other: SagaInstance) -> Comparison[SagaInstance]:
        """This instance beside another, by what happened and not by when; a notebook shows the first difference.

        True where they differ; `divergence` is the place, from 0, of the first event that does.
        """
        return compare_instances(self, other)

    def to_html(self, *, nested: Mapping[str, SagaInstance] | None = None) -> str:
        """The instance as one HTML page that needs nothing beside it: no script, nothing loaded, in both themes.

        `nested` are the instances of its nested sagas by path, where they are to be shown too.
        """
        document = load_renderer("card")
        page: str = document.render_html_page(f"instance {self.id}", document.render_instance_card(self, nested=nested))
        return page

    def __repr__(self) -> str:
        notes = [self.state]
        if self.state == "failed":
            notes.append("compensated" if self.compensated else f"residue: {', '.join(r.step for r in self.residue)}")
        notes += [f"blocked on {block.step}: {block.reason}" for block in self.blocked]
        notes += [f"waiting for signal {name}" for name in self.awaited]
        if self.why is not None:
            notes.append(self.why)
        return f"<SagaInstance {self.id!r} of {self.saga!r}: {'; '.join(notes)}>"


def _create(event: e.InstanceCreated) -> SagaInstance:
    return SagaInstance(
        id=event.id,
        saga=event.saga,
        version=event.version,
        fingerprint=event.fingerprint,
        state="pending",
        input_json=event.input_json,
        outline=event.steps,
        steps={step.name: StepState(name=step.name) for step in event.steps},
        history=e.History(),
        created_at=event.at,
        updated_at=event.at,
        deadline=event.deadline,
    )


def fold(instance: SagaInstance | None, events: Sequence[e.Event]) -> SagaInstance:
    """The instance after `events`; from None, the first must be `InstanceCreated`. Pure, and needs no definition.

    Raises:
        SagaError: the first event of a history creates nothing, or a number is missing.
    """
    if instance is None:
        if not events or not isinstance(events[0], e.InstanceCreated):
            raise SagaError("a history begins with InstanceCreated")
        instance = _create(events[0])
        draft = InstanceDraft(instance)
        if events[0].number != 1:
            _refuse_gap(instance.id, 1, events[0])
        draft.history = [events[0]]
        events = events[1:]
    else:
        draft = InstanceDraft(instance)
    for event in events:
        if event.number != len(draft.history) + 1:
            _refuse_gap(instance.id, len(draft.history) + 1, event)
        fold_into(draft, event)
    return freeze(draft)


def freeze(draft: InstanceDraft) -> SagaInstance:
    """The instance that a draft has become; the draft may go on."""
    folded = object.__new__(SagaInstance)
    folded.__dict__.update(draft.__dict__, steps=dict(draft.steps), history=e.History(draft.history))
    return folded


def _refuse_gap(instance_id: str, expected: int, event: e.Event) -> NoReturn:
    raise SagaError(f"instance {instance_id!r} lacks event {expected}: {event} numbered {event.number} follows instead")


def apply(instance: SagaInstance, event: e.Event) -> SagaInstance:
    """The instance after one more event."""
    return fold(instance, (event,))


def find_outline(outline: Sequence[e.StepOutline], path: str) -> e.StepOutline:
    """The outline of a step, by its path.

    Raises:
        KeyError: there is no such step.
    """
    name, _, rest = path.partition("/")
    for step in outline:
        if step.name == name:
            return find_outline(step.steps, rest) if rest else step
    raise KeyError(path)
