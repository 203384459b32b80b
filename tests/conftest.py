"""Fixtures and lists that all tests share, and what the options of `support.selection` choose.

The gate runs everything but the tests marked `long`, and of those that rotate one slice out of four. The hash of the
commit picks the slice; the first line of pytest's output names it. `--slice=N` runs slice N, `--long` runs everything.

These parts rotate:

- test_model: sagas of two and of three steps; what the model forgets; broken cores
- test_model_trees: the sagas; broken trees
- test_every_failure: pairs of failures of the sagas of five to twelve steps, single failures of forty more
- test_tree_controls: broken cores
- gallery: mistakes and correct sagas
- reliability: shares of the calls that are killed or refused and of the bits that flip; seeds of power losses; kills by
  strace
- browser: half of the scenarios in each slice; the theme, where a scenario is played in both

Property tests draw the same examples in every run, with no database of earlier failures. `--fresh` runs the property
tests alone on new examples, and prints the seed and what fails ready to paste. `--smoke` runs the files of SMOKE alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sagafsm.store import Store
from support.bench import WAYS
from support.stores import KINDS, new_store

pytest_plugins = ["support.selection"]
TESTS = Path(__file__).parent

# Every way over memory; over SQLite those two that differ in how they come to the store.
PLACES = [*(("memory", way) for way in WAYS), ("sql", "sync"), ("sql", "async")]


# Tests that enumerate, kill, draw or browse. What they find does not depend on the Python.
EXAM_FOLDERS = ("exams", "reliability")

# The files and folders, below this one, that show whether another Python runs sagafsm: about a minute of tests, in which
# each law is touched.
SMOKE = (
    "adapters/test_sqlite.py",
    "definition/test_functions.py",
    "history/test_payload.py",
    "laws",
    "runtime/test_loop_thread.py",
    "runtime/test_sync_performer.py",
    "test_async_orchestrator.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out of --smoke the files and folders that are not in its list, with all that they import."""
    if not config.option.smoke or not collection_path.is_relative_to(TESTS):
        return None
    chosen = [TESTS / name for name in SMOKE]
    if any(path.is_relative_to(collection_path) or collection_path.is_relative_to(path) for path in chosen):
        return None
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in EXAM_FOLDERS:
            item.add_marker(pytest.mark.exam)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An exam that takes `way` is sat by both orchestrators; with `store` too, over each kind of store and action."""
    asked = metafunc.fixturenames
    if "way" in asked and "store" in asked:
        metafunc.parametrize(("store", "way"), PLACES, indirect=["store"], ids=["-".join(place) for place in PLACES])
    elif "way" in asked:
        metafunc.parametrize("way", ("sync", "async"))
    elif "store" in asked and metafunc.cls is None:  # a class of the contract brings its own
        metafunc.parametrize("store", KINDS, indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    kind = request.param
    folder = request.getfixturevalue("tmp_path") if kind == "sql" else Path()
    store = new_store(kind, folder)
    yield store
    store.close()


@pytest.fixture
def memory() -> Iterator[Store]:
    """An empty memory store, where the kind makes no difference."""
    store = new_store("memory", Path())
    yield store
    store.close()
