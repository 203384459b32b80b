"""The commands. Each opens the store, does one thing an orchestrator does, and says how the instance then stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sagafsm.cli.loading import open_orchestrator, parse_json, report_errors
from sagafsm.cli.output import format_instance_json, format_summary_json, print_instance, print_summaries
from sagafsm.cli.verify import replay, verify
from sagafsm.engine.config import MAX_IN_FLIGHT, NOT_GIVEN, POLL_INTERVAL
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator

app = typer.Typer(
    help="Run, look at and settle sagas in a store.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

POLL_SECONDS = POLL_INTERVAL.total_seconds()
StoreOption = Annotated[
    str, typer.Option("--store", envvar="SAGAFSM_STORE", help="URL of the store: sqlite:///orders.db")
]
SagaOption = Annotated[list[str], typer.Option("--saga", help="The saga, as module:name; may be given several times.")]
OptionalSagaOption = Annotated[
    list[str] | None, typer.Option("--saga", help="The saga, as module:name, where it is known.")
]
ResourcesOption = Annotated[
    str | None,
    typer.Option("--resources", help="The steps' resources, as module:name of a mapping or of a function giving one."),
]
InstanceArgument = Annotated[str, typer.Argument(help="The instance's id.")]
StepOption = Annotated[str | None, typer.Option("--step", help="The step, where more than one is blocked.")]
DeciderOption = Annotated[str | None, typer.Option("--by", help="Who decides; by default the login name.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
OptionalReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept in the history.")]
OlderThanOption = Annotated[
    float | None, typer.Option("--older-than", min=0, max=1e10, help="Unchanged for this many seconds.")
]
PollOption = Annotated[
    float, typer.Option("--poll", min=0.01, max=86_400, help="Seconds between two looks at the store.")
]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="One line of JSON an instance.")]

app.command()(verify)
app.command()(replay)


@app.command()
def demo(
    orders: Annotated[
        Path | None, typer.Argument(help="Orders as JSON Lines; by default those that are shipped.")
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="By default sqlite:///sagafsm-demo/saga.db.")] = None,
    crash: Annotated[bool, typer.Option("--crash", help="Kill it at random moments, again and again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="The random moments of --crash, again.")] = None,
) -> None:
    """Run orders through reserve, charge and ship, some failing, and audit what the services hold."""
    from sagafsm.demo.run import run_demo  # noqa: PLC0415 - no other command needs it

    with report_errors():
        raise typer.Exit(run_demo(orders=orders, store=store, crash=crash, fresh=fresh, seed=seed))


@app.command("list")
def list_(
    store: StoreOption,
    saga: Annotated[str | None, typer.Option("--name", help="Only of the saga of this name.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="A state (running:charge) or phase (running).")] = None,
    blocked: Annotated[bool, typer.Option("--blocked", help="Only those that wait for a decision.")] = False,
    older_than: OlderThanOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many.")] = 1000,
    as_json: JsonLinesOption = False,
) -> None:
    """List instances."""
    with open_orchestrator(store) as orchestrator:
        age = None if older_than is None else timedelta(seconds=older_than)
        found = orchestrator.find(saga=saga, state=state, blocked=blocked or None, older_than=age, limit=limit)
        if as_json:
            for one in found:
                typer.echo(format_summary_json(one))
        else:
            print_summaries(Console(), found)


@app.command()
def show(id: InstanceArgument, store: StoreOption, as_json: JsonLinesOption = False) -> None:
    """Show an instance: its steps and its history."""
    with open_orchestrator(store) as orchestrator:
        instance = orchestrator.get(id)
        if as_json:
            typer.echo(format_instance_json(instance))
        else:
            print_instance(Console(), instance)


@app.command()
def resume(id: InstanceArgument, store: StoreOption, saga: SagaOption, resources: ResourcesOption = None) -> None:
    """Drive an instance on until it rests or is blocked."""
    _run_operation(store, saga, resources, lambda orchestrator: orchestrator.resume(id))


@app.command()
def recover(store: StoreOption, saga: SagaOption, resources: ResourcesOption = None) -> None:
    """Resume every instance that nobody drives and that is not parked."""
    with open_orchestrator(store, saga, resources) as orchestrator:
        report = orchestrator.recover()
        for id in report.resumed:
            _print_command_state(orchestrator.get(id))
        for id, error in report.errors.items():
            typer.echo(f"{id}: {error}", err=True)
        typer.echo(str(report))
        if report.errors:
            raise typer.Exit(1)


@app.command()
def cancel(
    id: InstanceArgument,
    store: StoreOption,
    reason: ReasonOption,
    saga: OptionalSagaOption = None,
    resources: ResourcesOption = None,
    by: DeciderOption = None,
) -> None:
    """Ask an instance to go back."""
    _run_operation(store, saga or [], resources, lambda orchestrator: orchestrator.cancel(id, by=by, reason=reason))


@app.command()
def signal(
    id: InstanceArgument,
    name: Annotated[str, typer.Argument(help="The wait's name; in a nested saga its path, child/approval.")],
    store: StoreOption,
    payload: Annotated[str, typer.Option("--payload", help="What the wait gives, as JSON.")] = "null",
    request_id: Annotated[str | None, typer.Option("--request-id", help="The same one counts once.")] = None,
    saga: OptionalSagaOption = None,
    resources: ResourcesOption = None,
) -> None:
    """Give an instance a signal that it waits for, or will."""
    value = parse_json(payload, "--payload")
    _run_operation(
        store, saga or [], resources, lambda orchestrator: orchestrator.signal(id, name, value, request_id=request_id)
    )


@app.command()
def serve(
    store: StoreOption,
    saga: SagaOption,
    resources: ResourcesOption = None,
    max_in_flight: Annotated[
        int, typer.Option("--max-in-flight", min=1, help="How many instances at once.")
    ] = MAX_IN_FLIGHT,
    poll: PollOption = POLL_SECONDS,
) -> None:
    """Drive whatever can go on, until SIGTERM or Ctrl-C: what is under way is recorded, nothing new starts."""
    from sagafsm.cli.loading import serve_until_stopped  # noqa: PLC0415 - it takes asyncio

    with report_errors():
        serve_until_stopped(store, saga, resources, max_in_flight=max_in_flight, poll=timedelta(seconds=poll))


@app.command()
def retry(
    id: InstanceArgument,
    store: StoreOption,
    saga: SagaOption,
    resources: ResourcesOption = None,
    step: StepOption = None,
    by: DeciderOption = None,
    reason: OptionalReasonOption = None,
) -> None:
    """Have a blocked instance try again, with a new budget."""
    _run_operation(store, saga, resources, lambda orchestrator: orchestrator.retry(id, step=step, by=by, reason=reason))


@app.command()
def resolve(
    id: InstanceArgument,
    store: StoreOption,
    saga: SagaOption,
    reason: ReasonOption,
    result: Annotated[str | None, typer.Option("--result", help="It was done, with this result, as JSON.")] = None,
    not_done: Annotated[bool, typer.Option("--not-done", help="It was not done, and will not be.")] = False,
    undone: Annotated[bool, typer.Option("--undone", help="It was undone by hand.")] = False,
    resources: ResourcesOption = None,
    step: StepOption = None,
    by: DeciderOption = None,
) -> None:
    """Tell what is true of a blocked step: --result JSON, --not-done or --undone."""
    if [result is not None, not_done, undone].count(True) != 1:
        raise typer.BadParameter("give exactly one of --result, --not-done and --undone")
    value = NOT_GIVEN if result is None else parse_json(result, "--result")
    _run_operation(
        store,
        saga,
        resources,
        lambda orchestrator: orchestrator.resolve(
            id, step=step, result=value, not_done=not_done, undone=undone, by=by, reason=reason
        ),
    )


@app.command()
def compensate(
    id: InstanceArgument,
    store: StoreOption,
    saga: SagaOption,
    resources: ResourcesOption = None,
    step: StepOption = None,
    by: DeciderOption = None,
    reason: OptionalReasonOption = None,
) -> None:
    """Have an instance go back: one that is blocked in doubt, or one that has completed."""
    _run_operation(
        store, saga, resources, lambda orchestrator: orchestrator.compensate(id, step=step, by=by, reason=reason)
    )


@app.command()
def skip(
    id: InstanceArgument,
    store: StoreOption,
    saga: SagaOption,
    reason: ReasonOption,
    resources: ResourcesOption = None,
    step: StepOption = None,
    by: DeciderOption = None,
) -> None:
    """Leave a blocked step's effect as residue, and go on with the other compensations."""
    _run_operation(store, saga, resources, lambda orchestrator: orchestrator.skip(id, step=step, by=by, reason=reason))


