"""`sagafsm verify` and `sagafsm replay`: every failure point of a saga, and again those that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sagafsm.cli.loading import load_object, load_saga, parse_json, report_errors
from sagafsm.cli.output import print_plain, print_report
from sagafsm.errors import SagaError, format_list
from sagafsm.testing.failure_files import (
    FOLDER,
    KeptFailure,
    Verdict,
    read_failure,
    read_failures,
    select_replayable,
    write_failure,
)
from sagafsm.testing.failure_files import replay_failure as replay_one

if TYPE_CHECKING:
    from sagafsm.verify.report.report import Report

CLEAN, FINDINGS, USAGE, VACUOUS = 0, 1, 2, 3
VERDICT_STYLES: dict[Verdict, str] = {"FIXED": "green", "STILL FAILS": "bold red", "CANNOT TELL": "yellow"}

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA", help="The saga, as module:name.")]
WorldOption = Annotated[
    str | None,
    typer.Option("--world", help="The fake services, as module:name of a World class, of an instance, or a strategy."),
]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", help="An input, as JSON; may be given several times.")
]
InputsOption = Annotated[
    str | None, typer.Option("--inputs", help="The inputs, as module:name of a list or a strategy.")
]
SignalOption = Annotated[
    list[str] | None, typer.Option("--signal", help="A signal that the saga waits for, as name=JSON.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Count calls that land after their timeout, too.")]
DepthOption = Annotated[
    int | None, typer.Option("--depth", min=1, help="Up to so many faults in one run; by default 2.")
]
BudgetOption = Annotated[float, typer.Option("--budget", min=0.001, max=1e6, help="Go on for this many seconds.")]
JsonReportOption = Annotated[bool, typer.Option("--json", help="The whole report, as JSON.")]
ScheduleOption = Annotated[str | None, typer.Option("--schedule", help="Run exactly this one, as a finding gives it.")]
FilesArgument = Annotated[list[Path] | None, typer.Argument(help="Kept failures, as `sagafsm verify` names them.")]
AllOption = Annotated[bool, typer.Option("--all", help=f"All that are kept in {FOLDER}, as without any file.")]


def verify(
    saga: SagaArgument,
    world: WorldOption = None,
    input: InputOption = None,
    inputs: InputsOption = None,
    signal: SignalOption = None,
    strict: StrictOption = False,
    depth: DepthOption = None,
    budget: BudgetOption = 30,
    schedule: ScheduleOption = None,
    as_json: JsonReportOption = False,
) -> None:
    """Try every failure point of a saga against fake services.

    Exits with 0 when all is well, 1 on findings, 2 on wrong usage, 3 when nothing, or not everything, was tried.
    """
    given: list[Any] | str | None = inputs
    if input:
        if inputs is not None:
            raise typer.BadParameter("give --input or --inputs, not both")
        given = [parse_json(text, "--input") for text in input]
    signals = dict(_parse_signal(text) for text in signal or ())
    defined, outside = load_saga(saga, "SAGA"), None if world is None else load_object(world, "--world")
    needed = defined.definition.all_resources
    if outside is None and needed:
        names = format_list(map(repr, needed))
        raise typer.BadParameter(
            f"saga {defined.name!r} asks for {names}, which only a world can give: pass --world module:World"
        )
    options = {"inputs": _load_verify_object(given), "signals": signals, "faults": "strict" if strict else "standard"}
    from sagafsm.verify import verify as verify_saga  # noqa: PLC0415 - no other command needs it

    with report_errors(), _raise_usage_errors(), _show_progress() as progress:
        report = verify_saga(
            defined,
            outside,
            depth=depth or "auto",
            budget=timedelta(seconds=budget),
            schedule=schedule,
            progress=progress,
            **options,
        )
    files = (
        {}
        if schedule is not None
        else _keep_failures(report, target=saga, world=world, inputs=given, signals=signals, strict=strict)
    )
    if as_json:
        typer.echo(report.to_json())
    else:
        print_report(Console(), report, files)
    raise typer.Exit(CLEAN if report.ok else VACUOUS if report.is_vacuous else FINDINGS)


def replay(files: FilesArgument = None, all_: AllOption = False) -> None:
    """Run failures that `sagafsm verify` has kept once more, and remove those that are fixed.

    Exits with 0 when all are fixed, 1 when one still fails, 2 on wrong usage, 3 when one could not be run.
    """
    if files and all_:
        raise typer.BadParameter(f"give the files to replay, or --all for those in {FOLDER}, not both")
    with _raise_usage_errors():
        kept = [(path, read_failure(path)) for path in files] if files else list(read_failures(FOLDER))
    if not kept:
        typer.echo(f"no failure is kept in {FOLDER}")
    verdicts = [_replay_file(path, failure) for path, failure in kept]
    raise typer.Exit(FINDINGS if "STILL FAILS" in verdicts else VACUOUS if "CANNOT TELL" in verdicts else CLEAN)


def _replay_file(path: Path, failure: KeptFailure) -> Verdict:
    console = Console()
    if failure.target is None:
        _print_verdict(console, "CANNOT TELL", f"{path}: found by a test; run pytest --saga-replay {failure.test!r}")
        return "CANNOT TELL"
    saga, world = (
        load_saga(failure.target, str(path)),
        None if failure.world is None else load_object(failure.world, str(path)),
    )
    faults = "strict" if failure.strict else "standard"
    with report_errors(), _raise_usage_errors():
        verdict, report = replay_one(
            failure, saga, world, inputs=_load_verify_object(failure.inputs), signals=failure.signals, faults=faults
        )
    if verdict == "FIXED":
        path.unlink(missing_ok=True)
        _print_verdict(console, verdict, f"{path}: {failure.schedule}")
        return verdict
    _print_verdict(console, verdict, str(path))
    for finding in report.errors:
        print_plain(console, f"  {finding}")
        print_plain(console, f"  schedule: {finding.schedule}")
    if verdict == "CANNOT TELL":
        print_plain(console, f"  delete the file, or run sagafsm verify {failure.target} anew")
    return verdict


def _print_verdict(console: Console, verdict: Verdict, text: str) -> None:
    console.print(verdict, style=VERDICT_STYLES[verdict], end=" ", highlight=False)
    print_plain(console, text)


def _keep_failures(report: Report, **origin: Any) -> dict[int, Path]:
    """Keep what was found; the files, by the identity of their findings."""
    return {
        id(finding): write_failure(FOLDER, KeptFailure.of(finding, report.saga, **origin))
        for finding in select_replayable(report)
    }


def _load_verify_object(given: Any) -> Any:
    return load_object(given, "--inputs") if isinstance(given, str) else given


def _parse_signal(text: str) -> tuple[str, Any]:
    name, equals, payload = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"--signal takes name=JSON, not {text!r}")
    return name, parse_json(payload, f"--signal {name}")


@contextmanager
def _raise_usage_errors() -> Iterator[None]:
    """What is wrong with saga, world or arguments is wrong usage: nothing was tried."""
    try:
        yield
    except SagaError as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _show_progress() -> Iterator[Any]:
    """A progress bar on the terminal; None where there is none."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("no fault", total=None)

        def told(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield told
