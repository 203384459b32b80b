"""Checks of what the author of a saga passes in: names, labels, policies, limits, durations and retries."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from sagafsm.definition.functions import RESERVED
from sagafsm.definition.retry import Retry
from sagafsm.definition.unknown_outcome import is_unknown_type
from sagafsm.errors import DefinitionError, format_list

Policy = Literal["ask", "retry", "compensate"]
InDoubt = Policy | tuple[Policy, ...]
_POLICIES: tuple[tuple[Policy, ...], ...] = (("ask",), ("retry",), ("compensate",), ("retry", "compensate"))


def check_label(value: object, what: str) -> str:
    """The name of a saga or the id of an instance, when it is one.

    Raises:
        DefinitionError: it is not text of 1 to 200 characters without control characters or '/'.
    """
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not all(map(_is_label_character, value)):
        raise DefinitionError(f"{what} takes 1 to 200 characters, none a control character or '/', not {value!r}")
    return value


def _is_label_character(character: str) -> bool:
    # A lone surrogate ("Cs") has no UTF-8, so no database takes it.
    return character != "/" and unicodedata.category(character) not in ("Cc", "Cs")


_HINTS = {
    "step": "use title= for free text",
    "signal": "use title= for free text",
    "group": "it names a state",
    "resource": "steps ask for it by a parameter of that name",
}


def check_name(name: str, what: str, taken: Mapping[str, str]) -> None:
    """Refuse a name, of one of these kinds, that is no identifier, reserved, or `taken` (name to what has it)."""
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError(f"{what} name {name!r} is no identifier ({_HINTS[what]})")
    if name in RESERVED:
        raise DefinitionError(f"{what} name {name!r} is reserved (reserved: {format_list(RESERVED)})")
    if name in taken:
        raise DefinitionError(f"{what} name {name!r} is taken by {taken[name]}")


def parse_policies(in_doubt: InDoubt, what: str) -> tuple[Policy, ...]:
    """The policy as a tuple.

    Raises:
        DefinitionError: it is none of those that exist.
    """
    given = tuple(in_doubt) if isinstance(in_doubt, (tuple, list)) else (in_doubt,)
    if given not in _POLICIES:
        allowed = format_list(repr(p[0] if len(p) == 1 else p) for p in _POLICIES)
        raise DefinitionError(f"{what} takes in_doubt={allowed}, not {in_doubt!r}")
    return given


def check_in_doubt(given: tuple[Policy, ...], step: str, *, compensation: bool) -> None:
    """Refuse a policy that would undo a step which nothing undoes."""
    if "compensate" in given and not compensation:
        shown = given[0] if len(given) == 1 else given
        raise DefinitionError(
            f"step {step!r} has in_doubt={shown!r} but no compensation (give it one, or another policy)"
        )


def check_limit(value: object, what: str) -> None:
    """Refuse a limit that is no whole number of 1 or more."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise DefinitionError(f"{what} takes a max_concurrency of 1 or more, not {value!r}")


def check_duration(value: timedelta | None, what: str) -> None:
    """Refuse a timeout or deadline that is no positive timedelta."""
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise DefinitionError(f"{what} takes a positive timedelta, not {value!r}")


def check_retry(value: object, what: str) -> None:
    """Refuse a retry that is no `Retry`."""
    if not isinstance(value, Retry):
        raise DefinitionError(f"{what} takes retry=Retry(...), not {value!r}")


def check_retry_on(step: str, retry: Retry, given: tuple[Policy, ...], unknown_on: Sequence[type[Exception]]) -> None:
    """Refuse to retry on exceptions that leave the step in doubt, unless its policy says that it may be repeated."""
    doubtful = [kind.__qualname__ for kind in retry.on if is_unknown_type(kind, unknown_on)]
    if doubtful and "retry" not in given:
        raise DefinitionError(
            f"step {step!r} retries on {format_list(doubtful)}, which leaves it in doubt "
            f"(say in_doubt='retry' if the action is idempotent under its key)"
        )
