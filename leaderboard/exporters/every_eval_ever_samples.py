"""The samples of a run as Every Eval Ever states them: one row for each exam, sample and order.

Rows of the task's order belong to the result ``score``, rows of the easy order to ``score_easy``. Problems of the
licensed pools are named by id and hash; neither their texts nor their answers are in a row, the raw responses are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import POOL_TIERS, TIERS, Exam, Problem, sha256_text
from roi_bench.leaderboard.exporters.every_eval_ever_metrics import result_id
from roi_bench.leaderboard.exporters.export_files import texts
from roi_bench.leaderboard.graded import GradedRun
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json
from roi_bench.records.results import RecordedDocument
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import Response, level_bounds
from roi_bench.scoring.prompts import exam_prompt

METHODS = {
    "box": f"roi-bench reading rule {READING_RULE}: a box, of the problem named last before it",
    "line": f"roi-bench reading rule {READING_RULE}: an answer line, in the section of a problem without a box",
}
"""How answers are found in a response, by what answers."""


def sample_rows(graded: GradedRun, run: ScoredRun, evaluation_id: str, model_id: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run in the order of its exams; samples without a response have none.

    Args:
        graded: The run as graded.
        run: The same run with its responses and scored samples.
        evaluation_id: Id of the aggregate record.
        model_id: Id of the model in it.
    """
    for document in run.task.documents:
        exam = run.exams[document.id]
        for metric, order in (("score", graded.cell.order), ("score_easy", "easy")):
            if graded.numbers[metric].value is None:
                continue
            common = {
                "evaluation_id": evaluation_id,
                "model_id": model_id,
                "evaluation_name": graded.task,
                "evaluation_result_id": result_id(graded, metric),
                **_asked(graded, exam, order),
            }
            for index, sample in enumerate(run.scored[document.id]):
                scored = sample.main if metric == "score" else sample.easy
                if not sample.failed:
                    responses = _responses(graded, document, metric, index)
                    yield {**common, **_answered(graded, exam, order, responses, scored, index)}


def _problems(graded: GradedRun, exam: Exam, order: str) -> tuple[Problem, ...]:
    """Return the problems in the order in which they were asked, each alone or all at once."""
    return exam.problems if not graded.kind.together else exam.ordered(order)


def _responses(graded: GradedRun, document: RecordedDocument, metric: str, index: int) -> list[Response]:
    if not graded.kind.together:
        return [samples[index] for samples in document.requests]
    return [document.requests[0 if metric == "score" else 1][index]]


def _asked(graded: GradedRun, exam: Exam, order: str) -> dict[str, Any]:
    """Return what stands in a row of the question; the hash is that of the true prompt and answers in any case."""
    problems = _problems(graded, exam, order)
    groups = [(problem,) for problem in problems] if not graded.kind.together else [problems]
    raw = "\n\n".join(
        exam_prompt([p.question for p in group], graded.cell.budget, graded.prompt, level_bounds(group[0].pool))
        for group in groups
    )
    reference = [problem.answer for problem in problems]
    sample_hash = sha256_text(canonical_json({"raw": raw, "reference": reference}))
    if any(problem.pool in POOL_TIERS for problem in problems):
        named = ", ".join(f"{problem.id} (sha256 {problem.sha256})" for problem in problems)
        raw, reference = f"[texts withheld for their licences: exam {exam.id}, problems {named}]", []
    return {
        "sample_id": exam.id,
        "sample_hash": sample_hash,
        "interaction_type": "single_turn",
        "input": {"raw": raw, "reference": reference},
    }


def _answered(
    graded: GradedRun, exam: Exam, order: str, responses: list[Response], scored: ScoredResponse, index: int
) -> dict[str, Any]:
    raw = [response.text if isinstance(response.text, str) else "" for response in responses]
    outcomes = scored.problems
    answered = [(0, outcome) for outcome in outcomes]
    if not graded.kind.together:
        answered = sorted(((TIERS.index(outcome.tier), outcome) for outcome in outcomes), key=lambda pair: pair[0])

    def by_position(name: str) -> str | None:
        values = [getattr(outcome, name) for outcome in outcomes]
        known = any(value is not None for value in values)
        return ", ".join("-" if value is None else str(value) for value in values) if known else None

    details = {
        "form": graded.form,
        "order": order,
        "sample": index + 1,
        "cluster": exam.cluster,
        "problems": by_position("problem_id"),
        "tiers": by_position("tier"),
        "outcomes": by_position("outcome"),
        "levels": by_position("level"),
        "actual_levels": by_position("actual_level"),
        "tokens_by_position": by_position("tokens"),
        "tokens": scored.tokens,
        "planning_tokens": scored.planning,
        "budget": scored.budget,
        "finish_reason": scored.usage and scored.usage.finish_reason,
        "tokens_counted": scored.usage and scored.usage.source,
    }
    return {
        "output": {"raw": raw},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": f"output.raw[{text}]",
                "extracted_value": outcome.answer,
                "extraction_method": METHODS[outcome.answered_by],
                "is_terminal": True,
            }
            for text, outcome in answered
            if outcome.answer is not None and outcome.answered_by is not None
        ],
        "evaluation": {"score": float(scored.score), "is_correct": scored.score == len(outcomes)},
        "metadata": texts(details),
    }
