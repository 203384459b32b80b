"""`sagafsm verify` tries every failure point of any module:saga; `sagafsm replay` tells what has become of what failed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sagafsm.cli.commands import app
from sagafsm.cli.output import make_matrix_tables
from sagafsm.verify.report.report import PointResults

MODULE = """
from sagafsm import Saga

class Shop:
    def __init__(self):
        self.held, self.freed = {{}}, set()
    def resources(self):
        return {{"shop": self}}
    def snapshot(self):
        return dict(self.held)
    def hold(self, key):
        if key in self.freed:
            raise ValueError("freed")
        self.held[key] = 1
    def free(self, key):
        self.freed.add(key)
        self.held.pop(key, None)

def hold(input, ctx, shop):
    if input == "refused":
        raise ValueError("refused")
    shop.hold(ctx.idempotency_key)

def free(ctx, shop):
    shop.free(ctx.action_key)

def forget(shop):
    pass

order = Saga("order", resources=["shop"], in_doubt="compensate")
order.add_step("reserve", hold, {undo})
order.add_step("charge", hold, free)

waiting = Saga("waiting", resources=["shop"], in_doubt="compensate")
waiting.add_step("reserve", hold, free)
waiting.wait_for("approval")

class Wrong:
    def resources(self):
        return {{}}

class Lacking(Shop):
    def resources(self):
        return {{"shops": self}}

some = ["a", "b"]
plain = 7
"""
ORDER = ("verify", "shopping:order", "--world", "shopping:Shop", "--depth", "1")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes `shopping.py`, with an undo that does something or not, where the commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")

    def write(undo: str = "free") -> None:
        sys.modules.pop("shopping", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        (tmp_path / "shopping.py").write_text(MODULE.format(undo=undo), encoding="utf-8")

    write()
    yield write
    sys.modules.pop("shopping", None)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def kept() -> list[Path]:
    return sorted(Path(".sagafsm/failures").glob("*"))


def said(text: str) -> str:
    """An error without its frame."""
    return " ".join(text.replace("│", " ").replace("╭", " ").replace("╰", " ").split())


# verify ---------------------------------------------------------------------------------------------------------------


def test_a_saga_that_holds(shop) -> None:
    """Status 0; the matrix, the contracts, the grades, and the bounds last; nothing is kept."""
    result = run(*ORDER)

    lines = result.output.splitlines()
    assert 0 == result.exit_code, result.output
    (head,) = [line for line in lines if line.startswith("point")]
    assert ["point", "refused"] == head.split()[:2]
    (hit,) = [line for line in lines if line.startswith("charge.action/shop.hold#1")]
    # Down until healed: so is what undoes the reservation, which is then asked for.
    assert ["compensated"] * 2 + ["asked"] + ["compensated"] * 5 == hit.split()[1:], hit
    assert "compensated: it went back, and nothing is left" in lines
    assert "reserve         held        held          held              held" in [line.rstrip() for line in lines]
    assert any(line.startswith("store: held (") for line in lines)
    assert lines[-1].startswith("saga 'order': holds, within ")
    assert "all of up to 1 fault" in lines[-1]
    assert not Path(".sagafsm").exists()


def test_findings(shop) -> None:
    """Status 1; each with what to do, its schedule and its file."""
    shop("forget")

    result = run(*ORDER)

    lines = result.output.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("finding left_behind: saga 'order', 1 fault of "))
    assert 1 == result.exit_code
    assert "  Undo in the compensation of 'reserve' all that its action does, by its key." == lines[begin + 1]
    assert lines[begin + 2].startswith("  schedule: charge.action/shop.hold#1=raise_before (and ")
    (file,) = [path for path in kept() if "left_behind" in path.name]
    assert f"  kept: sagafsm replay {file}" == lines[begin + 3]
    assert "findings, within " in lines[-1] or "finding, within " in lines[-1]


def test_the_words_are_there_without_colours(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell says what it means also in one colour."""
    shop("forget")
    monkeypatch.setenv("NO_COLOR", "1")

    result = run(*ORDER)

    assert "\x1b[" not in result.output
    assert "broken: a finding" in result.output.splitlines()


def test_as_json(shop) -> None:
    """The whole report, and the same status."""
    shop("forget")

    result = run(*ORDER, "--json")

    value = json.loads(result.output)
    assert 1 == result.exit_code
    assert ("order", False) == (value["saga"], value["ok"])
    assert "left_behind" in [finding["kind"] for finding in value["findings"]]


