"""What tests need: the contract of stores, a state machine of a saga, strategies; and the plugin of pytest.

Every name is imported once it is asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagafsm.testing.contract import StoreContract
    from sagafsm.testing.drawn import DrawnSaga
    from sagafsm.testing.machine import SagaStateMachine
    from sagafsm.testing.strategies import fault_schedules, sagas

__all__ = ["DrawnSaga", "SagaStateMachine", "StoreContract", "fault_schedules", "sagas"]
_PLACES = {
    "DrawnSaga": "drawn",
    "SagaStateMachine": "machine",
    "StoreContract": "contract",
    "fault_schedules": "strategies",
    "sagas": "strategies",
}

if "pytest" in sys.modules:
    # Before the modules are imported: their asserts then say what they compared, as those in test files do.
    sys.modules["pytest"].register_assert_rewrite("sagafsm.testing.contract")


def __getattr__(name: str) -> Any:
    """A name of `__all__`, from its module."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_PLACES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "pytest"):
            raise
        error.add_note(f"sagafsm.testing.{name} needs {error.name}: pip install 'sagafsm[testing]'")
        raise
    return getattr(module, name)
