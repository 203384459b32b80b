"""The steps of a saga as a table, and of an instance how each stands, there and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import attrs

from sagafsm.definition import Definition, StepDefinition
from sagafsm.events import StepOutline
from sagafsm.instance import SagaInstance
from sagafsm.record import StepRecord
from sagafsm.retry import Retry
from sagafsm.view.page import Html, filled, given, joined, tag
from sagafsm.view.payloads import cut, short_payload
from sagafsm.view.phrases import count
from sagafsm.view.times import seconds
from sagafsm.view.words import NO_WAY_BACK, READY, Standing, action_standing, phase_of, undo_standing

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
LONGEST_TITLE = 80
_NOT_CALLED = Standing("not called", "none", "empty")
_NONE = Standing("none", "quiet", "none")


def step_table(
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
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    rows = _rows(outline, _Whose(instance, definition if policies else None, nested or {}, cut), "")
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-steps")
    return tag("div", table, class_="sgf-wide")


@attrs.frozen
class _Whose:
    """The instance or the definition whose steps are told, what is nested in it, and how much of a result is shown."""

    instance: SagaInstance | None
    definition: Definition | None
    nested: Mapping[str, SagaInstance]
    limit: int | None

    def under(self, name: str, path: str) -> _Whose:
        """Those of a nested saga, as far as they are known."""
        step = None if self.definition is None else self.definition.by_name.get(name)
        return attrs.evolve(self, instance=self.nested.get(path), definition=None if step is None else step.child)


def _rows(outline: Sequence[StepOutline], whose: _Whose, prefix: str) -> Iterator[Html]:
    instance = whose.instance
    for number, step in enumerate(outline, start=1):
        defined = None if whose.definition is None else whose.definition.by_name.get(step.name)
        yield filled(
            '<tr><td>{}</td><th scope="row">{}</th><td>{}</td>{}{}</tr>',
            "" if prefix else number,
            named(step, prefix),
            ", ".join(kinds(step)),
            "" if instance is None else _standing(step, instance, whose.limit),
            "" if defined is None else tag("td", "; ".join(policy(defined))),
        )
        path = prefix + step.name
        if instance is None:
            yield from _rows(step.steps, whose.under(step.name, path), f"{path}/")
        elif path in whose.nested:
            yield from _rows(whose.nested[path].outline, whose.under(step.name, path), f"{path}/")


def named(step: StepOutline, prefix: str = "") -> Html:
    """A step by its path, with its title where it has one."""
    name = given(prefix + step.name)
    if step.title is None:
        return name
    return filled('{} <span class="sgf-dim">{}</span>', name, given(cut(step.title, LONGEST_TITLE)))


def kinds(step: StepOutline) -> list[str]:
    """What is special about a step, in words; an ordinary one has none."""
    special = ["wait for a signal"] if step.kind == "wait" else []
    special += [f"nested saga of {count(len(step.steps), 'step')}"] if step.kind == "saga" else []
    special += [f"in group {step.group}"] if step.group else []
    special += ["pivot"] if step.pivot else []
    special += ["no effect"] if not step.effect and step.kind == "step" else []
    special += ["has a probe"] if step.probe else []
    return special


def _standing(step: StepOutline, instance: SagaInstance, limit: int | None) -> Html:
    record, phase = instance.steps.get(step.name), phase_of(instance)
    result = None if record is None or limit is None else record.result_json
    told = Html() if result is None or limit is None else short_payload("", result, limit=limit)
    return filled(
        "<td>{}</td><td>{}</td>{}",
        _stands(action_standing(step, record, phase), 0 if record is None else record.action.attempt),
        _stands(undoing(step, record, phase), 0 if record is None else record.compensation.attempt),
        "" if limit is None else filled("<td>{}</td>", told),
    )


def undoing(step: StepOutline, record: StepRecord | None, phase: str) -> Standing:
    """How a step's compensation stands, where it is said that it is about that."""
    standing = undo_standing(step, record, phase)
    return _NOT_CALLED if standing is READY else _NONE if standing is NO_WAY_BACK else standing


def _stands(standing: Standing, calls: int) -> Html:
    plain = standing.tone in ("none", "quiet")
    told = (
        filled("<i>{}</i>", standing.word)
        if plain
        else filled('<b class="sgf-{}">{}</b>', standing.tone, standing.word)
    )
    return joined(told, f" {calls} attempts") if calls > 1 else told


def policy(step: StepDefinition) -> Iterator[str]:
    """What a step's definition says about retries, time, doubt and undoing, in words."""
    if step.kind == "wait":
        yield "waits for ever" if step.timeout is None else f"waits {seconds(step.timeout)} at most"
        return
    if step.child is not None:
        yield f"runs saga {step.child.saga}"
        return
    yield retries(step.retry)
    if step.timeout is not None:
        yield f"times out after {seconds(step.timeout)}"
    if step.effect:
        yield doubt(step)
    if step.compensation is not None:
        yield f"compensation: {retries(step.compensation_retry)}"
        if step.compensation_timeout is not None:
            yield f"compensation times out after {seconds(step.compensation_timeout)}"


def retries(retry: Retry) -> str:
    """How often something is called, and how long apart."""
    if retry.attempts == 1:
        return "called once"
    pause = "at once" if retry.backoff <= timedelta(0) else f"after {seconds(retry.backoff)}"
    grows = (
        f", then {retry.factor:g} times as long" if retry.factor > 1 and retry.attempts > 2 and retry.backoff else ""
    )
    most = f", {seconds(retry.max_backoff)} at most" if grows else ""
    return f"up to {count(retry.attempts, 'attempt')}, again {pause}{grows}{most}"


_DOUBTS = {
    ("ask",): "a person is asked",
    ("retry",): "it is called again with the same key",
    ("compensate",): "it is undone",
    ("retry", "compensate"): "it is called again with the same key, and undone at the end",
}


def doubt(step: StepDefinition) -> str:
    """What is done when it is not known whether a step took effect."""
    then = _DOUBTS[step.in_doubt]
    return f"in doubt: {'the probe is asked, then ' if step.probe is not None else ''}{then}"
