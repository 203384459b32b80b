"""All pieces: those with one mistake each, and the correct ones."""

from __future__ import annotations

from exams.gallery import (
    correct_errors,
    correct_keyed,
    correct_shapes,
    mistakes_doubt,
    mistakes_nested,
    mistakes_order,
    mistakes_probe,
    mistakes_process,
    mistakes_refund,
    mistakes_undo,
    mistakes_world,
)

MISTAKES = (
    *mistakes_undo.PIECES,
    *mistakes_refund.PIECES,
    *mistakes_doubt.PIECES,
    *mistakes_probe.PIECES,
    *mistakes_order.PIECES,
    *mistakes_nested.PIECES,
    *mistakes_process.PIECES,
    *mistakes_world.PIECES,
)
CORRECT = (*correct_keyed.PIECES, *correct_shapes.PIECES, *correct_errors.PIECES)
