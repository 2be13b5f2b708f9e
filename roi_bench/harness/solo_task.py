"""The solo task: each distinct problem of an exam set alone, K samples each, for a solo profile (SPEC section 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.harness.budget_task import BudgetTask, Scored
from roi_bench.harness.shared_grader import shared_grader
from roi_bench.metrics import Metric, exam_term
from roi_bench.outcomes import Response, Sheet, read_problems
from roi_bench.problems import Problem
from roi_bench.solo import SittingSolo, score_solo, solo_metrics_of, solo_problems


class SoloTask(BudgetTask):
    """Problems alone, e.g. ``roi_solo_512``: each document is one distinct problem and makes one request.

    Documents stand in the order in which exams need them, so that ``--limit`` profiles the first exams.
    """

    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        """Return the metrics of problems alone."""
        return solo_metrics_of(pools)

    def documents(self) -> list[dict[str, Any]]:
        """Return one document of each distinct problem."""
        self.problems = solo_problems(tuple(self.exams.values()))
        return [
            {"problem": name, "tier": tier, "budget": self.settings.budget} for name, (tier, _) in self.problems.items()
        ]

    def variants(self, doc: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the one request."""
        return [dict(doc)]

    def asked(self, doc: Mapping[str, Any]) -> tuple[Problem, ...]:
        """Return the problem."""
        return (self.problems[doc["problem"]][1],)

    def sheet(self, doc: Mapping[str, Any], response: Response) -> Sheet:
        """Return a response as read."""
        tier, problem = self.problems[doc["problem"]]
        return read_problems((problem,), (tier,), self.settings.budget, response, texts=self.texts)

    def score(self, doc: Mapping[str, Any], responses: list[tuple[Response, ...]]) -> Scored:
        """Return what the problem contributes to each metric; every problem is its own cluster."""
        tier, problem = self.problems[doc["problem"]]
        sitting = SittingSolo(problem, tier, self.settings.budget, responses[0], self.texts)
        (samples,) = score_solo([sitting], shared_grader(), self.counter())
        return [(metric, exam_term(metric, samples, problem.id)) for metric in self.metrics]
