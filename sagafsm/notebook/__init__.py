"""For notebooks: `inspect` one instance, live, and the `console` of all that an orchestrator has."""

from sagafsm.notebook.inspector.inspector import inspect
from sagafsm.notebook.store_console.console import console

__all__ = ["console", "inspect"]
