"""The greedy-knapsack baseline: which answers to problems asked alone count, and what they cost (SPEC section 10).

Every problem of an exam is answered alone in the metacognitive format. Its level forecasts its cost; problems are taken
in ascending forecast cost while their sum fits the budget. The answers so kept are then paid with their actual tokens
in exam order. The selection is the paper's (ROI-Reasoning, arXiv 2601.03822); the payment is ours:

- No level tag is Level-2, Level-3 is left out. Of equal forecasts the earlier problem comes first.
- What is not kept is ``skipped`` and costs nothing, though the model did write an answer.
- Tokens of text that was counted again have the usual slack (:func:`roi_bench.scoring.tokens.is_over_budget`).
- An answer that no longer fits is ``truncated``, and what it takes of the budget is gone: as in one generation, what
  stands behind it is truncated too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roi_bench.exams.exam import Exam
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, level_bounds
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, Usage, is_over_budget, level_of

LEVEL_WITHOUT_TAG = 2
"""What a response without a level tag is taken to forecast."""


def forecast_cost(outcome: ProblemOutcome) -> int | None:
    """Return the tokens that the level of a response forecasts, the middle of its range; None for Level-3.

    128, 384 and 768 for Level-0 to Level-2 of the real exams (the paper's centroids).
    """
    level = LEVEL_WITHOUT_TAG if outcome.level is None else outcome.level
    if level >= NOT_WORTH_ATTEMPTING:
        return None
    bounds = (0, *level_bounds(outcome.pool))
    return (bounds[level] + bounds[level + 1]) // 2


def select(forecasts: Sequence[int | None], budget: int) -> frozenset[int]:
    """Return which items are kept: in ascending forecast cost (ties: the earlier) while the sum fits ``budget``."""
    kept, total = set(), 0
    for cost, index in sorted((cost, index) for index, cost in enumerate(forecasts) if cost is not None):
        total += cost
        if total > budget:
            break
        kept.add(index)
    return frozenset(kept)


def pack(exam: Exam, order: str, scored: Sequence[ScoredResponse]) -> ScoredResponse:
    """Return the exam in ``order`` that the answers ``scored`` (tier order) make under the budget.

    Where a response could not be had, or its tokens are unknown so that nobody can pay for it, the whole is failed.
    """
    ordered = [scored[tier] for tier in exam.permutation(order)]
    readings = tuple(reading for one in ordered for reading in one.readings)
    budget = ordered[0].budget
    known = [one.usage for one in ordered if one.usage is not None]
    if len(known) < len(ordered):  # a failed response has no usage
        failed = tuple(_placed(one, position, "error", None) for position, one in enumerate(ordered, start=1))
        return ScoredResponse(failed, budget, None, None, over_budget=False, failed=True, readings=readings)
    kept = select([forecast_cost(one.problems[0]) for one in ordered], budget)
    spent, outcomes = 0, []
    is_cut = False
    for index, (one, usage) in enumerate(zip(ordered, known, strict=True)):
        if index not in kept:
            outcomes.append(_placed(one, index + 1, "skipped", 0))
        elif is_cut or is_over_budget(replace(usage, tokens=spent + usage.tokens), budget):
            is_cut = True
            outcomes.append(_placed(one, index + 1, "truncated", budget - spent))
            spent = budget
        else:
            spent = min(budget, spent + usage.tokens)
            outcomes.append(_placed(one, index + 1, one.problems[0].outcome, usage.tokens))
            is_cut = outcomes[-1].outcome == "truncated"
    usage = Usage(spent, "length" if is_cut else "stop", known[0].source)
    return ScoredResponse(tuple(outcomes), budget, usage, 0, over_budget=False, failed=False, readings=readings)


def _placed(one: ScoredResponse, position: int, outcome: str, tokens: int | None) -> ProblemOutcome:
    """Return the outcome of a problem asked alone, at its position in the exam; its level is that of all its tokens."""
    found, level = one.problems[0], None
    answered = outcome in ("correct", "wrong")
    begun = outcome == "unanswered" and found.actual_level is not None
    if one.tokens is not None and (answered or begun or outcome == "truncated"):
        level = level_of(one.tokens, level_bounds(found.pool))
    return replace(
        found,
        position=position,
        outcome=outcome,
        tokens=tokens,
        actual_level=level,
        method=found.method if answered else None,
    )
