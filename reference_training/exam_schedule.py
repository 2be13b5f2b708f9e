"""Which exam is sat in which order under which budget, step by step. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from roi_bench.exams.exam import ORDERS
from roi_bench.reference_training.recipe import Rarl

HELD_OUT_ORDERS = ("hard", "easy")
"""Orders in which held-out exams are sat: their scores give the regret."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One exam, to be sat.

    Attributes:
        exam: Number of the exam.
        order: Order of its problems.
        budget: Budget in tokens.
    """

    exam: int
    order: str
    budget: int


def exam_schedule(settings: Rarl, budgets: Sequence[int], seed: int) -> list[Turn]:
    """Return one turn for each exam of each step.

    All exams of a step have one budget, so that generation is really cut at it; orders are drawn by their shares within
    a step. Budgets of the curriculum come first, in its order; after it all budgets take turns, step by step.

    Args:
        settings: Steps, exams a step, orders, curriculum.
        budgets: All budgets.
        seed: Another seed, other orders.
    """
    rng = random.Random(f"roi-bench rarl/{seed}")
    plan: list[int] = []
    for budget, share in settings.curriculum.items():
        plan += [budget] * round(share * settings.steps)
    plan += [budgets[index % len(budgets)] for index in range(settings.steps - len(plan))]
    names = [order for order in ORDERS if order in settings.orders]
    weights = [settings.orders[order] for order in names]
    return [
        Turn(step * settings.prompts + number, rng.choices(names, weights)[0], budget)
        for step, budget in enumerate(plan[: settings.steps])
        for number in range(settings.prompts)
    ]


def held_out_turns(exams: int, budgets: Sequence[int]) -> list[Turn]:
    """Return the turns of an evaluation: each exam in both orders under each budget."""
    return [Turn(exam, order, budget) for budget in budgets for order in HELD_OUT_ORDERS for exam in range(exams)]
