"""The demo: the saga `sagafsm.demo:order` and its services `sagafsm.demo:resources`, as the command line names them."""

from __future__ import annotations

from sagafsm.demo.folder import resources
from sagafsm.demo.saga import order

__all__ = ["order", "resources"]
