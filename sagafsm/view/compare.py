"""Two instances side by side, by what happened and not by when: where they first differ, and how they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.instance import SagaInstance
from sagafsm.reprs import Shown
from sagafsm.view.page import Html, chip, code, given, joined, tag
from sagafsm.view.payloads import cut
from sagafsm.view.phrases import count
from sagafsm.view.words import instance_standing

STYLE = """
& .sgf-compare{width:100%;border-spacing:0;table-layout:fixed}
& .sgf-compare th,& .sgf-compare td{padding:3px 8px;border-bottom:1px solid var(--line)}
& .sgf-compare th:first-child,& .sgf-compare td:first-child{width:36px;color:var(--dim);text-align:right}
& .sgf-compare th:last-child,& .sgf-compare td:last-child{width:130px}
& .sgf-compare .sgf-chip{white-space:nowrap}
& .sgf-compare td[colspan]{width:auto;text-align:left}
& .sgf-compare .sgf-first td{border-top:2px solid var(--late)}
"""
# What differs between any two runs: when, under which key, on whose request, and where in a file.
_TIMES = ("number", "at", "wake_at", "retry_at", "deadline", "key", "request_id", "fingerprint")
# So many events that are the same are shown before the first that differs.
BEFORE = 6
MOST_ROWS = 120
_LONGEST = 160


@attrs.frozen(kw_only=True)
class Comparison(Shown):
    """Two instances, event by event; `divergence` is the place, from 0, of the first pair that differs."""

    one: SagaInstance
    other: SagaInstance
    pairs: tuple[tuple[e.Event | None, e.Event | None], ...]
    divergence: int | None

    def __bool__(self) -> bool:
        return self.divergence is not None

    def __str__(self) -> str:
        if self.divergence is None:
            return f"{self.one.id!r} and {self.other.id!r} went the same way, {count(len(self.pairs), 'event')} long"
        mine, yours = self.pairs[self.divergence]
        first, second = _words(mine), _words(yours)
        if first == second and mine is not None and yours is not None:
            first, second = _differing(mine, yours)
        names = f"{self.one.id!r} and {self.other.id!r}"
        return f"{names} first differ at event {self.divergence + 1}: {first}, but {second}"


def comparison(one: SagaInstance, other: SagaInstance) -> Comparison:
    """Two instances compared by what happened: kind, step, outcome, values, state; not by times and keys."""
    pairs = tuple(zip_longest(one.history, other.history))
    differing = (place for place, pair in enumerate(pairs) if not _same(pair, one.id, other.id))
    return Comparison(one=one, other=other, pairs=pairs, divergence=next(differing, None))


def _same(pair: tuple[e.Event | None, e.Event | None], mine: str, yours: str) -> bool:
    return bool(_essence(pair[0], mine) == _essence(pair[1], yours))


def _essence(event: e.Event | None, instance_id: str) -> Any:
    """What of an event counts: another run of the same course has the same."""
    if event is None:
        return None
    told = {name: value for name, value in event.__dict__.items() if name not in _TIMES}
    if isinstance(event, e.InstanceCreated):
        told.pop("id")
    error = told.get("error")
    if error is not None:
        # A traceback has the lines of files, which are not what happened; what fails within a nested saga tells its id.
        told["error"] = (error.type, error.message.replace(f"'{instance_id}/", "'/"))
    return type(event), told, event.__dict__.get("retry_at") is not None


def compare(one: SagaInstance, other: SagaInstance) -> Html:
    """Two instances side by side, the first difference marked, and told in words."""
    return drawn(comparison(one, other))


def drawn(found: Comparison) -> Html:
    """A comparison as a table."""
    return joined(
        tag("p", _title(found.one), " and ", _title(found.other), class_="sgf-top"),
        tag("p", tag("b", given(str(found)))),
        _table(found),
    )


def _title(instance: SagaInstance) -> Html:
    standing = instance_standing(instance)
    return joined(tag("b", given(instance.id)), " ", chip(standing.word, standing.tone))


def _table(found: Comparison) -> Html:
    since = 0 if found.divergence is None else max(0, found.divergence - BEFORE)
    shown = found.pairs[since : since + MOST_ROWS]
    titles = ("", found.one.id, found.other.id, "")
    head = tag("tr", *(tag("th", given(title), scope="col") for title in titles))
    rows = list(_rows(found, shown, since))
    rest = len(found.pairs) - since - len(shown)
    before = [_told(f"{count(since, 'event')} before, the same in both")] if since else []
    after = [_told(f"… {count(rest, 'event')} more")] if rest else []
    table = tag("table", tag("thead", head), tag("tbody", *before, *rows, *after), class_="sgf-compare")
    return tag("div", table, class_="sgf-wide")


def _told(words: str) -> Html:
    return tag("tr", tag("td", words, colspan="4", class_="sgf-dim"))


def _rows(found: Comparison, pairs: Sequence[tuple[e.Event | None, e.Event | None]], since: int) -> Iterator[Html]:
    first = found.divergence
    for place, (mine, yours) in enumerate(pairs, start=since):
        same = _same((mine, yours), found.one.id, found.other.id)
        word = "first difference" if place == first else "" if same else "differs"
        yield tag(
            "tr",
            tag("td", str(place + 1)),
            tag("td", _cell(mine)),
            tag("td", _cell(yours)),
            tag("td", chip(word, "late") if word else ""),
            class_="sgf-first" if place == first else None,
        )


def _cell(event: e.Event | None) -> Html:
    if event is None:
        return tag("span", "nothing more", class_="sgf-dim")
    value = _value(event)
    name = given(str(event))
    state = None if event.state is None else tag("span", " to ", given(event.state), class_="sgf-dim")
    return joined(name, state, None if value is None else joined(": ", code(cut(value, _LONGEST))))


def _words(event: e.Event | None) -> str:
    if event is None:
        return "nothing more"
    value = _value(event)
    return str(event) if value is None else f"{event} ({cut(value, _LONGEST)})"


def _differing(mine: e.Event, yours: e.Event) -> tuple[str, str]:
    """The first thing in which events differ whose words are the same, such as by whom a decision was made."""
    first, second = mine.__dict__, yours.__dict__
    names = (name for name in first if name not in _TIMES and first[name] != second.get(name))
    name = next(names, "")
    return tuple(f"{one} ({name} {cut(str(one.__dict__.get(name)), _LONGEST)})" for one in (mine, yours))  # type: ignore[return-value]


def _value(event: e.Event) -> str | None:
    """What an event carries that may differ where its kind does not."""
    for name in ("result_json", "payload_json", "input_json", "error", "decision", "reason"):
        value = getattr(event, name, None)
        if value is not None:
            return str(value)
    return None
