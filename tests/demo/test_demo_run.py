"""The demo runs all orders to the outcomes that their data imply, however often it is stopped, and balances."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from sagafsm.demo import order as order_saga
from sagafsm.demo import resources
from sagafsm.demo.audit import audit
from sagafsm.demo.output import describe_outcome
from sagafsm.demo.run import MOST_KILLS, run_demo
from sagafsm.demo.saga import SHIPPED_ORDERS, Order
from sagafsm.demo.services import CARDS, Payments, Shipping
from sagafsm.errors import InputMismatch, SagaError
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from support.demo_worlds import AT_ONCE

FAILED = {
    "o-1005": ("reserve", "OutOfStock", ()),
    "o-1009": ("charge", "CardDeclined", ("reserve",)),
    "o-1013": ("ship", "AddressUndeliverable", ("charge", "reserve")),
    "o-1019": ("charge", "CardDeclined", ("reserve",)),
    "o-1022": ("reserve", "OutOfStock", ()),
    "o-1024": ("ship", "AddressUndeliverable", ("charge", "reserve")),
    "o-1030": ("reserve", "OutOfStock", ()),
    "o-1031": ("ship", "CarrierBusy", ("charge", "reserve")),
    "o-1033": ("charge", "CardDeclined", ("reserve",)),
    "o-1038": ("ship", "AddressUndeliverable", ("charge", "reserve")),
    "o-1043": ("reserve", "OutOfStock", ()),
    "o-1045": ("charge", "CardDeclined", ("reserve",)),
    "o-1047": ("ship", "AddressUndeliverable", ("charge", "reserve")),
}
STUCK = "o-1058"
SLOW_BANK = ("o-1007", "o-1027", "o-1047", "o-1057")
ONE_OF_EACH = (
    "o-1001",
    "o-1005",
    "o-1007",
    "o-1008",
    "o-1009",
    "o-1013",
    "o-1017",
    "o-1031",
    "o-1038",
    "o-1047",
    STUCK,
)
BUSY = {"PT": 1, "IE": 2, "FI": 3, "IS": 4}


class Demo:
    """One folder in which the demo is run, and what it printed last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/saga.db"
        self.printed = ""

    def run(self, orders: Path | None = None, *, crash: bool = False, fresh: bool = False, width: int = 120) -> int:
        out = io.StringIO()
        console = Console(file=out, width=width)
        try:
            return run_demo(orders, self.url, crash, fresh, 1, pace=AT_ONCE, console=console)
        finally:
            self.printed = out.getvalue()

    def opened(self) -> Orchestrator:
        services = resources(self.url, pace=AT_ONCE)
        return Orchestrator(self.url, sagas=[order_saga], resources=services)

    def instances(self) -> dict[str, SagaInstance]:
        with self.opened() as orchestrator:
            return {summary.id: orchestrator.get(summary.id) for summary in orchestrator.find()}


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path / "demo")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The shipped orders, run once without a crash."""
    demo = Demo(tmp_path_factory.mktemp("ran") / "demo")
    assert demo.run() == 0
    return demo


def some_orders(folder: Path, *ids: str) -> Path:
    lines = SHIPPED_ORDERS.read_text(encoding="utf-8").splitlines()
    file = folder / "some.jsonl"
    file.write_text("\n".join(line for line in lines if json.loads(line)["id"] in ids), encoding="utf-8")
    return file


def outcomes(instances: dict[str, SagaInstance]) -> dict[str, str]:
    return {id: describe_outcome(instance) for id, instance in instances.items()}


def settled_by_probe(instance: SagaInstance) -> list[str]:
    return [e.step for e in instance.history if getattr(e, "evidence", None) == "probe"]


# Outcomes -----------------------------------------------------------------------------------------------------------


def test_every_order_ends_as_its_data_imply(ran: Demo):
    instances = ran.instances()
    assert len(instances) == 60
    assert Counter(outcomes(instances).values()) == {"completed": 46, "failed and compensated": 13, "blocked": 1}
    failed = {
        id: (
            i.cause.step,
            i.cause.error.type.rpartition(".")[2],
            tuple(s for s in reversed(i.started) if s != i.cause.step),
        )
        for id, i in instances.items()
        if i.state == "failed"
    }
    assert failed == FAILED
    (block,) = instances[STUCK].blocked
    assert (instances[STUCK].state, block.step, block.reason) == (
        "compensating:charge",
        "charge",
        "compensation_failed",
    )


def test_a_timeout_whose_charge_did_happen_is_found_by_the_probe(ran: Demo):
    found = {id: settled_by_probe(instance) for id, instance in ran.instances().items()}
    assert {id: steps for id, steps in found.items() if steps} == {id: ["charge"] for id in SLOW_BANK}


def test_a_busy_carrier_is_asked_again(ran: Demo):
    attempts = {
        id: (instance.input["address"]["country"], instance.steps["ship"].attempt - 1)
        for id, instance in ran.instances().items()
        if instance.steps["ship"].attempt > 1
    }
    assert len(attempts) == 9
    assert set(attempts.values()) == set(BUSY.items())


def test_printed_tables_fit_the_terminal_and_say_what_became_of_every_order(ran: Demo):
    for width in (80, 120):
        assert ran.run(width=width) == 0
        lines = ran.printed.splitlines()
        wide = [line for line in lines if len(line) > width]
        assert all(line.startswith(("  sagafsm resolve", "money: ", "order 'o-1058'", "stock: ")) for line in wide)
        for id in FAILED:
            assert any(id in line and "│" in line for line in lines)
        assert "│ completed              │     46 │" in ran.printed
        assert "│ failed and compensated │     13 │" in ran.printed
        assert "│ blocked                │      1 │" in ran.printed
        assert lines[-1] == "balanced"


def test_the_printed_command_settles_the_order(demo: Demo, tmp_path: Path):
    assert demo.run(some_orders(tmp_path, STUCK, "o-1001")) == 0
    command = next(line for line in demo.printed.splitlines() if line.startswith("  sagafsm "))
    assert shlex.split(command) == [
        *("sagafsm", "resolve", STUCK, "--undone", "--reason", "refunded by hand"),
        *("--saga", "sagafsm.demo:order", "--store", demo.url, "--resources", "sagafsm.demo:resources"),
    ]
    with demo.opened() as orchestrator:
        settled = orchestrator.resolve(STUCK, undone=True, reason="refunded by hand")
    assert settled.compensated
    assert demo.run(some_orders(tmp_path, STUCK, "o-1001")) == 0
    assert f"order '{STUCK}', step 'charge': as an operator says, found charge" in demo.printed


def test_a_retry_settles_the_order_once_the_account_is_reopened(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    demo.run(some_orders(tmp_path, STUCK))
    with demo.opened() as orchestrator:
        assert orchestrator.retry(STUCK).blocked
        monkeypatch.setitem(CARDS["tok_prepaid_closed"], "takes_refunds", True)
        assert orchestrator.retry(STUCK).compensated
        assert audit(demo.folder, [orchestrator.get(STUCK)]).lines[-1] == "balanced"


# Again, and in the middle -------------------------------------------------------------------------------------------


def test_running_again_changes_nothing(ran: Demo):
    before = ran.instances()
    assert ran.run() == 0
    assert ran.instances() == before


def test_fresh_begins_anew(demo: Demo, tmp_path: Path):
    demo.run(some_orders(tmp_path, "o-1001"))
    assert demo.run(some_orders(tmp_path, "o-1002"), fresh=True) == 0
    assert list(demo.instances()) == ["o-1002"]


def test_orders_of_earlier_runs_are_audited_too(demo: Demo, tmp_path: Path):
    demo.run(some_orders(tmp_path, "o-1001"))
    assert demo.run(some_orders(tmp_path, "o-1002")) == 0
    assert "The store holds 1 more orders of earlier runs; the audit covers them too." in demo.printed
    assert "orders: 2 of 2 completed" in demo.printed


def test_ctrl_c_loses_nothing(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    orders = some_orders(tmp_path, "o-1001", "o-1002", "o-1003")
    real = Shipping.make_label

    def interrupted(self, key, address, *, reference):
        label = real(self, key, address, reference=reference)
        if reference == "o-1002":
            raise KeyboardInterrupt
        return label

    with monkeypatch.context() as patched:
        patched.setattr(Shipping, "make_label", interrupted)
        assert demo.run(orders) == 130
    assert demo.printed.splitlines()[-2:] == [
        "interrupted; nothing is lost, it goes on with",
        f"  sagafsm demo {orders} --store {demo.url}",
    ]
    assert demo.run(orders) == 0
    assert outcomes(demo.instances()) == dict.fromkeys(("o-1001", "o-1002", "o-1003"), "completed")
    assert settled_by_probe(demo.instances()["o-1002"]) == ["ship"]


def test_what_does_not_balance_is_status_one(demo: Demo, tmp_path: Path):
    orders = some_orders(tmp_path, "o-1001")
    demo.run(orders)
    with closing(Payments(demo.folder / "payments.db", pace=AT_ONCE)) as payments:
        payments.book("stranger", {"tok_visa": 1}, reference="o-77")
    assert demo.run(orders) == 1
    assert demo.printed.splitlines()[-2:] == [
        "NOT balanced, 1 found:",
        "  charge ch-0002 of EUR 0.01 for order 'o-77' belongs to no instance",
    ]


def test_a_probe_that_lies_does_not_balance(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The positive control of the whole: the bank has booked the charge, and the saga is told that it has not."""
    monkeypatch.setattr(Payments, "find", lambda self, key: None)
    assert demo.run(some_orders(tmp_path, "o-1007")) == 1
    assert outcomes(demo.instances()) == {"o-1007": "failed and compensated"}
    assert demo.printed.splitlines()[-2:] == [
        "NOT balanced, 1 found:",
        "  order 'o-1007', step 'charge': expected none (failed), found charge ch-0001 of EUR 157.00",
    ]


