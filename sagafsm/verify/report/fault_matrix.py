"""A table of what became of each fault at each point, in words and colours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs

from sagafsm.render.html import Html, chip, tag, user_text

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
class CellMeaning:
    """A word of a matrix: its tone, what it means, and whether a group's title counts it."""

    tone: str
    explanation: str
    is_counted: bool = False


@attrs.frozen(kw_only=True)
class MatrixRow:
    """One row of a matrix: its group, its name, the words in its columns, and texts that a pointer over them shows."""

    group: str
    name: str
    cells: Mapping[str, str]
    hints: Mapping[str, str] = attrs.field(factory=dict)


def render_matrix(
    lines: Sequence[MatrixRow], columns: Mapping[str, str], words: Mapping[str, CellMeaning], *, corner: str
) -> Html:
    """A table, with a part for each group of lines that follow one another.

    `columns` are the titles by key, in order; one of which no line says anything is left out. A column of which a line
    says nothing is empty there.
    """
    shown = {key: title for key, title in columns.items() if any(key in line.cells for line in lines)}
    head = tag("tr", tag("th", corner), *(tag("th", tag("span", title), scope="col") for title in shown.values()))
    groups = itertools.groupby(lines, key=lambda line: line.group)
    bodies = (_render_body(group, list(members), shown, words) for group, members in groups)
    table = tag("table", tag("thead", head), *bodies, class_="sgf-matrix")
    return tag("div", table, class_="sgf-wide")


def render_legend(lines: Sequence[MatrixRow], words: Mapping[str, CellMeaning]) -> Html:
    """What the words that these lines use mean."""
    used = {word for line in lines for word in line.cells.values()}
    items = [
        tag("li", chip(word, meaning.tone), ": ", meaning.explanation)
        for word, meaning in words.items()
        if word in used
    ]
    return tag("ul", *items, tag("li", "empty: not tried there"), class_="sgf-legend")


def _render_body(
    group: str, lines: Sequence[MatrixRow], columns: Mapping[str, str], words: Mapping[str, CellMeaning]
) -> Html:
    title = tag(
        "th",
        user_text(group),
        *_count_words(lines, words),
        colspan=str(len(columns) + 1),
        scope="rowgroup",
        class_="sgf-group",
    )
    return tag("tbody", tag("tr", title), *(_render_matrix_row(line, columns, words) for line in lines))


def _count_words(lines: Sequence[MatrixRow], words: Mapping[str, CellMeaning]) -> list[str]:
    found = [word for line in lines for word in line.cells.values()]
    counted = [(word, found.count(word)) for word, meaning in words.items() if meaning.is_counted]
    counts = [f"{number} {word}" for word, number in counted if number]
    return [": ", ", ".join(counts), f" of {len(found)}"] if counts else []


def _render_matrix_row(line: MatrixRow, columns: Mapping[str, str], words: Mapping[str, CellMeaning]) -> Html:
    cells = (_render_matrix_cell(line.cells.get(key), line.hints.get(key), words) for key in columns)
    return tag("tr", tag("th", user_text(line.name), scope="row"), *cells)


def _render_matrix_cell(word: str | None, hint: str | None, words: Mapping[str, CellMeaning]) -> Html:
    return tag("td") if word is None else tag("td", word, class_=f"sgf-{words[word].tone}", title=hint)
