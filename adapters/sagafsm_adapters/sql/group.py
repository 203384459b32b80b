"""Many creates and appends in one transaction, each made or refused by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs

from sagafsm.errors import SagaError
from sagafsm.store import Write
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.writing import Growth, Ready, Writing


class _NotAll(Exception):
    """One write of a group is refused or cannot be stored, so the transaction is undone."""


@attrs.frozen
class Group:
    """Commits groups. Nearly always no write of a group is refused: that is tried first, as it takes no savepoints."""

    connections: Connections
    writing: Writing

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """See `Store.write`."""
        made = [self._ready(write) for write in writes]
        ready = [each for each in made if not isinstance(each, Exception)]
        answers = iter(self._answers(ready) if ready else ())
        return [each if isinstance(each, Exception) else next(answers) for each in made]

    def _ready(self, write: Write) -> Ready | Exception:
        try:
            return self.writing.ready(write)
        except Exception as error:  # noqa: BLE001 - the other writes of the group are no business of this one's
            return error

    def _answers(self, ready: Sequence[Ready]) -> Sequence[int | Exception]:
        # Two writes of one instance must be made in their order, and mail is absorbed before the row is compared.
        if len({each.instance_id for each in ready}) == len(ready) and not any(each.absorbs for each in ready):
            try:
                return self._all(ready)
            except _NotAll:
                pass
        return self._each(ready)

    def _all(self, ready: Sequence[Ready]) -> Sequence[int]:
        with self.connections.writing() as cursor:
            try:
                for each in ready:
                    if "/" in each.instance_id:
                        self.writing.check_above(cursor, each)
                for statement, values in self._statements(ready):
                    if cursor.executemany(statement, values).rowcount != len(values):
                        raise _NotAll
            except SagaError as error:
                raise _NotAll from error
            except self.connections.database.unfit as error:
                raise _NotAll from error
        return [each.answer for each in ready]

    def _statements(self, ready: Sequence[Ready]) -> Sequence[tuple[str, Sequence[tuple[Any, ...]]]]:
        sql, by_text = self.writing.sql, dict[str, list[tuple[Any, ...]]]()
        for each in ready:
            if isinstance(each, Growth):
                statement = self.writing.statement(each)
                by_text.setdefault(statement.text, []).append(statement.values(each.named))
            else:
                by_text.setdefault(sql.insert_instance.text, []).append(each.values)
        events = list(itertools.chain.from_iterable([each.rows for each in ready]))
        return [*by_text.items(), (sql.insert_event.text, events)]

    def _each(self, ready: Sequence[Ready]) -> Sequence[int | Exception]:
        with self.connections.writing() as cursor:
            return [self._guarded(cursor, each) for each in ready]

    def _guarded(self, cursor: Any, ready: Ready) -> int | Exception:
        cursor.execute("SAVEPOINT one")
        answer = self._tried(cursor, ready)
        if isinstance(answer, Exception):
            cursor.execute("ROLLBACK TO one")
        cursor.execute("RELEASE one")
        return answer

    def _tried(self, cursor: Any, ready: Ready) -> int | Exception:
        try:
            return self.writing.put(cursor, ready)
        except SagaError as error:
            return error
        except self.connections.database.unfit as error:
            refusal = self.connections.translated(error)
            refusal.__cause__ = error
            return refusal
