"""Whole cards and whole pages: an instance as it stands, and HTML files that need nothing beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from sagafsm.definition import Definition
from sagafsm.instance import SagaInstance
from sagafsm.risks import risks_of
from sagafsm.view import diagram as diagrams
from sagafsm.view import event_table as events
from sagafsm.view import head as heads
from sagafsm.view import steps, timeline
from sagafsm.view.page import Html, bullets, card, folded, given, heading, joined, tag
from sagafsm.view.phrases import count
from sagafsm.view.theme import style

# What the events of one static card may show of payloads together, in characters.
_ALLOWANCE = 6_000
_LONGEST_CUT = 2_000
_SHORTEST_CUT = 120
# Of a long saga fewer events are shown: each of its steps has a row already, and a card is to stay small.
MOST_EVENTS, FEWEST_EVENTS = 40, 20
# A longer table of steps is folded: the pictures above it tell the most of it.
MOST_STEPS = 16


def uid_of(instance: SagaInstance, prefix: str = "s") -> str:
    """What makes ids unique in a page: the same for the same instance at the same event."""
    return f"{prefix}{zlib.crc32(f'{instance.id}/{len(instance.history)}'.encode()):08x}"


def snapshot(
    instance: SagaInstance, *, nested: Mapping[str, SagaInstance] | None = None, note: str | None = None
) -> Html:
    """An instance as it stands, as a static card: head, diagram, timeline, steps, and its events, folded.

    `nested` are the instances of its nested sagas, by path, where they are known.
    """
    known, uid = dict(nested or {}), uid_of(instance)
    is_long = len(instance.outline) > MOST_STEPS
    most = FEWEST_EVENTS if is_long else MOST_EVENTS
    cut = max(_SHORTEST_CUT, min(_LONGEST_CUT, _ALLOWANCE // max(min(len(instance.history), most), 1)))
    return card(
        style(heads.STYLE, diagrams.STYLE, timeline.STYLE, steps.STYLE, events.STYLE),
        heads.head(instance, note=note),
        diagrams.diagram(instance.outline, instance=instance, nested=known, uid=f"{uid}d"),
        timeline.timeline(instance, nested=known),
        *_steps(
            # Each result of a long saga is in its event; in each row it would be a twentieth of the card.
            steps.step_table(instance.outline, instance=instance, nested=known, cut=None if is_long else cut),
            len(instance.outline),
        ),
        folded(
            count(len(instance.history), "event"),
            events.event_table(instance.history, created_at=instance.created_at, limit=most, cut=cut),
        ),
        label=f"Instance {instance.id}",
    )


def _steps(table: Html, number: int) -> Iterator[Html]:
    if number > MOST_STEPS:
        yield folded(count(number, "step"), table)
    else:
        yield heading("Steps")
        yield table


def definition_card(definition: Definition) -> Html:
    """A saga as a static card: its diagram, its steps with their policies, and its risks."""
    version = f"v{definition.version}, {count(len(definition.steps), 'step')}"
    risks = bullets(*(given(str(risk)) for risk in risks_of(definition)))
    return card(
        style(diagrams.STYLE, steps.STYLE),
        tag(
            "p",
            "saga ",
            tag("b", given(definition.saga)),
            " ",
            tag("span", version, class_="sgf-dim"),
            class_="sgf-top",
        ),
        diagrams.diagram(definition.outline, uid=f"d{definition.fingerprint}"),
        *_steps(steps.step_table(definition.outline, definition=definition), len(definition.steps)),
        None if risks is None else joined(heading("Risks"), risks),
        label=f"Saga {definition.saga}",
    )


_PAGE = """
html{color-scheme:light dark}
body{margin:0;padding:24px;background:#fff;font:13px/1.5 system-ui,sans-serif}
.sgf{margin:0 auto 16px}
@media (prefers-color-scheme:dark){body{background:#0d1117}}
"""


def document(title: str, *cards: str) -> str:
    """One HTML page of cards that refers to nothing outside itself, in the reader's theme."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width,initial-scale=1"),
        tag("title", title),
        tag("style", Html(_PAGE)),
    )
    body = tag("body", tag("main", *(Html(one) for one in cards)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
