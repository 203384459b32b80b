"""One step of an instance from near: its attempts, what it was given and gave, its errors, and what would be next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sagafsm import events as e
from sagafsm.definition import Definition, StepDefinition
from sagafsm.instance import SagaInstance
from sagafsm.record import StepRecord
from sagafsm.view.attempts import Attempt, attempts
from sagafsm.view.looks import look_of
from sagafsm.view.page import Html, bullets, chip, code, folded, given, heading, joined, tag
from sagafsm.view.payloads import message, payload, traceback
from sagafsm.view.phrases import DOUBTS
from sagafsm.view.steps import kinds, named, policy, undoing
from sagafsm.view.times import seconds
from sagafsm.view.words import action_standing, phase_of

STYLE = """
& .sgf-panel .sgf-head{margin:10px 0 4px;font-size:13px}
& .sgf-panel details{margin:2px 0}
& .sgf-attempts{width:100%;border-spacing:0}
& .sgf-attempts td{vertical-align:baseline}
& .sgf-attempts td:last-child{min-width:200px}
& .sgf-attempts td:not(:last-child),& .sgf-attempts th{overflow-wrap:normal}
& .sgf-attempts th,& .sgf-attempts td{padding:3px 8px;border-bottom:1px solid var(--line)}
"""


def panel(
    instance: SagaInstance,
    path: str,
    *,
    definition: Definition | None = None,
    nested: Mapping[str, SagaInstance] | None = None,
) -> Html:
    """All there is to know about a step, by its path; a step of a nested saga is told by that one's instance.

    With the `definition` of the root also what its functions ask for, and its policies in words.

    Raises:
        KeyError: there is no such step.
    """
    known = nested or {}
    above, _, name = path.rpartition("/")
    owner = known.get(above) if above else instance
    outline = outlined(instance.outline, path)
    step = None if definition is None else _defined(definition, path)
    record = None if owner is None else owner.steps.get(name)
    parts: tuple[Html | None, ...] = ()
    if owner is not None and record is not None:
        parts = (
            _attempts(owner, name),
            _keys(owner, name),
            _given(owner, record, step),
            _result(record),
            _errors(owner, name),
        )
    return tag(
        "div",
        _title(outline, record, path, "pending" if owner is None else phase_of(owner)),
        *parts,
        _policy(step),
        _next(instance),
        class_="sgf-panel",
        data_step=path,
    )


def outlined(outline: Sequence[e.StepOutline], path: str) -> e.StepOutline:
    """The outline of a step, by its path.

    Raises:
        KeyError: there is no such step.
    """
    name, _, rest = path.partition("/")
    for step in outline:
        if step.name == name:
            return outlined(step.steps, rest) if rest else step
    raise KeyError(path)


def _defined(definition: Definition, path: str) -> StepDefinition | None:
    name, _, rest = path.partition("/")
    step = definition.by_name.get(name)
    if step is None or not rest:
        return step
    return None if step.child is None else _defined(step.child, rest)


def _title(outline: e.StepOutline, record: StepRecord | None, path: str, phase: str) -> Html:
    action, undo = action_standing(outline, record, phase), undoing(outline, record, phase)
    above = path.rpartition("/")[0]
    special = kinds(outline)
    return joined(
        tag("p", "step ", tag("b", named(outline, f"{above}/" if above else "")), class_="sgf-top"),
        tag(
            "p",
            joined("action: ", chip(action.word, action.tone), "  compensation: ", chip(undo.word, undo.tone)),
            f"  {', '.join(special)}" if special else None,
        ),
    )


def _attempts(instance: SagaInstance, name: str) -> Html | None:
    found = [one for one in attempts(instance.history) if isinstance(one, Attempt) and one.step == name]
    if not found:
        return tag("p", "It was not called.", class_="sgf-dim")
    titles = ("of", "attempt", "began", "took", "outcome")
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    rows = (_attempt(one, instance) for one in found)
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-attempts")
    return joined(heading("Attempts"), tag("div", table, class_="sgf-wide"))


def _attempt(attempt: Attempt, instance: SagaInstance) -> Html:
    look = look_of(attempt)
    why = DOUBTS[attempt.reason] if attempt.reason else ""
    told = [joined(why)] if why else []
    told += [message(attempt.error, limit=300)] if attempt.error else []
    told += [given(attempt.settled)] if attempt.settled else []
    return tag(
        "tr",
        tag("td", attempt.target),
        tag("td", str(attempt.number)),
        tag("td", f"{seconds(attempt.start - instance.created_at)} (event {attempt.began})"),
        tag("td", "not over yet" if attempt.is_open else seconds(attempt.end - attempt.start)),
        tag("td", chip(look.word, look.tone), " " if told else None, joined(*told, between="; ")),
    )


def _keys(instance: SagaInstance, name: str) -> Html | None:
    """The idempotency keys that its functions are given: the same over all attempts."""
    starts = (e.StepStarted, e.CompensationStarted)
    found = (event for event in instance.history if isinstance(event, starts) and event.step == name)
    keys: dict[type[e.Event], str] = {type(event): event.key for event in found}
    told = [
        joined(word, code(keys[kind])) for kind, word in zip(starts, ("", "to undo it "), strict=True) if kind in keys
    ]
    return tag("p", "idempotency key ", joined(*told, between=", ")) if told else None


def _given(instance: SagaInstance, record: StepRecord, step: StepDefinition | None) -> Html:
    """What the step was called with: the input, and the earlier results that its functions ask for."""
    if record.input_json is not None:
        return joined(heading("Given"), payload("input, computed for it", record.input_json))
    parts = [payload("input", instance.input_json)]
    asked = [] if step is None else list(_asked(step))
    parts += [tag("p", "It asks for ", joined(*(code(told) for told in asked), between=", "))] if asked else []
    for name in _earlier(step):
        earlier = instance.steps.get(name)
        if earlier is not None and earlier.result_json is not None:
            parts.append(payload(f"result of {name}", earlier.result_json))
    return joined(heading("Given"), *parts)


def _asked(step: StepDefinition) -> Iterator[str]:
    for function in (step.action, step.compensation, step.probe):
        if function is not None:
            yield f"{function.role}({', '.join(parameter.name for parameter in function.parameters)})"


def _earlier(step: StepDefinition | None) -> list[str]:
    functions = () if step is None else (step.action, step.compensation, step.probe)
    found = (p.name for f in functions if f is not None for p in f.parameters if p.source == "step")
    return list(dict.fromkeys(found))


def _result(record: StepRecord) -> Html | None:
    """What the step added to the results."""
    if record.result_json is None:
        return None
    return joined(heading("Added to the results"), payload(record.name, record.result_json))


def _errors(instance: SagaInstance, name: str) -> Html | None:
    """Each error of the step with the events that tell it, and with where it was raised."""
    found: dict[e.RecordedError, list[str]] = {}
    for event in instance.history:
        error: e.RecordedError | None = getattr(event, "error", None)
        if error is not None and isinstance(event, e.StepEvent) and event.step == name:
            found.setdefault(error, []).append(str(event.number))
    listed = bullets(
        *(
            joined(f"event{'s' if len(events) > 1 else ''} {', '.join(events)}: ", message(error), traceback(error))
            for error, events in found.items()
        )
    )
    return None if listed is None else joined(heading("Errors"), listed)


def _policy(step: StepDefinition | None) -> Html | None:
    listed = None if step is None else bullets(*policy(step))
    return None if listed is None else folded("policy", listed)


def _next(instance: SagaInstance) -> Html:
    """What would be undone if the instance went back now, in that order."""
    owed = to_undo(instance)
    if not owed:
        return tag("p", "If it went back now, nothing would be compensated.", class_="sgf-dim")
    names = joined(*(code(name) for name in owed), between=", then ")
    return tag("p", "If it went back now, it would compensate ", names, ".", class_="sgf-dim")


def to_undo(instance: SagaInstance) -> list[str]:
    """The steps that are to be compensated when an instance goes back, in that order: reverse, of first start."""
    if any(step.pivot and instance.steps[step.name].status in ("done", "unstorable") for step in instance.outline):
        return []
    undoable = {step.name for step in instance.outline if step.compensation}
    return [name for name in reversed(instance.started) if name in undoable and _is_owed(instance.steps[name])]


def _is_owed(record: StepRecord) -> bool:
    return (record.may_have_effect or record.status == "parked") and record.undo not in ("undone", "skipped")
