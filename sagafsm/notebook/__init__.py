"""For notebooks: `inspect` one instance, live, and the `console` of all that an orchestrator has."""

from sagafsm.notebook.console import console
from sagafsm.notebook.inspector import inspect

__all__ = ["console", "inspect"]
