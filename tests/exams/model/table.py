"""The decisions table, written anew from DESIGN."""

from __future__ import annotations

from exams.model.law import DECISIONS, LawBroken
from exams.model.sagas import ModelSaga
from sagafsm.history import events as e

ALL_DECISIONS: tuple[e.Decision, ...] = (
    "retry", "resolve(result)", "resolve(not_done)", "resolve(undone)", "compensate", "skip", "abandon",
)  # fmt: skip


def row(saga: ModelSaga, reason: str, step: int, *, cause: bool) -> tuple[e.Decision, ...]:
    """The decisions that DESIGN's table allows."""
    pivot = next((i for i, kind in enumerate(saga.kinds) if kind.pivot), len(saga.kinds))
    match reason, cause:
        case (("in_doubt" | "crash_loop"), False) if step < pivot:
            return ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon")
        case (("in_doubt" | "crash_loop"), False):
            return ("retry", "resolve(result)", "resolve(not_done)", "abandon")
        case "in_doubt", True if saga.kinds[step].compensation:
            return ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon")
        case "in_doubt", True:
            return ("resolve(result)", "resolve(not_done)", "skip", "abandon")
        case "exhausted", False if step > pivot:
            return ("retry", "resolve(result)", "abandon")
        case "payload", False if step >= pivot:
            return ("resolve(result)", "abandon")
        case "compensation_failed", True if saga.kinds[step].compensation:
            return ("retry", "resolve(undone)", "skip", "abandon")
        case _:
            raise LawBroken(DECISIONS, f"no block {reason!r} exists on step {step} with cause={cause}")