def test_a_memory_store_runs_and_balances(tmp_path: Path):
    out = io.StringIO()
    orders = some_orders(tmp_path, "o-1001", "o-1009", STUCK)
    console = Console(file=out, width=80)
    assert run_demo(orders, "memory://", crash=False, fresh=False, seed=None, pace=AT_ONCE, console=console) == 0
    assert out.getvalue().splitlines()[-1] == "balanced"
    assert "(nothing: store memory:// ends with this process; use one in a file)" in out.getvalue()


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_orders_make_and_run_nothing(demo: Demo, tmp_path: Path):
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n", encoding="utf-8")
    with pytest.raises(SagaError) as caught:
        demo.run(file)
    assert str(caught.value) == f"orders in {file} cannot be read, nothing was run:\n  line 1: id: missing 'id'"
    assert not demo.folder.exists()


def test_an_order_that_was_changed_after_it_ran_is_refused(demo: Demo, tmp_path: Path):
    file = some_orders(tmp_path, "o-1001")
    demo.run(file)
    file.write_text(file.read_text(encoding="utf-8").replace("tok_visa", "tok_amex"), encoding="utf-8")
    with pytest.raises(InputMismatch) as caught:
        demo.run(file)
    assert str(caught.value) == (
        "instance 'o-1001' exists with another input (choose another id, or start it with the same)"
    )


