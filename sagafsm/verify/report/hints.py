"""Advice against violations, where some is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.history import events as e
from sagafsm.verify.report.oracle import FindingKind, Violation
from sagafsm.verify.simulate.run import RunResult

_ADVICE: dict[FindingKind, str] = {
    "left_behind": "Undo in the compensation of {step} all that its action does, by its key.",
    "differs": "Hand ctx.idempotency_key to the service in {step}, and let an error of it be raised.",
    "stuck": "Make the compensation of {step} bear being called again, and with result=None, when all is undone.",
    "swallowed_interrupt": "Catch Exception in {step}, never BaseException.",
    "late": "Have the service refuse the key of {step} once it is undone, so that a late call is fenced off.",
    "late_do": "Have the service refuse the key of {step} once it is undone, so that a late call is fenced off.",
    "do_twice": "Hand ctx.idempotency_key to the service in {step}: in_doubt='retry' calls it again.",
    "undo_twice": (
        "Hand ctx.idempotency_key to the service in the compensation of {step}: it is called at least once, not once."
    ),
    "misleading_residue": "Take effect=False from {step}, and give it a compensation.",
    "hangs": "Give the call in {step} a timeout.",
    "after_end": "Wait in {step} for what it has begun.",
}
# Whether a more precise advice fits; the first that fits is given.
_Fits = Callable[[Violation, RunResult, StepDefinition | None], bool]


def find_advice(violation: Violation, outcome: RunResult, definition: Definition) -> str:
    """Return advice against a violation; "" if none is known."""
    step = find_step(definition, violation.step)
    own = repr(violation.step)
    for kinds, fits, advice in _PRECISE:
        if violation.kind in kinds and fits(violation, outcome, step):
            return advice.format(step=own)
    if violation.kind == "stuck" and outcome.ending != "rested":
        return ""
    return _ADVICE.get(violation.kind, "").format(step=own)


def find_step(definition: Definition, path: str) -> StepDefinition | None:
    """Return the definition of a step, by its path; None: no such step."""
    head, _, rest = path.partition("/")
    step = definition.by_name.get(head)
    if not rest or step is None:
        return step
    return None if step.child is None else find_step(step.child, rest)


def _hints_at_no_undo(_: Violation, __: RunResult, step: StepDefinition | None) -> bool:
    return step is not None and step.compensation is None and step.child is None


def _hints_at_doubt_taken_for_failure(violation: Violation, outcome: RunResult, _: StepDefinition | None) -> bool:
    failed = any(isinstance(event, e.StepFailed) for event in _list_own_events(outcome, violation.step))
    return failed and not outcome.was_refused


def _hints_at_half_way_failure(violation: Violation, outcome: RunResult, _: StepDefinition | None) -> bool:
    """Whether an action raised after a part of its effects."""
    if not any(isinstance(event, e.StepFailed) for event in _list_own_events(outcome, violation.step)):
        return False
    calls = outcome.run.calls.select_step_calls(violation.step, "action")
    return any(call.took_effect for step_call in calls for call in step_call.resource_calls)


def _hints_at_half_way_stop(_: Violation, outcome: RunResult, __: StepDefinition | None) -> bool:
    return any(settled.truth is not None and settled.truth.status == "partial" for settled in outcome.settled)


def _hints_at_run_without_result(violation: Violation, outcome: RunResult, _: StepDefinition | None) -> bool:
    step = violation.step
    if outcome.instance is None or step not in outcome.instance.steps:
        return False
    ran = outcome.run.calls.select_step_calls(step, "compensation")
    return bool(ran) and outcome.instance.steps[step].result_json is None


def _hints_at_refused_undo(_: Violation, outcome: RunResult, __: StepDefinition | None) -> bool:
    return outcome.was_refused and any(visited.point.role == "compensation" for visited in outcome.fired)


def _hints_at_undo_refused_once(violation: Violation, outcome: RunResult, _: StepDefinition | None) -> bool:
    return "compensation_failed" in _collect_refusals_for_hints(violation, outcome)


def _hints_at_action_refused_once(violation: Violation, outcome: RunResult, _: StepDefinition | None) -> bool:
    return bool(_collect_refusals_for_hints(violation, outcome))


def _collect_refusals_for_hints(violation: Violation, outcome: RunResult) -> set[str]:
    return {
        settled.reason
        for settled in outcome.settled
        if settled.path == violation.step and settled.failure is not None and "(injected)" in settled.failure.message
    }


def _list_own_events(outcome: RunResult, step: str) -> Iterator[e.Event]:
    history = () if outcome.instance is None else outcome.instance.history
    return (event for event in history if getattr(event, "step", None) == step.partition("/")[0])


_PRECISE: tuple[tuple[tuple[FindingKind, ...], _Fits, str], ...] = (
    (
        ("left_behind",),
        _hints_at_no_undo,
        "Give {step} a compensation, make it the pivot, or declare in the world's residue() what may stay.",
    ),
    (
        ("left_behind",),
        _hints_at_doubt_taken_for_failure,
        "Have {step} raise OutcomeUnknown where it cannot know, or name its error in unknown_on.",
    ),
    (
        ("left_behind",),
        _hints_at_half_way_failure,
        "Make two steps of {step}, or have it raise OutcomeUnknown once a part of it has taken effect.",
    ),
    (
        ("left_behind",),
        _hints_at_half_way_stop,
        "Make two steps of {step}, or a compensation that undoes it in part.",
    ),
    (
        ("left_behind", "stuck"),
        _hints_at_run_without_result,
        "Derive the id from ctx.action_key, or give {step} a probe.",
    ),
    (
        ("left_behind",),
        _hints_at_refused_undo,
        "Let the compensation of {step} raise what it is refused: it is called again.",
    ),
    (("stuck",), _hints_at_undo_refused_once, "Give the compensation of {step} more attempts: retry=Retry(5)."),
    (("stuck",), _hints_at_action_refused_once, "Give {step} more attempts: behind the pivot it can only go forward."),
)
