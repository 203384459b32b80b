"""An event says what happened and why."""

from __future__ import annotations

import pytest

from sagafsm.history import events as e
from support.facts import REFUSED, done, failed

REASONS: dict[str, tuple[e.Event, e.Because, str]] = {
    "a decision": (
        e.DecisionMade(decision="skip", step="a", by="Zoë", reason="by hand"),
        e.Because("skip", "Zoë", "by hand", None),
        "skip; Zoë; by hand",
    ),
    "a cause": (
        e.CauseRecorded(kind="failure", step="a", error=REFUSED, by="Zoë", reason="too late"),
        e.Because(None, "Zoë", "too late", REFUSED),
        f"Zoë; too late; {REFUSED}",
    ),
    "a failure": (failed(), e.Because(None, None, None, REFUSED), str(REFUSED)),
    "a doubt": (
        e.StepInDoubt(step="a", attempt=1, reason="timeout"),
        e.Because(None, None, "timeout", None),
        "timeout",
    ),
    "an empty name": (
        e.CancelRequested(request_id="r", by="", reason="old"),
        e.Because(None, "", "old", None),
        "old",
    ),
    "a success": (done(), e.Because(None, None, None, None), ""),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_an_event_happened(name: str) -> None:
    """The decision, who asked for it, the reason and the error, as far as the event has them."""
    event, expected, words = REASONS[name]
    assert (expected, words) == (e.get_because(event), str(e.get_because(event)))
