"""`inspect`: a live view of one instance in a notebook, which also drives it, breaks it, and travels in time."""

from __future__ import annotations

from sagafsm.display import as_text
from sagafsm.errors import SagaError, StoreError
from sagafsm.history.instance import SagaInstance
from sagafsm.notebook.inspector.actions import find_running_action_loop
from sagafsm.notebook.inspector.controller import ForkResources, Inspection
from sagafsm.notebook.inspector.model import InspectorModel
from sagafsm.notebook.orchestrators import AnyOrchestrator, check_orchestrator


def inspect(
    what: SagaInstance | str,
    orchestrator: AnyOrchestrator | None = None,
    *,
    fork_resources: ForkResources | None = None,
) -> Inspection:
    """An inspector of an instance, by itself or by its id, over the orchestrator that drives it.

    As a cell's last line it shows the instance, follows it whoever drives it, and drives it by clicks; the methods do
    the same from a cell. Without an orchestrator an instance is shown by its history alone. `fork_resources` are what
    forks are given, or a function that makes them anew for each: never the original's. Where no widget can be loaded
    it shows a static card, and its methods work all the same.

    Raises:
        SagaNotFound: there is no instance of that id.
        RequestError: what is given is no orchestrator.
    """
    session = open_session(what, orchestrator)
    try:
        kind = _load_widget()
    except ImportError:
        kind = StaticInspector
    inspection = kind(session, fork_resources=fork_resources)
    inspection.follow()
    return inspection


def open_session(what: SagaInstance | str, orchestrator: AnyOrchestrator | None) -> InspectorModel:
    """An instance as its orchestrator has it, ready to be looked at.

    Raises:
        SagaNotFound: there is no instance of that id.
    """
    if orchestrator is None:
        if isinstance(what, SagaInstance):
            return InspectorModel(live=what)
        raise SagaError(f"instance {what!r} is given by its id: inspect() needs the orchestrator that has it")
    check_orchestrator(orchestrator)
    known = what if isinstance(what, SagaInstance) else None
    try:
        live = orchestrator.store.load(what.id if isinstance(what, SagaInstance) else what).instance
    except StoreError:
        # A closed orchestrator has let go of its store; what was loaded before can still be looked at.
        if known is None:
            raise
        live = known
    session = InspectorModel(live=live, orchestrator=orchestrator, loop=find_running_action_loop())
    session.refresh()
    return session


class StaticInspector(Inspection):
    """An inspector where no widget can be loaded: a static card, drawn anew whenever the instance rests or parks."""

    def _ipython_display_(self) -> None:
        self._snapshots.display(self.static(), alone=True)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/plain": as_text(self.instance), "text/html": self.static()}


def _load_widget() -> type[Inspection]:
    """The inspector that is a widget.

    Raises:
        ImportError: anywidget is not there.
    """
    from sagafsm.notebook.inspector.widget import Inspector  # noqa: PLC0415 - not everybody can load it

    return Inspector
