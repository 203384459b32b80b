"""`sagafsm verify` and `sagafsm replay`: every failure point of a saga, and again those that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sagafsm.cli.loading import load, load_saga, telling
from sagafsm.errors import SagaError, listed
from sagafsm.testing.failures import FOLDER, KeptFailure, Verdict, keep, kept_in, read, worth_keeping
from sagafsm.testing.failures import replay as replay_one

if TYPE_CHECKING:
    from sagafsm.verify.report import Report

CLEAN, FINDINGS, USAGE, VACUOUS = 0, 1, 2, 3
STYLES: dict[Verdict, str] = {"FIXED": "green", "STILL FAILS": "bold red", "CANNOT TELL": "yellow"}

Target = Annotated[str, typer.Argument(metavar="SAGA", help="The saga, as module:name.")]
World = Annotated[
    str | None,
    typer.Option("--world", help="The fake services, as module:name of a World class, of an instance, or a strategy."),
]
Input = Annotated[list[str] | None, typer.Option("--input", help="An input, as JSON; may be given several times.")]
Inputs = Annotated[str | None, typer.Option("--inputs", help="The inputs, as module:name of a list or a strategy.")]
Signal = Annotated[list[str] | None, typer.Option("--signal", help="A signal that the saga waits for, as name=JSON.")]
Strict = Annotated[bool, typer.Option("--strict", help="Count calls that land after their timeout, too.")]
Depth = Annotated[int | None, typer.Option("--depth", min=1, help="Up to so many faults in one run; by default 2.")]
Budget = Annotated[float, typer.Option("--budget", min=0.001, max=1e6, help="Go on for this many seconds.")]
AsJson = Annotated[bool, typer.Option("--json", help="The whole report, as JSON.")]
Text = Annotated[str | None, typer.Option("--schedule", help="Run exactly this one, as a finding gives it.")]
Files = Annotated[list[Path] | None, typer.Argument(help="Kept failures, as `sagafsm verify` names them.")]
All = Annotated[bool, typer.Option("--all", help=f"All that are kept in {FOLDER}, as without any file.")]


def verify(
    saga: Target,
    world: World = None,
    input: Input = None,
    inputs: Inputs = None,
    signal: Signal = None,
    strict: Strict = False,
    depth: Depth = None,
    budget: Budget = 30,
    schedule: Text = None,
    as_json: AsJson = False,
) -> None:
    """Try every failure point of a saga against fake services.

    Exits with 0 when all is well, 1 on findings, 2 on wrong usage, 3 when nothing, or not everything, was tried.
    """
    given: list[Any] | str | None = inputs
    if input:
        if inputs is not None:
            raise typer.BadParameter("give --input or --inputs, not both")
        given = [_json(text, "--input") for text in input]
    signals = dict(_signal(text) for text in signal or ())
    defined, outside = load_saga(saga, "SAGA"), None if world is None else load(world, "--world")
    needed = defined.definition.every_resource
    if outside is None and needed:
        names = listed(map(repr, needed))
        raise typer.BadParameter(
            f"saga {defined.name!r} asks for {names}, which only a world can give: pass --world module:World"
        )
    options = {"inputs": _loaded(given), "signals": signals, "faults": "strict" if strict else "standard"}
    from sagafsm.verify import verify as verify_saga  # noqa: PLC0415 - no other command needs it

    with telling(), _as_usage(), _progress() as progress:
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
        else _kept(report, target=saga, world=world, inputs=given, signals=signals, strict=strict)
    )
    if as_json:
        typer.echo(report.to_json())
    else:
        from sagafsm.cli.reporting import print_report  # noqa: PLC0415 - see above

        print_report(Console(), report, files)
    raise typer.Exit(CLEAN if report.ok else VACUOUS if report.is_vacuous else FINDINGS)


def replay(files: Files = None, all_: All = False) -> None:
    """Run failures that `sagafsm verify` has kept once more, and remove those that are fixed.

    Exits with 0 when all are fixed, 1 when one still fails, 2 on wrong usage, 3 when one could not be run.
    """
    if files and all_:
        raise typer.BadParameter(f"give the files to replay, or --all for those in {FOLDER}, not both")
    with _as_usage():
        kept = [(path, read(path)) for path in files] if files else list(kept_in(FOLDER))
    if not kept:
        typer.echo(f"no failure is kept in {FOLDER}")
    verdicts = [_replayed(path, failure) for path, failure in kept]
    raise typer.Exit(FINDINGS if "STILL FAILS" in verdicts else VACUOUS if "CANNOT TELL" in verdicts else CLEAN)


def _replayed(path: Path, failure: KeptFailure) -> Verdict:
    console = Console()
    if failure.target is None:
        _say(console, "CANNOT TELL", f"{path}: found by a test; run pytest --saga-replay {failure.test!r}")
        return "CANNOT TELL"
    saga, world = (
        load_saga(failure.target, str(path)),
        None if failure.world is None else load(failure.world, str(path)),
    )
    faults = "strict" if failure.strict else "standard"
    with telling(), _as_usage():
        verdict, report = replay_one(
            failure, saga, world, inputs=_loaded(failure.inputs), signals=failure.signals, faults=faults
        )
    if verdict == "FIXED":
        path.unlink(missing_ok=True)
        _say(console, verdict, f"{path}: {failure.schedule}")
        return verdict
    _say(console, verdict, str(path))
    for finding in report.errors:
        _plain(console, f"  {finding}")
        _plain(console, f"  schedule: {finding.schedule}")
    if verdict == "CANNOT TELL":
        _plain(console, f"  delete the file, or run sagafsm verify {failure.target} anew")
    return verdict


def _say(console: Console, verdict: Verdict, text: str) -> None:
    console.print(verdict, style=STYLES[verdict], end=" ", highlight=False)
    _plain(console, text)


def _plain(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _kept(report: Report, **origin: Any) -> dict[int, Path]:
    """Keep what was found; the files, by the identity of their findings."""
    return {
        id(finding): keep(FOLDER, KeptFailure.of(finding, report.saga, **origin)) for finding in worth_keeping(report)
    }


def _loaded(given: Any) -> Any:
    return load(given, "--inputs") if isinstance(given, str) else given


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes JSON, not {text!r} ({error})") from error


def _signal(text: str) -> tuple[str, Any]:
    name, equals, payload = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"--signal takes name=JSON, not {text!r}")
    return name, _json(payload, f"--signal {name}")


@contextmanager
def _as_usage() -> Iterator[None]:
    """What is wrong with saga, world or arguments is wrong usage: nothing was tried."""
    try:
        yield
    except SagaError as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _progress() -> Iterator[Any]:
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
