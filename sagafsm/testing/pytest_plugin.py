"""The plugin of pytest: a fixture that verifies a saga, keeps what it finds, and replays that first the next time.

Whatever is found is kept under `.sagafsm/failures/` of the root directory, one file a failure, and removed once it is
fixed. Nothing else is ever written. Commit the files to have others replay them, or have git ignore `.sagafsm/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

if TYPE_CHECKING:
    from sagafsm.definition.definition import HasDefinition
    from sagafsm.testing.failure_files import KeptFailure
    from sagafsm.verify.report.report import Report

SUMMARY_PROPERTY = "sagafsm"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `verify_saga`."""
    group = parser.getgroup("sagafsm", "verification of sagas (fixture verify_saga)")
    group.addoption(
        "--saga-depth",
        type=_parse_depth,
        metavar="N",
        help="try up to N faults in one run; auto: 2, and more at random",
    )
    group.addoption(
        "--saga-budget", type=_parse_budget, metavar="SECONDS", help="go on trying for this long, for each saga"
    )
    group.addoption("--saga-replay", action="store_true", help="only replay the failures that are kept")


def _parse_depth(text: str) -> int | str:
    if text == "auto" or (text.isdecimal() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"takes auto or a number of faults from 1, not {text!r}")


def _parse_budget(text: str) -> timedelta:
    try:
        budget = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        budget = timedelta(0)
    if budget <= timedelta(0):
        raise argparse.ArgumentTypeError(f"takes seconds, more than 0, not {text!r}")
    return budget


@pytest.fixture
def verify_saga(request: pytest.FixtureRequest) -> VerifySaga:
    """What verifies a saga: `verify_saga(order, Shop, inputs=[mug])`, with all that `sagafsm.verify.verify` takes."""
    return VerifySaga(request.config, request.node)


@attrs.frozen
class VerifySaga:
    """What the fixture gives to one test."""

    config: pytest.Config
    node: pytest.Item

    def __call__(self, saga: HasDefinition, world: Any = None, **options: Any) -> Report:
        """Replay what this test has failed with before; then verify, and raise unless all is well.

        While a kept failure still fails nothing else is tried. Those that are fixed are removed. The command line's
        `--saga-depth` and `--saga-budget` are stronger than the test's own.

        Raises:
            VerificationFailed: something is wrong; it is kept, to be replayed first the next time.
        """
        __tracebackhide__ = True
        from sagafsm.verify import verify  # noqa: PLC0415 - a session that verifies nothing does without

        depth, budget = self.config.getoption("--saga-depth"), self.config.getoption("--saga-budget")
        options |= {"depth": depth} if depth is not None else {}
        options |= {"budget": budget} if budget is not None else {}
        if "schedule" in options:
            report = verify(saga, world, **options)
            report.assert_ok()
            return report
        replayed = self._replay_kept(saga, world, options)
        if self.config.getoption("--saga-replay"):
            if replayed is None:
                pytest.skip("no failure of this test is kept, and --saga-replay tries nothing else")
            return replayed
        report = verify(saga, world, **options)
        self._add_summary_line(str(report).splitlines()[0])
        self._keep(report, strict=options.get("faults") == "strict")
        report.assert_ok()
        return report

    @property
    def folder(self) -> Path:
        """Where failures are kept."""
        from sagafsm.testing.failure_files import FOLDER  # noqa: PLC0415 - see above

        return self.config.rootpath / FOLDER

    def _replay_kept(self, saga: HasDefinition, world: Any, options: dict[str, Any]) -> Report | None:
        """The report of the last failure that was replayed; None: none is kept."""
        __tracebackhide__ = True
        from sagafsm.testing.failure_files import replay_failure  # noqa: PLC0415 - see above

        last: Report | None = None
        failing: list[Report] = []
        for path, kept in self._list_kept(saga):
            verdict, last = replay_failure(kept, saga, world, **options)
            self._add_summary_line(f"{verdict}: {path.relative_to(self.config.rootpath)} ({kept.schedule})")
            # What can no longer be run is dropped where all points are tried anew, and reported where nothing else is.
            alone = self.config.getoption("--saga-replay")
            if verdict == "FIXED" or (verdict == "CANNOT TELL" and not alone):
                path.unlink(missing_ok=True)
            else:
                failing.append(last)
        if failing:
            failing[0].assert_ok()
        return last

    def _list_kept(self, saga: HasDefinition) -> Iterator[tuple[Path, KeptFailure]]:
        from sagafsm.testing.failure_files import read_failures  # noqa: PLC0415 - see above

        for path, kept in list(read_failures(self.folder)):
            if kept.test == self.node.nodeid and kept.saga == saga.definition.saga:
                yield path, kept

    def _keep(self, report: Report, *, strict: bool) -> None:
        from sagafsm.testing.failure_files import KeptFailure, select_replayable, write_failure  # noqa: PLC0415 - see above

        for finding in select_replayable(report):
            failure = KeptFailure.of(finding, report.saga, test=self.node.nodeid, strict=strict)
            path = write_failure(self.folder, failure)
            self._add_summary_line(
                f"kept: {path.relative_to(self.config.rootpath)}; replay it alone with --saga-replay"
            )

    def _add_summary_line(self, line: str) -> None:
        # A property of the report reaches the terminal also from another process, as under xdist.
        self.node.user_properties.append((SUMMARY_PROPERTY, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a saga, with the bounds within which it was tried."""
    summary: dict[str, None] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                lines = [value for name, value in report.user_properties if name == SUMMARY_PROPERTY]
                summary |= dict.fromkeys(f"{report.nodeid}: {line}" for line in lines)
    if summary:
        terminalreporter.section("sagas")
        for line in summary:
            terminalreporter.write_line(line)
