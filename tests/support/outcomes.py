"""Outcomes of one problem, for tests of rewards."""

from __future__ import annotations

from roi_bench.scoring.outcomes import ProblemOutcome


def outcome(what: str, level: int | None, actual: int | None) -> ProblemOutcome:
    """An easy problem of the tiny family that took 20 tokens, with its predicted and its actual level."""
    return ProblemOutcome(1, "p", "easy", "tiny-easy", what, level, actual, 20, None)
