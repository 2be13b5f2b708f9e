"""What a model can do with one problem alone: samples of (cost, correct) and what they say (SPEC section 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, fsum

from roi_bench.errors import UsageError
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, level_of


@dataclass(frozen=True, slots=True)
class SoloSkill:
    """Samples of one problem asked alone.

    A capped generation is the beginning of a longer one, so a sample is right within a budget exactly if it is right
    and its cost is no more than that.

    Attributes:
        costs: Generated tokens of each sample.
        correct: Whether each sample is right.

    Raises:
        UsageError: No samples, not as many costs as verdicts, or a negative cost.
    """

    costs: tuple[int, ...]
    correct: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not self.costs or len(self.costs) != len(self.correct):
            raise UsageError(
                f"a solo skill needs samples, each with cost and verdict, not {len(self.costs)} and {len(self.correct)}"
            )
        if min(self.costs) < 0:
            raise UsageError(f"a sample cannot cost {min(self.costs)} tokens")

    def solve_rate(self, budget: int) -> float:
        """Return p(B): the share of all samples that are right and cost at most ``budget`` tokens, 0–1."""
        return len(self._right(budget)) / len(self.costs)

    def mean_cost_of_right(self, budget: int) -> float | None:
        """Return the mean cost in tokens of the samples that are right within ``budget``, or None if none is."""
        right = self._right(budget)
        return fsum(right) / len(right) if right else None

    def _right(self, budget: int) -> list[int]:
        return [cost for cost, right in zip(self.costs, self.correct, strict=True) if right and cost <= budget]


@dataclass(frozen=True, slots=True)
class SoloWithin:
    """What a model can do alone within one budget.

    Attributes:
        skills: Its samples of each problem, by problem id.
        budget: Budget in generated tokens.
    """

    skills: Mapping[str, SoloSkill]
    budget: int

    def solve_rate(self, problem_id: str) -> float | None:
        """Return p(B) of a problem, 0–1, or None if there is no sample of it."""
        skill = self.skills.get(problem_id)
        return None if skill is None else skill.solve_rate(self.budget)

    def level(self, problem_id: str, pool: str) -> int | None:
        """Return the level of a problem that nobody attempted (SPEC section 7), or None if there is no sample of it.

        Level-3 if no sample is right within the budget, else the level of the mean cost of those that are.
        """
        skill = self.skills.get(problem_id)
        if skill is None:
            return None
        cost = skill.mean_cost_of_right(self.budget)
        return NOT_WORTH_ATTEMPTING if cost is None else level_of(ceil(cost), level_bounds(pool))
