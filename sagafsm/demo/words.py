"""Amounts and entries as people write them."""

from __future__ import annotations

from collections.abc import Mapping

from sagafsm.demo.books import NOUNS, Effect


def euros(cents: int) -> str:
    """The amount as people write it."""
    sign = "-" if cents < 0 else ""
    return f"{sign}EUR {abs(cents) // 100:,}.{abs(cents) % 100:02}"


def worded(step: str, amounts: Mapping[str, int]) -> str:
    """What a step's effect amounts to."""
    return f"a {NOUNS[step]}{_of(step, amounts)}"


def described(effect: Effect) -> str:
    """An entry of the books."""
    return f"{NOUNS[effect.step]} {effect.number}{_of(effect.step, effect.amounts)}"


def _of(step: str, amounts: Mapping[str, int]) -> str:
    match step:
        case "reserve":
            return " of " + (", ".join(f"{n} {sku}" for sku, n in amounts.items() if n) or "nothing")
        case "charge":
            return f" of {euros(amounts['cents'])}"
        case _:
            return ""
