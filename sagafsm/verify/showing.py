"""A report as static HTML: a verdict in words, counterexamples as timelines, the matrix of points and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import attrs

from sagafsm.reprs import as_html
from sagafsm.verify.report import Contract, Finding, GradeResult, Moment, Report, Row
from sagafsm.verify.schedule import WORDS, split
from sagafsm.view import matrix as matrixes
from sagafsm.view import sequence as sequences
from sagafsm.view.matrix import Line, Meaning, legend, matrix
from sagafsm.view.page import Html, bullets, card, chip, code, code_block, folded, given, heading, joined, tag
from sagafsm.view.sequence import Beat, sequence
from sagafsm.view.theme import style

STYLE = """
& .sgf-finding{margin:8px 0;padding:10px 12px;border:1px solid var(--line);border-left:4px solid var(--dim);
border-radius:6px}
& .sgf-finding>:last-child{margin-bottom:0}
& .sgf-error{border-left-color:var(--bad-bg)}
& .sgf-warning{border-left-color:var(--late)}
"""
# So many findings are shown with all that belongs to them; the others by their message and schedule.
IN_FULL = 8
# A matrix of more points is folded.
UNFOLDED = 40
# So many of the places where the world is not as it should be are named.
PLACES = 12

MEANINGS: Mapping[str, Meaning] = {
    "completed": Meaning(tone="good", told="it completed, and the world is as after a run without faults"),
    "compensated": Meaning(tone="back", told="it failed, all is compensated, and the world is as before"),
    "asked": Meaning(tone="asked", told="a person was asked first; what was decided ended clean"),
    "undone": Meaning(tone="quiet", told="it failed, and tells what may remain; the world is as before"),
    "late": Meaning(
        tone="late", told="a call landed after it was given up, which only the service can refuse", counts=True
    ),
    "broken": Meaning(
        tone="bad", told="something was left, lost, done twice or stuck: a finding tells it", counts=True
    ),
    "never fired": Meaning(tone="none", told="the run did not come by here, so that nothing was tried"),
}
_ROLES = {"commit": "storing", "signal": "signal"}
_CONTRACTS = {
    "do_twice": "done twice is as done once",
    "undo_twice": "undone twice is as undone once",
    "undo_without_do": "undone without having been done changes nothing",
    "late_do": "done late, after its undo, leaves nothing",
}
_BAD_EVENTS = ("StepFailed", "CompensationFailed", "ResultRefused")
_ASKING_EVENTS = ("StepInDoubt", "InstanceBlocked", "DecisionMade")


@as_html.register
def html_of(report: Report) -> str:
    """A report as one piece of HTML for a notebook or a page: no script, nothing loaded, the same for equal reports."""
    return card(
        style(matrixes.STYLE, sequences.STYLE, STYLE),
        _head(report),
        _bounds(report),
        _grades(report.grades),
        *_findings(report),
        *_matrix(report.matrix),
        *_contracts(report.contracts),
        *_list("Notes", report.notes),
        *_list("Risks of the definition", [str(risk) for risk in report.risks]),
        label=f"Verification of saga {report.saga}",
    )


def _head(report: Report) -> Html:
    word, tone = verdict_of(report)
    name = joined("saga ", tag("b", given(report.saga)))
    warned = _count(len(report.warnings), "warning") if report.warnings else None
    more = None if warned is None else joined(" ", chip(warned, "late"))
    return tag("p", name, " ", chip(word, tone), more, class_="sgf-top")


def verdict_of(report: Report) -> tuple[str, str]:
    """What a report says, in a few words, and their tone; never better than what was tried."""
    if report.ok:
        return ("clean with this schedule" if report.replayed else "holds, within the bounds below"), "good"
    if report.is_vacuous:
        return "not really tried", "late"
    return _count(len(report.errors), "finding"), "bad"


def _bounds(report: Report) -> Html:
    told = f"Within {attrs.evolve(report.bounds, not_covered=())}."
    if report.replayed is not None:
        return tag("p", joined("Replayed: ", code(report.replayed)))
    missing = report.bounds.not_covered
    return tag("p", told, f" Not covered: {', '.join(missing)}." if missing else None, class_="sgf-dim")


def _grades(grades: Sequence[GradeResult]) -> Html:
    return tag("div", *(joined(_grade(grade), " ") for grade in grades), class_="sgf-chips")


def _grade(grade: GradeResult) -> Html:
    late = "late" if grade.grade == "late" else "bad"
    tone = {"held": "good", "broken": late, "not tried": "none"}[grade.word]
    return chip(str(grade), tone)


def _findings(report: Report) -> Iterator[Html]:
    if not report.findings:
        return
    yield heading("Findings")
    for number, finding in enumerate(report.findings[:IN_FULL]):
        yield _finding(finding, report, is_open=not number)
    rest = report.findings[IN_FULL:]
    if rest:
        told = [joined(_named(finding), ". ", given(finding.message), " ", code(finding.schedule)) for finding in rest]
        yield folded(f"{_count(len(rest), 'finding')} more", bullets(*told))


def _finding(finding: Finding, report: Report, *, is_open: bool) -> Html:
    title = tag("p", chip(_kind(finding), "bad" if finding.severity == "error" else "late"), " ", _named(finding))
    advice = tag("p", tag("b", "What would help: "), given(finding.advice)) if finding.advice else None
    return tag(
        "div",
        title,
        tag("p", given(finding.message)),
        advice,
        *_replay(finding, report, is_open=is_open),
        _timeline(finding, is_open=is_open),
        class_=f"sgf-finding sgf-{finding.severity}",
    )


def _kind(finding: Finding) -> str:
    kind = finding.kind.replace("_", " ")
    return kind if finding.severity == "error" else f"warning: {kind}"


def _named(finding: Finding) -> Html:
    told = [_count(finding.faults, "fault")] if finding.faults else []
    told += [f"input {finding.input}"] if finding.input else []
    told += (
        [f"{_count(finding.again, 'other schedule')} {'shows' if finding.again == 1 else 'show'} the same"]
        if finding.again
        else []
    )
    parts = [joined("step ", tag("b", given(finding.step)))] if finding.step else []
    parts += [tag("span", "; ".join(told), class_="sgf-dim")] if told else []
    return joined(*parts, between=": " if finding.step else "")


def _replay(finding: Finding, report: Report, *, is_open: bool) -> Iterator[Html]:
    if finding.faults or finding.schedule != "no fault":
        yield tag("p", "Schedule ", code(finding.schedule))
        yield folded("Replay it", code_block(replay_code(finding, report)), is_open=is_open)


def replay_code(finding: Finding, report: Report) -> str:
    """A line of Python that replays a finding; the saga's variable is taken to have the saga's name."""
    # In double quotes, as people write it; where something does not print, as Python would show it.
    text = finding.schedule
    schedule = json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)
    return f"{report.call.removesuffix(')')}, schedule={schedule})"


def _timeline(finding: Finding, *, is_open: bool) -> Html | None:
    beats = [_beat(moment) for moment in finding.timeline]
    if not beats:
        return None
    beats += [Beat(kind="left", what=left, tone="late") for left in finding.left[:PLACES]]
    if len(finding.left) > PLACES:
        beats.append(Beat(kind="left", what=f"{len(finding.left) - PLACES} more differences", tone="late"))
    return folded("What happened, event by event", sequence(beats), is_open=is_open)


def _beat(moment: Moment) -> Beat:
    if moment.fault:
        return Beat(kind="fault", what=moment.what, instance=moment.instance, after=moment.after, tone="bad")
    tone = "late" if moment.what in _BAD_EVENTS else "asked" if moment.what in _ASKING_EVENTS else ""
    step, instance = moment.step or "", moment.instance
    return Beat(what=moment.what, number=moment.number, step=step, instance=instance, after=moment.after, tone=tone)


def _matrix(rows: Sequence[Row]) -> Iterator[Html]:
    if not rows:
        return
    ordered = sorted(rows, key=_Order(rows))
    calls, commits = ([_line(row) for row in ordered if (row.role == "commit") == stored] for stored in (False, True))
    tables = [
        part
        for title, lines in (("Calls", calls), ("Writes to the store", commits))
        if lines
        for part in (tag("p", title), matrix(lines, WORDS, MEANINGS, corner="where"))
    ]
    tables.append(legend([*calls, *commits], MEANINGS))
    if len(rows) > UNFOLDED:
        yield folded(f"Every single fault, at {len(rows)} points", *tables)
    else:
        yield heading("Every single fault, at every point")
        yield from tables


class _Order:
    """Rows of one step beside each other, steps and all else in the order in which they came by."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.steps = list(dict.fromkeys(row.step for row in rows))

    def __call__(self, row: Row) -> int:
        return self.steps.index(row.step)


