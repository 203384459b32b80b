"""A counterexample in words: what went wrong, what the saga made of it, what is left, and what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sagafsm import events as e
from sagafsm.verify.clock import BEGIN
from sagafsm.verify.life import Passed
from sagafsm.verify.oracle import Violation
from sagafsm.verify.report import Moment
from sagafsm.verify.runs import Outcome
from sagafsm.verify.schedule import Kind
from sagafsm.verify.stores import path_of


def message_of(saga: str, violation: Violation, outcome: Outcome, singles: int) -> str:
    """What happened, told by the run that shows it. `singles` is the number of single faults, if known."""
    faults = len(outcome.schedule)
    of = f" of {singles}" if singles else ""
    count = "no fault" if not faults else f"{faults} fault{'s' if faults > 1 else ''}{of}"
    sentences = [*_faults(outcome), *_reactions(violation, outcome)]
    sentences += [violation.told] if violation.told else []
    if violation.left and not violation.told:
        word = "Different" if violation.kind in ("differs", "do_twice") else "Left behind"
        more = f" and {len(violation.left) - 4} more" if len(violation.left) > 4 else ""
        told = "; ".join(violation.left[:4]) + more
        sentences.append(f"{word}: {told}")
    if outcome.state == "failed" and outcome.instance is not None and outcome.instance.compensated and violation.left:
        sentences.append("The instance says that all is compensated")
    told = ". ".join(_capital(sentence.rstrip(".")) for sentence in sentences)
    return f"saga {saga!r}, {count}: {told[:1].lower()}{told[1:]}." if told else f"saga {saga!r}, {count}."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _faults(outcome: Outcome) -> Iterator[str]:
    for passed in outcome.fired:
        yield _fault(passed)


_WHOSE = {"action": "step {!r}", "compensation": "the compensation of {!r}", "probe": "the probe of {!r}"}
_FAULTS: dict[Kind, str] = {
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
_FAULTS_OF_COMMITS: dict[Kind, str] = {
    "crash": "the process died before {what} of {who} was stored",
    "crash_after": "the process died once {what} of {who} was stored",
}


def _fault(passed: Passed) -> str:
    """What was injected, in words."""
    assert passed.kind is not None  # noqa: S101 - asked of faults alone
    point, step = passed.point, passed.point.path
    who = _WHOSE.get(point.role, "step {!r}" if step else "the instance").format(step)
    templates = _FAULTS | _FAULTS_OF_COMMITS if point.role == "commit" else _FAULTS
    return templates[passed.kind].format(who=who, what=point.call or "its function", step=step)


def _reactions(violation: Violation, outcome: Outcome) -> Iterator[str]:
    """What the instance made of it, as far as the blamed step is concerned."""
    if outcome.instance is None:
        return
    step = violation.step
    head = step.partition("/")[0]
    own = [event for event in outcome.instance.history if getattr(event, "step", None) == head]
    failed = next((event for event in own if isinstance(event, e.StepFailed)), None)
    if failed is not None and violation.kind in ("left_behind", "misleading_residue"):
        again = "" if {"raise_before", "down"} & _kinds(outcome) else ", although it had taken effect in part"
        yield f"{head!r} counted as failed{again} ({failed.error}), so that nothing of it was undone"
    yield from _undoing(violation, outcome, head, own, failed=failed is not None)
    if violation.kind == "differs":
        calls = [called for called in outcome.run.calls if called.path == step and called.role == "action"]
        if len(calls) > 1:
            yield f"the action of {step!r} was called {len(calls)} times, and the saga completed"
        elif calls:
            yield "the saga completed all the same"
    for settled in outcome.settled:
        if settled.path == step and settled.truth is not None:
            known = {"done": "done", "not_done": "not done", "partial": "done in part"}[settled.truth.of]
            yield f"an operator found it {known} and decided {settled.decision!r}"


def _undoing(
    violation: Violation, outcome: Outcome, head: str, own: Sequence[e.Event], *, failed: bool
) -> Iterator[str]:
    """How its undo went."""
    assert outcome.instance is not None  # noqa: S101 - asked for where there is one
    record = outcome.instance.steps.get(head)
    given = "result=None" if record is None or record.result_json is None else "the recorded result"
    error = next((event.error for event in own if isinstance(event, e.CompensationFailed)), None)
    if error is not None:
        yield f"{_name_of(outcome, head)} was called with {given} and raised {error}"
    elif any(isinstance(event, e.CompensationSucceeded) for event in own) and violation.left:
        yield f"{_name_of(outcome, head)} ran with {given} and undid nothing, or not all"
    elif violation.kind == "left_behind" and not failed and not _has_undo(outcome, head):
        yield f"{head!r} has no compensation, so that its effect stayed"


def _kinds(outcome: Outcome) -> set[Kind | None]:
    return {passed.kind for passed in outcome.fired}


def _has_undo(outcome: Outcome, step: str) -> bool:
    instance = outcome.instance
    return instance is not None and any(part.compensation for part in instance.outline if part.name == step)


def _name_of(outcome: Outcome, step: str) -> str:
    """The compensation by its function's name."""
    names = (
        c.call.function.name for c in outcome.run.calls if c.role == "compensation" and c.path.partition("/")[0] == step
    )
    return repr(next(names, f"the compensation of {step}"))


def timeline_of(outcome: Outcome) -> tuple[Moment, ...]:
    """Events and faults, in the order in which they came about."""
    moments: list[Moment] = []
    for entry in outcome.run.timeline:
        if isinstance(entry, Passed):
            step = entry.point.path or None
            moments.append(Moment(number=None, instance="", what=_fault(entry), step=step, fault=True))
            continue
        instance_id, events = entry
        moments += [
            Moment(
                number=event.number,
                instance=path_of(instance_id),
                what=type(event).__name__,
                step=getattr(event, "step", None),
                after=max(event.at - BEGIN, timedelta(0)),
            )
            for event in events
        ]
    return tuple(moments)
