"""A parent tells its nested sagas what came for them, and hears of them by their histories."""

from __future__ import annotations

import attrs
import pytest

from sagafsm import IllegalTransition
from sagafsm.core.commands import Park, RunChild
from sagafsm.core.decisions import (
    DecisionRequest,
    apply_parent_decision,
    build_late_decision,
    has_signal,
    is_compensatable,
    list_allowed_operations,
)
from sagafsm.core.nested import (
    child_id,
    has_unread_requests,
    list_parent_requests,
    list_parked_nested,
    resume_nested,
    start_nested,
    undo_nested,
)
from sagafsm.errors import RequestError
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.signals import list_awaited, list_waits, resolve_signal_name
from support.facts import BROKEN, LATER, REFUSED, done, doubted, failed, outlined, started, told, undoing
from support.messages import message_of

WAIT = e.StepOutline(name="ok", kind="wait", effect=False)
INNER = (*outlined("fee"), WAIT)
STEPS = (
    e.StepOutline(name="a", kind="saga", steps=INNER, compensation=True),
    *outlined("b"),
    e.StepOutline(name="go", kind="wait"),
)
CAUSE = e.CauseRecorded(kind="failure", step="b", error=REFUSED, by="eve")
RETRY = e.DecisionMade(decision="retry", step="a/x/fee", by="eve", reason="now", state="compensating:a")
SIGNAL = e.SignalReceived(request_id="r-1", name="a/x/ok", payload_json="1", state="running:a")
PARKED = e.ChildParked(step="a", blocks=(e.RecordedBlock(step="fee", reason="payload", decisions=()),))
RESUMED = (e.ChildResumed(step="a"),)
HANDED = "\x1fo-1#"


def of(*facts: e.Event) -> SagaInstance:
    return told(*facts, steps=STEPS)


def test_a_nested_saga_has_its_parents_id_and_its_steps_name() -> None:
    """So that it is found, and created once."""
    assert "o-1/a" == child_id("o-1", "a")


def test_what_came_for_a_nested_saga_is_handed_down() -> None:
    """Decisions and signals in order, by the path from there, unstamped, each with an id so that it counts once."""
    ordered = (
        e.DecisionMade(decision="retry", step="x/fee", by="eve", reason="now", request_id=f"{HANDED}4"),
        e.SignalReceived(request_id="r-1", name="x/ok", payload_json="1"),
    )
    instance = of(started(), PARKED, RETRY, SIGNAL)
    assert (
        ordered == list_parent_requests(instance, "a", "action") == list_parent_requests(instance, "a", "compensation")
    )
    named = attrs.evolve(RETRY, request_id="d-1")
    assert "d-1" == list_parent_requests(of(started(), PARKED, named), "a", "action")[0].request_id
    assert () == list_parent_requests(instance, "b", "action")


def test_the_cause_is_handed_down_first() -> None:
    """As a cancel by whoever caused it; one that is sent back hears of it otherwise."""
    reason = "its parent 'o-1' goes back: step 'b' failed by eve: Refused: sold out"
    cancel = e.CancelRequested(request_id=f"{HANDED}3", by="eve", reason=reason)
    instance = of(started(), CAUSE, SIGNAL)
    first, second = list_parent_requests(instance, "a", "action")
    assert (cancel, "r-1") == (first, second.request_id)
    assert ["r-1"] == [request.request_id for request in list_parent_requests(instance, "a", "compensation")]


def test_a_nested_saga_that_has_not_heard_all_is_overtaken() -> None:
    """It parked before it read what its parent has for it."""
    instance = of(started(), PARKED, SIGNAL)
    deaf, heard = told(started("fee"), steps=INNER), told(attrs.evolve(SIGNAL, name="ok"), steps=INNER)
    assert has_unread_requests(instance, "a", "action", deaf)
    assert not has_unread_requests(instance, "a", "action", heard)
    assert has_unread_requests(of(started(), CAUSE, SIGNAL), "a", "action", heard)
    assert not has_unread_requests(of(started(), CAUSE, SIGNAL), "a", "compensation", heard)
    assert not has_unread_requests(of(started()), "a", "action", deaf)


