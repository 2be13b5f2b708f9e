"""Attempts of each kind, and their scored samples, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence

from roi_bench.exams.exam import Exam, Problem
from roi_bench.scoring.kinds import KINDS, Attempt, GraderLike, SoloProblem, score_attempts
from roi_bench.scoring.metrics import Sample, ScoredResponse, metrics_of
from roi_bench.scoring.outcomes import PLAIN, Response, TextFacts
from roi_bench.scoring.tokens import TokenCounter

Responses = tuple[Response, ...]

METRICS = {metric.name: metric for metric in metrics_of(("gsm8k", "math", "aime"))}
"""The metrics of exams of the three pools, by name."""


def exam_attempt(
    exam: Exam, order: str, budget: int, main: Responses, easy: Responses, texts: TextFacts = PLAIN
) -> Attempt:
    """An exam in one generation: K responses in the task's order and K in easy order."""
    return Attempt(exam, order, budget, (main, easy), texts)


def score_exams(
    attempts: Sequence[Attempt], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[Sample, ...]]:
    return score_attempts(KINDS["exam"], attempts, grader, counter)


def knapsack_attempt(
    exam: Exam, order: str, budget: int, responses: tuple[Responses, ...], texts: TextFacts = PLAIN
) -> Attempt:
    """An exam put together from problems asked alone: K responses to each problem, in tier order."""
    return Attempt(exam, order, budget, responses, texts)


def score_knapsack(
    attempts: Sequence[Attempt], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[Sample, ...]]:
    return score_attempts(KINDS["knapsack"], attempts, grader, counter)


def solo_attempt(problem: Problem, tier: str, cap: int, responses: Responses, texts: TextFacts = PLAIN) -> Attempt:
    """A problem alone: K responses under a cap."""
    return Attempt(SoloProblem(tier, problem), None, cap, (responses,), texts)


def score_solo(
    attempts: Sequence[Attempt], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[ScoredResponse, ...]]:
    return score_attempts(KINDS["solo"], attempts, grader, counter)
