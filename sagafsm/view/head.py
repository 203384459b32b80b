"""What an instance is and how it stands, before anything else about it."""

from __future__ import annotations

from collections.abc import Iterator

from sagafsm.instance import SagaInstance
from sagafsm.record import Residue
from sagafsm.view.page import Html, bullets, chip, code, given, joined, tag
from sagafsm.view.payloads import cut
from sagafsm.view.phrases import BLOCKS, DECISIONS, RESIDUES, count
from sagafsm.view.times import moment, seconds
from sagafsm.view.words import instance_standing

STYLE = """
& .sgf-top .sgf-facts{margin-left:auto;font-size:12px;font-variant-numeric:tabular-nums}
& .sgf-told{margin:8px 0 0;padding:0;list-style:none}
& .sgf-told>li{margin:0 0 4px}
& .sgf-told ul{margin:2px 0 0}
& .sgf-note{margin:8px 0 0;color:var(--dim)}
"""
# A cause may be an error of ten thousand characters; the event table has all of it.
_LONGEST = 500


def head(instance: SagaInstance, *, note: str | None = None) -> Html:
    """Id, saga, state in a word, how many events in what time; why it goes back, what it waits for, what may remain.

    `note` is a line of the caller's, as text.
    """
    standing = instance_standing(instance)
    facts = f"{count(len(instance.history), 'event')} · {seconds(instance.updated_at - instance.created_at)}"
    top = tag(
        "p",
        joined("instance ", tag("b", given(instance.id)), " of saga ", given(instance.saga), f" v{instance.version}"),
        " ",
        chip(standing.word, standing.tone),
        " ",
        tag("span", facts, class_="sgf-facts sgf-dim"),
        class_="sgf-top",
    )
    told = list(_told(instance))
    return joined(
        top,
        tag("ul", *(tag("li", item) for item in told), class_="sgf-told") if told else None,
        None if note is None else tag("p", note, class_="sgf-note"),
    )


def _told(instance: SagaInstance) -> Iterator[Html]:
    if instance.current is not None:
        yield joined(tag("b", "state: "), given(instance.state))
    if instance.why is not None:
        yield joined(tag("b", "cause: "), given(cut(instance.why, _LONGEST)))
    for block in instance.blocked:
        decisions = (joined(code(decision), " ", DECISIONS[decision]) for decision in block.decisions)
        why = BLOCKS[block.reason]
        yield joined(tag("b", "blocked: "), given(block.step), f": {why}. It waits for one of", bullets(*decisions))
    yield from _waits(instance)
    if instance.owner is not None:
        yield joined(tag("b", "driven by "), given(instance.owner))
    if instance.residue:
        yield joined(tag("b", "may remain:"), bullets(*(left_behind(left) for left in instance.residue)))


def _waits(instance: SagaInstance) -> Iterator[Html]:
    if instance.awaited:
        names = joined(*(code(name) for name in instance.awaited), between=" or ")
        yield joined(tag("b", "waits for signal "), names)
    if instance.deadline is not None and not instance.is_at_rest:
        yield joined(tag("b", "goes back unless it ends by "), moment(instance.deadline))
    if instance.wake_at is not None and not instance.is_at_rest:
        yield joined(tag("b", "goes on by itself at "), moment(instance.wake_at))


def left_behind(left: Residue) -> Html:
    """One thing that may remain, and why."""
    return joined(given(left.step), f": {RESIDUES[left.reason]}")
