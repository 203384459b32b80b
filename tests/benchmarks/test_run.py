"""The benchmarks run and report; nothing here is about time."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal

import pytest

from benchmarks.measuring import Bar, Figure, Spent, interleaved, rate, ratio
from benchmarks.peers.asking import Peers
from benchmarks.picture import svg
from benchmarks.raw import MODEL, Raw
from benchmarks.recovering import fill
from benchmarks.report import plain
from benchmarks.workload import saga_of
from sagafsm import Orchestrator

RUN = Path(__file__).with_name("run.py")
BARS = (
    Bar(chart="µs", name="bare <loop>", value=0.7, whose="raw"),
    Bar(chart="µs", name="sagafsm", value=97.3, whose="ours"),
    Bar(chart="sagas/s", name="a peer", value=1200, whose="peer"),
)


def test_a_quick_run_gives_every_figure_of_its_group_as_json(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "--quick", "--json", "--only", "memory", "--folder", str(tmp_path)]
    here = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "PYTHONPATH": here}
    )
    found = json.loads(done.stdout)
    assert set(found) == {"machine", "figures", "skipped"}
    assert set(found["figures"]) == {"memory.cpu"}
    for figure in found["figures"].values():
        assert set(figure) == {"work", "unit", "measured", "target", "bound", "baselines", "note", "met"}
    assert "bare loop" in found["figures"]["memory.cpu"]["baselines"]
    assert list(tmp_path.iterdir()) == []


def test_the_raw_baseline_makes_the_commits_and_rows_of_the_store(tmp_path: Path) -> None:
    """N+1 commits, and what it wrote can be told from what the store wrote by nothing but the id and the checksums."""
    raw = Raw.opened(tmp_path / "raw.db", "NORMAL")
    assert raw.commits == 4
    raw.play(raw.prepared(["other"]))
    raw.connection.close()
    with sqlite3.connect(tmp_path / "raw.db") as db:
        instance = "SELECT state, version, saga, owner, mail FROM sagafsm_instances WHERE id = ?"
        events = "SELECT number, body FROM sagafsm_events WHERE instance_id = ? ORDER BY number"
        for query in (instance, events):
            assert db.execute(query, (MODEL,)).fetchall() == db.execute(query, ("other",)).fetchall() != []
        (rows,) = db.execute("SELECT count(*) FROM sagafsm_events WHERE instance_id = 'other'").fetchone()
    db.close()
    assert raw.statements == rows + raw.commits


def test_a_store_is_filled_with_instances_at_rest(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/full.db"
    fill(url, saga_of(3), 5)
    with Orchestrator(url) as orchestrator:
        assert [summary.state for summary in orchestrator.find()] == ["completed"] * 5
        assert orchestrator.recover().resumed == ()


def test_rounds_are_taken_in_turns_and_the_first_only_warms_up() -> None:
    taken: list[str] = []

    def work(name: str, seconds: float) -> Spent:
        taken.append(name)
        return Spent(10, seconds, 1)

    costs = interleaved(3, {"a": lambda: work("a", 1), "b": lambda: work("b", 2)})
    assert taken == list("baabbaab")
    assert {name: len(found) for name, found in costs.items()} == {"a": 3, "b": 3}
    assert ratio(costs["a"], costs["b"], rate) == 2


def test_a_peer_that_is_not_installed_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.peers.dbos.IMPORTED", "no_such_library")
    peers = Peers(1, tmp_path)
    assert list(peers.costs(("dbos",))) == []
    assert peers.skipped == {"dbos": "dbos is not installed (it is in the extra 'bench')"}


@pytest.mark.parametrize(
    ("measured", "bound", "target", "met"),
    [(5, "at most", 5, True), (6, "at most", 5, False), (4, "at least", 5, False), (5, "at least", None, None)],
)
def test_a_target_is_met_or_not_or_there_is_none(
    measured: float, bound: Literal["at most", "at least"], target: float | None, met: bool
) -> None:
    figure = Figure(key="k", work="w", unit="u", measured=measured, target=target, bound=bound)
    assert figure.met is met
    assert {True: "yes", False: "NO", None: ""}[met] in plain([figure]).splitlines()[1]


def test_the_picture_is_one_well_formed_svg_and_the_same_for_the_same_figures() -> None:
    picture = svg(BARS)
    assert picture == svg(BARS)
    assert picture.index("sagafsm</text>") < picture.index("bare &lt;loop&gt;</text>")  # longest first
    root = ET.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"bare <loop>", "97.3", "a peer", "1,200"} <= texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == len(BARS)
    assert "prefers-color-scheme: dark" in picture
    assert "href" not in picture
    assert picture.count("http") == 1


def test_the_picture_of_nothing_is_still_one() -> None:
    ET.fromstring(svg(()))
