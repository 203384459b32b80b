"""What a recovery did."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from sagafsm.reprs import Shown
from sagafsm.values import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RecoveryReport(Value, Shown):
    """The ids that were resumed, in order of id, and what went wrong with those that could not be."""

    resumed: tuple[str, ...] = ()
    errors: Mapping[str, Exception] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{len(self.resumed)} resumed, {len(self.errors)} in error"
