"""The steps of a saga as a table, and of an instance how each stands, there and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import attrs

from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.definition.retry import Retry
from sagafsm.display import format_count, truncate
from sagafsm.history.events import StepOutline
from sagafsm.history.instance import SagaInstance
from sagafsm.render.html import Html, fill, join, render_table, tag, user_text
from sagafsm.render.labels import (
    HAS_COMPENSATION,
    NO_COMPENSATION,
    StatusLabel,
    get_display_phase,
    label_action,
    label_compensation,
)
from sagafsm.render.payloads import render_short_payload
from sagafsm.render.time_format import format_duration

STYLE = """
& .sgf-steps{width:100%;border-spacing:0}
& .sgf-steps th,& .sgf-steps td{padding:3px 8px;border-bottom:1px solid var(--line)}
& .sgf-steps th,& .sgf-steps td:not(:last-child){overflow-wrap:normal}
& .sgf-steps td:last-child{min-width:110px}
& .sgf-steps tbody th{min-width:120px;font-weight:600;overflow-wrap:anywhere}
& .sgf-steps tbody th span{font-weight:400}
& .sgf-steps tbody th,& .sgf-steps tbody td{vertical-align:baseline}
& .sgf-steps td:first-child{color:var(--dim);text-align:right}
& .sgf-steps details{margin:0}
& .sgf-steps i{color:var(--dim);font-style:normal;white-space:nowrap}
& .sgf-steps td>b{display:inline-block;white-space:nowrap;padding:1px 8px;border-radius:10px;font-weight:600}
"""
MAX_TITLE = 80
_NOT_CALLED = StatusLabel("not called", "none", "empty")
_NO_COMPENSATION = StatusLabel("none", "quiet", "none")


def render_step_table(
    outline: Sequence[StepOutline],
    *,
    instance: SagaInstance | None = None,
    definition: Definition | None = None,
    nested: Mapping[str, SagaInstance] | None = None,
    cut: int | None = 600,
) -> Html:
    """A row for each step, those of a nested saga under it.

    Of an `instance`: how action and compensation stand, and the result, cut at `cut` characters (None: no results); the
    steps of a nested saga where its instance is in `nested`, by its path. Of a `definition`: the policies in words.
    """
    policies = definition is not None and instance is None
    known = [] if instance is None else ["action", "compensation"]
    results = [] if instance is None or cut is None else ["result"]
    titles = ["", "step", "kind", *known, *results, *(["policy"] if policies else [])]
    rows = _render_step_rows(outline, _RowSource(instance, definition if policies else None, nested or {}, cut), "")
    return render_table(titles, rows, class_="sgf-steps")


@attrs.frozen
class _RowSource:
    """The instance or the definition whose steps are told, what is nested in it, and how much of a result is shown."""

    instance: SagaInstance | None
    definition: Definition | None
    nested: Mapping[str, SagaInstance]
    limit: int | None

    def for_nested(self, name: str, path: str) -> _RowSource:
        """Those of a nested saga, as far as they are known."""
        step = None if self.definition is None else self.definition.by_name.get(name)
        return attrs.evolve(self, instance=self.nested.get(path), definition=None if step is None else step.child)


def _render_step_rows(outline: Sequence[StepOutline], whose: _RowSource, prefix: str) -> Iterator[Html]:
    instance = whose.instance
    for number, step in enumerate(outline, start=1):
        defined = None if whose.definition is None else whose.definition.by_name.get(step.name)
        yield fill(
            '<tr><td>{}</td><th scope="row">{}</th><td>{}</td>{}{}</tr>',
            "" if prefix else number,
            render_step_name(step, prefix),
            ", ".join(list_traits(step)),
            "" if instance is None else _render_step_status_cells(step, instance, whose.limit),
            "" if defined is None else tag("td", "; ".join(describe_policy(defined))),
        )
        path = prefix + step.name
        if instance is None:
            yield from _render_step_rows(step.steps, whose.for_nested(step.name, path), f"{path}/")
        elif path in whose.nested:
            yield from _render_step_rows(whose.nested[path].outline, whose.for_nested(step.name, path), f"{path}/")


def render_step_name(step: StepOutline, prefix: str = "") -> Html:
    """A step by its path, with its title where it has one."""
    name = user_text(prefix + step.name)
    if step.title is None:
        return name
    return fill('{} <span class="sgf-dim">{}</span>', name, user_text(truncate(step.title, MAX_TITLE)))


def list_traits(step: StepOutline) -> list[str]:
    """What is special about a step, in words; an ordinary one has none."""
    special = ["wait for a signal"] if step.kind == "wait" else []
    special += [f"nested saga of {format_count(len(step.steps), 'step')}"] if step.kind == "saga" else []
    special += [f"in group {step.group}"] if step.group else []
    special += ["pivot"] if step.pivot else []
    special += ["no effect"] if not step.effect and step.kind == "step" else []
    special += ["has a probe"] if step.probe else []
    return special


def _render_step_status_cells(step: StepOutline, instance: SagaInstance, limit: int | None) -> Html:
    record, phase = instance.steps.get(step.name), get_display_phase(instance)
    result = None if record is None or limit is None else record.result_json
    told = Html() if result is None or limit is None else render_short_payload("", result, limit=limit)
    return fill(
        "<td>{}</td><td>{}</td>{}",
        _render_step_status(label_action(step, record, phase), 0 if record is None else record.action.attempt),
        _render_step_status(label_undo_cell(step, instance), 0 if record is None else record.compensation.attempt),
        "" if limit is None else fill("<td>{}</td>", told),
    )


def label_undo_cell(step: StepOutline, instance: SagaInstance | None) -> StatusLabel:
    """Label a step's compensation under a heading that already says "compensation"."""
    standing = label_compensation(step, instance)
    return (
        _NOT_CALLED if standing is HAS_COMPENSATION else _NO_COMPENSATION if standing is NO_COMPENSATION else standing
    )


