"""The plugin verifies within a test, keeps what it finds, replays that first, and removes it once it is fixed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.testing import failure_files  # noqa: F401 - see `_loaded`
from sagafsm.verify import verify

pytest_plugins = ["pytester"]

SHOP = """
from sagafsm import Saga

class Shop:
    def __init__(self):
        self.held, self.freed = {}, set()
    def resources(self):
        return {"shop": self}
    def snapshot(self):
        return dict(self.held)
    def hold(self, key):
        if key in self.freed:
            raise ValueError("freed")
        self.held[key] = 1
    def free(self, key):
        self.freed.add(key)
        self.held.pop(key, None)

def hold(ctx, shop):
    shop.hold(ctx.idempotency_key)

def free(ctx, shop):
    shop.free(ctx.action_key)

def forget(shop):
    pass

def order(undo):
    saga = Saga("order", resources=["shop"], in_doubt="compensate")
    saga.add_step("reserve", hold, undo)
    saga.add_step("charge", hold, free)
    return saga
"""
TEST = """
from shop import Shop, forget, free, order

def test_order(verify_saga):
    report = verify_saga(order({undo}), Shop{more})
    assert report.ok
"""
KEPT = "order-reserve-left_behind-*.json"


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load all that a verification imports: a pytest within this process forgets the modules that it imports itself."""

    class World:
        def resources(self) -> dict[str, Any]:
            return {"shop": self}

        def snapshot(self) -> int:
            return 0

        def hold(self) -> None: ...

    saga = Saga("order", resources=["shop"])
    saga.add_step("reserve", lambda shop: shop.hold(), in_doubt="retry")
    assert str(verify(saga, World, depth=1))


