"""What an instance knows of its steps, of why it goes back, and of what waits or remains."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self

import attrs

from sagafsm.history import events as e
from sagafsm.value import Value, replace

AT_REST = ("completed", "failed")
StepStatus = Literal["pending", "running", "waiting", "parked", "done", "skipped", "failed", "in_doubt", "unstorable"]
UndoStatus = Literal["running", "waiting", "parked", "failed", "undone", "skipped"]


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CallCount(Value):
    """How often one of a step's functions was called.

    `attempt` counts every call; `spent` those that use the budget (no process deaths); `deaths` the process deaths
    in a row that ended the last ones. An operator's retry begins `spent` and `deaths` anew.
    """

    attempt: int = 0
    spent: int = 0
    deaths: int = 0
    wake_at: datetime | None = None

    def started(self, attempt: int, *, died: bool) -> Self:
        """Counted on: a call begins; `died`: the one before it ended with its process."""
        before = self.died() if died else self
        return type(self)(attempt=attempt, spent=before.spent + 1, deaths=before.deaths)

    def died(self) -> Self:
        """Counted on: the call under way ended with its process, which uses no attempt."""
        return replace(self, spent=self.spent - 1, deaths=self.deaths + 1, wake_at=None)

    def failed(self, wake_at: datetime | None) -> Self:
        """Counted on: the call failed, and may be repeated at `wake_at`."""
        return replace(self, deaths=0, wake_at=wake_at)

    def renewed(self) -> Self:
        """With a new budget."""
        return type(self)(attempt=self.attempt)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class NestedState(Value):
    """What a parent knows of a nested saga.

    `blocks` and `waits` tell why it is parked, as of event `parked`. `orders` are the decisions and signals that came
    for it since; `left` is what it may have left, once it ended.
    """

    blocks: tuple[e.RecordedBlock, ...] = ()
    waits: bool = False
    retry_at: datetime | None = None
    parked: int = 0
    orders: tuple[e.DecisionMade | e.SignalReceived, ...] = ()
    left: tuple[e.RecordedResidue, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepState(Value):
    """Where one step of an instance stands.

    `status` tells of the action, `undo` of the compensation (None until it is first called). `doubt_before`: an
    attempt before the present one is still in doubt. `probed`: the probe has been asked about this doubt.
    `conceded`: a decision let the doubt be and had it undone. `prepared`: its `when` held, and `input_json` is what
    was computed as a nested saga's input. `until`: when a wait ends. `child`: where a nested saga stands. `keyed`:
    what its keys are made of, where that is not its name.
    """

    name: str
    status: StepStatus = "pending"
    undo: UndoStatus | None = None
    action: CallCount = CallCount()
    compensation: CallCount = CallCount()
    result_json: str | None = None
    error: e.RecordedError | None = None
    doubt_before: bool = False
    died: bool = False
    probed: bool = False
    retryable: bool = False
    retry_ordered: bool = False
    conceded: bool = False
    prepared: bool = False
    input_json: str | None = None
    until: datetime | None = None
    child: NestedState | None = None
    keyed: str | None = None

    def named(self, name: str) -> Self:
        """The same step under the name that a migration gave it. The service knows its call by the old one."""
        return self if name == self.name else replace(self, name=name, keyed=self.keyed or self.name)

    @property
    def result(self) -> Any:
        """A fresh decode of the stored result; None while there is none."""
        return None if self.result_json is None else json.loads(self.result_json)

    @property
    def attempt(self) -> int:
        """How often the action was called."""
        return self.action.attempt

    @property
    def is_in_doubt(self) -> bool:
        """Whether it is not known if the action took effect, even though it may be called again."""
        return self.status == "in_doubt" or (self.status == "running" and self.doubt_before)

    @property
    def may_have_effect(self) -> bool:
        """Whether the action took effect or may have, going by the record alone."""
        return self.status in ("running", "done", "in_doubt", "unstorable")

    @property
    def can_be_compensated(self) -> bool:
        """Whether the compensation may be called, going by the state of the step alone.

        True when the action may have an effect, and no undo or skip is recorded. The caller also asks whether the step
        has a compensation, and whether the pivot has succeeded. A nested saga whose action is parked has not ended: its
        parent cannot compensate it. A nested saga whose compensation is parked can still be compensated.
        """
        return self.may_have_effect and self.undo not in ("undone", "skipped")

    @property
    def effect_may_remain(self) -> bool:
        """Whether an effect may remain, going by the state of the step alone.

        True when the action may have an effect and no undo is recorded. A nested saga whose action is parked counts:
        steps of the nested saga may have effects. The caller also asks whether the step has an effect at all.
        """
        # A decision to skip undoes nothing: the effect stays.
        return (self.may_have_effect or self.status == "parked") and self.undo != "undone"

    def needs_decision(self, cause: Cause | None) -> bool:
        """Whether only a decision can lead on a nested saga whose action is parked. `cause`: the cause of its parent.

        True when the nested saga was blocked as it parked, and its parent has nothing to tell it: no decision and no
        signal waits, and no cause was recorded since. In all other cases the parent drives the nested saga on.
        """
        child = self.child
        if self.status != "parked" or child is None or not child.blocks or child.orders:
            return False
        return cause is None or cause.number <= child.parked


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Cause(Value):
    """Why an instance goes back, and the number of the event that recorded it."""

    kind: e.CauseKind
    step: str | None
    error: e.RecordedError | None
    by: str | None
    reason: str | None
    number: int

    def __str__(self) -> str:
        what = {
            "failure": f"step {self.step!r} failed",
            "doubt": f"step {self.step!r} was in doubt",
            "payload": f"step {self.step!r} gave a result that cannot be stored",
            "cancel": "cancelled",
            "decision": f"decided on step {self.step!r}" if self.step else "decided",
            "parent": "undone with its parent",
        }[self.kind]
        by = f" by {self.by}" if self.by else ""
        why = self.error or self.reason
        return f"{what}{by}: {why}" if why else f"{what}{by}"


@functools.lru_cache(maxsize=10_000)
def _split_state(state: str) -> tuple[str, str | None]:
    phase, _, unit = state.partition(":")
    return phase, unit or None


class HasState:
    """What a state says: where in its machine an instance is."""

    state: str

    @property
    def phase(self) -> str:
        """The state up to the colon: pending, running, compensating, completed or failed."""
        return _split_state(self.state)[0]

    @property
    def current(self) -> str | None:
        """The step or group that the state names."""
        return _split_state(self.state)[1]

    @property
    def is_at_rest(self) -> bool:
        """Whether the instance has ended."""
        return self.state in AT_REST


class Block(NamedTuple):
    """A step that waits for a decision, why, and what may be decided."""

    step: str
    reason: e.BlockReason
    decisions: tuple[e.Decision, ...]


class Residue(NamedTuple):
    """What a step may have left in the world. `result` is what its action returned, None when that is not known.

    A step of a nested saga is named by its path, "child/step".
    """

    step: str
    reason: e.ResidueReason
    result: Any
