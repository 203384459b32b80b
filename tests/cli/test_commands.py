"""The command line lists, shows and settles instances of any module:saga in any store, and says what is wrong."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sagafsm.cli.commands import app
from sagafsm.cli.output import print_instance
from support.shown import parked_in_doubt

MODULE = """
from sagafsm import Retry, Saga

calls = []
shop = Saga("shop", resources=("till",))

@shop.step
def reserve(input):
    return {"id": "r-1"}

@reserve.compensation
def release(result):
    calls.append(("release", result))

@shop.step
def charge(input, till):
    if input == "crash":
        raise KeyboardInterrupt
    return {"id": "c-1"}

@charge.compensation(retry=Retry(1))
def refund(result, till):
    if till["closed"]:
        raise ValueError("the till is closed")

@shop.step
def ship(input):
    if input == "refused":
        raise ValueError("nobody goes there")

till = {"till": {"closed": True}}

def open_till():
    return {"till": {"closed": False}}

def till_for(store):
    return {"till": {"closed": not store.startswith("sqlite")}}

plain = 7
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command where `shopping.py` is; options that every command of these tests needs are added."""
    (tmp_path / "shopping.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SAGAFSM_STORE", "sqlite:///shop.db")

    def run(*arguments, saga="shopping:shop", resources="shopping:till"):
        given = [*arguments]
        given += ["--saga", saga] if saga else []
        given += ["--resources", resources] if resources else []
        return CliRunner().invoke(app, given)

    return run


@pytest.fixture
def begun(run, monkeypatch, tmp_path):
    """Three instances: one completed, one blocked in its refund, one whose process "died" in charge."""
    monkeypatch.syspath_prepend(tmp_path)
    import importlib
    import sys

    sys.modules.pop("shopping", None)
    shopping = importlib.import_module("shopping")
    from sagafsm import Orchestrator

    with Orchestrator("sqlite:///shop.db", sagas=[shopping.shop], resources=shopping.till) as orchestrator:
        orchestrator.run(shopping.shop, "fine", id="o-1")
        orchestrator.run(shopping.shop, "refused", id="o-2")
        with pytest.raises(KeyboardInterrupt):
            orchestrator.run(shopping.shop, "crash", id="o-3")
    yield run
    sys.modules.pop("shopping", None)


def history(id):
    from sagafsm import Orchestrator

    with Orchestrator("sqlite:///shop.db") as orchestrator:
        return orchestrator.get(id)


def test_list_shows_every_instance(begun):
    """`list` has one line an instance, in order of id."""
    lines = begun("list", saga=None, resources=None).stdout.splitlines()
    assert ["instance", "o-1", "o-2", "o-3"] == [line.split()[0] for line in lines]
    assert "compensating:charge" in lines[2]
    assert "compensation_failed" in lines[2]


def test_list_filters(begun):
    """`list` takes a phase, a saga's name, and --blocked; JSON is one object a line."""

    def ids(*options):
        out = begun("list", *options, "--json", saga=None, resources=None).stdout
        return [json.loads(line)["id"] for line in out.splitlines()]

    assert ["o-2"] == ids("--blocked")
    assert ["o-1"] == ids("--state", "completed")
    assert ["o-3"] == ids("--state", "running:charge")
    assert [] == ids("--name", "other")
    assert ["o-1", "o-2"] == ids("--limit", "2")
    assert "no such instance\n" == begun("list", "--name", "other", saga=None, resources=None).stdout


def test_show_tells_the_whole_story(begun):
    """`show` has the state, the cause, the decisions, each step and each event."""
    out = begun("show", "o-2", saga=None, resources=None).stdout
    assert "o-2 of saga 'shop' version 1: compensating:charge" in out
    assert "cause      step 'ship' failed: ValueError: nobody goes there" in out
    assert "charge: compensation_failed (decide: retry, resolve(undone), skip, abandon)" in out
    told = json.loads(begun("show", "o-2", "--json", saga=None, resources=None).stdout)
    assert list(range(1, len(told["history"]) + 1)) == [event["number"] for event in told["history"]]
    assert "InstanceBlocked charge" == told["history"][-1]["event"]


def test_resolve_undone_ends_the_block(begun):
    """A refund made by hand is told with who and why, and the other compensations follow."""
    result = begun("resolve", "o-2", "--undone", "--reason", "by hand", "--by", "ann")
    assert "o-2: failed; compensated\n" == result.stdout
    (decision,) = [event for event in history("o-2").history if type(event).__name__ == "DecisionMade"]
    assert ("resolve(undone)", "charge", "ann", "by hand") == (
        decision.decision,
        decision.step,
        decision.by,
        decision.reason,
    )


def test_retry_with_other_resources(begun):
    """Resources are a mapping, a function, or a function of the store's URL."""
    again = begun("retry", "o-2").stdout
    assert (
        "o-2: compensating:charge; blocked on charge: compensation_failed "
        "(decide: retry, resolve(undone), skip, abandon)\n" == again
    )
    assert "o-2: failed; compensated\n" == begun("retry", "o-2", resources="shopping:till_for").stdout


def test_skip_leaves_residue(begun):
    """A skipped compensation is named among what may remain."""
    assert "o-2: failed; may remain: charge (skipped)\n" == begun("skip", "o-2", "--reason", "written off").stdout


