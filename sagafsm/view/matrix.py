"""A table of what became of each fault at each point, in words and colours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs

from sagafsm.view.page import Html, chip, given, tag

STYLE = """
& .sgf-matrix{border-spacing:2px 1px}
& .sgf-matrix td{min-width:40px;padding:2px 3px;text-align:center;vertical-align:middle;white-space:nowrap;
border-radius:3px;font-size:11px;overflow-wrap:normal}
& .sgf-matrix thead th{font-size:11px;line-height:1.25}
& .sgf-matrix thead th+th{padding:2px 3px;text-align:center;overflow-wrap:normal}
& .sgf-matrix thead span{display:inline-block;max-width:76px}
& .sgf-matrix tbody th{position:sticky;left:0;background:var(--page)}
& .sgf-matrix tbody th>bdi{display:inline-block;min-width:140px;max-width:240px}
& .sgf-matrix .sgf-group{padding-top:8px;font-weight:600}
& .sgf-matrix .sgf-group>bdi{display:inline;max-width:none}
& .sgf-contracts thead span{max-width:140px}
& .sgf-legend{margin:8px 0;padding:0;list-style:none;columns:2;font-size:12px}
"""


@attrs.frozen(kw_only=True)
class Meaning:
    """A word of a matrix: its tone, what it means, and whether a group's title counts it."""

    tone: str
    told: str
    counts: bool = False


@attrs.frozen(kw_only=True)
class Line:
    """One row of a matrix: its group, its name, the words in its columns, and texts that a pointer over them shows."""

    group: str
    name: str
    cells: Mapping[str, str]
    hints: Mapping[str, str] = attrs.field(factory=dict)


def matrix(lines: Sequence[Line], columns: Mapping[str, str], words: Mapping[str, Meaning], *, corner: str) -> Html:
    """A table, with a part for each group of lines that follow one another.

    `columns` are the titles by key, in order; one of which no line says anything is left out. A column of which a line
    says nothing is empty there.
    """
    shown = {key: title for key, title in columns.items() if any(key in line.cells for line in lines)}
    head = tag("tr", tag("th", corner), *(tag("th", tag("span", title), scope="col") for title in shown.values()))
    groups = itertools.groupby(lines, key=lambda line: line.group)
    bodies = (_body(group, list(members), shown, words) for group, members in groups)
    table = tag("table", tag("thead", head), *bodies, class_="sgf-matrix")
    return tag("div", table, class_="sgf-wide")


def legend(lines: Sequence[Line], words: Mapping[str, Meaning]) -> Html:
    """What the words that these lines use mean."""
    used = {word for line in lines for word in line.cells.values()}
    told = [tag("li", chip(word, meaning.tone), ": ", meaning.told) for word, meaning in words.items() if word in used]
    return tag("ul", *told, tag("li", "empty: not tried there"), class_="sgf-legend")


def _body(group: str, lines: Sequence[Line], columns: Mapping[str, str], words: Mapping[str, Meaning]) -> Html:
    title = tag(
        "th", given(group), *_counted(lines, words), colspan=str(len(columns) + 1), scope="rowgroup", class_="sgf-group"
    )
    return tag("tbody", tag("tr", title), *(_row(line, columns, words) for line in lines))


def _counted(lines: Sequence[Line], words: Mapping[str, Meaning]) -> list[str]:
    found = [word for line in lines for word in line.cells.values()]
    counted = [(word, found.count(word)) for word, meaning in words.items() if meaning.counts]
    told = [f"{number} {word}" for word, number in counted if number]
    return [": ", ", ".join(told), f" of {len(found)}"] if told else []


def _row(line: Line, columns: Mapping[str, str], words: Mapping[str, Meaning]) -> Html:
    cells = (_cell(line.cells.get(key), line.hints.get(key), words) for key in columns)
    return tag("tr", tag("th", given(line.name), scope="row"), *cells)


def _cell(word: str | None, hint: str | None, words: Mapping[str, Meaning]) -> Html:
    return tag("td") if word is None else tag("td", word, class_=f"sgf-{words[word].tone}", title=hint)
