"""An exam: three problems of different difficulty under one budget, and the orders in which they are asked."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from roi_bench.errors import UsageError, nearest

TIERS = ("easy", "middle", "hard")
"""Difficulty tiers of the three problems of an exam, cheapest first."""

POOL_TIERS = {"gsm8k": "easy", "math": "middle", "aime": "hard"}
"""Tier of each pool of the real exams (SPEC section 2)."""


def canonical_text(text: str) -> str:
    r"""Return ``text`` in canonical form: Unicode NFC, ``\n`` line ends, outer white space stripped."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def sha256_text(text: str) -> str:
    """Return the SHA-256 of the UTF-8 bytes of ``text`` as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with one checkable final answer.

    Attributes:
        id: Stable name, e.g. ``gsm8k/test/17``, ``fresh/0/hard/3`` or ``tiny/0/easy/12``.
        pool: ``gsm8k``, ``math``, ``aime``, or ``fresh-easy`` … / ``tiny-easy`` … for generated ones.
        question: Canonical question text (see :func:`canonical_text`).
        answer: Gold final answer as a string.
        also_accepted: Further accepted final answers (AIME 2022-II-8 has two).
        level: MATH's own difficulty level 1–5, or None.
        solution: Reference worked solution, or None.
    """

    id: str
    pool: str
    question: str
    answer: str
    also_accepted: tuple[str, ...] = ()
    level: int | None = None
    solution: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical question."""
        return sha256_text(self.question)

    @property
    def answers(self) -> tuple[str, ...]:
        """All accepted final answers."""
        return (self.answer, *self.also_accepted)


ORDERS = ("easy", "medium", "hard")
"""easy = E,M,H; hard = H,M,E; medium = interleaved, one of :data:`MEDIUM_PERMUTATIONS` per exam (SPEC section 1)."""

MEDIUM_PERMUTATIONS = ("EHM", "MEH", "MHE")
"""The interleaved orders: the hardest is never first and the exam is never sorted."""

EXAM_VERSIONS: Mapping[str, int] = {"v1": 1, "fresh": 1, "tiny": 1}
"""Version of each exam set; results of two versions are never mixed (SPEC section 3)."""

EXAM_VERSION = EXAM_VERSIONS["v1"]
"""Version of the frozen exams of real problems."""

_LETTER = {"E": 0, "M": 1, "H": 2}


@dataclass(frozen=True, slots=True)
class Exam:
    """Three problems of one triple.

    Attributes:
        id: Stable name, e.g. ``v1/017``, ``fresh/0/003`` or ``tiny/0/012``.
        problems: The problems in tier order easy, middle, hard.
        medium: Permutation of the medium order, one of :data:`MEDIUM_PERMUTATIONS`.
        cluster: Name of the reused unit for clustered statistics (the AIME problem's id; the exam's own id where
            no problem is reused).
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
