"""The judge of runs: the laws that a user's saga must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Literal, get_args

import attrs

from sagafsm.history import events as e
from sagafsm.verify.schedule import build_path
from sagafsm.verify.simulate.calls import SimulatedCalls
from sagafsm.verify.simulate.operator import OperatorDecision
from sagafsm.verify.simulate.process import InjectedOutage, VisitedPoint
from sagafsm.verify.simulate.process_memory import collect_code
from sagafsm.verify.simulate.run import RunResult
from sagafsm.verify.simulate.simulation import CANCEL_ID_PREFIX
from sagafsm.verify.simulate.world import (
    WorldSnapshot,
    describe_changes,
    find_changed_places,
    find_shortfalls,
    is_equivalent,
    is_overlapping,
    replace_keys,
)

FindingKind = Literal[
    "left_behind",
    "differs",
    "stuck",
    "swallowed_interrupt",
    "lost_cancel",
    "after_end",
    "order",
    "misleading_residue",
    "late",
    "do_twice",
    "undo_twice",
    "undo_without_do",
    "late_do",
    "hangs",
    "not_intercepted",
    "constant_snapshot",
    "not_deterministic",
    "never_completes",
    "refused_input",
    "missing_resource",
    "never_reached",
    "unfired",
]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
# These kinds say that something was not tried, not that something is wrong.
VACUOUS: frozenset[FindingKind] = frozenset(
    {"not_intercepted", "constant_snapshot", "never_completes", "never_reached", "unfired", "refused_input"}
)


@attrs.frozen
class Violation:
    """One law that a run broke: which, by which step, and what shows it.

    `instead`: what it would be called, and who be blamed, but for a fault that has a name of its own.
    """

    kind: FindingKind
    step: str
    message: str
    left: tuple[str, ...] = ()
    instead: tuple[FindingKind, str] | None = None


# Names of recorded errors; histories may keep `InjectedOutage` under its name of version 0.1.
_DEATH_OR_OUTAGE = ("ProcessDied", InjectedOutage.__name__, "Unreachable")
# Repeats a run with a snapshot of the world around every call.
Tracer = Callable[[RunResult], RunResult]


@attrs.define(eq=False)
class Oracle:
    """Judges runs of one input; `reference` is how the run without faults ended.

    Which step is to blame for what is left behind is found out by a traced rerun, once for each kind of remains.
    """

    before: WorldSnapshot
    reference: RunResult | None
    tracer: Tracer
    effectless: frozenset[str] = frozenset()
    _blamed: dict[tuple[object, ...], tuple[str, ...]] = attrs.field(factory=dict, init=False)

    def find_violations(self, outcome: RunResult) -> list[Violation]:
        """Return all violations of a run, the gravest first."""
        found = list(self._check_ending(outcome))
        if any(violation.kind == "after_end" for violation in found):
            # The world is then a matter of chance.
            return found
        if outcome.ending == "rested" and not found:
            if outcome.after_without_late_calls is not None:
                # If the world is wrong already without the late call, fencing cannot help.
                found += self._check_world(
                    attrs.evolve(outcome, after=outcome.after_without_late_calls, late_effects=())
                )
            if not found:
                return [
                    *_rename_violations(outcome, list(self._check_world(outcome))),
                    *_check_requests(outcome),
                    *_judge_undo_order(outcome),
                ]
        elif outcome.ending == "rested":
            # After an operator abandons an instance, the remains belong to the step that was stuck.
            stuck = {violation.step for violation in found}
            found += [
                violation
                for violation in self._check_world(outcome)
                if violation.step not in stuck and not _has_given_up(outcome)
            ]
        found += _check_requests(outcome)
        found += _judge_undo_order(outcome)
        return _rename_violations(outcome, found) if outcome.after_without_late_calls is None else found

    def _check_ending(self, outcome: RunResult) -> Iterator[Violation]:
        if outcome.ending == "hung":
            yield Violation("hangs", outcome.run.calls.last_step, outcome.stop_reason)
            return
        for call in outcome.run.calls.swallowed_interrupts:
            message = f"the {call.role} of step {call.path!r} went on after Ctrl-C (KeyboardInterrupt was caught)"
            yield Violation("swallowed_interrupt", call.path, message)
        for name, codes in dict(outcome.run.calls.after_end).items():
            step = _find_judged_caller(outcome.run.calls, name, codes)
            yield Violation("after_end", step, f"{name} was called when no step was under way any more")
        for settled in outcome.settled:
            if not _is_justified(outcome, settled):
                yield Violation("stuck", settled.path, _explain_stuck(settled))
        if outcome.ending != "rested":
            current = outcome.instance.current if outcome.instance is not None else None
            yield Violation("stuck", current or "", outcome.stop_reason)

    def _check_world(self, outcome: RunResult) -> Iterator[Violation]:
        if outcome.after is None:
            return
        if outcome.state == "failed" and not is_equivalent(outcome.world, self.before, outcome.after):
            yield from self._blame("left_behind", outcome, self.before)
        elif outcome.state == "completed" and self.reference is not None and self.reference.state == "completed":
            assert self.reference.after is not None  # noqa: S101 - it rested
            if not self._is_like_reference(outcome, outcome.after):
                yield from self._blame("differs", outcome, self.reference.after)
            else:
                for key in find_shortfalls(self.reference.after, outcome.after):
                    message = f"there is less in {key!r} than after a run without faults"
                    yield Violation("differs", _find_last_fault_step(outcome), message, (message,))

    def _is_like_reference(self, outcome: RunResult, after: WorldSnapshot) -> bool:
        """Whether the world is as after a run without faults, except for keys that differ from run to run.

        The keys of nested steps depend on when the nested instance is created, and a backoff before that delays it.
        """
        assert self.reference is not None  # noqa: S101 - asked for where there is one
        if is_equivalent(outcome.world, self._expected_world, after):
            return True
        mine, theirs = collect_keys(outcome), collect_keys(self.reference)
        if mine.keys() == theirs.keys():
            return False
        return is_equivalent(outcome.world, replace_keys(self._expected_world, theirs), replace_keys(after, mine))

    @property
    def _expected_world(self) -> WorldSnapshot:
        """The world after a run without faults, but with the growing parts as they were before the run."""
        assert self.reference is not None  # noqa: S101 - asked for where there is one
        assert self.reference.after is not None  # noqa: S101 - it rested
        return (
            WorldSnapshot(self.reference.after.state, self.before.grows) if self.before.grows else self.reference.after
        )

    def _blame(self, kind: FindingKind, outcome: RunResult, expected: WorldSnapshot) -> Iterator[Violation]:
        assert outcome.after is not None  # noqa: S101 - asked for where it is known
        mine, now = expected.strict, outcome.after.strict
        left, where = tuple(describe_changes(mine, now)), find_changed_places(mine, now)
        hit = tuple(dict.fromkeys(visited.point.path for visited in outcome.fired))
        key = (kind, where, hit)
        if key not in self._blamed:
            self._blamed[key] = find_blamed_steps(self.tracer(outcome), where) or (hit[-1:] if hit else ("",))
        for step in self._blamed[key]:
            hides = kind == "left_behind" and step in self.effectless
            yield Violation("misleading_residue" if hides else kind, step, "", left)


def collect_keys(outcome: RunResult) -> dict[str, str]:
    """Return the idempotency keys of a run, each with its step and direction."""
    found: dict[str, str] = {}
    for entry in outcome.run.calls.timeline:
        if not isinstance(entry, VisitedPoint):
            instance_id, events = entry
            for event in events:
                if isinstance(event, (e.StepStarted, e.CompensationStarted)):
                    found[event.key] = f"{type(event).__name__} {build_path(instance_id, event.step)}"
    return found


def find_blamed_steps(traced: RunResult, where: frozenset[str]) -> tuple[str, ...]:
    """Return the steps that last changed the differing parts of the world, by action or by compensation."""
    blamed: dict[str, str] = {}
    # A place that no action changed was changed by a compensation that undid too much.
    for role in ("compensation", "action"):
        for change in traced.run.calls.changes:
            if change.step_call.role == role:
                blamed.update(dict.fromkeys(change.places, change.step_call.path))
    found: list[str] = []
    for place in sorted(where):
        step = blamed.get(place) or next((path for known, path in blamed.items() if is_overlapping(place, known)), None)
        if step is not None and step not in found:
            found.append(step)
    return tuple(found)


def _is_justified(outcome: RunResult, settled: OperatorDecision) -> bool:
    """Whether an instance had to block: for a doubt, an outage, or repeated refusals.

    If one refusal blocks an instance, a retry is missing.
    """
    if settled.reason in ("in_doubt", "crash_loop"):
        return True
    if settled.decision == "abandon" or settled.reason == "payload":
        return False
    if settled.outage or settled.failure is None or settled.failure.type.endswith(_DEATH_OR_OUTAGE):
        return True
    role = "compensation" if settled.reason == "compensation_failed" else "action"
    hits = [p for p in outcome.fired if p.point.path == settled.path and p.point.role == role]
    return len(hits) > 1 and "(injected)" in settled.failure.message


def _explain_stuck(settled: OperatorDecision) -> str:
    injected = settled.failure is not None and "(injected)" in settled.failure.message
    how = "was refused once and is not called again" if injected else "fails by itself"
    what = {
        "compensation_failed": f"the compensation of step {settled.path!r} {how}",
        "exhausted": f"step {settled.path!r}, behind the pivot, {how}",
        "payload": f"the result of step {settled.path!r} cannot be stored",
    }.get(settled.reason, f"step {settled.path!r} is blocked")
    return f"{what}: {settled.failure}" if settled.failure is not None else what


def _has_given_up(outcome: RunResult) -> bool:
    return any(settled.decision == "abandon" for settled in outcome.settled)


def _find_last_fault_step(outcome: RunResult) -> str:
    return outcome.fired[-1].point.path if outcome.fired else ""


def _find_judged_caller(calls: SimulatedCalls, name: str, codes: frozenset[CodeType]) -> str:
    """The step whose function, or what is defined in it, is among the code that makes a call.

    Else the first one that names the method; the last one called, where none does.
    """
    method = name.rpartition(".")[2]
    names_it = ""
    for step_call in calls.step_calls:
        own = collect_code(step_call.call.function.call)
        if own & codes:
            return step_call.path
        if not names_it and any(method in code.co_names for code in own):
            names_it = step_call.path
    return names_it or calls.last_step


def _check_requests(outcome: RunResult) -> Iterator[Violation]:
    """Check that an accepted cancel is in the history, and that the instance goes back, unless it passed the pivot."""
    if not outcome.run.cancelled or outcome.instance is None or outcome.ending != "rested":
        return
    seen = {getattr(event, "request_id", None) for event in outcome.instance.history}
    late = any(isinstance(event, e.CancelCameTooLate) for event in outcome.instance.history)
    if f"{CANCEL_ID_PREFIX}0" not in seen or (outcome.state == "completed" and not late):
        yield Violation("lost_cancel", "", "a cancel was accepted, and the instance went on as if there had been none")


def _judge_undo_order(outcome: RunResult) -> Iterator[Violation]:
    """Check that compensations start in reverse order of the actions, by the numbers of the events."""
    if outcome.instance is None or outcome.instance.phase != "failed":
        return
    history = outcome.instance.history
    started = list(dict.fromkeys(event.step for event in history if isinstance(event, e.StepStarted)))
    undone = list(dict.fromkeys(event.step for event in history if isinstance(event, e.CompensationStarted)))
    if undone != [step for step in reversed(started) if step in undone]:
        yield Violation(
            "order", undone[-1], f"{', '.join(undone)} were undone in this order, begun {', '.join(started)}"
        )


def _rename_violations(outcome: RunResult, found: list[Violation]) -> list[Violation]:
    """Rename violations by the fault that causes them: a step called twice, or a call that lands late."""
    kinds = {visited.kind: visited.point for visited in outcome.fired}
    name: FindingKind | None = None
    if "late" in kinds and outcome.late_effects:
        name = "late" if kinds["late"].call else "late_do"
    elif "twice" in kinds:
        name = "do_twice" if kinds["twice"].role == "action" else "undo_twice"
    if name is None:
        return found
    step = kinds["late" if name.startswith("late") else "twice"].path
    return [
        attrs.evolve(violation, kind=name, step=step, instead=(violation.kind, violation.step))
        for violation in found[:1]
    ]