def test_a_nested_saga_begins_with_what_came_before() -> None:
    """Signals that were posted before it was created are posted to it."""
    signal = attrs.evolve(SIGNAL, name="x/ok", state=None)
    instance = of(SIGNAL)
    begun = (e.StepStarted(step="a", attempt=1, key="k"),)
    assert RunChild(step="a", attempt=1, key="k", requests=(signal,), events=begun) == start_nested(
        instance, instance.steps["a"], "k"
    )


def driven(*facts: e.Event, direction: e.Direction = "action") -> RunChild | None:
    instance = of(*facts)
    return resume_nested(instance, instance.steps["a"], direction, "k")


def test_a_nested_saga_is_driven_on_when_there_is_reason_to() -> None:
    """Left in the middle, something came for it, the cause is new to it, or its time comes."""
    run = RunChild(step="a", attempt=1, key="k")
    back = attrs.evolve(run, direction="compensation")
    assert run == driven(started())
    assert back == driven(undoing(), direction="compensation")
    assert driven(started(), PARKED) is None
    assert driven() is None
    assert driven(started(), undoing(), PARKED, direction="compensation") is None
    resumed = driven(started(), PARKED, SIGNAL)
    assert (RESUMED, None, False) == (resumed.events, resumed.not_before, resumed.parks)
    assert RESUMED == driven(started(), PARKED, CAUSE).events
    assert driven(started(), CAUSE, PARKED) is None
    assert driven(started(), undoing(), PARKED, CAUSE, direction="compensation") is None
    for more, parks in (({}, False), ({"waits": True}, True), ({"blocks": PARKED.blocks}, True)):
        asleep = driven(started(), e.ChildParked(step="a", retry_at=LATER, **more))
        assert attrs.evolve(run, events=RESUMED, not_before=LATER, parks=parks) == asleep


def test_a_nested_saga_is_sent_back_once_and_then_driven() -> None:
    """Parked on the way back it is left alone."""
    begun = (e.CompensationStarted(step="a", attempt=1, key="k"),)
    back = RunChild(step="a", attempt=1, key="k", direction="compensation")
    completed, sent, asked = of(started(), done()), of(started(), done(), undoing()), of(undoing(), PARKED)
    assert attrs.evolve(back, events=begun) == undo_nested(completed, completed.steps["a"], "k")
    assert back == undo_nested(sent, sent.steps["a"], "k")
    assert Park() == undo_nested(asked, asked.steps["a"], "k")


def test_the_parked_are_found_in_either_direction() -> None:
    """Each with what drives it on."""
    forward = RunChild(step="a", attempt=1, key="")
    assert [forward] == list(list_parked_nested(of(started(), PARKED)))
    assert [attrs.evolve(forward, direction="compensation")] == list(
        list_parked_nested(of(started(), done(), undoing(), PARKED))
    )
    assert [] == list(list_parked_nested(of(started(), done())))


# Signals --------------------------------------------------------------------------------------------------------------


def test_signals_of_nested_sagas_are_named_by_their_paths() -> None:
    """All that a saga waits for, in order of definition."""
    assert ["a/ok", "go"] == list(list_waits(STEPS))
    assert ["p/a/ok", "p/go"] == list(list_waits(STEPS, "p/"))


def test_what_is_awaited_now() -> None:
    """Waits that have begun; of a nested saga that waits, what it has not received."""
    waiting = of(started(), e.ChildParked(step="a", waits=True), e.WaitStarted(step="go"))
    assert ["a/ok", "go"] == list(list_awaited(STEPS, waiting.steps, ()))
    assert ["go"] == list(list_awaited(STEPS, waiting.steps, ("a/ok",)))
    assert [] == list(list_awaited(STEPS, of(started(), PARKED).steps, ()))
    assert [] == list(list_awaited(STEPS, of(started("b")).steps, ()))


def migration(*renamed: tuple[str, str | None]) -> e.InstanceMigrated:
    return e.InstanceMigrated(version=2, fingerprint="f", steps=(), renamed=renamed)


def test_a_signal_finds_its_step_under_the_name_of_now() -> None:
    """Through one migration after the other; where its step is gone, or never was, it has no name."""
    first, second = migration(("a", "b")), migration(("x", "y"), ("b", "c"))
    assert "c/ok" == resolve_signal_name("a/ok", {"c"}, [started(), first, second])
    assert "c" == resolve_signal_name("b", {"c"}, [migration(("x", "y")), second])
    assert "a" == resolve_signal_name("a", {"a", "b"}, [first])
    assert "" == resolve_signal_name("a", {"b"}, [migration(("a", None))])
    assert "" == resolve_signal_name("a/ok", {"b"}, [])


