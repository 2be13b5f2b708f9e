"""What a model decided in an exam: which problems it attempted, which it skipped, which it gave up and when (SPEC 11).

Replaying these decisions on the model's own solo samples tells what they were worth, apart from how well it solved the
problems in that very response. Choices that the specification leaves open (ours):

- ``skipped``: skip. ``correct``, ``wrong``: an attempt without a cap; how long it would have gone on is not known, and
  capping at the tokens of one response would fail every second replay of a sound decision.
- ``unanswered``: the model left the problem by itself; an attempt capped at the tokens it spent there (none: a skip).
- ``truncated``, ``empty``: an attempt without a cap.
- Never reached, because the budget ended before: nobody knows. It is taken to be attempted as often as the run attempts
  problems that it reaches; else choosing at random would look worse than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roi_bench.errors import RecordError
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome

NO_CAP = -1
"""Stands for an attempt without a cap."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions in many responses.

    Attributes:
        attempt: 1.0 where a problem was attempted, 0.0 where it was skipped, the run's attempt rate where it was never
            reached; (responses, positions).
        caps: Tokens after which it was given up, :data:`NO_CAP` where it was not; the same shape.
        attempt_rate: Attempts per problem reached; 1 where none was.
    """

    attempt: NDArray[np.float64]
    caps: NDArray[np.int64]
    attempt_rate: float


def read_decisions(responses: Sequence[ScoredResponse]) -> Decisions:
    """Return the decisions in ``responses``, none of which failed.

    Raises:
        RecordError: A problem was given up after an unknown number of tokens.
    """
    shape = (len(responses), -1)
    attempt = np.array([[_attempt(problem) for problem in r.problems] for r in responses], dtype=np.float64)
    caps = np.array([[_cap(problem) for problem in r.problems] for r in responses], dtype=np.int64)
    known = attempt[~np.isnan(attempt)]
    rate = float(known.mean()) if known.size else 1.0
    return Decisions(np.where(np.isnan(attempt), rate, attempt).reshape(shape), caps.reshape(shape), rate)


def _attempt(problem: ProblemOutcome) -> float:
    """Return 1 for an attempt, 0 for a skip, not-a-number for a problem that was never reached."""
    if problem.outcome == "truncated" and problem.tokens == 0 and problem.actual_level is None:
        return float("nan")
    left_at_once = problem.outcome == "unanswered" and problem.tokens == 0
    return float(problem.outcome != "skipped" and not left_at_once)


def _cap(problem: ProblemOutcome) -> int:
    if problem.outcome != "unanswered":
        return NO_CAP
    if problem.tokens is None:
        raise RecordError(
            "a problem was given up after an unknown number of tokens, so the decision cannot be replayed; name the "
            "model's tokenizer (--tokenizer …)"
        )
    return problem.tokens
