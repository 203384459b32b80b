"""Trying every failure point of a saga: `verify` reports whether each ends completed or fully compensated."""

from sagafsm.verify.report import html  # noqa: F401 - a report is drawn by it, which registers itself
from sagafsm.verify.report.report import Bounds, Contract, Finding, GradeResult, Report, VerificationFailed
from sagafsm.verify.simulate.world import World
from sagafsm.verify.verification import verify

__all__ = ["Bounds", "Contract", "Finding", "GradeResult", "Report", "VerificationFailed", "World", "verify"]
