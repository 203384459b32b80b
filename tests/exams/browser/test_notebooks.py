"""Every notebook runs from its first cell to its last, and is committed without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import Page

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    """The folder of notebooks holds some."""
    assert NOTEBOOKS


# What a notebook's cells print that its text relies on, whole lines, in order.
CLAIMS = {
    "approvals": [
        "running:approval ('approval',)",
        "{'paid': 'c-7'}",
        "<SagaInstance 'r-2' of 'refund': failed; compensated; step 'pay_back' failed: ValueError: the boss said no>",
    ],
    "failure_and_compensation": [
        (
            "<SagaInstance 't-1' of 'trip': failed; compensated; "
            "step 'send_papers' failed: ValueError: nobody delivers there>"
        ),
        "{} {}",
        (
            "<SagaInstance 't-2' of 'trip': failed; compensated; "
            "decided on step 'pay' by ann: OutcomeUnknown: the bank did not answer>"
        ),
        "{} {}",
    ],
    "first_saga": [
        "<SagaInstance 'o-1' of 'order': completed>",
        "<SagaInstance 'o-2' of 'order': failed; compensated; step 'ship' failed: ValueError: no carrier goes there>",
    ],
    "inspector": [
        "running:charge",
        (
            "<SagaInstance 'o-1' of 'order': compensating:reserve; blocked on reserve: compensation_failed; "
            "step 'ship' failed: InjectedRefusal: the action of step 'ship' was refused (injected)>"
        ),
        "running:ship",
        (
            "<SagaInstance 'o-1' of 'order': failed; compensated; "
            "step 'ship' failed: InjectedRefusal: the action of step 'ship' was refused (injected)>"
        ),
        "completed",
    ],
    "kill_and_resume": [
        "exit code -9",
        "<SagaInstance 'o-1' of 'order': completed>",
        "{'reserve': {'reserved': 'mug'}, 'charge': {'charged': 1800}, 'ship': 'label'}",
        "completed",
    ],
    "parallel_and_nested": [
        "stamped label to Rome",
        "skipped",
        (
            "<SagaInstance 't-3/papers' of 'papers': failed; compensated; "
            "undone with its parent: step 'collect' failed: ValueError: nobody goes there>"
        ),
    ],
    "verify_your_saga": [
        "['stuck: hotel', 'left_behind: hotel', 'differs: charge']",
        "hotel.action/hotels.book#1=raise_after",
        "False",
        "True",
        "['left_behind: hotel', 'differs: charge']",
        "['differs: charge']",
        "False True",
        "['not_intercepted']",
    ],
    "write_your_own_store": ["the contract holds", "<SagaInstance 'o-1' of 'order': completed>"],
}
# What the outputs of its cells that are drawn say, in order.
DRAWN = {
    "approvals": ["r-1 of saga refund"],
    "failure_and_compensation": [
        "t-1 of saga trip",
        "t-2 of saga trip",
        "first differ at event 7: StepSucceeded send_papers",
    ],
    "first_saga": [],
    "inspector": ["o-1 of saga order", "o-1"],
    "kill_and_resume": ["o-1 of saga order", "1 resumed", "events"],
    "parallel_and_nested": ["saga trip", "t-1 of saga trip", "t-3 of saga trip", "events"],
    "verify_your_saga": ["saga trip 3 findings", "saga trip holds, within the bounds below"],
    "write_your_own_store": [],
}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    """A notebook executes without an error in a fresh kernel, and prints and shows what its text says."""
    # Its own files (connections, history) stay in the test's folder.
    home = {name: str(tmp_path) for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    copy = tmp_path / notebook.name
    copy.write_bytes(notebook.read_bytes())
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", "--timeout=120", copy.name]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | home, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", ())]
    printed = "".join("".join(out.get("text", "")) for out in outputs).splitlines()
    assert CLAIMS[notebook.stem] == [line for line in printed if line in CLAIMS[notebook.stem]]
    drawn = [Page("".join(out["data"]["text/html"])).words for out in outputs if "text/html" in out.get("data", {})]
    assert len(DRAWN[notebook.stem]) == len(drawn)
    for told, words in zip(DRAWN[notebook.stem], drawn, strict=True):
        assert told in words


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(notebook):
    """Outputs are made where the notebook is read; in the repository they would be noise and lies."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert [] == [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
