"""In which themes a scenario is played."""

from __future__ import annotations

import pytest

THEMES = {"light": False, "dark": True}


def themes() -> pytest.MarkDecorator:
    """Play a scenario in one theme in each slice, in turn: both differ in the style alone."""
    both = [
        pytest.param(dark, id=name, marks=pytest.mark.rotates(number, of=len(THEMES)))
        for number, (name, dark) in enumerate(THEMES.items())
    ]
    return pytest.mark.parametrize("dark", both)
