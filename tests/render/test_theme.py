"""The style: readable in both themes, for the card alone, and with nothing to load."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from sagafsm.render.theme import TONES, make_stylesheet
from sagafsm.render.timeline.bars import choose_span_style
from sagafsm.render.timeline.spans import Attempt, AttemptOutcome, Span, Wait, WaitKind

BLOCKS = re.compile(r"([^{}\n]*)\{(color-scheme:(light|dark);[^}]*)\}")
PAIRS = [
    ("text", "page"),
    ("text", "panel"),
    ("dim", "page"),
    ("dim", "panel"),
    *((tone, f"{tone}-bg") for tone in TONES),
]


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2, 1.4.3."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def themes() -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for selector, block, scheme in BLOCKS.findall(make_stylesheet()):
        found.append((selector, scheme, dict(re.findall(r"--([\w-]+):(#[0-9a-f]{6})", block))))
    return found


def test_black_on_white_is_21_to_1() -> None:
    """The measure is the standard's."""
    assert 21 == round(contrast("#000000", "#ffffff"), 2)
    assert 4.54 == round(contrast("#767676", "#ffffff"), 2)


@pytest.mark.parametrize(("words", "behind"), PAIRS)
def test_all_words_read_well_in_both_themes(words: str, behind: str) -> None:
    """At least 4.5 to 1 (WCAG AA), wherever a theme is given."""
    assert ["light", "dark", "light", "dark"] == [scheme for _, scheme, _ in themes()]
    for _, scheme, colours in themes():
        assert contrast(colours[words], colours[behind]) >= 4.5, (scheme, words)


def test_the_page_around_it_overrules_the_system() -> None:
    """JupyterLab's theme counts before the system's, in either direction; without any the system's does."""
    selectors = [selector for selector, _, _ in themes()]
    assert [".sgf", ".sgf"] == selectors[:2]
    assert "@media (prefers-color-scheme:dark){.sgf{color-scheme:dark" in make_stylesheet()
    assert "[data-jp-theme-light=true] .sgf" in selectors[2]
    assert "[data-jp-theme-light=false] .sgf" in selectors[3]


def test_every_rule_is_about_the_card_alone() -> None:
    """No selector reaches out of the card, and every variable that is used is given."""
    assert make_stylesheet().count("{") == make_stylesheet().count("}")
    assert not re.search(r"\{[^}]*\{[^}]*\{", make_stylesheet())
    rules = re.sub(r"@media[^{]*\{(.*?\})\}", r"\1", make_stylesheet())
    for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", rules):
        assert all(".sgf" in selector for selector in selectors.split(",")), selectors
    used = set(re.findall(r"var\(--([\w-]+)", make_stylesheet())) - {"jp-ui-font-family", "jp-code-font-family"}
    assert used <= set(themes()[0][2])
    assert all(set(themes()[0][2]) == set(colours) for _, _, colours in themes())


def test_nothing_is_loaded() -> None:
    """No address, no import, no end of the element that it is put into."""
    assert not re.search(r"url\(|@import|http|</|//", make_stylesheet())


def every_span() -> list[Span]:
    """Return an attempt with each outcome, forward and back, and a wait of each kind."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    place: dict[str, Any] = {"step": "charge", "start": now, "end": now, "began": 1}
    outcomes, kinds = get_args(AttemptOutcome), get_args(WaitKind)
    spans: list[Span] = [Wait(**place, target="action", kind=kind) for kind in kinds]
    spans += [Attempt(**place, target="action", number=1, outcome=outcome) for outcome in outcomes]
    spans += [Attempt(**place, target="compensation", number=1, outcome=outcome) for outcome in outcomes]
    return spans


def test_bars_and_the_words_on_them_are_seen_in_both_themes() -> None:
    """A bar is of the colour of its tone's words, with words of the page's; a failed one has an edge beside its red."""
    tones = {choose_span_style(span).tone for span in every_span()}
    assert {"good", "now", "back", "asked", "late", "quiet", "bad"} == tones
    for _, scheme, colours in themes():
        for tone in tones - {"bad"}:
            assert contrast(colours[tone], colours["page"]) >= 4.5, (scheme, tone)
            assert contrast(colours[tone], colours["panel"]) >= 3, (scheme, tone)
        assert contrast(colours["dim"], colours["panel"]) >= 3, scheme
        assert contrast("#ffffff", colours["bad-bg"]) >= 4.5, scheme
