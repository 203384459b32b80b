"""RESULT.md: what was judged, what survived, and which of those no test could tell from the right one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUTCOMES = ("killed", "timed out", "survived")


def judged_equivalent() -> dict[str, str]:
    """Why a mutant behaves as the right one does, by its key."""
    groups = tomllib.loads((HERE / "equivalent.toml").read_text()).get("group", [])
    return {key: group["reason"] for group in groups for key in group["mutants"]}


METHOD = """\
mutmut makes {mutants} mutants of the functions of these modules, those with decorators included, constants and fields
outside them left out; of three wrong texts that it makes of one, we take the first. {judged} were judged: the order was
drawn (seed 0), a driver's at a slower pace than the core's, and taken as far as the time reached, so that what was
judged is a fair sample of each module. A mutant was tried with the tests that come by its lines, quick ones and those
that had killed others first, until one failed, hung (timed out), or about {budget:g} seconds of tests had passed: what
survived may yet be killed by a test that had no turn. Tests that start processes of their own and the long exams of the
models had none.\
"""


def write(
    modules: Sequence[str], mutants: Sequence[dict[str, Any]], verdicts: dict[str, dict[str, Any]], budget: float
) -> None:
    """Write RESULT.md."""
    equivalent = judged_equivalent()
    rows, total = [], [0] * 6
    for module in modules:
        keys = [mutant["key"] for mutant in mutants if mutant["module"] == module]
        if keys:
            figures = _figures(keys, verdicts, equivalent)
            total = [a + b for a, b in zip(total, figures, strict=True)]
            rows.append(_row(f"`{module}`", figures))
    survived = [m for m in mutants if verdicts.get(m["key"], {}).get("outcome") == "survived"]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    text = [
        "# Mutation testing: the last result",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, on top of {commit.stdout.strip()}, mutmut {importlib.metadata.version('mutmut')}.",
        "",
        METHOD.format(mutants=total[0], judged=total[1], budget=budget),
        "",
        tomllib.loads((HERE / "equivalent.toml").read_text()).get("note", "").strip(),
        "",
        "| module | mutants | judged | killed | timed out | survived | of these equivalent | score |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        _row("all", total),
        "",
        "`score`: killed or timed out, of all judged that are not equivalent.",
        "",
        "## Survived, and equivalent",
        "",
        *_listed(survived, equivalent),
        "",
        "## Survived, and not judged equivalent",
        "",
        *([f"- {_told(m)}" for m in survived if m["key"] not in equivalent] or ["None."]),
    ]
    (HERE / "RESULT.md").write_text("\n".join(text) + "\n")


def _figures(keys: Sequence[str], verdicts: dict[str, dict[str, Any]], equivalent: dict[str, str]) -> list[int]:
    known = {key: verdicts[key]["outcome"] for key in keys if key in verdicts}
    same = sum(outcome == "survived" and key in equivalent for key, outcome in known.items())
    return [len(keys), len(known), *(list(known.values()).count(outcome) for outcome in OUTCOMES), same]


def _row(name: str, figures: Sequence[int]) -> str:
    _, judged, killed, timed_out, _, same = figures
    score = f"{100 * (killed + timed_out) / (judged - same):.1f} %" if judged > same else "-"
    return f"| {name} | {' | '.join(map(str, figures))} | {score} |"


def _listed(survived: Sequence[dict[str, Any]], equivalent: dict[str, str]) -> list[str]:
    lines = []
    for reason in dict.fromkeys(equivalent.values()):
        told = [f"- {_told(m)}" for m in survived if equivalent.get(m["key"]) == reason]
        if told:
            lines += [f"{reason}:", "", *told, ""]
    return lines[:-1] or ["None."]


def _told(mutant: dict[str, Any]) -> str:
    before, after = _shortened(mutant["before"], mutant["after"])
    return f"`{mutant['module']}` {mutant['first']} `{mutant['function']}`: `{before}` → `{after}`"


def _shortened(before: str, after: str, room: int = 60) -> tuple[str, str]:
    """Both texts without most of what they begin and end with alike."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = max(0, start - room // 2)
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    end = max(0, end - room // 2)

    def cut(text: str) -> str:
        return f"{'…' if start else ''}{text[start : len(text) - end]}{'…' if end else ''}"

    return cut(before), cut(after)
