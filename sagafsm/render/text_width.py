"""How much room text takes, estimated from its characters; and text broken and cut so that it fits."""

from __future__ import annotations

import functools
import re
import unicodedata

# Shares of the size of the letters, as sans-serif faces have them; rather too wide than too narrow.
_WIDE, _CAPITAL, _PLAIN, _NARROW = 1.08, 0.76, 0.62, 0.36
_SLIM = frozenset("iljtfrI.,:;'|!()[] ")
_BROAD = frozenset("mwMW@%")
_PILED_MARKS = re.compile("(?<=[\u0300-\u036f\u0483-\u0489]{3})[\u0300-\u036f\u0483-\u0489]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def measure_width(text: str, size: float) -> float:
    """The room that a line of text takes, in pixels, with letters of that size."""
    return sum(map(_measure_character, _PILED_MARKS.sub(_spread_marks, text))) * size


def _spread_marks(pile: re.Match[str]) -> str:
    # Marks piled on one letter are put beside it, sooner or later.
    return "x" * len(pile[0])


@functools.lru_cache(maxsize=4_096)
def _measure_character(character: str) -> float:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF" or ord(character) > 0x1F000:
        return _WIDE * 1.1
    if character in _BROAD:
        return 0.95
    if character in _SLIM:
        return _NARROW
    if character.isupper():
        return _CAPITAL
    # Beyond Latin letters a face is anybody's guess.
    return _PLAIN if ord(character) < 0x250 else 0.9


def fit_text(text: str, room: float, size: float) -> str:
    """The text, or as much of it as there is room for, with an ellipsis."""
    clean = _UNPRINTABLE.sub("\ufffd", text)
    if measure_width(clean, size) <= room:
        return clean
    left = room - measure_width("…", size)
    kept = []
    for character in clean:
        left -= _measure_character(character) * size
        if left < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def wrap_text(text: str, room: float, size: float, *, lines: int = 2) -> tuple[str, ...]:
    """The text in so many lines at most; broken at spaces and underscores where it can be, and cut at the end."""
    clean = " ".join(_UNPRINTABLE.sub("\ufffd", text).split())
    found: list[str] = []
    while clean and len(found) < lines - 1 and measure_width(clean, size) > room:
        head = _take_line(clean, room, size)
        found.append(head.rstrip())
        clean = clean[len(head) :].lstrip()
    return (*found, fit_text(clean, room, size)) if clean or not found else tuple(found)


def _take_line(text: str, room: float, size: float) -> str:
    """As many whole words as fit, or, of a word too long for a line, as many characters."""
    best = ""
    for match in re.finditer(r"[^\s_]*[\s_]+|[^\s_]+$", text):
        if measure_width(text[: match.end()].rstrip(), size) > room:
            break
        best = text[: match.end()]
    if best:
        return best
    length = next((n for n in range(1, len(text) + 1) if measure_width(text[:n], size) > room), len(text) + 1)
    return text[: max(length - 1, 1)]
