"""Trying every failure point of a saga: `verify` reports whether each ends completed or fully compensated."""

from sagafsm.verify import showing  # noqa: F401 - a report is drawn by it, which registers itself
from sagafsm.verify.checking import verify
from sagafsm.verify.report import Bounds, Contract, Finding, GradeResult, Report, VerificationFailed
from sagafsm.verify.world import World

__all__ = ["Bounds", "Contract", "Finding", "GradeResult", "Report", "VerificationFailed", "World", "verify"]
