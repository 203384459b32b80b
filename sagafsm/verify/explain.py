"""A counterexample in words: what went wrong, what the saga made of it, what is left, and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sagafsm import events as e
from sagafsm.definition import Definition, StepDefinition
from sagafsm.verify.clock import BEGIN
from sagafsm.verify.life import Passed
from sagafsm.verify.oracle import Violation
from sagafsm.verify.report import Moment
from sagafsm.verify.runs import Outcome
from sagafsm.verify.stores import path_of


def message_of(saga: str, violation: Violation, outcome: Outcome, singles: int) -> str:
    """What happened, told by the run that shows it, which was traced. `singles` is the number of single faults, if known."""
    faults = len(outcome.schedule)
    count = "no fault" if not faults else f"{faults} fault{'s' if faults > 1 else ''}{f' of {singles}' if singles else ''}"
    sentences = [*_faults(outcome), *_reactions(violation, outcome)]
    sentences += [violation.told] if violation.told else []
    if violation.left and not violation.told:
        word = (
            "Left behind" if violation.kind in ("left_behind", "misleading_residue", "late", "late_do") else "Different"
        )
        told = "; ".join(violation.left[:4]) + (
            f" and {len(violation.left) - 4} more" if len(violation.left) > 4 else ""
        )
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


def _fault(passed: Passed) -> str:
    point, step = passed.point, passed.point.path
    whose = {
        "action": f"step {step!r}",
        "compensation": f"the compensation of {step!r}",
        "probe": f"the probe of {step!r}",
    }
    who = whose.get(point.role, f"step {step!r}" if step else "the instance")
    what = point.call or "its function"
    match passed.kind:
        case "raise_before":
            return f"{who} was refused by {what}"
        case "raise_after":
            return f"{who} timed out after {what} had taken effect"
        case "late":
            return f"{who} timed out in {what}, which took effect only after the end"
        case "down":
            return f"{what} was down, so that {who} could not reach it"
        case "crash" if point.role == "commit":
            return f"the process died before {what}{f' of {who}' if step else ''} was stored"
        case "crash_after" if point.role == "commit":
            return f"the process died once {what}{f' of {who}' if step else ''} was stored"
        case "crash":
            return f"the process died in {who}, before {what} took effect"
        case "crash_after":
            return f"the process died in {who}, after {what} had taken effect"
        case "interrupt":
            return f"Ctrl-C came in {who}, after {what} had taken effect"
        case "cancel":
            return f"a cancel came while {who} was at {what}"
        case "duplicate":
            return f"a second worker took over while the first was about to store {what}"
        case "store_fail":
            return f"the store failed at {what}"
        case "store_ambiguous":
            return f"the store had stored {what}, and failed to say so"
        case "twice":
            return f"{point.role} of step {step!r} was called twice"
        case "withhold":
            return f"signal {step!r} never came"
        case _:
            return f"{passed.kind} at {point}"


def _reactions(violation: Violation, outcome: Outcome) -> Iterator[str]:
    """What the instance made of it, as far as the blamed step is concerned."""
    if outcome.instance is None:
        return
    history, step = outcome.instance.history, violation.step
    head = step.partition("/")[0]
    own = [event for event in history if getattr(event, "step", None) == head]
    fired = {passed.kind for passed in outcome.fired}
    failed = next((event for event in own if isinstance(event, e.StepFailed)), None)
    if failed is not None and violation.kind in ("left_behind", "misleading_residue"):
        again = "" if fired & {"raise_before", "down"} else ", although it had taken effect in part"
        yield f"{head!r} counted as failed{again} ({failed.error}), so that nothing of it was undone"
    for event in own:
        if isinstance(event, e.CompensationFailed):
            name = _name_of(outcome, head)
            result = "result=None" if outcome.instance.steps[head].result_json is None else "the step's result"
            yield f"{name} was called with {result} and raised {event.error}"
            break
    else:
        if any(isinstance(event, e.CompensationSucceeded) for event in own) and violation.left:
            given = "result=None" if outcome.instance.steps[head].result_json is None else "the recorded result"
            yield f"{_name_of(outcome, head)} ran with {given} and undid nothing, or not all"
        elif violation.kind == "left_behind" and failed is None and not _has_undo(outcome, head):
            yield f"{head!r} has no compensation, so that its effect stayed"
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


def _has_undo(outcome: Outcome, step: str) -> bool:
    instance = outcome.instance
    return instance is not None and any(part.compensation for part in instance.outline if part.name == step)


def _name_of(outcome: Outcome, step: str) -> str:
    """The compensation by its function's name."""
    names = (
        c.call.function.name for c in outcome.run.calls if c.role == "compensation" and c.path.partition("/")[0] == step
    )
    return repr(next(names, f"the compensation of {step}"))


