"""What tests of stores need: the contract that every store has to keep, as a class of pytest tests."""

import pytest

# Before the modules are imported: their asserts then say what they compared, as those in test files do.
pytest.register_assert_rewrite("sagafsm.testing.contract")

from sagafsm.testing.contract import StoreContract  # noqa: E402 -- see above

__all__ = ["StoreContract"]
