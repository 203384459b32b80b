"""The reliability exam of the stores, for as long as you like.

    python tests/reliability/run.py [--minutes 60] [--seed N] [--shares 2]

CI sits a short form of it under pytest. What one seed finds it finds again, as far as it gets in the time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent), str(HERE.parent.parent / "adapters")]

from reliability import shim  # noqa: E402 - only now can it be found
from reliability.exam import Report, sit  # noqa: E402

# The part of the time that each exam gets, and what it counts.
PARTS = {
    "kills": (0.45, "kills"),
    "power": (0.15, "images"),
    "refusals": (0.2, "refusals"),
    "flips": (0.1, "flips"),
    "workers": (0.1, "kills"),
}
# What each must be caught at, or it proves nothing.
CONTROLS = {
    "kills": ("outcome recorded too late",),
    "power": ("NORMAL", "unsynced"),
    "refusals": ("outcome recorded too late", "errors as they come"),
    "flips": ("checksums not looked at",),
    "workers": ("outcome recorded too late",),
}
CONTROL_SECONDS = 15


def printer() -> Callable[[str], None]:
    """Prints with rich where it is installed, plainly where it is not."""
    try:
        from rich.console import Console
    except ImportError:
        return print
    return Console(highlight=True, soft_wrap=True).print


def told(exam: str, report: Report) -> str:
    """The figures of one exam, and its breaches."""
    counted = PARTS[exam][1]
    rate = f"{report.a_second(counted):.0f} a second, {report.cost(counted):.0f} ms of CPU each"
    lines = [f"{exam}: {report.counts[counted]:,} {counted} in {report.seconds:.0f} s, {rate}"]
    lines += [f"    {count:>8,} {verdict}" for verdict, count in sorted(report.counts.items()) if verdict != counted]
    return "\n".join(lines + [f"    BREACH {breach}" for breach in report.breaches])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--shares", type=int, default=min(8, os.cpu_count() or 1), help="processes side by side")
    options = parser.parse_args()
    if shim.lacking() is not None:
        print(f"cannot be sat here: {shim.lacking()}")
        return 2
    say, failures = printer(), Counter[str]()
    say(f"seed {options.seed}, {options.minutes:g} minutes, {options.shares} processes side by side")
    for exam, (part, _) in PARTS.items():
        seconds, shares = 60 * options.minutes * part, 1 if exam == "workers" else options.shares
        report = sit(exam, seconds=seconds, seed=options.seed, shares=shares)
        say(told(exam, report))
        failures["breaches"] += len(report.breaches)
        for control in CONTROLS[exam]:
            caught = sit(exam, seconds=min(seconds, CONTROL_SECONDS), seed=options.seed, control=control)
            say(f"    with {control!r}: {'caught' if caught.breaches else 'NOT CAUGHT'}")
            failures["controls not caught"] += not caught.breaches
    say(", ".join(f"{count} {what}" for what, count in failures.items()))
    return 1 if failures.total() else 0


if __name__ == "__main__":
    sys.exit(main())
