"""What a verification found, within which bounds, as values: for people, for assertions, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from sagafsm.definition.risks import Risk
from sagafsm.display import Displayable, format_count
from sagafsm.verify.report.oracle import VACUOUS, FindingKind
from sagafsm.verify.schedule import GRADES, Grade

Severity = Literal["error", "warning"]
CellResult = Literal["completed", "compensated", "asked", "undone", "broken", "late", "never fired"]


class VerificationFailed(AssertionError):
    """A saga does not keep what sagas promise, or it was not really tried; the message is the report's."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@attrs.frozen(kw_only=True)
class TimelineEntry:
    """One line of a counterexample's timeline: an event of the history, or a fault (`number` None).

    `instance` is the nested saga's path, "" for the root; `after` is in virtual time.
    """

    number: int | None
    instance: str
    what: str
    step: str | None = None
    fault: bool = False
    after: timedelta = timedelta(0)


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong: the kind, the step, the smallest schedule that shows it, and what it means, in words.

    `schedule` is text that `verify(…, schedule=…)` replays. `input` is the input's number, from 0. `left` tells how the
    world differs from what it should be. `again` counts the other schedules that show the same.
    """

    kind: FindingKind
    step: str
    schedule: str
    faults: int
    message: str
    advice: str = ""
    severity: Severity = "error"
    input: int = 0
    left: tuple[str, ...] = ()
    again: int = 0
    timeline: tuple[TimelineEntry, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


@attrs.frozen(kw_only=True)
class GradeResult:
    """How a saga stands one class of faults."""

    grade: Grade
    tried: int
    broken: int

    @property
    def word(self) -> str:
        """In one word; a class of which nothing was tried is never a good one."""
        return "not tried" if not self.tried else "broken" if self.broken else "held"

    def __str__(self) -> str:
        return (
            f"{self.grade}: {self.word} ({self.broken} of {self.tried})"
            if self.broken
            else f"{self.grade}: {self.word} ({self.tried})"
        )


@attrs.frozen(kw_only=True)
class Contract:
    """What one step bears by itself; None: not tried, as the saga never calls it so."""

    step: str
    do_twice: bool | None = None
    undo_twice: bool | None = None
    undo_without_do: bool | None = None
    late_do: bool | None = None


@attrs.frozen(kw_only=True)
class Bounds:
    """Within what a verdict holds.

    `faults`: all schedules of up to so many faults were tried; `skipped`: so many of more were left out, for lack of
    time; `equal`: so many were not run, as another one leaves the same state to the next process. `states`: the
    persistent states within any number of crashes, None where that was not explored; `fixpoint`: whether these are all.
    `drawn`: schedules of more faults that were drawn at random; `together`: pairs of instances at once.
    """

    schedules: int
    faults: int
    skipped: int
    equal: int = 0
    steps: int
    inputs: int
    states: int | None = None
    fixpoint: bool = False
    drawn: int = 0
    together: int = 0
    not_covered: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"all of up to {format_count(self.faults, 'fault')}" if self.faults else "no faults"]
        if self.skipped:
            parts[0] += f", {self.skipped:,} of {self.faults + 1} skipped for lack of time"
        if self.equal:
            parts[0] += f", {self.equal:,} of them by a run that goes on alike"
        if self.states is not None:
            parts.append(f"any number of crashes ({self.states} states, {'fixpoint' if self.fixpoint else 'not all'})")
        if self.drawn:
            parts.append(f"{self.drawn:,} of more faults at random")
        if self.together:
            parts.append(f"{self.together:,} of two instances at once")
        parts += [format_count(self.steps, "step"), format_count(self.inputs, "input")]
        if self.not_covered:
            parts.append(f"not covered: {', '.join(self.not_covered)}")
        return f"{format_count(self.schedules, 'schedule')}: {'; '.join(parts)}"


@attrs.frozen(kw_only=True)
class PointResults:
    """One point of the matrix, and what became of each fault there, by its kind."""

    point: str
    step: str
    role: str
    cells: Mapping[str, CellResult]


@attrs.frozen(kw_only=True)
class Report(Displayable):
    """What a verification found.

    `ok`: nothing is wrong, and nothing that had to be tried was not. `schedules` is the number tried. `call` is the
    Python that asked for it, where a saga's variable is taken to have its name.
    """

    saga: str
    findings: tuple[Finding, ...]
    bounds: Bounds
    grades: tuple[GradeResult, ...]
    matrix: tuple[PointResults, ...]
    contracts: tuple[Contract, ...] = ()
    risks: tuple[Risk, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = attrs.field(default=0.0, eq=False)
    replayed: str | None = None
    call: str = "verify(saga)"

    @property
    def ok(self) -> bool:
        """Whether a saga may be trusted within the bounds: warnings do not count."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that count."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not spoil `ok`."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def is_vacuous(self) -> bool:
        """Whether all that is wrong is that nothing, or not everything, was tried."""
        return bool(self.errors) and all(finding.kind in VACUOUS for finding in self.errors)

    @property
    def schedules(self) -> int:
        """How many were tried."""
        return self.bounds.schedules

    def assert_ok(self) -> None:
        """Return when `ok`.

        Raises:
            VerificationFailed: it is not; an AssertionError, whose message is the report.
        """
        if not self.ok:
            raise VerificationFailed(self)

    def __str__(self) -> str:
        verdict = "holds" if self.ok else format_count(len(self.errors), "finding")
        lines = [f"saga {self.saga!r}: {verdict}, within {self.bounds}"]
        for finding in self.findings:
            mark = "warning" if finding.severity == "warning" else finding.kind
            lines.append(f"- {mark}: {finding}")
            lines.append(f"  schedule: {finding.schedule}")
        lines.append("; ".join(str(grade) for grade in self.grades))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        verdict = "ok" if self.ok else format_count(len(self.errors), "finding")
        return f"<Report on saga {self.saga!r}: {verdict}; {self.bounds}>"

    def to_json(self) -> str:
        """The whole report; stable, so that two can be compared."""
        value = attrs.asdict(self, filter=lambda field, _: field.name != "seconds", value_serializer=_to_plain_value)
        value |= {"ok": self.ok, "bounds_told": str(self.bounds)}
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _to_plain_value(_: Any, __: Any, value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def make_grades(tried: Mapping[str, int], broken: Mapping[str, int]) -> tuple[GradeResult, ...]:
    """The grades, all of them, also of which nothing was tried."""
    return tuple(GradeResult(grade=grade, tried=tried.get(grade, 0), broken=broken.get(grade, 0)) for grade in GRADES)


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, then those of the fewest faults."""
    return tuple(sorted(findings, key=lambda finding: (finding.severity, finding.faults)))
