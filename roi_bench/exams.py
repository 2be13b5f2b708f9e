"""An exam: three problems of different difficulty under one budget, and the orders in which they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roi_bench.errors import UsageError, nearest
from roi_bench.problems import TIERS, Problem

ORDERS = ("easy", "medium", "hard")
"""easy = E,M,H; hard = H,M,E; medium = interleaved, one of :data:`MEDIUM_PERMUTATIONS` per exam (SPEC section 1)."""

MEDIUM_PERMUTATIONS = ("EHM", "MEH", "MHE")
"""The interleaved orders: the hardest is never first and the exam is never sorted."""

EXAM_VERSION = 1
"""Version of the frozen exams; results of two versions are never mixed (SPEC section 3)."""

_LETTER = {"E": 0, "M": 1, "H": 2}


@dataclass(frozen=True, slots=True)
class Exam:
    """Three problems of one triple.

    Attributes:
        id: Stable name, e.g. ``v1/017``, ``fresh/0/003`` or ``tiny/0/012``.
        problems: The problems in tier order easy, middle, hard.
        medium: Permutation of the medium order, one of :data:`MEDIUM_PERMUTATIONS`.
        cluster: Name of the re-used unit for clustered statistics (the AIME problem's id; the exam's own id where
            no problem is re-used).
    """

    id: str
    problems: tuple[Problem, Problem, Problem]
    medium: str
    cluster: str

    def permutation(self, order: str) -> tuple[int, int, int]:
        """Return tier indices (0 easy, 1 middle, 2 hard) by position for ``order``.

        Raises:
            UsageError: ``order`` is not one of :data:`ORDERS`.
        """
        letters = {"easy": "EMH", "hard": "HME", "medium": self.medium}.get(order)
        if letters is None:
            raise UsageError(f"unknown order {order!r}; {nearest(order, ORDERS)}")
        first, second, third = (_LETTER[letter] for letter in letters)
        return first, second, third

    def ordered(self, order: str) -> tuple[Problem, Problem, Problem]:
        """Return the problems by position for ``order``."""
        first, second, third = self.permutation(order)
        return self.problems[first], self.problems[second], self.problems[third]

    def tiers(self, order: str) -> tuple[str, str, str]:
        """Return the tier names by position for ``order``."""
        first, second, third = self.permutation(order)
        return TIERS[first], TIERS[second], TIERS[third]


def pools_of(exams: Mapping[str, Exam]) -> list[str]:
    """Return the pools of ``exams`` (by id, not empty) in tier order."""
    return [problem.pool for problem in next(iter(exams.values())).problems]
