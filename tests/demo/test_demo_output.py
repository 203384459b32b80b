"""What is printed about an order names its outcome, and for one that is stuck the command that settles it."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from sagafsm.demo.audit import Audit, describe_money
from sagafsm.demo.output import (
    describe_outcome,
    print_audit,
    print_interrupted,
    print_report,
    quote_command,
    show_progress,
)
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from support.demo_worlds import ORDER, completed, done, failed, instance_of, numbered, started, stuck, undoing

URL = "sqlite:///sagafsm-demo/saga.db"
WHERE = f"--saga sagafsm.demo:order --store {URL} --resources sagafsm.demo:resources"


def printed(*instances: SagaInstance, url: str = URL, others: int = 0) -> list[str]:
    out = io.StringIO()
    print_report(Console(file=out, width=100), instances, others=others, store_url=url)
    return out.getvalue().splitlines()


def in_doubt(reason: str, *decisions: e.Decision) -> SagaInstance:
    blocked = e.InstanceBlocked(step="reserve", reason=reason, decisions=decisions)
    return instance_of(ORDER, started(ORDER, "reserve"), blocked)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resume", "o-1", "--store", URL], f"resume o-1 --store {URL}"),
        (["resume", "o 1", "--reason", "by hand: 2.5"], 'resume "o 1" --reason "by hand: 2.5"'),
        (["resume", "o'1 $x"], """resume 'o'"'"'1 $x'"""),
    ],
)
def test_a_command_line_is_what_a_shell_reads_back(words: list[str], line: str):
    assert quote_command(words) == line
    assert shlex.split(line) == words


@pytest.mark.parametrize(
    ("instance", "command"),
    [
        (
            instance_of(ORDER, *done(ORDER, "reserve"), *failed(ORDER, "charge"), *stuck(ORDER, "reserve")),
            'resolve o-1 --undone --reason "goods put back by hand"',
        ),
        (in_doubt("crash_loop", "retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon"), "retry o-1"),
        (
            in_doubt("in_doubt", "resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon"),
            "compensate o-1",
        ),
        (instance_of(ORDER, started(ORDER, "reserve")), "resume o-1"),
    ],
    ids=["compensation_failed", "crash_loop", "in_doubt", "unfinished"],
)
def test_an_order_that_is_stuck_comes_with_the_command_that_settles_it(instance: SagaInstance, command: str):
    assert printed(instance)[-1] == f"  sagafsm {command} {WHERE}"


def test_a_blocked_order_tells_why_it_goes_back_and_what_may_be_decided():
    order = instance_of(ORDER, *done(ORDER, "reserve"), *failed(ORDER, "charge"), *stuck(ORDER, "reserve"))
    assert printed(order)[-4:-1] == [
        "o-1 is blocked: goes back (Refused: no), but step 'reserve' needs a decision (compensation_failed): ",
        "Refused: no",
        "decisions: retry, resolve(undone), skip, abandon; for instance",
    ]


def test_a_store_that_ends_with_the_process_comes_with_no_command():
    assert printed(instance_of(ORDER), url="memory://")[-1] == (
        "  (nothing: store memory:// ends with this process; use one in a file)"
    )


def test_an_interrupt_in_a_store_that_ends_with_the_process_comes_with_no_command():
    out = io.StringIO()
    print_interrupted(Console(file=out, width=100), None, "memory://")
    assert out.getvalue() == "interrupted; store memory:// ends with this process\n"


def test_outcomes_are_counted_with_their_amounts():
    lines = printed(completed(numbered("o-1")), completed(numbered("o-2")), others=3)
    assert [" ".join(line.split()) for line in lines if line.startswith("│")] == [
        "│ completed │ 2 │ EUR 194.00 │",
        "│ all │ 2 │ EUR 194.00 │",
    ]
    assert lines[-1] == "The store holds 3 more orders of earlier runs; the audit covers them too."


def test_a_failed_order_tells_step_cause_and_what_was_compensated():
    undo = (undoing(ORDER, "reserve"), e.CompensationSucceeded(step="reserve", attempt=1))
    order = instance_of(
        ORDER, *done(ORDER, "reserve"), *failed(ORDER, "charge"), *undo, e.InstanceFailed(state="failed")
    )
    assert describe_outcome(order) == "failed and compensated"
    assert [" ".join(line.split()) for line in printed(order) if "o-1" in line] == [
        "│ o-1 │ charge │ Refused: no │ reserve │"
    ]


def test_a_failed_order_tells_what_is_left():
    given_up = e.DecisionMade(decision="abandon", by="ada", reason="enough")
    order = instance_of(
        ORDER,
        *(*done(ORDER, "reserve"), *failed(ORDER, "charge"), *stuck(ORDER, "reserve"), given_up),
        e.InstanceFailed(state="failed"),
    )
    assert describe_outcome(order) == "failed, not all undone"
    assert [" ".join(line.split()) for line in printed(order) if "o-1" in line] == [
        "│ o-1 │ charge │ Refused: no │ left: reserve │"
    ]


def test_an_audit_ends_with_its_verdict():
    out = io.StringIO()
    print_audit(
        Console(file=out, width=40), Audit(totals=["labels: " + "1 " * 30], problems=["[x] is lost"]), Path("d")
    )
    assert out.getvalue().splitlines() == [
        "Audit of the participants' own files in ",
        "d",
        "labels: " + "1 " * 30,
        "NOT balanced, 1 found:",
        "  [x] is lost",
    ]


def test_without_a_terminal_each_order_is_a_line():
    out = io.StringIO()
    with show_progress(Console(file=out), 2) as show:
        show(completed(ORDER))
        show(in_doubt("in_doubt", "retry"))
    assert out.getvalue().splitlines() == ["o-1  completed", "o-1  blocked"]


def test_on_a_terminal_a_bar_counts_and_goes_away():
    out = io.StringIO()
    with show_progress(Console(file=out, force_terminal=True, width=80), 2) as show:
        show(completed(ORDER))
        show(completed(ORDER))
    assert "2/2" in out.getvalue()
    assert "2 completed" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")


def test_euros_are_exact_and_grouped():
    assert [describe_money(n) for n in (0, 5, 123456789, -250)] == [
        "EUR 0.00",
        "EUR 0.05",
        "EUR 1,234,567.89",
        "-EUR 2.50",
    ]
