"""A report as static HTML: a verdict in words, counterexamples as timelines, the matrix of points and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import attrs

from sagafsm.display import as_html, format_count
from sagafsm.render.html import (
    Html,
    bullets,
    chip,
    code,
    code_block,
    details,
    heading,
    join,
    render_card,
    tag,
    user_text,
)
from sagafsm.render.theme import make_stylesheet
from sagafsm.verify.report import fault_matrix, run_log
from sagafsm.verify.report.fault_matrix import CellMeaning, MatrixRow, render_legend, render_matrix
from sagafsm.verify.report.report import Contract, Finding, GradeResult, PointResults, Report, TimelineEntry
from sagafsm.verify.report.run_log import RunLogLine, render_run_log
from sagafsm.verify.schedule import FAULT_LABELS, split_label

STYLE = """
& .sgf-finding{margin:8px 0;padding:10px 12px;border:1px solid var(--line);border-left:4px solid var(--dim);
border-radius:6px}
& .sgf-finding>:last-child{margin-bottom:0}
& .sgf-error{border-left-color:var(--bad-bg)}
& .sgf-warning{border-left-color:var(--late)}
"""
# So many findings are shown with all that belongs to them; the others by their message and schedule.
MAX_FULL_FINDINGS = 8
# A matrix of more points is folded.
MAX_OPEN_POINTS = 40
# So many of the places where the world is not as it should be are named.
MAX_PLACES = 12

MEANINGS: Mapping[str, CellMeaning] = {
    "completed": CellMeaning(tone="good", explanation="it completed, and the world is as after a run without faults"),
    "compensated": CellMeaning(tone="back", explanation="it failed, all is compensated, and the world is as before"),
    "asked": CellMeaning(tone="asked", explanation="a person was asked first; what was decided ended clean"),
    "undone": CellMeaning(tone="quiet", explanation="it failed, and tells what may remain; the world is as before"),
    "late": CellMeaning(
        tone="late",
        explanation="a call landed after it was given up, which only the service can refuse",
        is_counted=True,
    ),
    "broken": CellMeaning(
        tone="bad", explanation="something was left, lost, done twice or stuck: a finding tells it", is_counted=True
    ),
    "never fired": CellMeaning(tone="none", explanation="the run did not come by here, so that nothing was tried"),
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
def render_report(report: Report) -> str:
    """A report as one piece of HTML for a notebook or a page: no script, nothing loaded, the same for equal reports."""
    return render_card(
        make_stylesheet(fault_matrix.STYLE, run_log.STYLE, STYLE),
        _render_report_head(report),
        _render_bounds(report),
        _render_grades(report.grades),
        *_render_findings(report),
        *_render_matrix(report.matrix),
        *_render_contracts(report.contracts),
        *_render_report_list("Notes", report.notes),
        *_render_report_list("Risks of the definition", [str(risk) for risk in report.risks]),
        label=f"Verification of saga {report.saga}",
    )


def _render_report_head(report: Report) -> Html:
    word, tone = describe_verdict(report)
    name = join("saga ", tag("b", user_text(report.saga)))
    warned = format_count(len(report.warnings), "warning") if report.warnings else None
    more = None if warned is None else join(" ", chip(warned, "late"))
    return tag("p", name, " ", chip(word, tone), more, class_="sgf-top")


def describe_verdict(report: Report) -> tuple[str, str]:
    """What a report says, in a few words, and their tone; never better than what was tried."""
    if report.ok:
        return ("clean with this schedule" if report.replayed else "holds, within the bounds below"), "good"
    if report.is_vacuous:
        return "not really tried", "late"
    return format_count(len(report.errors), "finding"), "bad"


def _render_bounds(report: Report) -> Html:
    text = f"Within {attrs.evolve(report.bounds, not_covered=())}."
    if report.replayed is not None:
        return tag("p", join("Replayed: ", code(report.replayed)))
    missing = report.bounds.not_covered
    return tag("p", text, f" Not covered: {', '.join(missing)}." if missing else None, class_="sgf-dim")


def _render_grades(grades: Sequence[GradeResult]) -> Html:
    tones = {"held": "good", "broken": "bad", "not tried": "none"}
    chips = (
        chip(str(grade), "late" if (grade.grade, grade.word) == ("late", "broken") else tones[grade.word])
        for grade in grades
    )
    return tag("div", *(join(each, " ") for each in chips), class_="sgf-chips")


def _render_findings(report: Report) -> Iterator[Html]:
    if not report.findings:
        return
    yield heading("Findings")
    for number, finding in enumerate(report.findings[:MAX_FULL_FINDINGS]):
        yield _render_finding(finding, report, is_open=not number)
    rest = report.findings[MAX_FULL_FINDINGS:]
    if rest:
        items = [
            join(_render_name(finding), ". ", user_text(finding.message), " ", code(finding.schedule))
            for finding in rest
        ]
        yield details(f"{format_count(len(rest), 'finding')} more", bullets(*items))


def _render_finding(finding: Finding, report: Report, *, is_open: bool) -> Html:
    title = tag(
        "p",
        chip(_format_report_kind(finding), "bad" if finding.severity == "error" else "late"),
        " ",
        _render_name(finding),
    )
    advice = tag("p", tag("b", "What would help: "), user_text(finding.advice)) if finding.advice else None
    return tag(
        "div",
        title,
        tag("p", user_text(finding.message)),
        advice,
        *_render_replay(finding, report, is_open=is_open),
        _render_report_timeline(finding, is_open=is_open),
        class_=f"sgf-finding sgf-{finding.severity}",
    )


def _format_report_kind(finding: Finding) -> str:
    kind = finding.kind.replace("_", " ")
    return kind if finding.severity == "error" else f"warning: {kind}"


def _render_name(finding: Finding) -> Html:
    notes = [format_count(finding.faults, "fault")] if finding.faults else []
    notes += [f"input {finding.input}"] if finding.input else []
    notes += (
        [f"{format_count(finding.again, 'other schedule')} {'shows' if finding.again == 1 else 'show'} the same"]
        if finding.again
        else []
    )
    parts = [join("step ", tag("b", user_text(finding.step)))] if finding.step else []
    parts += [tag("span", "; ".join(notes), class_="sgf-dim")] if notes else []
    return join(*parts, between=": " if finding.step else "")


def _render_replay(finding: Finding, report: Report, *, is_open: bool) -> Iterator[Html]:
    if finding.faults or finding.schedule != "no fault":
        yield tag("p", "Schedule ", code(finding.schedule))
        yield details("Replay it", code_block(make_replay_code(finding, report)), is_open=is_open)


def make_replay_code(finding: Finding, report: Report) -> str:
    """A line of Python that replays a finding; the saga's variable is taken to have the saga's name."""
    # In double quotes, as people write it; where something does not print, as Python would show it.
    text = finding.schedule
    schedule = json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)
    return f"{report.call.removesuffix(')')}, schedule={schedule})"


def _render_report_timeline(finding: Finding, *, is_open: bool) -> Html | None:
    beats = [_make_report_beat(moment) for moment in finding.timeline]
    if not beats:
        return None
    beats += [RunLogLine(kind="left", what=left, tone="late") for left in finding.left[:MAX_PLACES]]
    if len(finding.left) > MAX_PLACES:
        beats.append(RunLogLine(kind="left", what=f"{len(finding.left) - MAX_PLACES} more differences", tone="late"))
    return details("What happened, event by event", render_run_log(beats), is_open=is_open)


def _make_report_beat(moment: TimelineEntry) -> RunLogLine:
    if moment.fault:
        return RunLogLine(kind="fault", what=moment.what, instance=moment.instance, after=moment.after, tone="bad")
    tone = "late" if moment.what in _BAD_EVENTS else "asked" if moment.what in _ASKING_EVENTS else ""
    step, instance = moment.step or "", moment.instance
    return RunLogLine(
        what=moment.what, number=moment.number, step=step, instance=instance, after=moment.after, tone=tone
    )


def _render_matrix(rows: Sequence[PointResults]) -> Iterator[Html]:
    if not rows:
        return
    # Rows of one step beside each other, steps in the order in which a run reaches them.
    steps = list(dict.fromkeys(row.step for row in rows))
    ordered = sorted(rows, key=lambda row: steps.index(row.step))
    calls, commits = (
        [_make_report_matrix_line(row) for row in ordered if (row.role == "commit") == stored]
        for stored in (False, True)
    )
    tables = [
        part
        for title, lines in (("Calls", calls), ("Writes to the store", commits))
        if lines
        for part in (tag("p", title), render_matrix(lines, FAULT_LABELS, MEANINGS, corner="where"))
    ]
    tables.append(render_legend([*calls, *commits], MEANINGS))
    if len(rows) > MAX_OPEN_POINTS:
        yield details(f"Every single fault, at {len(rows)} points", *tables)
    else:
        yield heading("Every single fault, at every point")
        yield from tables


def _make_report_matrix_line(row: PointResults) -> MatrixRow:
    label, _, numbers = row.point.rpartition("#")
    role, call = split_label(label)[1:]
    number, _, process_number = numbers.partition("@")
    name = f"{_ROLES.get(role, role)} {call}".strip()
    name += f", time {number}" if number != "1" else ""
    name += f", life {process_number}" if process_number else ""
    hints = {kind: f"{row.point}={kind}" for kind, word in row.cells.items() if MEANINGS[word].is_counted}
    return MatrixRow(group=row.step or "the instance", name=name, cells=row.cells, hints=hints)


def _render_contracts(contracts: Sequence[Contract]) -> Iterator[Html]:
    if not contracts:
        return
    yield heading("What each step bears by itself")
    head = tag("tr", tag("th", "step"), *(tag("th", tag("span", title), scope="col") for title in _CONTRACTS.values()))
    rows = (
        tag(
            "tr",
            tag("th", user_text(held.step), scope="row"),
            *(_render_contract_cell(getattr(held, name)) for name in _CONTRACTS),
        )
        for held in contracts
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-matrix sgf-contracts")
    yield tag("div", table, class_="sgf-wide")


def _render_contract_cell(held: bool | None) -> Html:
    word, tone = {True: ("yes", "good"), False: ("no", "bad"), None: ("not tried", "none")}[held]
    return tag("td", word, class_=f"sgf-{tone}")


def _render_report_list(title: str, items: Sequence[str]) -> Iterator[Html]:
    if items:
        yield details(f"{title} ({len(items)})", bullets(*(user_text(item) for item in items)))
