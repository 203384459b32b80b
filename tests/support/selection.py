"""Options that choose which tests run: --slice, --long, --fresh and --smoke. `conftest` says what each of them holds.

A plugin of its own, so that its tests can load it into a pytest of theirs.
"""

from __future__ import annotations

import secrets
import subprocess
import textwrap
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

SLICES = 4
FRESH_SEED = "hypothesis_seed"  # the name under which Hypothesis keeps its own --hypothesis-seed
FALSIFIED = ("Falsifying example", "Failing test case")  # the words of Hypothesis, by its version

# No database in either: what one run finds must not decide another one. How long an example takes depends on the
# machine, so there is no deadline.
settings.register_profile("fixed", deadline=None, database=None, derandomize=True)
settings.register_profile("fresh", deadline=None, database=None, derandomize=False, print_blob=True)
# Loaded before any module of tests is imported: a test's own @settings take all else from the profile loaded by then.
settings.load_profile("fixed")


def rotating(values: Iterable[Any], *, always: Sequence[Any] = ()) -> list[Any]:
    """Return the values as parameters that rotate: each runs in one slice out of four, those of `always` in all."""
    marked, number = list[Any](), 0
    for value in values:
        if value in always:
            marked.append(pytest.param(value))
        else:
            marked.append(pytest.param(value, marks=pytest.mark.rotates(number)))
            number += 1
    return marked


def slice_of_commit(folder: Path) -> int:
    """Return the slice that the commit checked out in a folder picks by its hash, and 0 where there is no commit."""
    try:
        asked = ["git", "rev-parse", "--verify", "HEAD"]
        told = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(told.strip(), 16) % SLICES


def is_in_slice(mark: pytest.Mark, function: str, slice: int) -> bool:
    """Return whether a test with this mark `rotates(number, of=4)` runs in a slice.

    The name of the test function is a start for its numbers. Otherwise slice 0 would hold the first part of every
    test, and so all of those tests that have only one.
    """
    (number,), of = mark.args, mark.kwargs.get("of", SLICES)
    return bool((number + zlib.crc32(function.encode()) - slice) % of == 0)


def draws_examples(item: pytest.Item) -> bool:
    """Return whether a test is a property test that --fresh can vary.

    Tests that draw within their body carry the mark `draws`. A test that fixes its examples itself is not one: it
    controls another test, and must find the same each time.
    """
    test = getattr(item, "obj", None)
    chosen = getattr(test, "_hypothesis_internal_use_settings", None)
    fixed = chosen is not None and chosen.derandomize and not settings.default.derandomize
    return "draws" in item.keywords or (is_hypothesis_test(test) and not fixed)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("selection", "which tests run")
    group.addoption(
        "--slice", type=int, choices=range(SLICES), metavar="N", help="run slice N (0 to 3) of the tests that rotate"
    )
    group.addoption("--long", action="store_true", help="run all tests: every slice, and those that take minutes")
    group.addoption("--fresh", action="store_true", help="run the property tests alone, on newly drawn examples")
    group.addoption("--smoke", action="store_true", help="run a small set of files alone, to try another Python")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its seed, and before pytest-xdist copies the options
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with --long")
    config.addinivalue_line("markers", "rotates(number, of=4): runs in each of-th slice; the commit picks a slice")
    config.addinivalue_line("markers", "draws: a property test that draws its examples within its body")
    option = config.option
    if option.slice is None:
        option.slice = slice_of_commit(config.rootpath)
    if option.fresh:
        if getattr(option, FRESH_SEED, None) is None:
            setattr(option, FRESH_SEED, str(secrets.randbelow(10**9)))
        settings.load_profile("fresh")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.fresh:
        others = [item for item in items if not draws_examples(item)]
        items[:] = [item for item in items if draws_examples(item)]
        config.hook.pytest_deselected(items=others)
    if config.option.long:
        return
    chosen = config.option.slice
    for item in items:
        rotates = item.get_closest_marker("rotates")
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --long"))
        elif rotates is not None and not is_in_slice(rotates, getattr(item, "originalname", item.name), chosen):
            item.add_marker(pytest.mark.skip(reason=f"not in slice {chosen}; run with another --slice or --long"))


def _replay(config: pytest.Config) -> str:
    """Return how to run the same again."""
    if config.option.fresh:
        seed = getattr(config.option, FRESH_SEED)
        return f"fresh examples of seed {seed}: run the same with --fresh --hypothesis-seed={seed}"
    if config.option.long:
        return f"all {SLICES} slices of what rotates (--long)"
    slice = config.option.slice
    return f"slice {slice} of 0 to {SLICES - 1} of what rotates: run the same with --slice={slice}, all with --long"


# Written here, as pytest's own header is left out with -q, which is in our addopts.
@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(_replay(session.config))


def falsified(report: str) -> list[str]:
    """Return the lines of a failure's report that name its example, as they can be pasted into a test."""
    lines = [line.removeprefix("E") for line in report.splitlines() if line.startswith("E ")]
    first = next((number for number, line in enumerate(lines) if line.strip().startswith(FALSIFIED)), len(lines))
    return textwrap.dedent("\n".join(lines[first:])).splitlines()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    failed = [*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())]
    if not failed:
        return
    config: pytest.Config = terminalreporter.config
    terminalreporter.section("how to run the same again")
    terminalreporter.write_line(_replay(config))
    for report in failed if config.option.fresh else ():
        terminalreporter.write_line(f"\n{report.nodeid}")
        for line in falsified(report.longreprtext):
            terminalreporter.write_line(f"    {line}")
