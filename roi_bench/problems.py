"""A problem: a question with one checkable final answer."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass

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
    """A question with one checkable final answer.

    Attributes:
        id: Stable name, e.g. ``gsm8k/test/17``, ``fresh/0/hard/3`` or ``tiny/0/easy/12``.
        pool: ``gsm8k``, ``math``, ``aime``, or ``fresh-easy`` … / ``tiny-easy`` … for generated ones.
        question: Canonical question text (see :func:`canonical_text`).
        answer: Gold final answer as a string.
        also_accepted: Further accepted final answers (AIME 2022-II-8 has two).
        level: MATH level 1–5, or None.
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
