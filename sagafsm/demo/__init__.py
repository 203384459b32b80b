"""The demo: a file of orders that runs through three services, with an audit of the services' own files.

The command line takes the saga and its services as `--saga sagafsm.demo:order --resources sagafsm.demo:resources`.
"""

from __future__ import annotations

from sagafsm.demo.folder import resources
from sagafsm.demo.saga import order

__all__ = ["order", "resources"]