@app.command()
def abandon(
    id: InstanceArgument,
    store: StoreOption,
    reason: ReasonOption,
    saga: OptionalSagaOption = None,
    resources: ResourcesOption = None,
    by: DeciderOption = None,
) -> None:
    """End an instance where it stands; all that is left is residue. Its saga need not be known."""
    _run_operation(store, saga or [], resources, lambda orchestrator: orchestrator.abandon(id, by=by, reason=reason))


def _run_operation(
    store: str, sagas: list[str], resources: str | None, operation: Callable[[Orchestrator], SagaInstance]
) -> None:
    with open_orchestrator(store, sagas, resources) as orchestrator:
        _print_command_state(operation(orchestrator))


def _print_command_state(instance: SagaInstance) -> None:
    notes = [instance.state]
    if instance.state == "failed":
        notes += [instance.why] if instance.why and instance.why.startswith("abandoned") else []
        left = ", ".join(f"{residue.step} ({residue.reason})" for residue in instance.residue)
        notes.append(f"may remain: {left}" if left else "compensated")
    notes += [f"blocked on {b.step}: {b.reason} (decide: {', '.join(b.decisions)})" for b in instance.blocked]
    notes += ["waits for a signal"] if instance.waiting else []
    typer.echo(f"{instance.id}: {'; '.join(notes)}")
