"""The contract of stores, as tests: every sentence of the docstrings of `sagafsm.store.Store` has one."""

from sagafsm.testing.contract.appending import AppendingContract
from sagafsm.testing.contract.creating import CreatingContract
from sagafsm.testing.contract.finding import FindingContract
from sagafsm.testing.contract.owning import OwningContract
from sagafsm.testing.contract.reading import ReadingContract
from sagafsm.testing.contract.requests import RequestsContract
from sagafsm.testing.contract.writing import WritingContract


class StoreContract(
    CreatingContract,
    AppendingContract,
    WritingContract,
    ReadingContract,
    OwningContract,
    RequestsContract,
    FindingContract,
):
    """All that a store promises. Subclass it and give it one fixture, `store`: a fresh, empty store.

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                store = MyStore(tmp_path / "sagas")
                yield store
                store.close()

    Where a second handle on the same data can be opened, override `reopen`.
    """


__all__ = ["StoreContract"]
