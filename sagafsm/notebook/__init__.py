"""For notebooks: `inspect` one instance, live, and the `console` of all that an orchestrator has."""

from sagafsm.notebook.console.console import console
from sagafsm.notebook.inspector.inspect import inspect

__all__ = ["console", "inspect"]