def advice_of(violation: Violation, outcome: Outcome, definition: Definition) -> str:
    """What would help, where that is known."""
    step = step_at(definition, violation.step)
    fired = {passed.kind for passed in outcome.fired}
    own = violation.step
    match violation.kind:
        case "left_behind" | "misleading_residue" if step is not None and not step.effect:
            return f"Take effect=False from {own!r}, and give it a compensation."
        case "left_behind" if step is not None and step.compensation is None and step.child is None:
            return f"Give {own!r} a compensation, make it the pivot, or declare in the world's residue() what may stay."
        case "left_behind" if any(isinstance(event, e.StepFailed) for event in _own(outcome, own)) and not fired & {
            "raise_before",
            "down",
        }:
            return f"Have {own!r} raise OutcomeUnknown where it cannot know, or name its error in unknown_on."
        case "left_behind" if _failed_half_way(outcome, own):
            return f"Make two steps of {own!r}, or have it raise OutcomeUnknown once a part of it has taken effect."
        case "left_behind" if any(s.truth is not None and s.truth.of == "partial" for s in outcome.settled):
            return f"Make two steps of {own!r}, or a compensation that undoes it in part."
        case "left_behind" | "stuck" if _ran_without_result(outcome, own):
            return f"Derive the id from ctx.action_key, or give {own!r} a probe."
        case "left_behind" if fired & {"raise_before", "down"} and any(
            p.point.role == "compensation" for p in outcome.fired
        ):
            return f"Let the compensation of {own!r} raise what it is refused: it is called again."
        case "left_behind":
            return f"Undo in the compensation of {own!r} all that its action does, by its key."
        case "differs":
            return f"Hand ctx.idempotency_key to the service in {own!r}, and let an error of it be raised."
        case "stuck" if _refused_once(outcome, own):
            return f"Give {_what_blocks(outcome, own)} more attempts: retry=Retry(5)."
        case "stuck" if outcome.ending == "rested":
            return f"Make the compensation of {own!r} bear being called again, and with result=None, when all is undone already."
        case "swallowed_interrupt":
            return f"Catch Exception in {own!r}, never BaseException."
        case "late" | "late_do":
            return f"Have the service refuse the key of {own!r} once it is undone, so that a late call is fenced off."
        case "do_twice":
            return f"Hand ctx.idempotency_key to the service in {own!r}: in_doubt='retry' calls it again."
        case "undo_twice":
            return f"Hand ctx.idempotency_key to the service in the compensation of {own!r}: it is called at least once, not once."
        case "hangs":
            return f"Give the call in {own!r} a timeout."
        case "after_end":
            return f"Wait in {own!r} for what it has begun."
        case _:
            return ""


def _refused_once(outcome: Outcome, step: str) -> bool:
    blocks = [settled for settled in outcome.settled if settled.path == step and settled.failure is not None]
    return any(settled.failure is not None and "(injected)" in settled.failure.message for settled in blocks)


def _what_blocks(outcome: Outcome, step: str) -> str:
    undone = any(s.path == step and s.reason == "compensation_failed" for s in outcome.settled)
    return f"the compensation of {step!r}" if undone else f"{step!r}"


def _own(outcome: Outcome, step: str) -> list[e.Event]:
    history = () if outcome.instance is None else outcome.instance.history
    return [event for event in history if getattr(event, "step", None) == step.partition("/")[0]]


def _failed_half_way(outcome: Outcome, step: str) -> bool:
    """Whether a step was refused, and counts as failed: what it had done before is its own to tell."""
    refused = any(p.point.path == step and p.point.role == "action" for p in outcome.fired)
    return refused and any(isinstance(event, e.StepFailed) for event in _own(outcome, step))


def _ran_without_result(outcome: Outcome, step: str) -> bool:
    if outcome.instance is None or "/" in step or step not in outcome.instance.steps:
        return False
    ran = any(called.path == step and called.role == "compensation" for called in outcome.run.calls)
    return ran and outcome.instance.steps[step].result_json is None


def step_at(definition: Definition, path: str) -> StepDefinition | None:
    """The definition of a step, by its path; None: there is none."""
    head, _, rest = path.partition("/")
    step = definition.by_name.get(head)
    if not rest or step is None:
        return step
    return None if step.child is None else step_at(step.child, rest)


def timeline_of(outcome: Outcome) -> tuple[Moment, ...]:
    """Events and faults, in the order in which they came about."""
    moments: list[Moment] = []
    for entry in outcome.run.timeline:
        if isinstance(entry, Passed):
            step = entry.point.path or None
            moments.append(Moment(number=None, instance="", what=_fault(entry), step=step, fault=True))
            continue
        instance_id, events = entry
        for event in events:
            moments.append(
                Moment(
                    number=event.number,
                    instance=path_of(instance_id),
                    what=type(event).__name__,
                    step=getattr(event, "step", None),
                    after=max(event.at - BEGIN, timedelta(0)),
                )
            )
    return tuple(moments)
