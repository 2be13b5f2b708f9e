"""Per-exam metric values as lm_eval carries them: a float that also knows its numerator, denominator and cluster."""

from __future__ import annotations

from typing import Any

from roi_bench.scoring.metrics import Metric
from roi_bench.scoring.statistics import ExamTerm


class ExamValue(float):
    """The value of a metric on one exam, logged as a plain number in the samples file.

    The number shown is numerator / denominator; for regret, which is no mean of per-exam values, it is the numerator
    (correct answers lost against the easy order). Aggregation uses :attr:`term`.
    """

    term: ExamTerm

    def __new__(cls, shown: float, term: ExamTerm) -> ExamValue:
        """Return a number that shows as ``shown`` and aggregates as ``term``."""
        value = super().__new__(cls, shown)
        value.term = term
        return value

    def __reduce__(self) -> tuple[type[ExamValue], tuple[float, ExamTerm]]:
        """Keep the term when accelerate's processes exchange values."""
        return ExamValue, (float(self), self.term)


def exam_value(metric: Metric[Any], term: ExamTerm | None) -> ExamValue | None:
    """Return the value of ``metric`` on one exam, or None where the exam says nothing."""
    if term is None:
        return None
    if metric.name == "regret":
        return ExamValue(term.numerator, term)
    return ExamValue(term.numerator / term.denominator, term)
