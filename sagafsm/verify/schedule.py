"""Schedules: which faults a run gets, and where. A schedule is text, so that it survives edits of the saga."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import attrs

from sagafsm.errors import RequestError, format_list

FaultKind = Literal[
    "raise_before",
    "raise_after",
    "down",
    "late",
    "crash",
    "crash_after",
    "interrupt",
    "cancel",
    "duplicate",
    "store_fail",
    "store_ambiguous",
    "twice",
    "withhold",
]
# From the simplest to explain to the hardest: a schedule shrinks towards the first.
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
FAULT_LABELS: dict[str, str] = {
    "raise_before": "refused",
    "raise_after": "done, but times out",
    "down": "down until healed",
    "late": "times out, lands later",
    "crash": "process dies before",
    "crash_after": "process dies after",
    "interrupt": "Ctrl-C",
    "cancel": "cancelled meanwhile",
    "duplicate": "a second worker takes over",
    "store_fail": "store fails",
    "store_ambiguous": "stored, but store fails",
    "twice": "called twice",
    "withhold": "signal never comes",
}

Grade = Literal["raise", "doubt", "crash", "store", "cancel", "compensation", "duplicate", "late"]
GRADES: tuple[Grade, ...] = get_args(Grade)
_GRADE_OF: dict[FaultKind, Grade] = {
    "raise_before": "raise",
    "down": "raise",
    "withhold": "raise",
    "raise_after": "doubt",
    "twice": "doubt",
    "late": "late",
    "crash": "crash",
    "crash_after": "crash",
    "interrupt": "crash",
    "cancel": "cancel",
    "duplicate": "duplicate",
    "store_fail": "store",
    "store_ambiguous": "store",
}

Turns = Literal["first", "last"]
OperatorPolicy = Literal["truth", "compensate"]
_CONCURRENT_PAIR = re.compile(r"beside=(?P<order>[01]*)/(?P<first>[1-9]\d*)/(?P<second>[1-9]\d*)")
_FAULT = re.compile(r"(?P<label>[^#=;\s]+)#(?P<number>[1-9]\d*)(?:@(?P<process>[1-9]\d*))?=(?P<kind>\w+)")


@attrs.frozen(order=True)
class FaultPoint:
    """A place for a fault: the `number`-th time that a process, by its number, reaches `label`.

    `label` is "charge.action/stripe.charge" for a call of a resource, "charge.action" for a call of a step's function,
    "charge.commit/StepSucceeded" for an append to the store, which is named for its first event.
    """

    label: str
    number: int = 1
    process_number: int = 1

    def __str__(self) -> str:
        return f"{self.label}#{self.number}" + (f"@{self.process_number}" if self.process_number > 1 else "")

    @property
    def path(self) -> str:
        """The step, by its path; "" if the point concerns the whole instance."""
        return split_label(self.label)[0]

    @property
    def role(self) -> str:
        """The part of the step: "action", "compensation", "probe", "commit" or "signal"."""
        return split_label(self.label)[1]

    @property
    def call(self) -> str:
        """The resource's method, as "stripe.charge", or the first event of the append; "" for a function as a whole."""
        return split_label(self.label)[2]


@functools.lru_cache(maxsize=10_000)
def build_path(instance_id: str, step: str | None = None) -> str:
    """Return the path of a step, or of a nested instance; "" for the root itself."""
    nested = instance_id.partition("/")[2]
    return "/".join(filter(None, (nested, step)))


def split_label(label: str) -> tuple[str, str, str]:
    """Split a label into path, role and call."""
    path, _, rest = label.partition(".") if "." in label else ("", "", label)
    role, _, call = rest.partition("/")
    return path, role, call


@attrs.frozen(order=True)
class Fault:
    """One fault at one point."""

    point: FaultPoint
    kind: FaultKind

    def __str__(self) -> str:
        return f"{self.point}={self.kind}"

    @property
    def grade(self) -> Grade:
        """The class of faults that it belongs to."""
        return "compensation" if self.point.role == "compensation" else _GRADE_OF[self.kind]


@attrs.frozen
class ConcurrentPair:
    """Two instances at once over one world: `order` says whose command is next, as "0110"; then they alternate.

    `refused`: which call of a resource by an action is refused, of the first instance and of the second.
    """

    order: str
    refused: tuple[int, int]

    def __str__(self) -> str:
        return f"beside={self.order}/{self.refused[0]}/{self.refused[1]}"


