"""The contract of stores, as tests: every sentence of the docstrings of `sagafsm.store.Store` has one."""

from sagafsm.testing.store_contract.append import AppendingContract
from sagafsm.testing.store_contract.claims import OwningContract
from sagafsm.testing.store_contract.create_delete import CreatingContract
from sagafsm.testing.store_contract.find import FindingContract
from sagafsm.testing.store_contract.group_commit import WritingContract
from sagafsm.testing.store_contract.load import ReadingContract
from sagafsm.testing.store_contract.mailbox import RequestsContract


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
