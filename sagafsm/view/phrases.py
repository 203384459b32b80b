"""What the machine's short names mean, for those who read them in a page."""

from __future__ import annotations

from collections.abc import Mapping

from sagafsm import events as e

DECISIONS: Mapping[e.Decision, str] = {
    "retry": "call it again, with a new budget",
    "resolve(result)": "it was done: record its result",
    "resolve(not_done)": "it was not done: go back without it",
    "resolve(undone)": "it is undone: go on",
    "compensate": "go back, and undo it in its place",
    "skip": "leave it as it is, and go on; it stays as residue",
    "abandon": "end here; all that is left is residue",
}
BLOCKS: Mapping[e.BlockReason, str] = {
    "in_doubt": "it is not known whether it took effect",
    "crash_loop": "its process died five times in a row",
    "exhausted": "its attempts are used up, and there is no way back",
    "payload": "it took effect, but its result cannot be stored",
    "compensation_failed": "its compensation failed for good",
}
RESIDUES: Mapping[e.ResidueReason, str] = {
    "no_compensation": "nothing undoes it",
    "in_doubt": "it is not known whether it took effect",
    "skipped": "left as it is, by a decision",
    "abandoned": "not undone, as the instance was ended before",
}
DOUBTS: Mapping[e.DoubtReason, str] = {
    "timeout": "it timed out",
    "outcome_unknown": "the outcome is unknown",
    "process_died": "its process died",
    "earlier_attempt": "an earlier attempt is in doubt",
    "probe": "the probe cannot tell",
}


def count(number: int, what: str) -> str:
    """A number of something: "1 event", "1,200 events"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
