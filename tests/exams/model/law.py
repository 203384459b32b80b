"""The laws by name, and the failure that names one."""

from __future__ import annotations

from typing import NoReturn

WRITE_AHEAD = "write ahead"
TABLE = "every state is an edge of the table"
SUMMARY = "the summary agrees with the fold"
AFTER_CAUSE = "no action after a cause"
PIVOT = "no way back behind the pivot"
ORDER = "compensations in strict reverse order of first start"
CANCEL_LOST = "a cancel is never lost"
DECISIONS = "the decisions of a block are the row of the table"
GREEN = "no false green"
TWICE = "nothing is done twice"
RESIDUE = "the residue names what may remain"
TRAP = "no trap"
UNDEFINED = "no undefined continuation"
PROGRESS = "what is not parked makes progress"
SAME = "resuming equals never having stopped"
COMMITS = "N+1 commits without a fault"
BLIND = "a doubt is never acted on blindly"
BUDGET = "no more calls than the budget allows"
CRASHES = "the fifth process death in a row blocks"

# Of groups and nested sagas.
ONE_UNDO = "one compensation at a time"
HELD = "nothing new starts while a member is in doubt, or after the first failure"
AWAITED = "running members are awaited and settled before any compensation"
FIRST_FAILURE = "the first observed failure is the cause"
LIMIT = "no more members run than the group allows"
LAST_RESORT = "a group blocks only when no member runs or waits for its retry"
WHOLE_TREE = "the root's blocks and wake_at are those of its tree"
TOLD = "a cause of the parent is absorbed before anything else happens in the child"
NEVER_CREATED = "a child is never created after a cause"
EVIDENCE = "what a parent says of a child is what the child's history says"
CHILD_RESIDUE = "a child's residue is its parent's"
SECOND_RECOVER = "a second recovery changes nothing"
LET_GO = "whoever leaves lets go of the whole tree"


class LawBroken(AssertionError):
    """A law does not hold. `law` is its name; the explorer adds the saga and the trace."""

    def __init__(self, law: str, what: str) -> None:
        super().__init__(law, what)
        self.law, self.what, self.where = law, what, ""

    def __str__(self) -> str:
        return f"law broken: {self.law}: {self.what}\n{self.where}"


def broken(law: str, what: str) -> NoReturn:
    raise LawBroken(law, what)