@pytest.fixture
def session(pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Runs pytest on a test of an order whose undo is given, within this process or in one of its own."""
    pytester.makepyfile(shop=SHOP)
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    plugins = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:faulthandler"]
    if not request.config.pluginmanager.has_plugin("sagafsm"):
        plugins += ["-p", "sagafsm.testing.pytest_plugin"]

    def run(*options: str, undo: str = "free", more: str = "", subprocess: bool = False) -> pytest.RunResult:
        pytester.makepyfile(test_shop=TEST.format(undo=undo, more=more))
        start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        return start(*plugins, "--saga-depth=1", *options)

    return run


def kept(pytester: pytest.Pytester) -> list[Path]:
    return sorted((pytester.path / ".sagafsm" / "failures").glob("*"))


def test_a_saga_that_holds_passes_and_shows_its_bounds(session, pytester: pytest.Pytester) -> None:
    """One line in the summary; nothing is written."""
    result = session()

    result.assert_outcomes(passed=1)
    bounds = r"test_shop.py::test_order: saga 'order': holds, within [\d,]+ schedules: all of up to 1 fault; .*2 steps"
    result.stdout.re_match_lines([r"=+ sagas =+", bounds])
    assert not (pytester.path / ".sagafsm").exists()


def test_what_is_found_is_kept(session, pytester: pytest.Pytester) -> None:
    """A failing run fails with the report, and writes a file that says all it takes to replay."""
    result = session(undo="forget", subprocess=True)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*VerificationFailed: saga 'order': * finding*, within*"])
    result.stdout.fnmatch_lines([f"test_shop.py::test_order: kept: .sagafsm/failures/{KEPT}; replay it alone with *"])
    found = [json.loads(path.read_text(encoding="utf-8")) for path in kept(pytester)]
    (left,) = [failure for failure in found if failure["kind"] == "left_behind"]
    assert ("order", "test_shop.py::test_order", "reserve", 0) == (
        left["saga"],
        left["test"],
        left["step"],
        left["input"],
    )
    assert "charge.action/shop.hold#1=raise_before" == left["schedule"]
    assert left["message"].startswith("saga 'order', 1 fault of ")
    assert all(path.suffix == ".json" for path in kept(pytester))


def test_what_was_kept_is_replayed_first(session, pytester: pytest.Pytester) -> None:
    """The second run replays it, says so, and tries nothing else while it still fails."""
    session(undo="forget")
    before = kept(pytester)

    result = session(undo="forget")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"test_shop.py::test_order: STILL FAILS: .sagafsm/failures/{KEPT} (charge.action*"])
    result.stdout.no_fnmatch_line("*within * all of up to*")
    assert before == kept(pytester)


def test_what_is_fixed_is_removed(session, pytester: pytest.Pytester) -> None:
    """The fixed run says so, verifies, and leaves no file."""
    session(undo="forget")

    result = session()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"test_shop.py::test_order: FIXED: .sagafsm/failures/{KEPT} (charge.action*"])
    result.stdout.fnmatch_lines(["test_shop.py::test_order: saga 'order': holds, within *"])
    assert [] == kept(pytester)


def test_replaying_alone(session, pytester: pytest.Pytester) -> None:
    """With --saga-replay nothing but what is kept is run: with nothing kept the test is skipped."""
    nothing = session("--saga-replay")
    session(undo="forget")
    failing = session("--saga-replay", undo="forget")
    fixed = session("--saga-replay")

    nothing.assert_outcomes(skipped=1)
    failing.assert_outcomes(failed=1)
    fixed.assert_outcomes(passed=1)
    fixed.stdout.no_fnmatch_line("*all of up to*")
    assert [] == kept(pytester)


def test_what_names_a_point_no_more_is_dropped(session, pytester: pytest.Pytester) -> None:
    """A schedule that cannot be run says nothing: alone it fails and stays, otherwise all is tried anew."""
    session(undo="forget")
    for path in kept(pytester):
        path.write_text(path.read_text(encoding="utf-8").replace("charge.", "charged."), encoding="utf-8")

    alone = session("--saga-replay")
    stayed = kept(pytester)
    anew = session()

    alone.assert_outcomes(failed=1)
    alone.stdout.fnmatch_lines([f"test_shop.py::test_order: CANNOT TELL: .sagafsm/failures/{KEPT} *"])
    assert stayed
    anew.assert_outcomes(passed=1)
    assert [] == kept(pytester)


def test_failures_of_other_tests_are_left_alone(session, pytester: pytest.Pytester) -> None:
    """Each test replays what it found itself."""
    session(undo="forget")
    for path in kept(pytester):
        path.write_text(path.read_text(encoding="utf-8").replace("::test_order", "::test_other"), encoding="utf-8")
    before = kept(pytester)

    session().assert_outcomes(passed=1)
    assert before == kept(pytester)


def test_a_damaged_file_is_named(session, pytester: pytest.Pytester) -> None:
    """With what is wrong, and the way out."""
    folder = pytester.path / ".sagafsm" / "failures"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{", encoding="utf-8")

    result = session()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*kept failure '*x.json' is damaged (*): delete it, and verify again"])


def test_the_command_line_is_stronger(session) -> None:
    """--saga-budget and --saga-depth hold, whatever the test says."""
    result = session("--saga-budget=60", more=', depth=2, inputs=["a"]')

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*holds, within *: all of up to 1 fault;*"])


def test_a_schedule_of_the_tests_own_is_run_alone(session, pytester: pytest.Pytester) -> None:
    """Nothing is kept of it: it is in the test already."""
    result = session(undo="forget", more=', schedule="charge.action/shop.hold#1=raise_before"')

    result.assert_outcomes(failed=1)
    assert not (pytester.path / ".sagafsm").exists()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--saga-depth=0", "argument --saga-depth: takes auto or a number of faults from 1, not '0'"),
        ("--saga-budget=soon", "argument --saga-budget: takes seconds, more than 0, not 'soon'"),
        ("--saga-budget=-1", "argument --saga-budget: takes seconds, more than 0, not '-1'"),
    ],
)
def test_wrong_options_are_told(session, option: str, told: str) -> None:
    """Before anything runs."""
    result = session(option)

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines([f"*{told}"])


def test_it_works_in_several_processes(session, pytester: pytest.Pytester) -> None:
    """Under xdist what is found reaches the terminal of the first process, once."""
    result = session("-n", "2", undo="forget", subprocess=True)

    result.assert_outcomes(failed=1)
    lines = [line for line in result.outlines if line.startswith("test_shop.py::test_order: saga 'order': ")]
    assert 1 == len(lines), result.outlines


def test_a_session_that_verifies_nothing_pays_nothing() -> None:
    """The plugin imports neither Hypothesis nor the verifier."""
    code = (
        "import sys, sagafsm.testing.pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('hypothesis', 'rich', 'sqlalchemy')"
        " or name.startswith('sagafsm.verify')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
