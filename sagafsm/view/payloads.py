"""Values that users gave, as folded JSON: cut where they are long, with their whole size told."""

from __future__ import annotations

import json

from sagafsm.events import RecordedError
from sagafsm.view.page import Html, code, code_block, folded, given, joined

# So many characters of a value are shown.
CUT = 2_000
_WITHIN_A_LINE = 56
# What is far longer than is shown is not read at all: to indent a mebibyte takes longer than to draw all else.
_TOO_LONG_TO_INDENT = 20_000


def cut(text: str, limit: int) -> str:
    """A text of at most `limit` characters, with an ellipsis where something was left out."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def indented(text: str) -> str:
    """JSON with a line for each of its parts; as it is where it is very long or deep."""
    if len(text) > _TOO_LONG_TO_INDENT:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def payload(what: str, text: str, *, limit: int = CUT) -> Html:
    """A value by its JSON, folded; where it is cut its summary says how long it is."""
    size = f"{len(text.encode(errors='surrogatepass')):,} bytes"
    shown = indented(text)
    if len(shown) > limit:
        return folded(f"{what}, {size}, first {limit:,} shown", code_block(cut(shown, limit)))
    return folded(f"{what}, {size}", code_block(shown))


def short_payload(what: str, text: str, *, limit: int = CUT) -> Html:
    """A value by its JSON, within the line where it is short."""
    return (
        joined(what, " " if what else None, code(text))
        if len(text) <= _WITHIN_A_LINE
        else payload(what, text, limit=limit)
    )


def message(error: RecordedError, *, limit: int = CUT) -> Html:
    """An error's type and message; cut where it is long."""
    return shortened(str(error), limit=limit)


def shortened(text: str, *, limit: int = CUT) -> Html:
    """A text that somebody gave; cut where it is long, with its whole length told."""
    if len(text) <= limit:
        return given(text)
    return joined(given(cut(text, limit)), f" ({len(text):,} characters, first {limit:,} shown)")


def traceback(error: RecordedError | None, *, limit: int = CUT) -> Html | None:
    """Where an error was raised, folded; None where that is not known."""
    if error is None or not error.traceback:
        return None
    text = error.traceback.rstrip()
    if len(text) > limit:
        # Its end tells where it was raised.
        return folded(f"traceback, last {limit:,} of {len(text):,} characters", code_block(f"…{text[1 - limit :]}"))
    return folded("traceback", code_block(text))