def test_a_signal_is_taken_while_its_step_can_use_it() -> None:
    """Before and while it is waited for; once it came, another counts for nothing; later it is refused."""
    signal = e.SignalReceived(request_id="r-9", name="go", payload_json="1")
    assert not has_signal(of(), "go", None)
    assert not has_signal(of(e.WaitStarted(step="go")), "go", None)
    assert not has_signal(of(started(), PARKED), "a/ok", "r-1")
    assert not has_signal(of(started()), "a/ok", "r-1")
    assert has_signal(of(signal), "go", None)
    assert has_signal(of(signal), "a/ok", "r-9")
    assert not has_signal(of(signal), "a/ok", "r-1")
    expected = "instance 'o-1' waits for no signal 'b' (it waits for: a/ok, go)"
    assert expected == message_of(RequestError, lambda: has_signal(of(), "b", None))
    late = of(e.WaitStarted(step="go", state="running:go"), failed("go"))
    expected = "instance 'o-1' is running:go and past 'go', which does not allow 'signal go' (allowed: nothing)"
    assert expected == message_of(IllegalTransition, lambda: has_signal(late, "go", None))
    expected = "instance 'o-1' is running:a, which does not allow 'signal go' (allowed: resume, cancel, abandon)"
    assert expected == message_of(
        IllegalTransition, lambda: has_signal(of(started(state="running:a"), CAUSE), "go", None)
    )
    ended = of(e.InstanceFailed(state="failed"))
    expected = "instance 'o-1' is failed, which does not allow 'signal a/ok' (allowed: nothing)"
    assert expected == message_of(IllegalTransition, lambda: has_signal(ended, "a/ok", None))


# Decisions ------------------------------------------------------------------------------------------------------------


def blocked(step: str = "b", reason: e.BlockReason = "in_doubt") -> e.InstanceBlocked:
    decisions = ("retry", "resolve(not_done)", "compensate", "abandon")
    return e.InstanceBlocked(step=step, reason=reason, decisions=decisions, state="running:b")


def verdict(decision: e.Decision, step: str | None = None) -> DecisionRequest:
    return DecisionRequest(decision=decision, step=step, by="eve", reason="seen", result_json="7", request_id="d-1")


def made(decision: e.Decision, step: str | None = "b") -> e.DecisionMade:
    return e.DecisionMade(decision=decision, step=step, by="eve", reason="seen", result_json="7", request_id="d-1")


GOES_BACK = e.CauseRecorded(kind="decision", step="b", error=BROKEN, by="eve", reason="seen")
ASKED = [started("b"), doubted("b", error=BROKEN)]


@pytest.mark.parametrize("reason", ["in_doubt", "crash_loop"])
def test_a_decision_to_go_back_is_the_cause(reason: e.BlockReason) -> None:
    """Unless there is one, or a cancel waits to become it; a retry causes nothing."""
    instance = of(*ASKED, blocked(reason=reason))
    for decision in ("compensate", "resolve(not_done)"):
        assert (made(decision), GOES_BACK) == verdict(decision).events(instance)
        for fact in (CAUSE, e.CancelRequested(request_id="r")):
            assert (made(decision),) == verdict(decision).events(of(*ASKED, fact, blocked(reason=reason)))
    assert (made("retry"),) == verdict("retry").events(instance)
    assert (made("retry"),) == verdict("retry", "b").events(instance)


def test_no_decision_is_a_cause_elsewhere() -> None:
    """Not where something failed for good, behind the pivot, or within a nested saga, which has causes of its own."""
    assert (made("resolve(not_done)"),) == verdict("resolve(not_done)").events(of(*ASKED, blocked(reason="payload")))
    within = of(started(), blocked("a/fee"))
    assert (made("compensate", "a/fee"),) == verdict("compensate").events(within)
    pivot = (*outlined("p", pivot=True, compensation=False), *outlined("b"))
    behind = told(started("p"), done("p"), *ASKED, blocked(), steps=pivot)
    assert (made("resolve(not_done)"),) == verdict("resolve(not_done)").events(behind)


def refusal(decision: e.Decision, instance: SagaInstance, step: str | None = None) -> str:
    return message_of(IllegalTransition, lambda: verdict(decision, step).events(instance))


