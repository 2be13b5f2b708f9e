"""The greedy-knapsack baseline as an lm_eval task: problems asked alone, then selected and paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roi_bench.harness.budget_task import Scored
from roi_bench.harness.shared_grader import shared_grader
from roi_bench.harness.task import ExamTask
from roi_bench.knapsack import SittingAlone, score_alone
from roi_bench.metrics import exam_term
from roi_bench.outcomes import Response, Sheet, read_problems
from roi_bench.problems import TIERS, Problem


class GreedyKnapsackTask(ExamTask):
    """An exam put together from problems asked alone, e.g. ``roi_exam_hard_512_greedy_knapsack``.

    Each document is one exam and makes three requests, one a problem in tier order: the same for every order, so that
    ``roi-bench run`` asks each once for all of them.
    """

    if_uncounted = (
        "its exams count as error, since nobody can pay for answers whose cost is unknown; name a tokenizer "
        "(tokenizer=… in --model_args), or score the samples with roi-bench regrade --tokenizer …"
    )

    def variants(self, doc: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one request a problem, in tier order."""
        problems = self.exams[doc["exam_id"]].problems
        return [{**doc, "problem": problem.id, "tier": tier} for problem, tier in zip(problems, TIERS, strict=True)]

    def asked(self, doc: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Return the problem of a request; of the document itself, all of them."""
        if "tier" not in doc:
            return super().asked(doc)
        return (self.exams[doc["exam_id"]].problems[TIERS.index(doc["tier"])],)

    def sheet(self, doc: Mapping[str, Any], response: Response) -> Sheet:
        """Return a response as read."""
        return read_problems(self.asked(doc), (doc["tier"],), self.settings.budget, response, texts=self.texts)

    def score(self, doc: Mapping[str, Any], responses: list[tuple[Response, ...]]) -> Scored:
        """Return what the exam contributes to each metric."""
        exam = self.exams[doc["exam_id"]]
        sitting = SittingAlone(exam, doc["order"], self.settings.budget, tuple(responses), self.texts)
        (samples,) = score_alone([sitting], shared_grader(), self.counter())
        return [(metric, exam_term(metric, samples, exam.cluster)) for metric in self.metrics]