def test_crash_needs_a_store_that_outlives_its_process():
    with pytest.raises(SagaError) as caught:
        run_demo(None, "memory://", crash=True, fresh=False, seed=None)
    assert str(caught.value) == (
        "--crash needs a store that outlives its process, not 'memory://' (name one as sqlite:///FILE)"
    )


# Killed -------------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_again_and_again_gets_through_and_balances(demo: Demo, ran: Demo, tmp_path: Path):
    assert demo.run(some_orders(tmp_path, *ONE_OF_EACH), crash=True) == 0
    kills = [line for line in demo.printed.splitlines() if line.startswith("kill ")]
    assert 1 <= len(kills) < MOST_KILLS
    assert f"through after {len(kills)} kills" in demo.printed
    expected = {id: outcome for id, outcome in outcomes(ran.instances()).items() if id in ONE_OF_EACH}
    assert outcomes(demo.instances()) == expected
    assert demo.printed.splitlines()[-1] == "balanced"


def test_orders_that_do_not_fit_the_store_are_told_after_a_crash_too(demo: Demo, tmp_path: Path):
    file = some_orders(tmp_path, "o-1001")
    demo.run(file)
    file.write_text(file.read_text(encoding="utf-8").replace("tok_visa", "tok_amex"), encoding="utf-8")
    with pytest.raises(InputMismatch):
        demo.run(file, crash=True)


def test_a_worker_that_fails_by_itself_is_told(demo: Demo):
    demo.folder.mkdir()
    (demo.folder / "saga.db").write_bytes(b"no database at all, but long enough to look like one" * 10)
    with pytest.raises(SagaError) as caught:
        demo.run(crash=True)
    assert str(caught.value) == "the worker failed by itself with status 1 (what it said stands above)"


# The saga itself ----------------------------------------------------------------------------------------------------


def test_no_crash_of_an_order_waits_for_a_person():
    assert [str(risk) for risk in order_saga.risks()] == []


def test_the_saga_knows_its_input_by_its_annotations():
    assert order_saga.definition.input is Order