def test_a_decision_is_refused_with_what_is_allowed() -> None:
    """The whole message: of which instance, in which state, and what may be asked instead."""
    one, two = of(*ASKED, blocked()), of(*ASKED, blocked("a"), blocked())
    choices = "retry, resolve(not_done), compensate"
    assert (
        "instance 'o-1' is running:b (in_doubt), which does not allow 'skip' (allowed: "
        f"{choices}, abandon)" == refusal("skip", one)
    )
    assert (
        "instance 'o-1' is running:b, which does not allow 'retry of step a' (allowed: resume, cancel, "
        f"{choices}, abandon)" == refusal("retry", one, "a")
    )
    assert (
        "instance 'o-1' is running:b, which does not allow 'retry without step=' (allowed: retry with step='a', "
        "retry with step='b')" == refusal("retry", two)
    )
    assert (made("retry"),) == verdict("retry", "b").events(two)
    assert "instance 'o-1' is pending, which does not allow 'retry' (allowed: resume, cancel, abandon)" == refusal(
        "retry", of()
    )
    ended = of(e.InstanceFailed(state="failed"))
    for decision in ("abandon", "compensate"):
        expected = f"instance 'o-1' is failed, which does not allow {decision!r} (allowed: nothing)"
        assert expected == refusal(decision, ended)


COMPLETED = e.InstanceCompleted(state="completed")


def test_a_completed_instance_is_sent_back() -> None:
    """With the reason given or a plain one, unless it has a pivot, nothing to undo, or a step is named."""
    cause = e.CauseRecorded(kind="decision", by="eve", reason="seen")
    assert (made("compensate", None), cause) == verdict("compensate").events(of(COMPLETED))
    plain = attrs.evolve(verdict("compensate"), reason=None).events(of(COMPLETED))
    assert "compensated on request" == plain[1].reason
    expected = "instance 'o-1' is completed, which does not allow 'compensate of step b' (allowed: compensate)"
    assert expected == refusal("compensate", of(COMPLETED), "b")
    bare = told(COMPLETED, steps=outlined("a", compensation=False))
    expected = "instance 'o-1' is completed, which does not allow 'compensate' (allowed: nothing)"
    assert expected == refusal("compensate", bare)
    pivot = told(COMPLETED, steps=(*outlined("b"), *outlined("a", pivot=True, compensation=False)))
    expected = "instance 'o-1' is completed, behind its pivot 'a', which does not allow 'compensate' (allowed: nothing)"
    assert expected == refusal("compensate", pivot)
    assert [True, False, False] == [is_compensatable(instance) for instance in (of(), bare, pivot)]


def test_abandoning_ends_an_instance_anywhere() -> None:
    """It needs no block and no definition."""
    assert (made("abandon", None), e.InstanceFailed(state="failed")) == verdict("abandon").events(of(started()))


def test_what_may_be_asked() -> None:
    """Of an instance as it stands: at rest hardly anything; parked, what it is parked for, each once."""
    assert ("resume", "cancel", "abandon") == list_allowed_operations(of())
    waiting = of(e.WaitStarted(step="go", waiting=True))
    assert ("resume", "cancel", "signal", "abandon") == list_allowed_operations(waiting)
    both = of(blocked("a"), blocked("b"))
    assert ("resume", "cancel", "retry", "resolve(not_done)", "compensate", "abandon") == list_allowed_operations(both)
    pivot = told(started(), done(), steps=outlined("a", pivot=True, compensation=False))
    assert ("resume", "abandon") == list_allowed_operations(pivot)
    assert [("compensate",), ()] == [
        list_allowed_operations(of(COMPLETED)),
        list_allowed_operations(of(e.InstanceFailed(state="failed"))),
    ]


def test_a_parents_decision_is_taken_or_comes_too_late() -> None:
    """It is made as its operator made it, if what it is about still waits."""
    request = made("retry")
    assert (request,) == apply_parent_decision(request, of(*ASKED, blocked()))
    assert apply_parent_decision(request, of(*ASKED)) is None
    anonymous = attrs.evolve(request, by=None)
    assert "" == apply_parent_decision(anonymous, of(*ASKED, blocked()))[0].by
    assert ["d-1", ""] == [build_late_decision(r).request_id for r in (request, attrs.evolve(request, request_id=None))]
