"""The four slices hold all of what rotates, and property tests are fixed unless they are asked to draw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import settings

from conftest import SMOKE
from support.selection import SLICES, falsified, is_in_slice, rotating, slice_of_commit

pytest_plugins = ["pytester"]
ROTATES = """
import pytest
from conftest import SMOKE
from support.selection import rotating

@pytest.mark.parametrize("part", rotating("abcdef", always="a"))
def test_parts(part): pass

@pytest.mark.rotates(0, of=2)
def test_in_two(): pass

def test_always(): pass

@pytest.mark.long
def test_long(): pass
"""
DRAWS = """
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

def test_plain():
    raise AssertionError("not a property test")

@given(st.integers())
def test_small(number):
    assert number < 1000

@settings(derandomize=True, database=None)
@given(st.integers())
def test_control(number): pass

class Machine(RuleBasedStateMachine):
    @rule()
    def go(self): pass

TestMachine = Machine.TestCase
"""


def session(pytester: pytest.Pytester, test: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> pytest.RunResult:
    """A pytest of its own: this one's profile of Hypothesis stays as it is."""
    pytester.makepyfile(test_it=test)
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return pytester.runpytest_subprocess("-p", "support.selection", "-p", "no:cacheprovider", "-v", *options)


def passed(result: pytest.RunResult) -> list[str]:
    return [line.split()[0].partition("::")[2] for line in result.outlines if " PASSED" in line]


@pytest.mark.parametrize("count", [1, 3, 4, 24, 35])
@pytest.mark.parametrize("function", ["test_kills", "test_flips", "test_model"])
def test_each_part_is_in_one_slice(count: int, function: str) -> None:
    """And the slices are of one size, as far as the count allows."""
    marks = [parameter.marks[0].mark for parameter in rotating(range(count))]
    slices = [[number for number, mark in enumerate(marks) if is_in_slice(mark, function, s)] for s in range(SLICES)]
    assert list(range(count)) == sorted(number for numbers in slices for number in numbers)
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_the_slices_hold_all(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they run what --long runs, but for the long tests; each says how to run the same again."""
    runs = []
    for slice in range(SLICES):
        result = session(pytester, ROTATES, monkeypatch, f"--slice={slice}")
        result.stdout.fnmatch_lines([f"slice {slice} of 0 to 3 of what rotates: run the same with --slice={slice},*"])
        runs.append(passed(result))
    everything = passed(session(pytester, ROTATES, monkeypatch, "--long"))
    assert {*everything} == {name for run in runs for name in run} | {"test_long"}
    for name in everything:
        of = {"test_always": 4, "test_parts[a]": 4, "test_in_two": 2, "test_long": 0}.get(name, 1)
        assert of == sum(name in run for run in runs), name


def test_the_commit_picks_the_slice(tmp_path: Path) -> None:
    """By its hash; without a repository it is the first."""
    assert slice_of_commit(tmp_path / "nowhere") == 0
    assert slice_of_commit(Path(__file__).parent) in range(SLICES)


def test_fresh_examples_can_be_had_again(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """--fresh runs property tests alone, and prints the seed and the example; the seed finds the same example."""
    result = session(pytester, DRAWS, monkeypatch, "--fresh", "--hypothesis-seed=5")

    result.assert_outcomes(passed=1, failed=1, deselected=2)
    result.stdout.fnmatch_lines(["fresh examples of seed 5: run the same with --fresh --hypothesis-seed=5"])
    result.stdout.fnmatch_lines(["test_it.py::test_small", "    F*: test_small(", "*number=1000,*"])
    result.stdout.fnmatch_lines(["*@reproduce_failure(*"])


def test_without_it_every_run_draws_the_same() -> None:
    """No chance and no database decides; a test's own settings change neither."""
    for chosen in (settings.default, settings(max_examples=3)):
        assert chosen is not None
        assert chosen.derandomize
        assert chosen.database is None


def test_what_fails_is_ready_to_paste() -> None:
    """From the example on, without the marks of a report."""
    report = "    def test():\nE   AssertionError\nE   Falsifying example: test(\nE       n=1,\nE   )\ntest.py:3"
    assert ["Falsifying example: test(", "    n=1,", ")"] == falsified(report)


@pytest.mark.parametrize("name", SMOKE)
def test_the_smoke_set_names_files_that_exist(name: str) -> None:
    assert (Path(__file__).parent / name).exists()


def test_the_laws_name_files_that_exist() -> None:
    """The docstrings of the law files name the files that hold the rest of a law."""
    root = Path(__file__).parent
    for file in sorted((root / "laws").glob("test_law_*.py")):
        named = re.findall(r"tests/[\w/]+\.py", file.read_text(encoding="utf-8").partition('"""\n\n')[0])
        assert [] == [name for name in named if not (root.parent / name).exists()], file.name
