"""How values are shown in a notebook: one renderer for each type.

`sagafsm.display` imports this module once it has something to draw.
"""

from __future__ import annotations

import contextlib
from itertools import islice

from sagafsm.definition.definition import Definition
from sagafsm.display import as_html, as_text, format_count
from sagafsm.errors import DefinitionError, SagaError, SagaFailed, SagaUnfinished, format_list
from sagafsm.history import events as e
from sagafsm.history.comparison import Comparison
from sagafsm.history.instance import SagaInstance
from sagafsm.render.card import render_definition_card, render_instance_card
from sagafsm.render.event_details import render_details
from sagafsm.render.html import Html, bullets, chip, join, render_card, tag, user_text
from sagafsm.render.payloads import render_error, render_long_text, render_traceback
from sagafsm.render.plain_text import (
    format_definition,
    format_event,
    format_history,
    format_instance,
    format_instances,
    format_report,
)
from sagafsm.render.tables import events, instances
from sagafsm.render.tables.comparison import STYLE, render_comparison
from sagafsm.render.theme import make_stylesheet
from sagafsm.render.time_format import format_time
from sagafsm.results import Peekable, RecoveryReport

# So many events of a history are shown at once; it has a table of its own for all of them.
MAX_EVENTS = 200
# So many instances that `find` gives are shown, of thousands perhaps.
MAX_FOUND = 20
# So many errors of a recovery are told.
MAX_ERRORS = 50
_SHORT_CUT = 400


@as_html.register
def _(instance: SagaInstance) -> str:
    return render_instance_card(instance)


@as_text.register
def _(instance: SagaInstance) -> str:
    return format_instance(instance)


@as_html.register
def _(definition: Definition) -> str:
    return render_definition_card(definition)


@as_text.register
def _(definition: Definition) -> str:
    return format_definition(definition)


@as_html.register
def _(error: DefinitionError) -> str:
    told = tag("p", chip("not well formed", "late"), " ", user_text(str(error)))
    return render_card(make_stylesheet(), told, label="A definition that is not well formed")


@as_html.register
def _(history: e.History) -> str:
    created_at = history[0].at if history else e.UNSTAMPED
    title = tag("p", tag("b", format_count(len(history), "event")), class_="sgf-top")
    rows = events.render_event_table(history, created_at=created_at, limit=MAX_EVENTS, cut=_SHORT_CUT)
    return render_card(
        make_stylesheet(events.STYLE), title, rows if history else None, label=format_count(len(history), "event")
    )


@as_text.register
def _(history: e.History) -> str:
    return format_history(history)


@as_html.register
def _(event: e.Event) -> str:
    at = "" if event.at == e.UNSTAMPED else format_time(event.at)
    state = join(" to ", tag("b", user_text(event.state))) if event.state else None
    title = tag(
        "p", f"event {event.number} ", tag("b", user_text(str(event))), state, " ", tag("span", at, class_="sgf-dim")
    )
    return render_card(make_stylesheet(events.STYLE), title, render_details(event), label=f"Event {event.number}")


@as_text.register
def _(event: e.Event) -> str:
    return format_event(event)


@as_html.register
def _(error: e.RecordedError) -> str:
    title = tag("p", chip(error.type, "bad"), class_="sgf-top")
    return render_card(
        make_stylesheet(), title, tag("p", render_error(error)), render_traceback(error), label=f"Error {error.type}"
    )


@as_html.register(SagaFailed)
@as_html.register(SagaUnfinished)
def _(error: SagaFailed | SagaUnfinished) -> str:
    title = tag("p", chip(type(error).__name__, "bad" if isinstance(error, SagaFailed) else "late"))
    return join(
        render_card(make_stylesheet(), title, tag("p", render_long_text(str(error))), label=type(error).__name__),
        Html(render_instance_card(error.instance)),
    )


@as_html.register
def _(report: RecoveryReport) -> str:
    title = tag("p", tag("b", "recovery"), " ", *_render_counts(report), class_="sgf-top")
    errors = [
        join(tag("b", user_text(key)), ": ", render_long_text(f"{type(error).__name__}: {error}", limit=_SHORT_CUT))
        for key, error in islice(report.errors.items(), MAX_ERRORS)
    ]
    left = len(report.errors) - len(errors)
    errors += [join(f"… {left:,} more in .errors")] if left else []
    resumed = tag("p", "resumed: ", render_long_text(format_list(report.resumed))) if report.resumed else None
    return render_card(make_stylesheet(), title, resumed, bullets(*errors), label="Recovery")


@as_text.register
def _(report: RecoveryReport) -> str:
    return format_report(report)


def _render_counts(report: RecoveryReport) -> tuple[Html, ...]:
    resumed = chip(f"{len(report.resumed):,} resumed", "good" if report.resumed else "none")
    return (resumed, Html(" "), chip(f"{len(report.errors):,} in error", "bad" if report.errors else "none"))


@as_html.register(Comparison)
def _(found: Comparison[SagaInstance]) -> str:
    return render_card(make_stylesheet(STYLE), render_comparison(found), label="Comparison of two instances")


@as_html.register
def _(found: Peekable) -> str:
    try:
        summaries = found.peek(MAX_FOUND)
    except SagaError as error:
        return render_card(make_stylesheet(), tag("p", user_text(str(error))), label="Instances found")
    return render_card(
        make_stylesheet(instances.STYLE),
        instances.render_instance_table(summaries, more=found.has_more_than(MAX_FOUND)),
        label="Instances found",
    )


@as_text.register
def _(found: Peekable) -> str:
    with contextlib.suppress(SagaError):
        return format_instances(found.peek(MAX_FOUND), more=found.has_more_than(MAX_FOUND))
    return repr(found)
