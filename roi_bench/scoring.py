"""Raw responses → scored samples: the one path from text to numbers for the harness, regrading, training and boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from roi_bench.answers import Check
from roi_bench.exams import Exam
from roi_bench.metrics import Sample, ScoredResponse
from roi_bench.outcomes import Response, Sheet, VerdictLike, answers_to_grade, problem_outcomes, read_sheet
from roi_bench.text_facts import PLAIN, TextFacts
from roi_bench.tokens import TokenCounter


class GraderLike(Protocol):
    """Grades many answers at once (see :class:`roi_bench.grading.Grader`)."""

    def grade_many(self, answers: list[Check]) -> Sequence[VerdictLike]:
        """Return one verdict per answer, in order."""
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
        texts: What is known of its texts besides what they say.
    """

    exam: Exam
    order: str
    budget: int
    main: tuple[Response, ...]
    easy: tuple[Response, ...]
    texts: TextFacts = PLAIN


def score_sittings(
    sittings: Sequence[Sitting], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[Sample, ...]]:
    """Return the K scored samples of each sitting."""

    def read(s: Sitting, order: str, response: Response) -> Sheet:
        return read_sheet(s.exam, order, s.budget, response, counter, texts=s.texts)

    pairs = [(s, main, easy) for s in sittings for main, easy in zip(s.main, s.easy, strict=True)]
    sheets = [sheet for s, main, easy in pairs for sheet in (read(s, s.order, main), read(s, "easy", easy))]
    scored = iter(score_sheets(sheets, grader))
    return [tuple(Sample(next(scored), next(scored)) for _ in s.main) for s in sittings]


def score_sheets(sheets: Sequence[Sheet], grader: GraderLike) -> list[ScoredResponse]:
    """Return ``sheets`` scored.

    All their answers go to the grader in one call, so that symbolic checks run in parallel.
    """
    questions = [answers_to_grade(sheet) for sheet in sheets]
    verdicts = iter(grader.grade_many([answer for answers in questions for answer in answers]))
    return [
        ScoredResponse(
            outcomes=problem_outcomes(sheet, [next(verdicts) for _ in answers]),
            budget=sheet.budget,
            usage=sheet.usage,
            planning=sheet.planning,
            over_budget=sheet.over_budget,
            failed=sheet.failed,
            readings=(sheet.reading,),
        )
        for sheet, answers in zip(sheets, questions, strict=True)
    ]
