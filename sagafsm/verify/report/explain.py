"""A counterexample in words: the faults, the reaction of the saga, and the remains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sagafsm.history import events as e
from sagafsm.verify.report.oracle import Violation
from sagafsm.verify.report.report import TimelineEntry
from sagafsm.verify.schedule import FaultKind, build_path
from sagafsm.verify.simulate.process import VisitedPoint
from sagafsm.verify.simulate.run import RunResult
from sagafsm.verify.simulate.virtual_clock import BEGIN


def explain_violation(saga: str, violation: Violation, outcome: RunResult, singles: int) -> str:
    """Explain a violation by the run that shows it. `singles` is the number of single faults, if known."""
    faults = len(outcome.schedule)
    of = f" of {singles}" if singles else ""
    count = "no fault" if not faults else f"{faults} fault{'s' if faults > 1 else ''}{of}"
    sentences = [*map(_explain_fault, outcome.fired), *_explain_reactions(violation, outcome)]
    sentences += [violation.message] if violation.message else []
    if violation.left and not violation.message:
        word = "different" if violation.kind in ("differs", "do_twice") else "left behind"
        more = f" and {len(violation.left) - 4} more" if len(violation.left) > 4 else ""
        differences = "; ".join(violation.left[:4]) + more
        sentences.append(f"{word}: {differences}")
    if outcome.state == "failed" and outcome.instance is not None and outcome.instance.compensated and violation.left:
        sentences.append("the instance says that all is compensated")
    # The first sentence follows a colon, so it keeps its case: it may begin with the name of a resource.
    first, *others = [sentence.rstrip(".") for sentence in sentences] or [""]
    text = ". ".join((first, *map(_capitalise_explanation, others)))
    return f"saga {saga!r}, {count}: {text}." if text else f"saga {saga!r}, {count}."


def _capitalise_explanation(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


_WHOSE = {"action": "step {!r}", "compensation": "the compensation of {!r}", "probe": "the probe of {!r}"}
_FAULTS: dict[FaultKind, str] = {
    "raise_before": "{who} was refused by {what}",
    "raise_after": "{who} timed out after {what} had taken effect",
    "late": "{who} timed out in {what}, which took effect only after the end",
    "down": "{what} was down, so that {who} could not reach it",
    "crash": "the process died in {who}, before {what} took effect",
    "crash_after": "the process died in {who}, after {what} had taken effect",
    "interrupt": "Ctrl-C came in {who}, after {what} had taken effect",
    "cancel": "a cancel came while {who} was at {what}",
    "duplicate": "a second worker took over while the first was about to store {what}",
    "store_fail": "the store failed at {what} of {who}",
    "store_ambiguous": "the store had stored {what} of {who}, and failed to say so",
    "twice": "{who} was called twice",
    "withhold": "signal {step!r} never came",
}
_FAULTS_OF_COMMITS: dict[FaultKind, str] = {
    "crash": "the process died before {what} of {who} was stored",
    "crash_after": "the process died once {what} of {who} was stored",
}


def _explain_fault(visited: VisitedPoint) -> str:
    """Describe an injected fault."""
    assert visited.kind is not None  # noqa: S101 - asked of faults alone
    point, step = visited.point, visited.point.path
    who = _WHOSE.get(point.role, "step {!r}" if step else "the instance").format(step)
    templates = _FAULTS | _FAULTS_OF_COMMITS if point.role == "commit" else _FAULTS
    return templates[visited.kind].format(who=who, what=point.call or "its function", step=step)


def _explain_reactions(violation: Violation, outcome: RunResult) -> Iterator[str]:
    """Describe how the blamed step and the operator reacted to the faults."""
    if outcome.instance is None:
        return
    step = violation.step
    head = step.partition("/")[0]
    own = [event for event in outcome.instance.history if getattr(event, "step", None) == head]
    failed = next((event for event in own if isinstance(event, e.StepFailed)), None)
    if failed is not None and violation.kind in ("left_behind", "misleading_residue"):
        again = "" if outcome.was_refused else ", although it had taken effect in part"
        yield f"{head!r} counted as failed{again} ({failed.error}), so that nothing of it was undone"
    yield from _explain_undo(violation, outcome, head, own, failed=failed is not None)
    if violation.kind == "differs":
        calls = outcome.run.calls.select_step_calls(step, "action")
        if len(calls) > 1:
            yield f"the action of {step!r} was called {len(calls)} times, and the saga completed"
        elif calls:
            yield "the saga completed all the same"
    for settled in outcome.settled:
        if settled.path == step and settled.truth is not None:
            known = {"done": "done", "not_done": "not done", "partial": "done in part"}[settled.truth.status]
            yield f"an operator found it {known} and decided {settled.decision!r}"


def _explain_undo(
    violation: Violation, outcome: RunResult, head: str, own: Sequence[e.Event], *, failed: bool
) -> Iterator[str]:
    """Describe the compensation of the blamed step."""
    assert outcome.instance is not None  # noqa: S101 - asked for where there is one
    record = outcome.instance.steps.get(head)
    given = "result=None" if record is None or record.result_json is None else "the recorded result"
    error = next((event.error for event in own if isinstance(event, e.CompensationFailed)), None)
    if error is not None:
        yield f"{_explain_compensation_name(outcome, head)} was called with {given} and raised {error}"
    elif any(isinstance(event, e.CompensationSucceeded) for event in own) and violation.left:
        yield f"{_explain_compensation_name(outcome, head)} ran with {given} and undid nothing, or not all"
    elif violation.kind == "left_behind" and not failed and not _has_undo_to_explain(outcome, head):
        yield f"{head!r} has no compensation, so that its effect stayed"


def _has_undo_to_explain(outcome: RunResult, step: str) -> bool:
    instance = outcome.instance
    return instance is not None and any(part.compensation for part in instance.outline if part.name == step)


def _explain_compensation_name(outcome: RunResult, step: str) -> str:
    """Return the name of a compensation's function."""
    names = (
        c.call.function.name
        for c in outcome.run.calls.step_calls
        if c.role == "compensation" and c.path.partition("/")[0] == step
    )
    return repr(next(names, f"the compensation of {step}"))


def build_timeline(outcome: RunResult) -> tuple[TimelineEntry, ...]:
    """Return the events and faults of a run, in order."""
    moments: list[TimelineEntry] = []
    for entry in outcome.run.calls.timeline:
        if isinstance(entry, VisitedPoint):
            step = entry.point.path or None
            moments.append(TimelineEntry(number=None, instance="", what=_explain_fault(entry), step=step, fault=True))
            continue
        instance_id, events = entry
        moments += [
            TimelineEntry(
                number=event.number,
                instance=build_path(instance_id),
                what=type(event).__name__,
                step=getattr(event, "step", None),
                after=max(event.at - BEGIN, timedelta(0)),
            )
            for event in events
        ]
    return tuple(moments)
