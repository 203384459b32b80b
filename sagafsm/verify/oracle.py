"""What is wrong with how a run ended, if anything is: the laws that a user's saga has to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Literal, get_args

import attrs

from sagafsm import events as e
from sagafsm.verify.life import Passed
from sagafsm.verify.memory import codes_of
from sagafsm.verify.operator import Settled
from sagafsm.verify.runs import Outcome
from sagafsm.verify.simulation import CANCEL, Simulation
from sagafsm.verify.stores import path_of
from sagafsm.verify.world import Look, agrees, changes, falls_short, is_within, places, rekeyed

FindingKind = Literal[
    "left_behind",
    "differs",
    "stuck",
    "swallowed_interrupt",
    "lost_cancel",
    "after_end",
    "order",
    "misleading_residue",
    "late",
    "do_twice",
    "undo_twice",
    "undo_without_do",
    "late_do",
    "hangs",
    "not_intercepted",
    "constant_snapshot",
    "not_deterministic",
    "never_completes",
    "refused_input",
    "missing_resource",
    "never_reached",
    "unfired",
]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
# What says that nothing, or not everything, was tried: not that something is wrong.
VACUOUS: frozenset[FindingKind] = frozenset(
    {"not_intercepted", "constant_snapshot", "never_completes", "never_reached", "unfired", "refused_input"}
)


@attrs.frozen
class Violation:
    """One law that a run broke: which, by which step, and what shows it.

    `instead`: what it would be called, and who be blamed, but for a fault that has a name of its own.
    """

    kind: FindingKind
    step: str
    told: str
    left: tuple[str, ...] = ()
    instead: tuple[FindingKind, str] | None = None


# Runs a schedule once more, looking at the world around every call.
Tracer = Callable[[Outcome], Outcome]


@attrs.define(eq=False)
class Oracle:
    """Judges runs of one input; `reference` is how the run without faults ended.

    Which step is to blame for what is left behind is found out by a traced rerun, once for each kind of remains.
    """

    before: Look
    reference: Outcome | None
    tracer: Tracer
    effectless: frozenset[str] = frozenset()
    _blamed: dict[tuple[object, ...], tuple[str, ...]] = attrs.field(factory=dict, init=False)

    def violations(self, outcome: Outcome) -> list[Violation]:
        """Everything that is wrong with it, the gravest first."""
        found = list(self._ending(outcome))
        if any(violation.kind == "after_end" for violation in found):
            # What is in the world then is a matter of chance.
            return found
        if outcome.ending == "rested" and not found:
            if outcome.resting is not None:
                # What is wrong before a call lands late is no matter of fencing: perhaps it never lands.
                found += self._world(attrs.evolve(outcome, after=outcome.resting, landed=()))
            if not found:
                return [*_renamed(outcome, list(self._world(outcome))), *_requests(outcome), *_order(outcome)]
        elif outcome.ending == "rested":
            # What is left after an operator had to give up on a step is that step's fault, and told with it.
            stuck = {violation.step for violation in found}
            found += [
                violation for violation in self._world(outcome) if violation.step not in stuck and not _gave_up(outcome)
            ]
        found += _requests(outcome)
        found += _order(outcome)
        return _renamed(outcome, found) if outcome.resting is None else found

    def _ending(self, outcome: Outcome) -> Iterator[Violation]:
        if outcome.ending == "hung":
            yield Violation("hangs", _last_called(outcome.run), outcome.told)
            return
        for called in outcome.run.swallowed:
            told = f"the {called.role} of step {called.path!r} went on after Ctrl-C (KeyboardInterrupt was caught)"
            yield Violation("swallowed_interrupt", called.path, told)
        for name, codes in dict(outcome.run.after_end).items():
            step = _caller_of(outcome.run, name, codes)
            yield Violation("after_end", step, f"{name} was called when no step was under way any more")
        for settled in outcome.settled:
            if not _is_justified(outcome, settled):
                yield Violation("stuck", settled.path, _why_stuck(settled))
        if outcome.ending != "rested":
            current = outcome.instance.current if outcome.instance is not None else None
            yield Violation("stuck", current or "", outcome.told)

    def _world(self, outcome: Outcome) -> Iterator[Violation]:
        if outcome.after is None:
            return
        if outcome.state == "failed" and not agrees(outcome.world, self.before, outcome.after):
            yield from self._blame("left_behind", outcome, self.before)
        elif outcome.state == "completed" and self._reference_completed and self.reference is not None:
            assert self.reference.after is not None  # noqa: S101 - it rested
            if not self._agrees_with_reference(outcome, outcome.after):
                yield from self._blame("differs", outcome, self.reference.after)
            else:
                for key in falls_short(self.reference.after, outcome.after):
                    told = f"there is less in {key!r} than after a run without faults"
                    yield Violation("differs", _last_hit(outcome), told, (told,))

    def _agrees_with_reference(self, outcome: Outcome, after: Look) -> bool:
        """Whether the world is as after a run without faults, but for keys that differ from run to run.

        The keys of a nested saga's steps count from when it was created, which a backoff before it puts off.
        """
        assert self.reference is not None  # noqa: S101 - asked for where there is one
        if agrees(outcome.world, self._least, after):
            return True
        mine, theirs = keys_of(outcome), keys_of(self.reference)
        if mine.keys() == theirs.keys():
            return False
        return agrees(outcome.world, rekeyed(self._least, theirs), rekeyed(after, mine))

    @property
    def _reference_completed(self) -> bool:
        return self.reference is not None and self.reference.state == "completed"

    @property
    def _least(self) -> Look:
        """The world after a run without faults, with what may only grow as it was before."""
        assert self.reference is not None  # noqa: S101 - asked for where there is one
        assert self.reference.after is not None  # noqa: S101 - it rested
        return Look(self.reference.after.state, self.before.grows) if self.before.grows else self.reference.after

    def _blame(self, kind: FindingKind, outcome: Outcome, expected: Look) -> Iterator[Violation]:
        assert outcome.after is not None  # noqa: S101 - asked for where it is known
        mine, now = expected.strict, outcome.after.strict
        left, where = tuple(changes(mine, now)), places(mine, now)
        hit = tuple(dict.fromkeys(passed.point.path for passed in outcome.fired))
        key = (kind, where, hit)
        if key not in self._blamed:
            self._blamed[key] = to_blame(self.tracer(outcome), where) or (hit[-1:] if hit else ("",))
        for step in self._blamed[key]:
            hides = kind == "left_behind" and step in self.effectless
            yield Violation("misleading_residue" if hides else kind, step, "", left)


def keys_of(outcome: Outcome) -> dict[str, str]:
    """The keys that a run gave its calls, each with the step and direction that it belongs to."""
    found: dict[str, str] = {}
    for entry in outcome.run.timeline:
        if not isinstance(entry, Passed):
            instance_id, events = entry
            for event in events:
                if isinstance(event, (e.StepStarted, e.CompensationStarted)):
                    found[event.key] = f"{type(event).__name__} {path_of(instance_id, event.step)}"
    return found


def to_blame(traced: Outcome, where: frozenset[str]) -> tuple[str, ...]:
    """The steps whose actions, or else compensations, last changed what is not as it should be."""
    blamed: dict[str, str] = {}
    # What no action changed is the doing of whoever undid too much.
    for role in ("compensation", "action"):
        for change in traced.run.changes:
            if change.called.role == role:
                blamed.update(dict.fromkeys(change.places, change.called.path))
    found: list[str] = []
    for place in sorted(where):
        step = blamed.get(place) or next((path for known, path in blamed.items() if is_within(place, known)), None)
        if step is not None and step not in found:
            found.append(step)
    return tuple(found)


def _is_justified(outcome: Outcome, settled: Settled) -> bool:
    """Whether an instance had to be blocked: for a doubt, an outage, or because it was refused again and again.

    A call that is refused once, and then not tried again, asks for a person without need.
    """
    if settled.reason in ("in_doubt", "crash_loop"):
        return True
    if settled.decision == "abandon" or settled.reason == "payload":
        return False
    if settled.outage or settled.failure is None or settled.failure.type.endswith(("ProcessDied", "Unreachable")):
        return True
    role = "compensation" if settled.reason == "compensation_failed" else "action"
    hits = [p for p in outcome.fired if p.point.path == settled.path and p.point.role == role]
    return len(hits) > 1 and "(injected)" in settled.failure.message


def _why_stuck(settled: Settled) -> str:
    injected = settled.failure is not None and "(injected)" in settled.failure.message
    how = "was refused once and is not called again" if injected else "fails by itself"
    what = {
        "compensation_failed": f"the compensation of step {settled.path!r} {how}",
        "exhausted": f"step {settled.path!r}, behind the pivot, {how}",
        "payload": f"the result of step {settled.path!r} cannot be stored",
    }.get(settled.reason, f"step {settled.path!r} is blocked")
    return f"{what}: {settled.failure}" if settled.failure is not None else what


def _gave_up(outcome: Outcome) -> bool:
    return any(settled.decision == "abandon" for settled in outcome.settled)


def _last_called(run: Simulation) -> str:
    return run.calls[-1].path if run.calls else ""


def _last_hit(outcome: Outcome) -> str:
    return outcome.fired[-1].point.path if outcome.fired else ""


def _caller_of(run: Simulation, name: str, codes: frozenset[CodeType]) -> str:
    """The step whose function, or what is defined in it, is among the code that makes a call.

    Else the first one that names the method; the last one called, where none does.
    """
    method = name.rpartition(".")[2]
    names_it = ""
    for called in run.calls:
        own = codes_of(called.call.function.call)
        if own & codes:
            return called.path
        if not names_it and any(method in code.co_names for code in own):
            names_it = called.path
    return names_it or _last_called(run)


def _requests(outcome: Outcome) -> Iterator[Violation]:
    """A cancel that was accepted is in the history, and leads back, unless the pivot was quicker."""
    if not outcome.run.cancelled or outcome.instance is None or outcome.ending != "rested":
        return
    seen = {getattr(event, "request_id", None) for event in outcome.instance.history}
    late = any(isinstance(event, e.CancelCameTooLate) for event in outcome.instance.history)
    if f"{CANCEL}0" not in seen or (outcome.state == "completed" and not late):
        yield Violation("lost_cancel", "", "a cancel was accepted, and the instance went on as if there had been none")


def _order(outcome: Outcome) -> Iterator[Violation]:
    """What was begun is undone in reverse: by the numbers of the events, not by anybody's clock."""
    if outcome.instance is None or outcome.instance.phase != "failed":
        return
    history = outcome.instance.history
    started = list(dict.fromkeys(event.step for event in history if isinstance(event, e.StepStarted)))
    undone = list(dict.fromkeys(event.step for event in history if isinstance(event, e.CompensationStarted)))
    if undone != [step for step in reversed(started) if step in undone]:
        yield Violation(
            "order", undone[-1], f"{', '.join(undone)} were undone in this order, begun {', '.join(started)}"
        )


def _renamed(outcome: Outcome, found: list[Violation]) -> list[Violation]:
    """What is wrong only because a step was called twice, or because a call landed late, is called by that name."""
    kinds = {passed.kind: passed.point for passed in outcome.fired}
    name: FindingKind | None = None
    if "late" in kinds and outcome.landed:
        name = "late" if kinds["late"].call else "late_do"
    elif "twice" in kinds:
        name = "do_twice" if kinds["twice"].role == "action" else "undo_twice"
    if name is None:
        return found
    step = kinds["late" if name.startswith("late") else "twice"].path
    return [
        attrs.evolve(violation, kind=name, step=step, instead=(violation.kind, violation.step))
        for violation in found[:1]
    ]