def _line(row: Row) -> Line:
    label, _, numbers = row.point.rpartition("#")
    role, call = split(label)[1:]
    number, _, life = numbers.partition("@")
    told = f"{_ROLES.get(role, role)} {call}".strip()
    told += f", time {number}" if number != "1" else ""
    told += f", life {life}" if life else ""
    hints = {kind: f"{row.point}={kind}" for kind, word in row.cells.items() if MEANINGS[word].counts}
    return Line(group=row.step or "the instance", name=told, cells=row.cells, hints=hints)


def _contracts(contracts: Sequence[Contract]) -> Iterator[Html]:
    if not contracts:
        return
    yield heading("What each step bears by itself")
    head = tag("tr", tag("th", "step"), *(tag("th", tag("span", told), scope="col") for told in _CONTRACTS.values()))
    rows = (
        tag("tr", tag("th", given(held.step), scope="row"), *(_held(getattr(held, name)) for name in _CONTRACTS))
        for held in contracts
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-matrix sgf-contracts")
    yield tag("div", table, class_="sgf-wide")


def _held(held: bool | None) -> Html:
    word, tone = {True: ("yes", "good"), False: ("no", "bad"), None: ("not tried", "none")}[held]
    return tag("td", word, class_=f"sgf-{tone}")


def _list(title: str, items: Sequence[str]) -> Iterator[Html]:
    if items:
        yield folded(f"{title} ({len(items)})", bullets(*(given(item) for item in items)))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
