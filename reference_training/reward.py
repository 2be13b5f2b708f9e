"""What a response to a training exam earns: the benchmark's own reading, counting and grading (SPEC section 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roi_bench.exams.exam import Exam
from roi_bench.reference_training.recipe import Reward
from roi_bench.scoring.kinds import GraderLike, parse_exam_response, score_responses
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, Response
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter


@dataclass(frozen=True, slots=True)
class Rollout:
    """One response to a training exam.

    Attributes:
        exam: The exam.
        order: Order in which it was asked.
        budget: Budget in tokens.
        response: Text and exact usage.
    """

    exam: Exam
    order: str
    budget: int
    response: Response


def score_rollouts(rollouts: Sequence[Rollout], grader: GraderLike, counter: TokenCounter) -> list[ScoredResponse]:
    """Return the scored responses; graded in one call."""
    parsed = [parse_exam_response(r.exam, r.order, r.budget, r.response, counter) for r in rollouts]
    return score_responses(parsed, grader)


def problem_reward(outcome: ProblemOutcome, settings: Reward) -> float:
    """Return rᵢ = 1[correct ∧ predicted level = actual level] (arXiv 2601.03822), less what a format fault costs.

    The fault is ours: a problem skipped behind a forecast other than Level-3, or behind none.
    """
    if outcome.outcome == "skipped" and outcome.level != NOT_WORTH_ATTEMPTING:
        return -settings.format_fault
    if outcome.outcome != "correct":
        return 0.0
    return float(not settings.level or (outcome.level is not None and outcome.level == outcome.actual_level))


def exam_reward(scored: ScoredResponse, settings: Reward) -> float:
    """Return R = Σ rᵢ over the problems of an exam.

    What a truncated response solved before the budget ended it is paid: an over-budget exam is data, not a fault.
    """
    return sum(problem_reward(outcome, settings) for outcome in scored.problems)
