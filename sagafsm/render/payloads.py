"""Values that users gave, as folded JSON: cut where they are long, with their whole size told."""

from __future__ import annotations

import json

from sagafsm.display import truncate
from sagafsm.history.events import RecordedError
from sagafsm.render.html import Html, code, code_block, details, join, user_text

# So many characters of a value are shown.
MAX_SHOWN_CHARS = 2_000
_MAX_INLINE = 56
# What is far longer than is shown is not read at all: to indent a mebibyte takes longer than to draw all else.
_TOO_LONG_TO_INDENT = 20_000


def indent_json(text: str) -> str:
    """JSON with a line for each of its parts; as it is where it is very long or deep."""
    if len(text) > _TOO_LONG_TO_INDENT:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def render_payload(what: str, text: str, *, limit: int = MAX_SHOWN_CHARS) -> Html:
    """A value by its JSON, folded; where it is cut its summary says how long it is."""
    size = f"{len(text.encode(errors='surrogatepass')):,} bytes"
    shown = indent_json(text)
    if len(shown) > limit:
        return details(f"{what}, {size}, first {limit:,} shown", code_block(truncate(shown, limit)))
    return details(f"{what}, {size}", code_block(shown))


def render_short_payload(what: str, text: str, *, limit: int = MAX_SHOWN_CHARS) -> Html:
    """A value by its JSON, within the line where it is short."""
    return (
        join(what, " " if what else None, code(text))
        if len(text) <= _MAX_INLINE
        else render_payload(what, text, limit=limit)
    )


def render_error(error: RecordedError, *, limit: int = MAX_SHOWN_CHARS) -> Html:
    """An error's type and message; cut where it is long."""
    return render_long_text(str(error), limit=limit)


def render_long_text(text: str, *, limit: int = MAX_SHOWN_CHARS) -> Html:
    """A text that somebody gave; cut where it is long, with its whole length told."""
    if len(text) <= limit:
        return user_text(text)
    return join(user_text(truncate(text, limit)), f" ({len(text):,} characters, first {limit:,} shown)")


def render_traceback(error: RecordedError | None, *, limit: int = MAX_SHOWN_CHARS) -> Html | None:
    """Where an error was raised, folded; None where that is not known."""
    if error is None or not error.traceback:
        return None
    text = error.traceback.rstrip()
    if len(text) > limit:
        # Its end tells where it was raised.
        return details(f"traceback, last {limit:,} of {len(text):,} characters", code_block(f"…{text[1 - limit :]}"))
    return details("traceback", code_block(text))
