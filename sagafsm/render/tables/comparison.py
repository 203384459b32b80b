"""The comparison of two instances as an HTML table: their events side by side, the first difference marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagafsm.display import format_count, truncate
from sagafsm.history import events as e
from sagafsm.history.comparison import MAX_VALUE, Comparison, get_event_value, is_same_pair
from sagafsm.history.instance import SagaInstance
from sagafsm.render.html import Html, chip, code, join, render_table, tag, user_text
from sagafsm.render.labels import label_instance

STYLE = """
& .sgf-compare{width:100%;border-spacing:0;table-layout:fixed}
& .sgf-compare th,& .sgf-compare td{padding:3px 8px;border-bottom:1px solid var(--line)}
& .sgf-compare th:first-child,& .sgf-compare td:first-child{width:36px;color:var(--dim);text-align:right}
& .sgf-compare th:last-child,& .sgf-compare td:last-child{width:130px}
& .sgf-compare .sgf-chip{white-space:nowrap}
& .sgf-compare td[colspan]{width:auto;text-align:left}
& .sgf-compare .sgf-first td{border-top:2px solid var(--late)}
"""

# So many events that are the same are shown before the first that differs.
ROWS_BEFORE = 6
MAX_ROWS = 120


def render_comparison(found: Comparison[SagaInstance]) -> Html:
    """Two instances side by side, the first difference marked, and told in words."""
    return join(
        tag("p", _render_comparison_title(found.one), " and ", _render_comparison_title(found.other), class_="sgf-top"),
        tag("p", tag("b", user_text(str(found)))),
        _render_comparison_columns(found),
    )


def _render_comparison_title(instance: SagaInstance) -> Html:
    standing = label_instance(instance)
    return join(tag("b", user_text(instance.id)), " ", chip(standing.word, standing.tone))


def _render_comparison_columns(found: Comparison[SagaInstance]) -> Html:
    since = 0 if found.divergence is None else max(0, found.divergence - ROWS_BEFORE)
    shown = found.pairs[since : since + MAX_ROWS]
    titles = ("", found.one.id, found.other.id, "")
    rest = len(found.pairs) - since - len(shown)
    before = [_render_comparison_note_row(f"{format_count(since, 'event')} before, the same in both")] if since else []
    after = [_render_comparison_note_row(f"… {format_count(rest, 'event')} more")] if rest else []
    rows = (*before, *_render_comparison_rows(found, shown, since), *after)
    return render_table(map(user_text, titles), rows, class_="sgf-compare")


def _render_comparison_note_row(words: str) -> Html:
    return tag("tr", tag("td", words, colspan="4", class_="sgf-dim"))


def _render_comparison_rows(
    found: Comparison[SagaInstance], pairs: Sequence[tuple[e.Event | None, e.Event | None]], since: int
) -> Iterator[Html]:
    first = found.divergence
    for place, (mine, yours) in enumerate(pairs, start=since):
        same = is_same_pair((mine, yours), found.one.id, found.other.id)
        word = "first difference" if place == first else "" if same else "differs"
        yield tag(
            "tr",
            tag("td", str(place + 1)),
            tag("td", _render_comparison_cell(mine)),
            tag("td", _render_comparison_cell(yours)),
            tag("td", chip(word, "late") if word else ""),
            class_="sgf-first" if place == first else None,
        )


def _render_comparison_cell(event: e.Event | None) -> Html:
    if event is None:
        return tag("span", "nothing more", class_="sgf-dim")
    value = get_event_value(event)
    name = user_text(str(event))
    state = None if event.state is None else tag("span", " to ", user_text(event.state), class_="sgf-dim")
    return join(name, state, None if value is None else join(": ", code(truncate(value, MAX_VALUE))))
