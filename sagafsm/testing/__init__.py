"""What tests need: the contract of stores, a state machine of a saga, strategies; and the plugin of pytest.

Every name is imported once it is asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagafsm.testing.generated_sagas import DrawnSaga
    from sagafsm.testing.pytest_plugin import VerifySaga
    from sagafsm.testing.state_machine import SagaStateMachine
    from sagafsm.testing.store_contract import StoreContract
    from sagafsm.testing.strategies import fault_schedules, sagas

__all__ = ["DrawnSaga", "SagaStateMachine", "StoreContract", "VerifySaga", "fault_schedules", "sagas"]
_MODULES = {
    "DrawnSaga": "generated_sagas",
    "SagaStateMachine": "state_machine",
    "StoreContract": "store_contract",
    "VerifySaga": "pytest_plugin",
    "fault_schedules": "strategies",
    "sagas": "strategies",
}

if "pytest" in sys.modules:
    # Before the modules are imported: their asserts then say what they compared, as those in test files do.
    sys.modules["pytest"].register_assert_rewrite("sagafsm.testing.store_contract")


def __getattr__(name: str) -> Any:
    """A name of `__all__`, from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "pytest"):
            raise
        error.add_note(f"sagafsm.testing.{name} needs {error.name}: pip install 'sagafsm[testing]'")
        raise
    return getattr(module, name)
