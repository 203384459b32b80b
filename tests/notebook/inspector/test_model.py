"""From the inspector an instance is run, stepped, paused, broken, cancelled and decided, and what happened is said.

What drives it is an orchestrator of its own: a pause drains, a death leaves the step in doubt, and the user's stays.
"""

from __future__ import annotations

import threading

import pytest

from sagafsm import Orchestrator, OutcomeUnknown, Retry, Saga
from sagafsm.errors import RequestError, SagaError, SagaNotFound, StoreConflict
from sagafsm.notebook import inspect
from sagafsm.notebook.inspector.actions import DIED
from sagafsm.notebook.inspector.model import CLOSED, READ_ONLY
from support.looking import looking


def order(*, gate=None, doubt=False):
    saga = Saga("order")

    def charge(input):
        if gate is not None:
            gate.pass_through()
        if doubt:
            raise OutcomeUnknown("no answer")
        return {"id": input}

    saga.add_step("reserve", lambda input: {"id": input}, lambda result: None, compensation_retry=Retry(1))
    saga.add_step("charge", charge, lambda result: None, compensation_retry=Retry(1))
    saga.add_step("ship", lambda charge: charge["id"])
    return saga


class Gate:
    """Stops an action until it is opened."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def pass_through(self):
        self.reached.set()
        assert self.opened.wait(10)


@pytest.fixture
def stage(request):
    """An onlooker of a pending instance, by what its saga is made with."""
    made = []

    def begin(saga=None, **given):
        orchestrator = Orchestrator("memory://", sagas=[saga or order()])
        orchestrator.start(saga or orchestrator._operations.engine.registry.sagas[0], 7, id="o-1")
        page = looking("o-1", orchestrator, **given)
        made.append((page, orchestrator))
        return page

    yield begin
    for page, orchestrator in made:
        page.inspection.close()
        orchestrator.close()


def test_a_click_runs_it_to_its_end(stage):
    page = stage()
    page.click("run")
    page.rests()
    assert "completed" == page.inspection.instance.state == page.state
    assert "o-1: completed" == page.said
    assert page.inspection.instance == page.inspection.orchestrator.get("o-1")


def test_from_a_cell_it_runs_on_the_callers_thread(stage):
    here = []
    saga = order()
    saga.add_step("tell", lambda: here.append(threading.get_ident()))
    page = stage(saga)
    assert "completed" == page.inspection.run().state
    assert [threading.get_ident()] == here


def test_one_step_is_one_command(stage):
    page = stage()
    lengths = [len(page.inspection.step().history) for _ in range(3)]
    assert sorted(set(lengths)) == lengths
    assert "completed" == page.inspection.instance.state


def test_a_pause_records_what_is_under_way_and_begins_nothing_new(stage):
    gate = Gate()
    page = stage(order(gate=gate))
    page.click("run")
    assert gate.reached.wait(10)
    assert page.inspection.session.sight().driving
    page.click("pause")
    gate.opened.set()
    page.rests()
    live = page.inspection.instance
    assert ("done", "pending") == (live.steps["charge"].status, live.steps["ship"].status)
    assert "paused in running:ship: run goes on" == page.said
    page.click("run")
    page.rests()
    assert "completed" == page.inspection.instance.state


def test_what_runs_is_not_run_again(stage):
    gate = Gate()
    page = stage(order(gate=gate))
    page.click("run")
    assert gate.reached.wait(10)
    page.click("run")
    assert "RequestError: not now: it runs" == page.said
    with pytest.raises(StoreConflict):
        page.inspection.run()
    gate.opened.set()
    page.rests()


@pytest.mark.parametrize(("target", "expected"), [("action", "failed"), ("compensation", "compensating:charge")])
def test_a_broken_step_fails_and_what_is_broken_is_mended(stage, target, expected):
    page = stage()
    page.inspection.break_step("charge", target=target)
    page.inspection.break_step("ship")
    assert {("charge", target), ("ship", "action")} == set(page.inspection.session.sight().breaks)
    page.click("run")
    page.rests()
    assert expected == page.inspection.instance.state
    assert "refused (injected)" in str(page.inspection.instance.errors)


def test_what_was_mended_works(stage):
    page = stage()
    page.click("break", step="charge", kind="raise_before", times="3", target="action")
    page.click("mend", step="charge", target="action")
    page.click("run")
    page.rests()
    assert "completed" == page.inspection.instance.state


@pytest.mark.parametrize("kind", ["crash", "crash_after"])
@pytest.mark.parametrize("by", ["a click", "a cell"])
def test_a_death_leaves_the_step_in_doubt_for_the_next_run(stage, kind, by):
    page = stage()
    page.inspection.break_step("charge", kind)
    if by == "a click":
        page.click("run")
        page.rests()
    else:
        assert "running:charge" == page.inspection.run().state
    assert DIED == page.said
    assert "running" == page.inspection.instance.steps["charge"].status
    page.inspection.run()
    assert [("charge", "in_doubt")] == [block[:2] for block in page.inspection.instance.blocked]


def test_what_breaks_is_checked(stage):
    page = stage()
    for step, kind, told in [
        ("pay", "crash", {}),
        ("charge", "explode", {}),
        ("charge", "crash", {"times": 0}),
        ("ship", "crash", {"target": "compensation"}),
        ("ship", "crash", {"target": "probe"}),
    ]:
        with pytest.raises(RequestError):
            page.inspection.break_step(step, kind, **told)
    assert {} == page.inspection.session.breaks


@pytest.mark.parametrize(
    ("decision", "told", "ends"),
    [
        ("retry", {}, "running:charge"),
        ("resolve(result)", {"result": '{"id": 9}', "reason": "asked the bank"}, "completed"),
        ("resolve(not_done)", {"reason": "asked the bank"}, "failed"),
        ("compensate", {"reason": ""}, "failed"),
        ("abandon", {"reason": "enough"}, "failed"),
    ],
)
def test_what_is_blocked_is_decided(stage, decision, told, ends):
    page = stage(order(doubt=True))
    page.inspection.run()
    assert decision in page.inspection.instance.blocked[0].decisions
    page.click("decide", decision=decision, step="charge", **told)
    page.rests()
    assert ends == page.inspection.instance.state
    made = [event for event in page.inspection.instance.history if type(event).__name__ == "DecisionMade"]
    assert [decision] == [event.decision for event in made]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"decision": "resolve(result)", "result": "{id: 9}", "reason": "x"}, "the result is not JSON"),
        ({"decision": "skip", "reason": "x"}, "IllegalTransition"),
        ({"decision": "resolve(not_done)", "reason": ""}, "reason"),
        ({"decision": "explode"}, "there is no decision 'explode'"),
        ({}, "needs decision"),
    ],
)
def test_a_decision_that_cannot_be_made_changes_nothing_and_says_why(stage, told, said):
    page = stage(order(doubt=True))
    before = page.inspection.run()
    page.click("decide", step="charge", **told)
    page.until(lambda: page.said and said in page.said)
    page.rests()
    assert said in page.said
    assert before.history == page.inspection.orchestrator.get("o-1").history


def test_a_completed_one_goes_back_when_it_is_decided(stage):
    page = stage()
    page.inspection.run()
    page.click("decide", decision="compensate", reason="changed my mind")
    page.rests()
    assert page.inspection.instance.state == "failed"


def test_a_cancel_goes_to_what_runs(stage):
    gate = Gate()
    page = stage(order(gate=gate))
    page.click("run")
    assert gate.reached.wait(10)
    page.click("cancel", reason="too late")
    page.until(lambda: page.inspection.orchestrator.store.load("o-1").summary.mail == 1)
    gate.opened.set()
    page.rests()
    assert "cancelled" in page.inspection.instance.why
    assert page.inspection.instance.compensated


def test_a_signal_wakes_what_waits_for_it(stage):
    saga = Saga("wait")
    saga.wait_for("approval")
    saga.add_step("pay", lambda approval: approval)
    page = stage(saga)
    page.inspection.run()
    page.click("signal", name="approval", payload='{"by": "ada"')
    assert "RequestError: the payload is not JSON" in page.said
    page.click("signal", name="approval", payload="true")
    page.rests()
    assert {"approval": True, "pay": True} == page.inspection.instance.results


def test_ctrl_c_in_a_cell_leaves_it_resumable_and_says_so(stage):
    saga = Saga("slow")
    once = [KeyboardInterrupt]

    def wait():
        if once:
            raise once.pop()

    saga.add_step("wait", wait, in_doubt="retry")
    page = stage(saga)
    with pytest.raises(KeyboardInterrupt) as raised:
        page.inspection.run()
    assert "resume('o-1')" in "".join(raised.value.__notes__)
    assert "interrupted: it rests in running:wait, and run goes on" == page.said
    assert "completed" == page.inspection.run().state


def test_another_owner_is_named_and_what_it_drives_is_not_driven_from_here(stage):
    gate = Gate()
    saga = order(gate=gate)
    page = stage(saga)
    other = page.inspection.orchestrator.alongside()
    other._operations.engine.owner = "ada@desk"
    thread = threading.Thread(target=lambda: other.resume("o-1"))
    thread.start()
    assert gate.reached.wait(10)
    page.inspection.refresh()
    sight = page.inspection.session.sight()
    assert "ada@desk" == sight.owner
    assert "ada@desk" in sight.drive_obstacle
    assert sight.cancel_obstacle is None
    page.click("step")
    assert "ada@desk" in page.said
    page.click("cancel", reason="stop")
    page.until(lambda: page.inspection.orchestrator.store.load("o-1").summary.mail == 1)
    gate.opened.set()
    thread.join()
    page.inspection.refresh()
    assert page.inspection.session.sight().owner is None
    assert page.inspection.instance.compensated


def test_two_who_look_at_one_instance_both_see_what_one_does(stage):
    page = stage()
    other = looking("o-1", page.inspection.orchestrator)
    page.inspection.run()
    other.inspection.refresh()
    assert page.inspection.instance == other.inspection.instance
    assert "completed" == other.state
    other.inspection.close()


def test_what_the_orchestrator_does_is_heard_without_looking(stage):
    page = stage()
    page.inspection.orchestrator.resume("o-1")
    assert "completed" == page.inspection.instance.state
    page.until(lambda: page.state == "completed")


def test_a_closed_orchestrator_is_told_and_the_last_state_stays(tmp_path):
    orchestrator = Orchestrator(f"sqlite:///{tmp_path}/o.db", sagas=[order()])
    orchestrator.run(order(), 7, id="o-1")
    page = looking("o-1", orchestrator)
    orchestrator.close()
    page.inspection.refresh()
    assert CLOSED == page.inspection.session.sight().obstacle
    assert "completed" == page.inspection.instance.state
    page.click("fork")
    page.until(lambda: f"RequestError: not now: {CLOSED}" == page.said)
    with pytest.raises(SagaError, match="closed"):
        page.inspection.step()
    page.inspection.close()


def test_one_that_was_loaded_is_shown_although_its_orchestrator_is_closed(tmp_path):
    orchestrator = Orchestrator(f"sqlite:///{tmp_path}/o.db", sagas=[order()])
    live = orchestrator.run(order(), 7, id="o-1")
    orchestrator.close()
    inspection = inspect(live, orchestrator)
    assert live == inspection.instance
    inspection.close()


def test_without_an_orchestrator_it_is_read_only(stage):
    live = stage().inspection.run()
    inspection = inspect(live)
    inspection.travel(2)
    assert READ_ONLY == inspection.session.sight().obstacle
    with pytest.raises(SagaError, match="its history alone"):
        inspection.run()
    inspection.close()


def test_an_id_that_is_not_there_is_refused():
    with Orchestrator("memory://") as orchestrator, pytest.raises(SagaNotFound):
        inspect("o-2", orchestrator)
    with pytest.raises(SagaError, match="needs the orchestrator"):
        inspect("o-2")


def test_one_that_was_deleted_is_told(stage):
    page = stage()
    page.inspection.run()
    page.inspection.orchestrator.store.delete("o-1")
    page.inspection.refresh()
    assert "it is gone" in page.inspection.session.sight().obstacle
    assert "completed" == page.inspection.instance.state


def test_one_whose_saga_is_not_registered_can_only_be_abandoned():
    saga = order()
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        with Orchestrator(orchestrator.store) as stranger:
            page = looking("o-1", stranger)
            assert "not registered" in page.inspection.session.sight().drive_obstacle
            page.click("decide", decision="abandon", reason="its code is gone")
            page.rests()
            assert "failed" == page.inspection.instance.state
            page.inspection.close()


def test_one_that_is_nested_is_driven_by_its_root():
    inner = Saga("inner")
    inner.add_step("sign", lambda: 1)
    outer = Saga("outer")
    outer.add_saga("papers", inner)
    with Orchestrator("memory://", sagas=[outer]) as orchestrator:
        orchestrator.run(outer, None, id="o-1")
        page = looking("o-1/papers", orchestrator)
        assert "nested in 'o-1'" in page.inspection.session.sight().definition_obstacle
        page.inspection.close()
        root = looking("o-1", orchestrator)
        assert {"papers"} == set(root.inspection.session.nested)
        root.inspection.close()


def test_a_death_in_one_run_does_not_close_the_users_orchestrator(stage):
    page = stage()
    page.inspection.break_step("reserve", "crash")
    page.inspection.run()
    saga = Saga("other")
    saga.add_step("go", lambda: 1)
    assert "completed" == page.inspection.orchestrator.run(saga, None).state


def test_what_was_closed_drives_nothing_on(stage):
    page = stage()
    page.inspection.close()
    page.inspection.close()
    assert "pending" == page.inspection.orchestrator.get("o-1").state
