"""The exam task: an exam asked in the task's order and in easy order, scored by the pure core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.harness.budget_task import BudgetTask, Scored
from roi_bench.harness.shared_grader import shared_grader
from roi_bench.metrics import Metric, exam_term, metrics_of
from roi_bench.outcomes import Response, Sheet, read_sheet
from roi_bench.problems import Problem
from roi_bench.scoring import Sitting, score_sittings


class ExamTask(BudgetTask):
    """One task name of the benchmark, e.g. ``roi_exam_hard_512``.

    Each document is one exam and makes two requests: index 0 in the task's order, index 1 in easy order.
    """

    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        """Return the metrics of exams."""
        return metrics_of(pools)

    def documents(self) -> list[dict[str, Any]]:
        """Return one document of each exam."""
        settings = self.settings
        return [
            {
                "exam_id": exam.id,
                "order": settings.order,
                "budget": settings.budget,
                "problem_ids": [problem.id for problem in exam.ordered(str(settings.order))],
            }
            for exam in self.exams.values()
        ]

    def variants(self, doc: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the exam in the task's order and in easy order."""
        return [{**doc, "order": order} for order in (doc["order"], "easy")]

    def asked(self, doc: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Return the problems of the exam in the order that ``doc`` names."""
        return self.exams[doc["exam_id"]].ordered(doc["order"])

    def sheet(self, doc: Mapping[str, Any], response: Response) -> Sheet:
        """Return a response as read."""
        return read_sheet(self.exams[doc["exam_id"]], doc["order"], self.settings.budget, response, texts=self.texts)

    def score(self, doc: Mapping[str, Any], responses: list[tuple[Response, ...]]) -> Scored:
        """Return what the exam contributes to each metric."""
        exam = self.exams[doc["exam_id"]]
        main, easy = responses
        sitting = Sitting(exam, doc["order"], self.settings.budget, main, easy, self.texts)
        (samples,) = score_sittings([sitting], shared_grader(), self.counter())
        return [(metric, exam_term(metric, samples, exam.cluster)) for metric in self.metrics]
