"""A store in an SQL database; SQLite for now."""

from sagafsm_adapters.sql.store import SqlStore

__all__ = ["SqlStore"]
