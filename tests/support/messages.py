"""The whole message of an error that must come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def message_of(kind: type[BaseException], call: Callable[[], Any]) -> str:
    """The text of the error of exactly this kind that the call raises."""
    with pytest.raises(kind) as caught:
        call()
    assert kind is type(caught.value)
    return str(caught.value)
