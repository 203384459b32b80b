"""In which themes a scenario is played."""

from __future__ import annotations

import pytest

THEMES = {"light": False, "dark": True}


def themes(*usual: str) -> pytest.MarkDecorator:
    """A scenario in these themes, and with --long in both: what differs between them is the style alone."""
    return pytest.mark.parametrize(
        "dark",
        [pytest.param(dark, id=name, marks=() if name in usual else pytest.mark.long) for name, dark in THEMES.items()],
    )
