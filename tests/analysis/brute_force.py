"""The ordered stochastic knapsack once more, slow and plain: one exam, one budget, Fractions, everything enumerated.

It shares nothing with :mod:`roi_bench.analysis.allocation` but the definition. A problem is a list of (cost, correct)
samples, an exam a list of problems. An action is a cap in tokens, or None for a skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import product

Sample = tuple[int, bool]
Problem = Sequence[Sample]
Exam = Sequence[Problem]
Action = int | None


def outcome(sample: Sample, action: Action, skip_cost: int) -> tuple[int, int]:
    """Return the tokens paid and the answers earned (0 or 1) by one action on one sample."""
    cost, correct = sample
    if action is None:
        return skip_cost, 0
    if cost <= action:
        return cost, int(correct)
    return max(action, skip_cost), 0


def best_value(exam: Exam, budget: int, skip_cost: int) -> Fraction:
    """Return the value of the best policy: expectimax over a skip and every cap of 0 … b tokens."""

    @cache
    def value(position: int, left: int) -> Fraction:
        if left < 0 or position == len(exam):
            return Fraction(0)
        problem = exam[position]
        totals = []
        for action in (None, *range(left + 1)):
            total = Fraction(0)
            for sample in problem:
                paid, earned = outcome(sample, action, skip_cost)
                total += earned + value(position + 1, left - paid)
            totals.append(total / len(problem))
        return max(totals)

    return value(0, budget)


def played(draw: Sequence[Sample], choose: Callable[[int, int], Action], budget: int, skip_cost: int) -> int:
    """Return the right answers in one response to one draw of samples; ``choose`` sees position and tokens left."""
    left, right = budget, 0
    for position, sample in enumerate(draw):
        paid, earned = outcome(sample, choose(position, left), skip_cost)
        left -= paid
        if left < 0:
            break
        right += earned
    return right


def draws(exam: Exam) -> Iterator[tuple[Sample, ...]]:
    """Yield every combination of one sample of each problem."""
    return product(*exam)


def mean_over_draws(exam: Exam, value: Callable[[Sequence[Sample]], Fraction | int]) -> Fraction:
    """Return the expectation of ``value`` of a draw."""
    values = [value(draw) for draw in draws(exam)]
    return Fraction(sum(values), len(values))


def policy_value(exam: Exam, choose: Callable[[int, int], Action], budget: int, skip_cost: int) -> Fraction:
    """Return the value of a policy, response by response."""
    return mean_over_draws(exam, lambda draw: played(draw, choose, budget, skip_cost))


def plan_value(
    exam: Exam, attempt: Sequence[Fraction], caps: Sequence[int | None], budget: int, skip_cost: int
) -> Fraction:
    """Return the value of a fixed plan: every draw, every set of attempted problems with its probability."""
    total = Fraction(0)
    for attempted in product((True, False), repeat=len(exam)):
        chance = Fraction(1)
        for is_attempted, probability in zip(attempted, attempt, strict=True):
            chance *= probability if is_attempted else 1 - probability
        # Without a cap a response runs on, beyond the budget if it must.
        actions = [
            (10**9 if cap is None else cap) if is_attempted else None
            for is_attempted, cap in zip(attempted, caps, strict=True)
        ]
        total += chance * policy_value(
            exam, lambda position, _left, actions=actions: actions[position], budget, skip_cost
        )
    return total


def hindsight_value(exam: Exam, budget: int, skip_cost: int) -> Fraction:
    """Return the value of the best set of problems to attempt, chosen for every draw anew."""

    def best(draw: Sequence[Sample]) -> int:
        plans = product((10**9, None), repeat=len(draw))
        return max(played(draw, lambda position, _left, plan=plan: plan[position], budget, skip_cost) for plan in plans)

    return mean_over_draws(exam, best)
