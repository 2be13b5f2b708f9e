"""Graders that stand in for the real one: they compare strings."""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.grading.answers import Check


@dataclass(frozen=True)
class Same:
    """Verdict of a grader that compares strings."""

    correct: bool
    method: str = "string"


class EqualityGrader:
    """Compares strings."""

    def grade_many(self, answers: list[Check]) -> list[Same]:
        return [Same(check.answer in check.accepted) for check in answers]
