"""The matrix: a word in a colour for each row and column, grouped, with its legend."""

from __future__ import annotations

from sagafsm.verify.report.fault_matrix import CellMeaning, MatrixRow, render_legend, render_matrix
from support.pages import Page

WORDS = {
    "fine": CellMeaning(tone="good", explanation="all is well"),
    "broken": CellMeaning(tone="bad", explanation="something is not", is_counted=True),
    "odd": CellMeaning(tone="late", explanation="never seen here"),
}
COLUMNS = {"one": "first fault", "two": "second fault", "three": "third fault"}
LINES = [
    MatrixRow(group="hotel", name="book", cells={"one": "fine", "two": "broken"}, hints={"two": "hotel#1=two"}),
    MatrixRow(group="hotel", name="pay", cells={"two": "broken"}),
    MatrixRow(group="flight", name="book", cells={"one": "fine"}),
]


def test_every_word_is_in_its_row_and_column() -> None:
    """Rows in order under their group's title, which counts what is to be counted; columns of nothing are left out."""
    page = Page(render_matrix(LINES, COLUMNS, WORDS, corner="where"))
    expected = [
        ["where", "first fault", "second fault"],
        ["hotel: 2 broken of 3"],
        ["book", "fine", "broken"],
        ["pay", "", "broken"],
        ["flight"],
        ["book", "fine", ""],
    ]
    assert expected == page.rows


def test_a_colour_is_never_all_that_tells() -> None:
    """Each cell with a colour has its word, and the legend says what each word that is used means."""
    page = Page(render_matrix(LINES, COLUMNS, WORDS, corner="where"))
    coloured = [
        (attributes["class"], attributes.get("title"))
        for tag, attributes in page.elements
        if tag == "td" and attributes
    ]
    assert [("sgf-good", None), ("sgf-bad", "hotel#1=two"), ("sgf-bad", None), ("sgf-good", None)] == coloured
    told = Page(render_legend(LINES, WORDS)).words
    assert "fine: all is well broken: something is not empty: not tried there" == told


def test_it_is_a_table_for_those_who_listen() -> None:
    """Titles are titles of columns, of rows and of groups of rows."""
    page = Page(render_matrix(LINES, COLUMNS, WORDS, corner="where"))
    scopes = [attributes.get("scope") for tag, attributes in page.elements if tag == "th"]
    assert [None, "col", "col", "rowgroup", "row", "row", "rowgroup", "row"] == scopes
