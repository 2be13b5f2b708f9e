"""Pages of one submission that show responses: the exam list of each run, the exam pages, and the scores as data.

They depend on the submission alone, so a build that finds it unchanged leaves them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.runs import Cell, ScoredRun
from roi_bench.exams.exam import POOL_TIERS, TIERS, Exam, Problem
from roi_bench.leaderboard.exam_list import ExamCosts, exam_rows, money, page_name, paged_exams, total_usd
from roi_bench.leaderboard.graded import GradedRun, GradedSubmission
from roi_bench.leaderboard.page import PageFile, PageOptions, number, render
from roi_bench.leaderboard.response_marks import MARKS
from roi_bench.leaderboard.response_views import ResponseView, response_views
from roi_bench.leaderboard.run_texts import OUTCOME_MEANINGS
from roi_bench.scoring.outcomes import Response


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A problem of an exam as its page shows it.

    Attributes:
        tier: Its tier.
        id: Its id.
        pool: Its pool.
        sha256: Hash of its question.
        question: Its text; None for the public test sets (GSM8K and MATH are MIT, AIME is the MAA’s) unless asked for.
        answers: Accepted answers likewise; None where the text is not shown.
    """

    tier: str
    id: str
    pool: str
    sha256: str
    question: str | None
    answers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RunView:
    """The responses of one run to one exam.

    Attributes:
        slug: Its slug, also the anchor.
        title: What was sat and how it was asked.
        decoding: Generation arguments, or an empty text.
        score: Correct answers in the task's order, mean over samples.
        score_easy: The same in easy order.
        usd: What the responses cost, or None.
        responses: All responses.
    """

    slug: str
    title: str
    decoding: str
    score: str
    score_easy: str
    usd: str | None
    responses: tuple[ResponseView, ...]


def submission_pages(
    graded: GradedSubmission,
    runs: Mapping[str, ScoredRun],
    options: PageOptions,
    *,
    usd: Mapping[str, ExamCosts] | None = None,
) -> Iterator[PageFile]:
    """Yield the exam lists, the exam pages and ``data.json`` of a submission, below ``models/<id>/``.

    Args:
        graded: The submission.
        runs: Its scored runs by slug.
        options: How many exams get a page, and whether licensed problems are shown.
        usd: What each response cost, by task name (see :data:`roi_bench.leaderboard.exam_list.ExamCosts`).
    """
    folder = f"models/{graded.submission.id}"
    costs = usd or {}
    paged = paged_exams(list(runs.values()), options.exam_pages)
    shared = {"model": graded.submission.metadata.model, "meanings": OUTCOME_MEANINGS}
    for run in graded.runs:
        scored = runs[run.slug]
        rows = exam_rows(scored, costs.get(run.task, {}), paged)
        yield render(
            "exam_list.html",
            f"{folder}/{run.slug}.html",
            {**shared, "run": run, "rows": rows, "tiers": _tier_order(run.cell), "priced": run.usd is not None},
        )
    ids = list(paged)
    sat = {exam_id: [run for run in graded.runs if exam_id in runs[run.slug].scored] for exam_id in ids}
    documents = {slug: {d.id: d.requests for d in run.task.documents if d.id in paged} for slug, run in runs.items()}
    for index, exam_id in enumerate(ids):
        exam = paged[exam_id]
        views = [
            _run_view(run, runs[run.slug], exam, documents[run.slug][exam_id], costs.get(run.task, {}))
            for run in sat[exam_id]
        ]
        beside = [ids[i] if 0 <= i < len(ids) else None for i in (index - 1, index + 1)]
        yield render(
            "exam.html",
            f"{folder}/exams/{page_name(exam_id)}",
            {
                **shared,
                "exam": exam,
                "problems": [_problem_view(exam, tier, options) for tier in TIERS],
                "runs": views,
                "before": beside[0],
                "after": beside[1],
                "page_name": page_name,
                "marks": MARKS,
            },
        )
    whole = [run.slug for run in graded.runs if len(run.exam_ids) == len(runs[run.slug].exams)]
    yield scores_file(graded, whole, ids)


def _tier_order(cell: Cell) -> str:
    """Return the tiers by position for the head of a list; the medium order has another one for each exam."""
    return {"easy": "easy, middle, hard", "hard": "hard, middle, easy"}.get(cell.order, "as in the column “tiers”")


def _run_view(
    run: GradedRun, scored: ScoredRun, exam: Exam, requests: Sequence[Sequence[Response]], usd: ExamCosts
) -> RunView:
    place = run.exam_ids.index(exam.id) if exam.id in run.exam_ids else None
    digits = 0 if run.repeats == 1 else 2
    cost = total_usd(usd.get(exam.id, ()))
    return RunView(
        slug=run.slug,
        title=f"{run.cell.title} · {run.prompt}",
        decoding=run.decoding,
        score=number(None if place is None else run.scores[place], digits),
        score_easy=number(None if place is None else run.scores_easy[place], digits),
        usd=None if cost is None else money(cost),
        responses=tuple(response_views(scored, exam, requests)),
    )


def _problem_view(exam: Exam, tier: str, options: PageOptions) -> ProblemView:
    problem: Problem = exam.problems[TIERS.index(tier)]
    shown = options.with_problems or problem.pool not in POOL_TIERS
    return ProblemView(
        tier=tier,
        id=problem.id,
        pool=problem.pool,
        sha256=problem.sha256,
        question=problem.question if shown else None,
        answers=problem.answers if shown else None,
    )


def scores_file(graded: GradedSubmission, whole: Collection[str], paged: Sequence[str]) -> PageFile:
    """Return ``data.json``: the scores of every exam by run, which the compare page reads.

    Args:
        graded: The submission.
        whole: Slugs of the runs that sat the whole set; those of others need the ids of their exams.
        paged: Ids of the exams that have a page.
    """
    content = {
        "pages": list(paged),
        "runs": {
            run.slug: {
                "scores": list(run.scores),
                "scores_easy": list(run.scores_easy),
                "exams": None if run.slug in whole else list(run.exam_ids),
            }
            for run in graded.runs
        },
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"
    return PageFile(f"models/{graded.submission.id}/data.json", text.encode("ascii"))
