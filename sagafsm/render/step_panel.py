"""One step of an instance from near: its attempts, what it was given and gave, its errors, and what would be next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm.core.triggers import list_undo_owed
from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, find_outline
from sagafsm.history.step_state import StepState
from sagafsm.render.html import Html, bullets, chip, code, details, heading, join, render_table, tag, user_text
from sagafsm.render.labels import DOUBT_LABELS, EFFECT_MAY_REMAIN, get_display_phase, label_action, label_compensation
from sagafsm.render.payloads import render_error, render_payload, render_traceback
from sagafsm.render.tables.steps import describe_policy, label_undo_cell, list_traits, render_step_name
from sagafsm.render.time_format import format_duration
from sagafsm.render.timeline.bars import choose_span_style
from sagafsm.render.timeline.spans import Attempt, read_spans

STYLE = """
& .sgf-panel .sgf-head{margin:10px 0 4px;font-size:13px}
& .sgf-panel details{margin:2px 0}
& .sgf-attempts{width:100%;border-spacing:0}
& .sgf-attempts td{vertical-align:baseline}
& .sgf-attempts td:last-child{min-width:200px}
& .sgf-attempts td:not(:last-child),& .sgf-attempts th{overflow-wrap:normal}
& .sgf-attempts th,& .sgf-attempts td{padding:3px 8px;border-bottom:1px solid var(--line)}
"""


def render_step_panel(
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
    outline = find_outline(instance.outline, path)
    step = None if definition is None else _find_panel_step(definition, path)
    record = None if owner is None else owner.steps.get(name)
    parts: tuple[Html | None, ...] = ()
    if owner is not None and record is not None:
        parts = (
            _render_attempts(owner, name),
            _render_keys(owner, name),
            _render_panel_inputs(owner, record, step),
            _render_panel_result(record),
            _render_panel_errors(owner, name),
        )
    return tag(
        "div",
        _render_panel_title(outline, owner, path),
        *parts,
        _render_policy(step),
        _render_next_undo(instance),
        class_="sgf-panel",
        data_step=path,
    )


def _find_panel_step(definition: Definition, path: str) -> StepDefinition | None:
    name, _, rest = path.partition("/")
    step = definition.by_name.get(name)
    if step is None or not rest:
        return step
    return None if step.child is None else _find_panel_step(step.child, rest)


def _render_panel_title(outline: e.StepOutline, owner: SagaInstance | None, path: str) -> Html:
    record = None if owner is None else owner.steps.get(outline.name)
    phase = "pending" if owner is None else get_display_phase(owner)
    action, undo = label_action(outline, record, phase), label_undo_cell(outline, owner)
    above = path.rpartition("/")[0]
    special = list_traits(outline)
    return join(
        tag("p", "step ", tag("b", render_step_name(outline, f"{above}/" if above else "")), class_="sgf-top"),
        tag(
            "p",
            join("action: ", chip(action.word, action.tone), "  compensation: ", chip(undo.word, undo.tone)),
            f"  {', '.join(special)}" if special else None,
        ),
    )


def _render_attempts(instance: SagaInstance, name: str) -> Html | None:
    found = [one for one in read_spans(instance.history) if isinstance(one, Attempt) and one.step == name]
    if not found:
        return tag("p", "It was not called.", class_="sgf-dim")
    titles = ("of", "attempt", "began", "took", "outcome")
    rows = (_render_attempt(one, instance) for one in found)
    return join(heading("Attempts"), render_table(titles, rows, class_="sgf-attempts"))


def _render_attempt(attempt: Attempt, instance: SagaInstance) -> Html:
    look = choose_span_style(attempt)
    why = DOUBT_LABELS[attempt.reason] if attempt.reason else ""
    told = [join(why)] if why else []
    told += [render_error(attempt.error, limit=300)] if attempt.error else []
    told += [user_text(attempt.settled)] if attempt.settled else []
    return tag(
        "tr",
        tag("td", attempt.target),
        tag("td", str(attempt.number)),
        tag("td", f"{format_duration(attempt.start - instance.created_at)} (event {attempt.began})"),
        tag("td", "not over yet" if attempt.is_open else format_duration(attempt.end - attempt.start)),
        tag("td", chip(look.word, look.tone), " " if told else None, join(*told, between="; ")),
    )


def _render_keys(instance: SagaInstance, name: str) -> Html | None:
    """The idempotency keys that its functions are given: the same over all attempts."""
    starts = (e.StepStarted, e.CompensationStarted)
    found = (event for event in instance.history if isinstance(event, starts) and event.step == name)
    keys: dict[type[e.Event], str] = {type(event): event.key for event in found}
    told = [
        join(word, code(keys[kind])) for kind, word in zip(starts, ("", "to undo it "), strict=True) if kind in keys
    ]
    return tag("p", "idempotency key ", join(*told, between=", ")) if told else None


def _render_panel_inputs(instance: SagaInstance, record: StepState, step: StepDefinition | None) -> Html:
    """What the step was called with: the input, and the earlier results that its functions ask for."""
    if record.input_json is not None:
        return join(heading("Given"), render_payload("input, computed for it", record.input_json))
    parts = [render_payload("input", instance.input_json)]
    asked = [] if step is None else list(_list_panel_parameters(step))
    parts += [tag("p", "It asks for ", join(*(code(told) for told in asked), between=", "))] if asked else []
    for name in _list_earlier_steps(step):
        earlier = instance.steps.get(name)
        if earlier is not None and earlier.result_json is not None:
            parts.append(render_payload(f"result of {name}", earlier.result_json))
    return join(heading("Given"), *parts)


def _list_panel_parameters(step: StepDefinition) -> Iterator[str]:
    for function in (step.action, step.compensation, step.probe):
        if function is not None:
            yield f"{function.role}({', '.join(parameter.name for parameter in function.parameters)})"


def _list_earlier_steps(step: StepDefinition | None) -> list[str]:
    functions = () if step is None else (step.action, step.compensation, step.probe)
    found = (p.name for f in functions if f is not None for p in f.parameters if p.source == "step")
    return list(dict.fromkeys(found))


def _render_panel_result(record: StepState) -> Html | None:
    """What the step added to the results."""
    if record.result_json is None:
        return None
    return join(heading("Added to the results"), render_payload(record.name, record.result_json))


def _render_panel_errors(instance: SagaInstance, name: str) -> Html | None:
    """Each error of the step with the events that tell it, and with where it was raised."""
    found: dict[e.RecordedError, list[str]] = {}
    for event in instance.history:
        error: e.RecordedError | None = getattr(event, "error", None)
        if error is not None and isinstance(event, e.StepEvent) and event.step == name:
            found.setdefault(error, []).append(str(event.number))
    listed = bullets(
        *(
            join(
                f"event{'s' if len(events) > 1 else ''} {', '.join(events)}: ",
                render_error(error),
                render_traceback(error),
            )
            for error, events in found.items()
        )
    )
    return None if listed is None else join(heading("Errors"), listed)


def _render_policy(step: StepDefinition | None) -> Html | None:
    listed = None if step is None else bullets(*describe_policy(step))
    return None if listed is None else details("policy", listed)


def _render_next_undo(instance: SagaInstance) -> Html:
    """Say which steps would be undone if the instance went back now, in that order, and which would keep an effect."""
    owed, blocked = list_undo_owed(instance), list(_list_blocked_effects(instance))
    names = join(*(code(name) for name in owed), between=", then ")
    return tag(
        "p",
        "If it went back now, ",
        *(("it would compensate ", names, ".") if owed else ("nothing would be compensated.",)),
        *(
            (" An effect of ", join(*(code(name) for name in blocked), between=" and "), " may remain.")
            if blocked
            else ()
        ),
        class_="sgf-dim",
    )


def _list_blocked_effects(instance: SagaInstance) -> Iterator[str]:
    """List the nested sagas that are blocked while the instance goes back, so that it cannot undo them now."""
    for step in instance.outline:
        if label_compensation(step, instance) is EFFECT_MAY_REMAIN:
            yield step.name
