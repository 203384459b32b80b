"""What would help against what was found, where that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sagafsm import events as e
from sagafsm.definition import Definition, StepDefinition
from sagafsm.verify.oracle import FindingKind, Violation
from sagafsm.verify.runs import Outcome

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
# Whether a more precise advice fits; the first that does is given.
_Fits = Callable[[Violation, Outcome, StepDefinition | None], bool]


def advice_of(violation: Violation, outcome: Outcome, definition: Definition) -> str:
    """What would help; "" where nothing is known to."""
    step = step_at(definition, violation.step)
    own = repr(violation.step)
    for kinds, fits, advice in _PRECISE:
        if violation.kind in kinds and fits(violation, outcome, step):
            return advice.format(step=own)
    if violation.kind == "stuck" and outcome.ending != "rested":
        return ""
    return _ADVICE.get(violation.kind, "").format(step=own)


def step_at(definition: Definition, path: str) -> StepDefinition | None:
    """The definition of a step, by its path; None: there is none."""
    head, _, rest = path.partition("/")
    step = definition.by_name.get(head)
    if not rest or step is None:
        return step
    return None if step.child is None else step_at(step.child, rest)


def _has_no_undo(_: Violation, __: Outcome, step: StepDefinition | None) -> bool:
    return step is not None and step.compensation is None and step.child is None


def _was_refused(outcome: Outcome) -> bool:
    return any(passed.kind in ("raise_before", "down") for passed in outcome.fired)


def _took_doubt_for_failure(violation: Violation, outcome: Outcome, _: StepDefinition | None) -> bool:
    failed = any(isinstance(event, e.StepFailed) for event in _own(outcome, violation.step))
    return failed and not _was_refused(outcome)


def _failed_half_way(violation: Violation, outcome: Outcome, _: StepDefinition | None) -> bool:
    """Whether an action raised once a part of what it does had taken effect."""
    if not any(isinstance(event, e.StepFailed) for event in _own(outcome, violation.step)):
        return False
    calls = [called for called in outcome.run.calls if called.path == violation.step and called.role == "action"]
    return any(answer.landed for called in calls for answer in called.answers)


def _stopped_half_way(_: Violation, outcome: Outcome, __: StepDefinition | None) -> bool:
    return any(settled.truth is not None and settled.truth.of == "partial" for settled in outcome.settled)


def _ran_without_result(violation: Violation, outcome: Outcome, _: StepDefinition | None) -> bool:
    step = violation.step
    if outcome.instance is None or step not in outcome.instance.steps:
        return False
    ran = any(called.path == step and called.role == "compensation" for called in outcome.run.calls)
    return ran and outcome.instance.steps[step].result_json is None


def _undo_was_refused(_: Violation, outcome: Outcome, __: StepDefinition | None) -> bool:
    return _was_refused(outcome) and any(passed.point.role == "compensation" for passed in outcome.fired)


def _undo_refused_once(violation: Violation, outcome: Outcome, _: StepDefinition | None) -> bool:
    return "compensation_failed" in _refused_once(violation, outcome)


def _action_refused_once(violation: Violation, outcome: Outcome, _: StepDefinition | None) -> bool:
    return bool(_refused_once(violation, outcome))


def _refused_once(violation: Violation, outcome: Outcome) -> set[str]:
    return {
        settled.reason
        for settled in outcome.settled
        if settled.path == violation.step and settled.failure is not None and "(injected)" in settled.failure.message
    }


def _own(outcome: Outcome, step: str) -> Iterator[e.Event]:
    history = () if outcome.instance is None else outcome.instance.history
    return (event for event in history if getattr(event, "step", None) == step.partition("/")[0])


_PRECISE: tuple[tuple[tuple[FindingKind, ...], _Fits, str], ...] = (
    (
        ("left_behind",),
        _has_no_undo,
        "Give {step} a compensation, make it the pivot, or declare in the world's residue() what may stay.",
    ),
    (
        ("left_behind",),
        _took_doubt_for_failure,
        "Have {step} raise OutcomeUnknown where it cannot know, or name its error in unknown_on.",
    ),
    (
        ("left_behind",),
        _failed_half_way,
        "Make two steps of {step}, or have it raise OutcomeUnknown once a part of it has taken effect.",
    ),
    (
        ("left_behind",),
        _stopped_half_way,
        "Make two steps of {step}, or a compensation that undoes it in part.",
    ),
    (
        ("left_behind", "stuck"),
        _ran_without_result,
        "Derive the id from ctx.action_key, or give {step} a probe.",
    ),
    (
        ("left_behind",),
        _undo_was_refused,
        "Let the compensation of {step} raise what it is refused: it is called again.",
    ),
    (("stuck",), _undo_refused_once, "Give the compensation of {step} more attempts: retry=Retry(5)."),
    (("stuck",), _action_refused_once, "Give {step} more attempts: behind the pivot it can only go forward."),
)
