"""`console`: a live view in a notebook of all instances that an orchestrator's store holds, each a click away."""

from __future__ import annotations

from sagafsm.notebook.console.controller import Console
from sagafsm.notebook.orchestrators import AnyOrchestrator, check_orchestrator


def console(orchestrator: AnyOrchestrator) -> Console:
    """A console of all instances in an orchestrator's store: what is blocked first, then what changed last.

    As a cell's last line it shows them, follows what happens to them whoever drives them, and opens one by a click.
    Over a file of a kernel that has gone it shows all that was recorded, and a run goes on. Where no widget can be
    loaded it shows a static card, and its methods work all the same.

    Raises:
        RequestError: what is given is no orchestrator.
    """
    check_orchestrator(orchestrator)
    try:
        from sagafsm.notebook.console.widget import LiveConsole  # noqa: PLC0415 - not everybody can load it
    except ImportError:
        made: Console = StaticConsole(orchestrator)
    else:
        made = LiveConsole(orchestrator)
    made.follow()
    return made


class StaticConsole(Console):
    """A console where no widget can be loaded: a static card."""

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static(), alone=True)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/plain": repr(self), "text/html": self.static()}