def test_strict_counts_what_lands_late(shop) -> None:
    """With --strict a call that lands after its timeout, and after its undo, is a finding."""
    Path("shopping.py").write_text(MODULE.format(undo="free").replace("self.freed.add(key)", "pass"), encoding="utf-8")

    assert (0, 1) == (run(*ORDER).exit_code, run(*ORDER, "--strict").exit_code)


def test_nothing_tried_is_its_own_status(shop) -> None:
    """Status 3 when no input completes: nothing was tried."""
    result = run(*ORDER, "--input", '"refused"')

    assert 3 == result.exit_code, result.output
    assert "1 finding; not everything was tried, within " in result.output.splitlines()[-1]
    assert [] == kept()


def test_one_schedule(shop) -> None:
    """--schedule runs this one alone, and keeps nothing."""
    shop("forget")

    result = run(*ORDER, "--schedule", "charge.action/shop.hold#1=raise_before")

    assert 1 == result.exit_code
    last = result.output.splitlines()[-1]
    assert last.startswith("saga 'order': 1 finding, within ")
    assert "schedules: no faults; 2 steps; 1 input;" in last
    assert [] == kept()


def test_inputs_and_signals(shop) -> None:
    """Inputs as JSON or from a module, signals by name."""
    results = [
        run(
            "verify",
            "shopping:waiting",
            "--world",
            "shopping:Shop",
            "--depth",
            "1",
            *given,
            "--signal",
            'approval={"by": 1}',
        )
        for given in (("--input", "1", "--input", "2"), ("--inputs", "shopping:some"))
    ]

    assert [0, 0] == [result.exit_code for result in results], results[0].output
    assert all("2 inputs" in result.output.splitlines()[-1] for result in results)


def test_without_hypothesis(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is enumerated needs no Hypothesis; the bounds say what was left out."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)

    result = run("verify", "shopping:order", "--world", "shopping:Shop", "--budget", "20")

    assert 0 == result.exit_code, result.output
    assert "more faults at random" in result.output.splitlines()[-1].partition("not covered")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere:order",), "SAGA 'nowhere:order': no module 'nowhere' (run it where the module is)"),
        (("shopping:orders",), "SAGA 'shopping:orders': module 'shopping' has no 'orders'"),
        (("shopping",), "SAGA is given as module:name, not 'shopping'"),
        (("shopping:plain",), "SAGA 'shopping:plain' is 7, which is no Saga"),
        (
            ("shopping:order", "--world", "shopping:plain"),
            "world=7 is no world: give a class whose instances have resources() and snapshot(), or an instance",
        ),
        (
            ("shopping:order", "--world", "shopping:Wrong"),
            "world 'Wrong' has no method 'snapshot' (a world has resources() and snapshot())",
        ),
        (("shopping:order", "--input", "{"), "--input takes JSON, not '{' ("),
        (("shopping:order", "--input", "1", "--inputs", "shopping:some"), "give --input or --inputs, not both"),
        (
            ("shopping:order", "--world", "shopping:Shop", "--inputs", "shopping:plain"),
            "verify takes inputs= as a list or a Hypothesis strategy, not 7",
        ),
        (("shopping:order", "--signal", "approval"), "--signal takes name=JSON, not 'approval'"),
        (("shopping:order", "--signal", "approval=yes"), "--signal approval takes JSON, not 'yes' ("),
        (("shopping:order", "--depth", "0"), "Invalid value for '--depth'"),
        (
            ("shopping:order", "--world", "shopping:Shop", "--schedule", "charge#1=explode"),
            "'charge#1=explode' asks for a fault 'explode' that there is not (there are: raise_before,",
        ),
        (("shopping:order",), "saga 'order' asks for 'shop', which only a world can give: pass --world module:World"),
    ],
)
def test_wrong_usage(shop, arguments: tuple[str, ...], told: str) -> None:
    """Status 2, and what is wrong, with the way out."""
    result = run("verify", *arguments)

    assert 2 == result.exit_code, result.output
    assert told in said(result.output)


# The matrix -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (60, 2), (20, 3)])
def test_the_matrix_fits_the_terminal(width: int, tables: int) -> None:
    """Where the faults do not fit beside the points there are several tables, and no cell is cut."""
    cells = {"raise_before": "compensated", "crash": "compensated", "twice": "never fired"}
    rows = [PointResults(point="charge.action/shop.hold#1", step="charge", role="action", cells=cells)]

    found = list(make_matrix_tables(rows, width))

    assert tables == len(found)
    console = Console(width=max(width, 45), record=True, file=io.StringIO())
    for table in found:
        console.print(table)
    assert 2 == console.export_text().count("compensated")


def test_no_points_no_matrix() -> None:
    """Where nothing was tried there is none."""
    assert [] == list(make_matrix_tables([], 80))