@attrs.frozen
class Schedule:
    """What goes wrong in one run, and how what is free is settled.

    `turns`: which member of a group answers first, the "first" or the "last" that was started. `operator`: what is
    decided about a step in doubt: the "truth", or "compensate" wherever that is allowed. `beside`: two instances run at
    once instead, each refused once, and nothing else goes wrong.
    """

    faults: tuple[Fault, ...] = ()
    turns: Turns = "first"
    operator: OperatorPolicy = "truth"
    beside: ConcurrentPair | None = None

    def __str__(self) -> str:
        words = [str(fault) for fault in self.faults]
        words += [] if self.beside is None else [str(self.beside)]
        words += ["turns=last"] if self.turns == "last" else []
        words += ["operator=compensate"] if self.operator == "compensate" else []
        return "; ".join(words) or "no fault"

    def __len__(self) -> int:
        return len(self.faults) if self.beside is None else len(self.beside.refused)

    @property
    def grades(self) -> tuple[Grade, ...]:
        """The classes of its faults, in order."""
        return tuple(dict.fromkeys(fault.grade for fault in self.faults))

    def with_fault(self, fault: Fault) -> Schedule:
        """The schedule with one fault more."""
        return attrs.evolve(self, faults=(*self.faults, fault))

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule that a text says, as "charge.action/stripe.charge#1=raise_after; charge.compensation#1=crash".

        Raises:
            RequestError: a part says nothing; the message names the part, and what it may be.
        """
        faults: list[Fault] = []
        free: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            if part == "no fault":
                continue
            if part in ("turns=last", "turns=first", "operator=compensate", "operator=truth"):
                name, _, value = part.partition("=")
                free[name] = value
                continue
            if (match := _CONCURRENT_PAIR.fullmatch(part)) is not None:
                free["beside"] = ConcurrentPair(match["order"], (int(match["first"]), int(match["second"])))
                continue
            faults.append(_parse_fault(part))
        if faults and "beside" in free:
            raise RequestError(f"{str(free['beside'])!r} is a schedule by itself: two instances meet no further faults")
        return cls(tuple(faults), **free)


def _parse_fault(part: str) -> Fault:
    match = _FAULT.fullmatch(part)
    if match is None:
        raise RequestError(
            f"{part!r} is no part of a schedule (write label#number=fault, as 'charge.action/stripe.charge#1=crash', "
            "or turns=last, or operator=compensate)"
        )
    kind = match["kind"]
    if kind not in FAULT_KINDS:
        raise RequestError(
            f"{part!r} asks for a fault {kind!r} that there is not (there are: {format_list(FAULT_KINDS)})"
        )
    point = FaultPoint(match["label"], int(match["number"]), int(match["process"] or 1))
    return Fault(point, next(known for known in FAULT_KINDS if known == kind))


def find_nearest(point: FaultPoint, known: Iterable[FaultPoint]) -> FaultPoint | None:
    """The point of those known that a name most likely means; None when there is none at all."""
    by_text = {str(other): other for other in known}
    found = difflib.get_close_matches(str(point), by_text, n=1, cutoff=0.0)
    return by_text[found[0]] if found else None


def list_fault_kinds(point: FaultPoint, *, intercepted: bool) -> Sequence[FaultKind]:
    """What is tried at a point; `intercepted`: the function there calls resources, which are points of their own."""
    if point.call.endswith(("__exit__", "__aexit__")):
        # What it ends may be a transaction or a mere connection: that it is refused says nothing of what is done.
        return ("raise_after", "crash", "crash_after", "interrupt")
    match point.role, bool(point.call):
        case "commit", _ if point.call == "InstanceCreated":
            # There is nothing to be cancelled before the root is created.
            fits: tuple[FaultKind, ...] = ("cancel", "duplicate") if point.path else ("duplicate",)
            return ("crash", "crash_after", "store_fail", "store_ambiguous", *fits)
        case "commit", _:
            return ("crash", "crash_after", "store_fail", "store_ambiguous", "cancel", "duplicate")
        case "signal", _:
            return ("withhold", "cancel")
        case "probe", True:
            return ("raise_before", "down", "crash")
        case "compensation", True:
            return ("raise_before", "raise_after", "down", "late", "crash", "crash_after", "interrupt")
        case "action", True:
            return ("raise_before", "raise_after", "down", "late", "crash", "crash_after", "interrupt", "cancel")
        case _ if intercepted:
            return ()
        case "probe", _:
            return ("raise_before",)
        case _:
            return ("raise_before", "raise_after", "crash", "crash_after", "interrupt")
