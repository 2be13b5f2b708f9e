"""Raw responses → scored samples: the one path from text to numbers for the harness, regrading, training and boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from roi_bench.exams import Exam
from roi_bench.metrics import Sample, ScoredResponse
from roi_bench.outcomes import Response, Sheet, VerdictLike, answers_to_grade, problem_outcomes, read_sheet
from roi_bench.tokens import TokenCounter


class GraderLike(Protocol):
    """Grades many answers at once (see :class:`roi_bench.grading.Grader`)."""

    def grade_many(self, answers: list[tuple[str, str, tuple[str, ...]]]) -> Sequence[VerdictLike]:
        """Return one verdict per ``(pool, answer, accepted answers)``, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Sitting:
    """One exam as sat: K samples in the task's order and K in easy order.

    Attributes:
        exam: The exam.
        order: The task's order.
        budget: Budget in generated tokens.
        main: K responses in the task's order.
        easy: K responses in easy order.
        text_is_whole: False where the backend stripped hidden reasoning from the text.
    """

    exam: Exam
    order: str
    budget: int
    main: tuple[Response, ...]
    easy: tuple[Response, ...]
    text_is_whole: bool = True


def score_sittings(
    sittings: Sequence[Sitting], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[Sample, ...]]:
    """Return the K scored samples of each sitting.

    All answers of all sittings go to the grader in one call, so that symbolic checks run in parallel.
    """

    def read(s: Sitting, order: str, response: Response) -> Sheet:
        return read_sheet(s.exam, order, s.budget, response, counter, text_is_whole=s.text_is_whole)

    sheets = [
        [(read(s, s.order, main), read(s, "easy", easy)) for main, easy in zip(s.main, s.easy, strict=True)]
        for s in sittings
    ]
    questions = [answers_to_grade(sheet) for sitting in sheets for pair in sitting for sheet in pair]
    verdicts = iter(grader.grade_many([answer for answers in questions for answer in answers]))
    counts = iter([len(answers) for answers in questions])

    def scored(sheet: Sheet) -> ScoredResponse:
        return ScoredResponse(sheet, problem_outcomes(sheet, [next(verdicts) for _ in range(next(counts))]))

    return [tuple(Sample(scored(main), scored(easy)) for main, easy in sitting) for sitting in sheets]
