"""Positive controls of properties: a property that holds over a broken library proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


def quick(examples: int) -> Any:
    """Return the settings of a property that stands beside examples: few examples, and no health checks."""
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


def expect_breach(check: Callable[..., None], **cases: st.SearchStrategy[Any]) -> str:
    """Check cases until one fails, which must happen, and return what it says."""

    @settings(
        max_examples=300,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(**cases)
    def exam(**case: Any) -> None:
        check(**case)

    with pytest.raises(AssertionError) as caught:
        exam()
    return str(caught.value)