def _render_step_status(standing: StatusLabel, calls: int) -> Html:
    plain = standing.tone in ("none", "quiet")
    told = fill("<i>{}</i>", standing.word) if plain else fill('<b class="sgf-{}">{}</b>', standing.tone, standing.word)
    return join(told, f" {calls} attempts") if calls > 1 else told


def describe_policy(step: StepDefinition) -> Iterator[str]:
    """What a step's definition says about retries, time, doubt and undoing, in words."""
    if step.kind == "wait":
        yield "waits for ever" if step.timeout is None else f"waits {format_duration(step.timeout)} at most"
        return
    if step.child is not None:
        yield f"runs saga {step.child.saga}"
        return
    yield describe_retries(step.retry)
    if step.timeout is not None:
        yield f"times out after {format_duration(step.timeout)}"
    if step.effect:
        yield describe_in_doubt(step)
    if step.compensation is not None:
        yield f"compensation: {describe_retries(step.compensation_retry)}"
        if step.compensation_timeout is not None:
            yield f"compensation times out after {format_duration(step.compensation_timeout)}"


def describe_retries(retry: Retry) -> str:
    """How often something is called, and how long apart."""
    if retry.attempts == 1:
        return "called once"
    pause = "at once" if retry.backoff <= timedelta(0) else f"after {format_duration(retry.backoff)}"
    grows = (
        f", then {retry.factor:g} times as long" if retry.factor > 1 and retry.attempts > 2 and retry.backoff else ""
    )
    most = f", {format_duration(retry.max_backoff)} at most" if grows else ""
    return f"up to {format_count(retry.attempts, 'attempt')}, again {pause}{grows}{most}"


_IN_DOUBT_WORDS = {
    ("ask",): "a person is asked",
    ("retry",): "it is called again with the same key",
    ("compensate",): "it is undone",
    ("retry", "compensate"): "it is called again with the same key, and undone at the end",
}


def describe_in_doubt(step: StepDefinition) -> str:
    """What is done when it is not known whether a step took effect."""
    then = _IN_DOUBT_WORDS[step.in_doubt]
    return f"in doubt: {'the probe is asked, then ' if step.probe is not None else ''}{then}"
