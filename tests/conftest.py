"""Options, markers and fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from sagafsm.store import Store
from support.bench import WAYS
from support.stores import KINDS, new_store

# Every way over memory; over SQLite those two that differ in how they come to the store.
# How long an example takes is the machine's affair, and no test of ours depends on it. The gate tries the same examples
# each time, so that what it refuses is what has changed; everybody else tries new ones.
settings.register_profile("sagafsm", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("sagafsm")
PLACES = [*(("memory", way) for way in WAYS), ("sql", "sync"), ("sql", "async")]


# What they find does not depend on the Python: CI sits them on one, and the rest on two.
EXAMS = (
    "test_model",
    "test_model_trees",
    "test_every_failure",
    "test_random_trees",
    "test_tree_controls",
    "test_kill_many",
    "test_kill_tree",
    "test_gallery",
    "test_gallery_pieces",
    "test_testing_plugin",
    "test_testing_strategies",
    "test_testing_machine",
    "test_verify_promises",
    "test_verify_pipeline",
    "test_cli_verifying",
    "test_crash_table",
    "test_crash_table_of_trees",
    "test_demo_kills",
    "test_notebooks",
    "test_evolution",
    "test_kill",
    "test_positive_controls",
    "test_random_sagas",
    "test_two_orchestrators",
    "test_two_orchestrators_tree",
    "test_verify_randomised",
    "test_typing",
)
EXAM_FOLDERS = ("lab", "view")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the exams that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in EXAMS or item.path.parent.name in EXAM_FOLDERS:
            item.add_marker(pytest.mark.exam)
    if config.getoption("--long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --long"))


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
