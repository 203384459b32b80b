"""The main job: a file of orders through reserve, charge and ship, against three participants with their own files.

`order` is the saga and `resources` gives its participants, as in `--saga sagafsm.demo:order --resources
sagafsm.demo:resources`.
"""

from __future__ import annotations

from sagafsm.demo.folder import resources
from sagafsm.demo.saga import order

__all__ = ["order", "resources"]
