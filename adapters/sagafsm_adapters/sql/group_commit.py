"""Many creates and appends in one transaction, each made or refused by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs

from sagafsm.errors import SagaError
from sagafsm.store import Write
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.writes import PreparedAppend, PreparedWrite, SqlWriter


class _GroupRefused(Exception):
    """One write of a group is refused or cannot be stored, so the transaction is undone."""


@attrs.frozen
class GroupCommit:
    """Commits groups. Nearly always no write of a group is refused: that is tried first, as it takes no savepoints."""

    connections: Connections
    writing: SqlWriter

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """See `Store.write`."""
        made = [self._prepare(write) for write in writes]
        ready = [each for each in made if not isinstance(each, Exception)]
        answers = iter(self._commit_group(ready) if ready else ())
        return [each if isinstance(each, Exception) else next(answers) for each in made]

    def _prepare(self, write: Write) -> PreparedWrite | Exception:
        try:
            return self.writing.prepare_write(write)
        except Exception as error:  # noqa: BLE001 - the other writes of the group are no business of this one's
            return error

    def _commit_group(self, ready: Sequence[PreparedWrite]) -> Sequence[int | Exception]:
        # Two writes of one instance must be made in their order, and mail is absorbed before the row is compared.
        if len({each.instance_id for each in ready}) == len(ready) and not any(each.absorbs for each in ready):
            try:
                return self._commit_together(ready)
            except _GroupRefused:
                pass
        return self._commit_one_by_one(ready)

    def _commit_together(self, ready: Sequence[PreparedWrite]) -> Sequence[int]:
        with self.connections.writing() as cursor:
            try:
                for each in ready:
                    if "/" in each.instance_id:
                        self.writing.check_ancestors(cursor, each)
                for statement, values in self._list_statements(ready):
                    if cursor.executemany(statement, values).rowcount != len(values):
                        raise _GroupRefused
            except SagaError as error:
                raise _GroupRefused from error
            except self.connections.database.value_errors as error:
                raise _GroupRefused from error
        return [each.answer for each in ready]

    def _list_statements(self, ready: Sequence[PreparedWrite]) -> Sequence[tuple[str, Sequence[tuple[Any, ...]]]]:
        sql, by_text = self.writing.sql, dict[str, list[tuple[Any, ...]]]()
        for each in ready:
            if isinstance(each, PreparedAppend):
                statement = self.writing.choose_statement(each)
                by_text.setdefault(statement.text, []).append(statement.values(each.named))
            else:
                by_text.setdefault(sql.insert_instance.text, []).append(each.values)
        events = list(itertools.chain.from_iterable([each.rows for each in ready]))
        return [*by_text.items(), (sql.insert_event.text, events)]

    def _commit_one_by_one(self, ready: Sequence[PreparedWrite]) -> Sequence[int | Exception]:
        with self.connections.writing() as cursor:
            return [self._commit_in_savepoint(cursor, each) for each in ready]

    def _commit_in_savepoint(self, cursor: Any, ready: PreparedWrite) -> int | Exception:
        cursor.execute("SAVEPOINT one")
        answer = self._try_write(cursor, ready)
        if isinstance(answer, Exception):
            cursor.execute("ROLLBACK TO one")
        cursor.execute("RELEASE one")
        return answer

    def _try_write(self, cursor: Any, ready: PreparedWrite) -> int | Exception:
        try:
            return self.writing.put(cursor, ready)
        except SagaError as error:
            return error
        except self.connections.database.value_errors as error:
            refusal = self.connections.translate_error(error)
            refusal.__cause__ = error
            return refusal
