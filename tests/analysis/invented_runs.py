"""Invented scored samples, written down problem by problem, and whole invented runs."""

from __future__ import annotations

import random
from collections.abc import Sequence

from roi_bench.exams.exam import Exam
from roi_bench.scoring.metrics import Sample, ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.tokens import Usage, level_of
from tests.support.exam_factory import make_exam

Spent = tuple[str, int | None]
"""Outcome and tokens of a problem."""


def problem(
    position: int,
    tier: str,
    outcome: str,
    tokens: int | None = None,
    *,
    level: int | None = None,
    name: str | None = None,
    attempted: bool | None = None,
) -> ProblemOutcome:
    """One problem; by default it was attempted unless it was skipped."""
    worked = outcome in ("correct", "wrong", "truncated", "unanswered") if attempted is None else attempted
    actual = level_of(tokens) if worked and tokens is not None else None
    return ProblemOutcome(position, name or f"p/{tier}", tier, "math", outcome, level, actual, tokens, None)


def response(outcomes: Sequence[ProblemOutcome], *, planning: int = 0, failed: bool = False) -> ScoredResponse:
    known = [item.tokens for item in outcomes if item.tokens is not None]
    tokens = sum(known) + planning if len(known) == len(outcomes) else None
    usage = None if tokens is None else Usage(tokens, "stop", "generated")
    return ScoredResponse(tuple(outcomes), 1000, usage, None if tokens is None else planning, False, failed)


def answered(order: str, *spent: Spent, index: int = 0, planning: int = 0) -> ScoredResponse:
    """A response to exam ``index`` in ``order``, with outcome and tokens by position."""
    exam = make_exam(index)
    return response(
        [
            problem(position, tier, outcome, tokens, name=asked.id)
            for position, (asked, tier, (outcome, tokens)) in enumerate(
                zip(exam.ordered(order), exam.tiers(order), spent, strict=True), start=1
            )
        ],
        planning=planning,
    )


def lost(order: str = "hard", index: int = 0) -> ScoredResponse:
    """A response that could not be had."""
    told = answered(order, ("error", None), ("error", None), ("error", None), index=index)
    return ScoredResponse(told.problems, 1000, None, None, False, True)


def invented_run(
    exams: int, order: str = "hard", *, seed: int = 0, samples: int = 1, clusters: int = 30, levels: bool = True
) -> tuple[dict[str, tuple[Sample, ...]], dict[str, str]]:
    """A whole run of a model that spends more on hard problems and on early ones; samples and clusters by exam id."""
    random_source = random.Random(seed)
    scored, cluster = {}, {}
    for index in range(exams):
        exam = make_exam(index)
        cluster[exam.id] = f"aime/{index % clusters}"
        scored[exam.id] = tuple(
            Sample(_sit(exam, order, random_source, levels), _sit(exam, "easy", random_source, levels))
            for _ in range(samples)
        )
    return scored, cluster


def _sit(exam: Exam, order: str, random_source: random.Random, levels: bool) -> ScoredResponse:
    outcomes, left = [], 1000
    for position, (asked, tier) in enumerate(zip(exam.ordered(order), exam.tiers(order), strict=True), start=1):
        hardness = ("easy", "middle", "hard").index(tier)
        wanted = int(random_source.lognormvariate(5.0 + 0.5 * hardness - 0.15 * position, 0.4))
        level = min(3, max(0, level_of(wanted) + random_source.choice((-1, 0, 0, 1)))) if levels else None
        outcome = "correct" if random_source.random() < (0.8, 0.4, 0.1)[hardness] else "wrong"
        if hardness and random_source.random() < 0.2 * hardness:
            outcome, wanted = "skipped", 12
        elif wanted > left:
            outcome, wanted = "truncated", left
        attempted = outcome != "skipped" and wanted > 0
        outcomes.append(problem(position, tier, outcome, wanted, level=level, name=asked.id, attempted=attempted))
        left -= wanted
    return response(outcomes, planning=random_source.randrange(30))