# replay ---------------------------------------------------------------------------------------------------------------


def test_what_still_fails(shop) -> None:
    """Status 1, and the finding again; the file stays."""
    shop("forget")
    run(*ORDER)
    before = kept()

    result = run("replay", "--all")

    lines = result.output.splitlines()
    assert 1 == result.exit_code
    assert [f"STILL FAILS {path}" for path in before] == [line for line in lines if line.startswith("STILL")]
    assert "  schedule: charge.action/shop.hold#1=raise_before" in lines
    assert before == kept()


def test_what_is_fixed(shop) -> None:
    """Status 0; the file is removed."""
    shop("forget")
    run(*ORDER)
    (file,) = [path for path in kept() if "left_behind" in path.name]
    shop()

    result = run("replay", str(file))

    assert (0, f"FIXED {file}: charge.action/shop.hold#1=raise_before\n") == (result.exit_code, result.output)
    assert not file.exists()
    assert (0, "no failure is kept in .sagafsm/failures\n") == _outcome(_all_fixed())


def _all_fixed() -> Any:
    run("replay", "--all")
    return run("replay", "--all")


def _outcome(result: Any) -> tuple[int, str]:
    return result.exit_code, result.output


def test_what_was_given_is_given_again(shop) -> None:
    """Inputs, signals and strictness are kept with a failure."""
    shop("forget")
    run(*ORDER, "--input", '"mug"', "--input", '"saucer"', "--signal", "later=[1]", "--strict")

    (file,) = [path for path in kept() if "left_behind" in path.name]
    value = json.loads(file.read_text(encoding="utf-8"))
    assert ("shopping:order", "shopping:Shop", ["mug", "saucer"], {"later": [1]}, True, None) == tuple(
        value[name] for name in ("target", "world", "inputs", "signals", "strict", "test")
    )
    assert 1 == run("replay", str(file)).exit_code


def test_what_cannot_be_run(shop) -> None:
    """Status 3: a point that there is no more says neither that it is fixed nor that it fails."""
    shop("forget")
    run(*ORDER)
    (file,) = [path for path in kept() if "left_behind" in path.name]
    file.write_text(file.read_text(encoding="utf-8").replace("charge.", "charged."), encoding="utf-8")

    result = run("replay", str(file))

    lines = result.output.splitlines()
    assert 3 == result.exit_code
    assert f"CANNOT TELL {file}" == lines[0]
    assert "the run came by no point 'charged.action/shop.hold#1'" in lines[1]
    assert "  delete the file, or run sagafsm verify shopping:order anew" == lines[-1]


def test_what_a_test_has_found(shop) -> None:
    """Only that test knows its saga: status 3, and how to run it."""
    shop("forget")
    run(*ORDER)
    (file,) = [path for path in kept() if "left_behind" in path.name]
    value = json.loads(file.read_text(encoding="utf-8")) | {"target": None, "test": "test_shop.py::test_order"}
    file.write_text(json.dumps(value), encoding="utf-8")

    told = f"CANNOT TELL {file}: found by a test; run pytest --saga-replay 'test_shop.py::test_order'\n"
    assert (3, told) == _outcome(run("replay", str(file)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "kept failure 'x.json' is damaged (Expecting property name"),
        ("[]", "kept failure 'x.json' is damaged (it holds no JSON object): delete it, and verify again"),
        ("{}", "kept failure 'x.json' is damaged (its field 'saga' is missing; "),
        (None, "there is no kept failure 'x.json' (see the files in '.sagafsm/failures')"),
    ],
)
def test_a_damaged_file(shop, text: str | None, told: str) -> None:
    """Status 2; nothing is replayed."""
    if text is not None:
        Path("x.json").write_text(text, encoding="utf-8")

    result = run("replay", "x.json")

    assert 2 == result.exit_code
    assert told in said(result.output)


@pytest.mark.parametrize("change", [{"input": "0"}, {"colour": "red"}])
def test_a_file_with_wrong_fields(shop, change: dict[str, Any]) -> None:
    """Each field is looked at before anything is run."""
    shop("forget")
    run(*ORDER)
    file = kept()[0]
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")

    result = run("replay", str(file))

    name = next(iter(change))
    assert 2 == result.exit_code
    assert f"its field {name!r} is '0'" in said(result.output) or f"a field {name!r} too many" in said(result.output)


def test_one_way_of_saying_which(shop) -> None:
    """Files, or all of them, which is also what is meant by nothing."""
    result = run("replay", "--all", "x.json")

    assert 2 == result.exit_code
    assert "give the files to replay, or --all for those in .sagafsm/failures, not both" in said(result.output)
    assert 0 == run("replay").exit_code
