"""How the values of the core are shown in a notebook: registered with `sagafsm.reprs`, which imports this module."""

from __future__ import annotations

import contextlib
from itertools import islice

from sagafsm import events as e
from sagafsm.definition import Definition
from sagafsm.errors import DefinitionError, SagaError, SagaFailed, SagaUnfinished, listed
from sagafsm.finding import Peekable
from sagafsm.instance import SagaInstance
from sagafsm.recovery import RecoveryReport
from sagafsm.reprs import as_html, as_text
from sagafsm.view import compare, document, event_table, listing, text
from sagafsm.view.because import because
from sagafsm.view.document import snapshot
from sagafsm.view.page import Html, bullets, card, chip, given, joined, tag
from sagafsm.view.payloads import message, shortened, traceback
from sagafsm.view.phrases import count
from sagafsm.view.theme import style
from sagafsm.view.times import moment

# So many events of a history are shown at once; it has a table of its own for all of them.
MOST_EVENTS = 200
# So many instances that `find` gives are shown, of thousands perhaps.
MOST_FOUND = 20
# So many errors of a recovery are told.
MOST_ERRORS = 50
_SHORT_CUT = 400


@as_html.register
def _(instance: SagaInstance) -> str:
    return snapshot(instance)


@as_text.register
def _(instance: SagaInstance) -> str:
    return text.instance_text(instance)


@as_html.register
def _(definition: Definition) -> str:
    return document.definition_card(definition)


@as_text.register
def _(definition: Definition) -> str:
    return text.definition_text(definition)


@as_html.register
def _(error: DefinitionError) -> str:
    told = tag("p", chip("not well formed", "late"), " ", given(str(error)))
    return card(style(), told, label="A definition that is not well formed")


@as_html.register
def _(history: e.History) -> str:
    created_at = history[0].at if history else e.UNSTAMPED
    title = tag("p", tag("b", count(len(history), "event")), class_="sgf-top")
    rows = event_table.event_table(history, created_at=created_at, limit=MOST_EVENTS, cut=_SHORT_CUT)
    return card(style(event_table.STYLE), title, rows if history else None, label=count(len(history), "event"))


@as_text.register
def _(history: e.History) -> str:
    return text.history_text(history)


@as_html.register
def _(event: e.Event) -> str:
    at = "" if event.at == e.UNSTAMPED else moment(event.at)
    state = joined(" to ", tag("b", given(event.state))) if event.state else None
    title = tag(
        "p", f"event {event.number} ", tag("b", given(str(event))), state, " ", tag("span", at, class_="sgf-dim")
    )
    return card(style(event_table.STYLE), title, because(event), label=f"Event {event.number}")


@as_text.register
def _(event: e.Event) -> str:
    return text.event_text(event)


@as_html.register
def _(error: e.RecordedError) -> str:
    title = tag("p", chip(error.type, "bad"), class_="sgf-top")
    return card(style(), title, tag("p", message(error)), traceback(error), label=f"Error {error.type}")


@as_html.register(SagaFailed)
@as_html.register(SagaUnfinished)
def _(error: SagaFailed | SagaUnfinished) -> str:
    title = tag("p", chip(type(error).__name__, "bad" if isinstance(error, SagaFailed) else "late"))
    return joined(
        card(style(), title, tag("p", shortened(str(error))), label=type(error).__name__),
        Html(snapshot(error.instance)),
    )


@as_html.register
def _(report: RecoveryReport) -> str:
    title = tag("p", tag("b", "recovery"), " ", *_counted(report), class_="sgf-top")
    errors = [
        joined(tag("b", given(key)), ": ", shortened(f"{type(error).__name__}: {error}", limit=_SHORT_CUT))
        for key, error in islice(report.errors.items(), MOST_ERRORS)
    ]
    left = len(report.errors) - len(errors)
    errors += [joined(f"… {left:,} more in .errors")] if left else []
    resumed = tag("p", "resumed: ", shortened(listed(report.resumed))) if report.resumed else None
    return card(style(), title, resumed, bullets(*errors), label="Recovery")


@as_text.register
def _(report: RecoveryReport) -> str:
    return text.report_text(report)


def _counted(report: RecoveryReport) -> tuple[Html, ...]:
    resumed = chip(f"{len(report.resumed):,} resumed", "good" if report.resumed else "none")
    return (resumed, Html(" "), chip(f"{len(report.errors):,} in error", "bad" if report.errors else "none"))


@as_html.register
def _(found: compare.Comparison) -> str:
    return card(style(compare.STYLE), compare.drawn(found), label="Comparison of two instances")


@as_html.register
def _(found: Peekable) -> str:
    try:
        summaries = found.peek(MOST_FOUND)
    except SagaError as error:
        return card(style(), tag("p", given(str(error))), label="Instances found")
    return card(
        style(listing.STYLE), listing.listing(summaries, more=found.is_more_than(MOST_FOUND)), label="Instances found"
    )


@as_text.register
def _(found: Peekable) -> str:
    with contextlib.suppress(SagaError):
        return text.listing_text(found.peek(MOST_FOUND), more=found.is_more_than(MOST_FOUND))
    return repr(found)