def test_abandon_needs_no_saga(begun):
    """`abandon` works where the saga's code is gone."""
    result = begun("abandon", "o-3", "--reason", "gone", saga=None, resources=None)
    assert "may remain: reserve (abandoned), charge (in_doubt)\n" == result.stdout.split("; ")[-1]
    assert ": gone; " in result.stdout


def test_recover_and_decide_a_doubt(begun):
    """An instance whose process died in an action without probe or policy asks; a result goes on with it."""
    assert (
        "o-3: running:charge; blocked on charge: in_doubt "
        "(decide: retry, resolve(result), resolve(not_done), compensate, abandon)\n1 resumed, 0 in error\n"
        == begun("recover").stdout
    )
    assert "0 resumed, 0 in error\n" == begun("recover").stdout
    assert "o-3: completed\n" == begun("resolve", "o-3", "--result", '{"id": "c-9"}', "--reason", "seen").stdout
    assert {"id": "c-9"} == history("o-3").results["charge"]


def test_resume_compensate_and_cancel(begun):
    """The other commands do what the orchestrator's methods of their names do."""
    begun("resume", "o-3")
    assert "o-3: failed; compensated\n" == begun("compensate", "o-3", resources="shopping:open_till").stdout
    refused = begun("cancel", "o-3", "--reason", "late")
    assert 1 == refused.exit_code
    assert "sagafsm: instance 'o-3' is failed, which does not allow 'cancel' (allowed: nothing)\n" == refused.stderr


def test_recover_reports_what_it_cannot_resume(begun):
    """An instance whose resources are missing is named, and the exit status is 1."""
    result = begun("recover", resources=None)
    assert 1 == result.exit_code
    assert (
        "o-3: saga 'shop' needs resources that were not given: till (given: none); pass resources={name: object}\n"
        == result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nope"), "sagafsm: no instance 'nope' in sqlite:///shop.db (find() lists what is there)\n"),
        (
            ("list", "--store", "carrier-pigeon://x"),
            (
                "sagafsm: the store URL has the scheme 'carrier-pigeon', which no installed package offers "
                "(installed: memory, sqlite; write sqlite:///orders.db)\n"
            ),
        ),
        (
            ("list", "--store", "sqlite:///no/where.db"),
            "sagafsm: store 'sqlite:///no/where.db' is in a folder that does not exist: 'no' (create it)\n",
        ),
    ],
)
def test_one_line_says_what_is_wrong(run, arguments, message):
    """What a store refuses is one line on stderr, and status 1."""
    result = run(*arguments, saga=None, resources=None)
    assert (1, message) == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    ("saga", "resources", "told"),
    [
        ("shopping", "shopping:till", "--saga is given as module:name, not 'shopping'"),
        ("shoping:shop", "shopping:till", "--saga 'shoping:shop': no module 'shoping' (run it where the module is)"),
        ("shopping:shp", "shopping:till", "--saga 'shopping:shp': module 'shopping' has no 'shp'"),
        ("shopping:plain", "shopping:till", "--saga 'shopping:plain' is 7, which is no Saga"),
        ("shopping:shop", "shopping:plain", "--resources 'shopping:plain' gives 7, which maps no names to resources"),
    ],
)
def test_names_that_name_nothing(run, saga, resources, told):
    """A name that names nothing of use is told, with status 2."""
    result = run("resume", "o-1", saga=saga, resources=resources)
    assert 2 == result.exit_code
    assert told in result.stderr


@pytest.mark.parametrize("options", [(), ("--undone", "--not-done"), ("--result", "1", "--undone")])
def test_resolve_takes_one_truth(run, options):
    """`resolve` is told exactly one thing."""
    result = run("resolve", "o-1", *options, "--reason", "r")
    assert 2 == result.exit_code
    assert "give exactly one of --result, --not-done and --undone" in result.stderr


def test_resolve_takes_json(run):
    """A result that is no JSON is refused before anything is opened."""
    result = run("resolve", "o-1", "--result", "{id", "--reason", "r")
    assert 2 == result.exit_code
    assert "--result takes JSON, not '{id'" in result.stderr


def test_the_demo_tells_what_is_wrong(run, tmp_path):
    """Orders that cannot be read are told line by line on stderr, with status 1, and nothing has run."""
    (tmp_path / "orders.jsonl").write_text("[]", encoding="utf-8")
    result = run("demo", "orders.jsonl", saga=None, resources=None)
    assert 1 == result.exit_code
    assert result.stderr.startswith("sagafsm: orders in orders.jsonl cannot be read, nothing was run:\n  line 1: ")
    assert not (tmp_path / "sagafsm-demo").exists()


def test_show_says_that_an_effect_may_remain():
    """A nested saga that is parked in doubt while its parent goes back can neither be undone now nor be forgotten."""
    root, _ = parked_in_doubt()
    console = Console(file=io.StringIO(), width=200)
    print_instance(console, root)
    shown = {line.split()[0]: line.split() for line in console.file.getvalue().splitlines() if line}
    assert ["pay", "parked", "1", "effect", "may", "remain"] == shown["pay"]
    assert ["reserve", "done", "1", "to", "be", "undone", '"r-1"'] == shown["reserve"]
    assert ["ship", "failed", "1"] == shown["ship"]
