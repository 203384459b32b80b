"""How a call may end, and what of it is in the world then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import attrs

from exams.model.sagas import Kind
from exams.model.trees.sagas import TreeSaga
from sagafsm.core.commands import Run, RunAction, RunCompensation
from sagafsm.core.outcomes import IN_DOUBT, NOT_DONE, Done
from sagafsm.engine.effects import CallRaised, CallReturned, CallTimedOut, Reply
from sagafsm.errors import OutcomeUnknown, PermanentFailure

RAISED, PERMANENT = CallRaised(ValueError("refused")), CallRaised(PermanentFailure("never"))
UNKNOWN, UNSTORABLE, RETURNED = CallRaised(OutcomeUnknown("no answer")), CallReturned(object()), CallReturned("done")


class NoAnswer:
    """A call that outlived its timeout and never answers."""

    def reply(self) -> None:
        return None

    def when_done(self, listener: object) -> None:
        pass


class End(NamedTuple):
    """One way in which a call ends: `times` its effect is in the world then. `good`: nothing failed."""

    label: str
    good: bool
    times: int
    reply: Reply | None


@attrs.frozen
class Calls:
    """The calls of one saga."""

    saga: TreeSaga
    kinds: Mapping[str, Kind]

    def ends(self, run: Run, path: str, there: int, *, late: bool) -> Iterator[End]:
        """Every way in which the call may end, whose effect is `there` so often; `late`: its timeout has passed."""
        match run:
            case RunAction():
                yield from self._action(path, there, late=late)
            case RunCompensation():
                yield from self._compensation(there, late=late)
            case _:
                yield End("probe: the truth", True, there, CallReturned(Done("done") if there else NOT_DONE))
                yield End("probe: in doubt", False, there, CallReturned(IN_DOUBT))

    def landed(self, path: str, there: int) -> int:
        """How often the effect is there once the action has taken it."""
        kind = self.kinds[path]
        return there if not kind.effect or (there and "retry" in kind.in_doubt) else there + 1

    def _action(self, path: str, there: int, *, late: bool) -> Iterator[End]:
        kind, landed = self.kinds[path], self.landed(path, there)
        yield End("returned", True, landed, RETURNED)
        yield End("raised", False, there, RAISED)
        if not there and (kind.attempts > 1 or self.saga.thorough):
            yield End("raised PermanentFailure", False, there, PERMANENT)
        if self.saga.thorough:
            yield End("returned what cannot be stored", False, landed, UNSTORABLE)
        told, reply = ("gives no answer", None) if late else ("OutcomeUnknown", UNKNOWN)
        if kind.effect or late:
            yield End(f"{told}, not done", False, there, reply)
            if landed != there:
                yield End(f"{told}, done", False, landed, reply)
        if self.saga.silence and not late:
            yield End("timed out", False, there, CallTimedOut(NoAnswer()))

    def _compensation(self, there: int, *, late: bool) -> Iterator[End]:
        yield End("undone", True, 0, RETURNED)
        yield End("compensation raised", False, there, RAISED)
        if there and self.saga.thorough:
            yield End("compensation raised, undone", False, 0, RAISED)
        if late:
            yield End("compensation gives no answer", False, there, None)
        elif self.saga.silence:
            yield End("compensation timed out", False, there, CallTimedOut(NoAnswer()))
