"""HTML as values: whatever a user gives is text and never markup."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm.render import html
from support.pages import Page


def test_an_element_with_its_attributes() -> None:
    """`class_` is class, underscores are hyphens, an empty attribute stands alone, one that is None is left out."""
    assert '<td class="a" aria-label="b" open>x</td>' == html.tag(
        "td", "x", class_="a", aria_label="b", open="", id=None
    )
    assert "<br>" == html.tag("br")


def test_only_text_is_escaped() -> None:
    """Markup stays what it is; text beside it is escaped, in contents and in attributes."""
    assert "<p><b>1 &lt; 2</b> &amp; &quot;3&quot;</p>" == html.tag("p", html.tag("b", "1 < 2"), ' & "3"')
    assert '<p title="&quot;&gt;&lt;script&gt;"></p>' == html.tag("p", title='"><script>')


@given(text=st.text())
@example(text="</bdi></code></pre><script>alert(1)</script>")
@example(text="\x00\x0b\ud800\uffff")
@example(text="<!--")
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    """Text comes out of a parser as it went in, but for what HTML cannot hold, and makes no element of its own."""
    built = html.join(
        html.user_text(text), html.code(text), html.code_block(text), html.chip(text, "bad"), html.heading(text)
    )
    seen: list[str] = []

    class Reading(Page):
        def handle_data(self, data: str) -> None:
            seen.append(data)

    reading = Reading(built)

    assert ["bdi", "code", "pre", "code", "span", "p", "b"] == [tag for tag, _ in reading.elements]
    assert str(html.escape(text)) * 5 == "".join(map(html.escape, seen))
    built.encode()


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x9f", "\udfff", "\ufffe"])
def test_what_html_cannot_hold_is_shown_to_be_there(char: str) -> None:
    """A control character or half a character is replaced, and never dropped without a sign."""
    assert "a\ufffdb" == html.escape(f"a{char}b")


def test_a_list_of_nothing_is_none() -> None:
    """Nothing to list is left out."""
    assert html.bullets() is None
    assert "<ul><li>a</li></ul>" == html.join(html.bullets("a"), None)


def test_folded_parts_open_without_a_script() -> None:
    """A part is folded, or open from the beginning."""
    assert "<details><summary>more</summary>x</details>" == html.details("more", "x")
    assert "<details open><summary>more</summary>x</details>" == html.details("more", "x", is_open=True)


def test_a_card_is_one_element() -> None:
    """A card carries its style within itself, and says what it is."""
    card = Page(html.render_card(".sgf{color:red}", "words", label='of "x"'))
    assert ("div", {"class": "sgf", "role": "group", "aria-label": 'of "x"'}) == card.elements[0]
    assert ".sgf{color:red}" == card.styles
    assert "words" == card.words
