"""A grader with a bound on what a submission may cost: too many answers that hit the limit of a check end it."""

from __future__ import annotations

from collections.abc import Sequence

from roi_bench.errors import RecordError
from roi_bench.grading.answers import MAX_ANSWER_CHARACTERS, Check
from roi_bench.leaderboard.limits import ANSWERS_AT_ONCE, LIMIT_VERDICTS
from roi_bench.scoring.kinds import GraderLike
from roi_bench.scoring.outcomes import VerdictLike


class TooManyLimitsError(RecordError):
    """Too many answers of a submission ran into the limit of symbolic checks."""


class BoundedGrader:
    """Grades the answers of one submission, and gives up once too many of them hit the limit of symbolic checks.

    Args:
        grader: What grades.
    """

    def __init__(self, grader: GraderLike) -> None:
        self._grader = grader
        self._limited: set[Check] = set()

    def grade_many(self, answers: list[Check]) -> Sequence[VerdictLike]:
        """Return one verdict per answer, in order.

        Raises:
            TooManyLimitsError: More than :data:`LIMIT_VERDICTS` different answers hit the limit, in all calls together.
        """
        found: list[VerdictLike] = []
        for start in range(0, len(answers), ANSWERS_AT_ONCE):
            part = answers[start : start + ANSWERS_AT_ONCE]
            verdicts = self._grader.grade_many(part)
            found += verdicts
            self._limited |= {
                check
                for check, verdict in zip(part, verdicts, strict=True)
                if verdict.method == "limit"
                and len(check.answer) <= MAX_ANSWER_CHARACTERS  # a longer one costs nothing
            }
            if len(self._limited) > LIMIT_VERDICTS:
                raise TooManyLimitsError(
                    f"more than {LIMIT_VERDICTS} answers of this submission hit the time or memory limit of symbolic "
                    "checks; such answers are no mathematics that a grader can read"
                )
        return found
