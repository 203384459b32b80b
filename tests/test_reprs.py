"""How values show themselves: in words always, as HTML where something draws their type."""

from __future__ import annotations

from sagafsm.reprs import as_html, mimebundle


class Plain:
    def __str__(self) -> str:
        return "in words"


class Drawn(Plain): ...


@as_html.register
def _(value: Drawn) -> str:
    return f"<b>{value}</b>"


class MoreDrawn(Drawn): ...


def test_a_value_that_nothing_draws_is_its_words() -> None:
    """There is no empty HTML that would be shown instead of the words."""
    assert {"text/plain": "in words"} == mimebundle(Plain())


def test_a_value_is_drawn_by_what_registered_for_its_type() -> None:
    """So is one of a subclass; the words stay for those who cannot show HTML."""
    assert {"text/plain": "in words", "text/html": "<b>in words</b>"} == mimebundle(Drawn()) == mimebundle(MoreDrawn())
