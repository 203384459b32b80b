"""Load what the command line names: sagas, stores, resources and JSON values. Report errors as one line."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import typer
from rich.console import Console

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.errors import SagaError
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga

INTERRUPTED = 130


def load_object(spec: str, what: str) -> Any:
    """The object that "module:name" names; modules of the working directory are found too.

    Raises:
        typer.BadParameter: there is no such module or name.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise typer.BadParameter(f"{what} is given as module:name, not {spec!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"{what} {spec!r}: no module {error.name!r} (run it where the module is)") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise typer.BadParameter(f"{what} {spec!r}: module {module_name!r} has no {part!r}")
        found = getattr(found, part)
    return found


def load_saga(spec: str, what: str = "--saga") -> Saga:
    """The saga that "module:name" names."""
    found = load_object(spec, what)
    if not isinstance(found, Saga):
        raise typer.BadParameter(f"{what} {spec!r} is {found!r}, which is no Saga")
    return found


def load_resources(spec: str | None, store: str) -> Mapping[str, Any]:
    """The mapping that "module:name" names, or that the function there returns; it may take the store's URL."""
    if spec is None:
        return {}
    found = load_object(spec, "--resources")
    if callable(found):
        found = found(store) if inspect.signature(found).parameters else found()
    if not isinstance(found, Mapping):
        raise typer.BadParameter(f"--resources {spec!r} gives {found!r}, which maps no names to resources")
    return found


def parse_json(text: str, option: str) -> Any:
    """The value that the JSON text of an option gives.

    Raises:
        typer.BadParameter: the text is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes JSON, not {text!r} ({error})") from error


@contextmanager
def report_errors() -> Iterator[None]:
    """What goes wrong in the block is told in one line, and is the exit status."""
    try:
        yield
    except SagaError as error:
        _print_error(str(error), style="red")
        raise typer.Exit(1) from error
    except KeyboardInterrupt as interrupt:
        for note in getattr(interrupt, "__notes__", ("interrupted",)):
            _print_error(note)
        raise typer.Exit(INTERRUPTED) from interrupt


def _print_error(text: str, *, style: str | None = None) -> None:
    Console(stderr=True).print(f"sagafsm: {text}", style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def open_orchestrator(store: str, sagas: Sequence[str] = (), resources: str | None = None) -> Iterator[Orchestrator]:
    """An orchestrator over the store; what goes wrong is told."""
    known = [load_saga(spec) for spec in sagas]
    with report_errors():
        given = load_resources(resources, store)
        with Orchestrator(store, sagas=known, resources=given) as orchestrator:
            yield orchestrator


def serve_until_stopped(
    store: str, sagas: Sequence[str], resources: str | None, *, max_in_flight: int, poll: timedelta
) -> None:
    """Drive whatever can go on; the first Ctrl-C drains, as SIGTERM does."""
    known, given = [load_saga(spec) for spec in sagas], load_resources(resources, store)

    async def serve() -> None:
        async with AsyncOrchestrator(store, sagas=known, resources=given, max_in_flight=max_in_flight) as orchestrator:
            closing: list[asyncio.Task[None]] = []

            def drain() -> None:
                closing.append(asyncio.ensure_future(orchestrator.close()))
                # The second one interrupts what is under way.
                asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, drain)
            await orchestrator.serve(poll=poll)
            await asyncio.gather(*closing)

    asyncio.run(serve())
