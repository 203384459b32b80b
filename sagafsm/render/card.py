"""Whole cards and whole pages: an instance as it stands, and HTML files that need nothing beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from sagafsm.definition.definition import Definition
from sagafsm.definition.risks import find_risks
from sagafsm.display import format_count, truncate
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import Residue
from sagafsm.render.diagram import svg
from sagafsm.render.html import Html, bullets, chip, code, details, heading, join, render_card, tag, user_text
from sagafsm.render.labels import BLOCK_LABELS, DECISION_LABELS, RESIDUE_LABELS, label_instance
from sagafsm.render.tables import events, steps
from sagafsm.render.theme import make_stylesheet
from sagafsm.render.time_format import format_duration, format_time
from sagafsm.render.timeline import chart

# What the events of one static card may show of payloads together, in characters.
_PAYLOAD_BUDGET = 6_000
_MAX_PAYLOAD_SHOWN = 2_000
_MIN_PAYLOAD_SHOWN = 120
# Of a long saga fewer events are shown: each of its steps has a row already, and a card is to stay small.
MAX_EVENTS, MAX_EVENTS_LONG_SAGA = 40, 20
# A longer table of steps is folded: the pictures above it tell the most of it.
MAX_STEPS = 16


def make_uid(instance: SagaInstance, prefix: str = "s") -> str:
    """What makes ids unique in a page: the same for the same instance at the same event."""
    return f"{prefix}{zlib.crc32(f'{instance.id}/{len(instance.history)}'.encode()):08x}"


def render_instance_card(
    instance: SagaInstance, *, nested: Mapping[str, SagaInstance] | None = None, note: str | None = None
) -> Html:
    """An instance as it stands, as a static card: head, diagram, chart, steps, and its events, folded.

    `nested` are the instances of its nested sagas, by path, where they are known.
    """
    known, uid = dict(nested or {}), make_uid(instance)
    is_long = len(instance.outline) > MAX_STEPS
    most = MAX_EVENTS_LONG_SAGA if is_long else MAX_EVENTS
    cut = max(_MIN_PAYLOAD_SHOWN, min(_MAX_PAYLOAD_SHOWN, _PAYLOAD_BUDGET // max(min(len(instance.history), most), 1)))
    return render_card(
        make_stylesheet(STYLE, svg.STYLE, chart.STYLE, steps.STYLE, events.STYLE),
        render_head(instance, note=note),
        svg.draw_diagram(instance.outline, instance=instance, nested=known, uid=f"{uid}d"),
        chart.render_timeline(instance, nested=known),
        *_render_card_steps(
            # Each result of a long saga is in its event; in each row it would be a twentieth of the card.
            steps.render_step_table(instance.outline, instance=instance, nested=known, cut=None if is_long else cut),
            len(instance.outline),
        ),
        details(
            format_count(len(instance.history), "event"),
            events.render_event_table(instance.history, created_at=instance.created_at, limit=most, cut=cut),
        ),
        label=f"Instance {instance.id}",
    )


def _render_card_steps(table: Html, number: int) -> Iterator[Html]:
    if number > MAX_STEPS:
        yield details(format_count(number, "step"), table)
    else:
        yield heading("Steps")
        yield table


def render_definition_card(definition: Definition) -> Html:
    """A saga as a static card: its diagram, its steps with their policies, and its risks."""
    version = f"v{definition.version}, {format_count(len(definition.steps), 'step')}"
    risks = bullets(*(user_text(str(risk)) for risk in find_risks(definition)))
    return render_card(
        make_stylesheet(svg.STYLE, steps.STYLE),
        tag(
            "p",
            "saga ",
            tag("b", user_text(definition.saga)),
            " ",
            tag("span", version, class_="sgf-dim"),
            class_="sgf-top",
        ),
        svg.draw_diagram(definition.outline, uid=f"d{definition.fingerprint}"),
        *_render_card_steps(steps.render_step_table(definition.outline, definition=definition), len(definition.steps)),
        None if risks is None else join(heading("Risks"), risks),
        label=f"Saga {definition.saga}",
    )


_PAGE_STYLE = """
html{color-scheme:light dark}
body{margin:0;padding:24px;background:#fff;font:13px/1.5 system-ui,sans-serif}
.sgf{margin:0 auto 16px}
@media (prefers-color-scheme:dark){body{background:#0d1117}}
"""


def render_html_page(title: str, *cards: str) -> str:
    """One HTML page of cards that refers to nothing outside itself, in the reader's theme."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width,initial-scale=1"),
        tag("title", title),
        tag("style", Html(_PAGE_STYLE)),
    )
    body = tag("body", tag("main", *(Html(one) for one in cards)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


STYLE = """
& .sgf-top .sgf-facts{margin-left:auto;font-size:12px;font-variant-numeric:tabular-nums}
& .sgf-told{margin:8px 0 0;padding:0;list-style:none}
& .sgf-told>li{margin:0 0 4px}
& .sgf-told ul{margin:2px 0 0}
& .sgf-note{margin:8px 0 0;color:var(--dim)}
"""

# A cause may be an error of ten thousand characters; the event table has all of it.
_MAX_CAUSE = 500


def render_head(instance: SagaInstance, *, note: str | None = None) -> Html:
    """Id, saga, state in a word, how many events in what time; why it goes back, what it waits for, what may remain.

    `note` is a line of the caller's, as text.
    """
    standing = label_instance(instance)
    facts = (
        f"{format_count(len(instance.history), 'event')} · {format_duration(instance.updated_at - instance.created_at)}"
    )
    top = tag(
        "p",
        join(
            "instance ",
            tag("b", user_text(instance.id)),
            " of saga ",
            user_text(instance.saga),
            f" v{instance.version}",
        ),
        " ",
        chip(standing.word, standing.tone),
        " ",
        tag("span", facts, class_="sgf-facts sgf-dim"),
        class_="sgf-top",
    )
    told = list(_list_card_facts(instance))
    return join(
        top,
        tag("ul", *(tag("li", item) for item in told), class_="sgf-told") if told else None,
        None if note is None else tag("p", note, class_="sgf-note"),
    )


def _list_card_facts(instance: SagaInstance) -> Iterator[Html]:
    if instance.current is not None:
        yield join(tag("b", "state: "), user_text(instance.state))
    if instance.why is not None:
        yield join(tag("b", "cause: "), user_text(truncate(instance.why, _MAX_CAUSE)))
    for block in instance.blocked:
        decisions = (join(code(decision), " ", DECISION_LABELS[decision]) for decision in block.decisions)
        why = BLOCK_LABELS[block.reason]
        yield join(tag("b", "blocked: "), user_text(block.step), f": {why}. It waits for one of", bullets(*decisions))
    yield from _list_card_waits(instance)
    if instance.owner is not None:
        yield join(tag("b", "driven by "), user_text(instance.owner))
    if instance.residue:
        yield join(tag("b", "may remain:"), bullets(*(render_residue(left) for left in instance.residue)))


def _list_card_waits(instance: SagaInstance) -> Iterator[Html]:
    if instance.awaited:
        names = join(*(code(name) for name in instance.awaited), between=" or ")
        yield join(tag("b", "waits for signal "), names)
    if instance.deadline is not None and not instance.is_at_rest:
        yield join(tag("b", "goes back unless it ends by "), format_time(instance.deadline))
    if instance.wake_at is not None and not instance.is_at_rest:
        yield join(tag("b", "goes on by itself at "), format_time(instance.wake_at))


def render_residue(left: Residue) -> Html:
    """One thing that may remain, and why."""
    return join(user_text(left.step), f": {RESIDUE_LABELS[left.reason]}")
