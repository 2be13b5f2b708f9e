"""What the views of one run have in common: its samples in two orders, ratios with intervals, what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.tables import Interval, interval_around
from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS
from roi_bench.scoring.metrics import Metric, Part, Sample, ScoredResponse, exam_term
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import confidence_interval, estimate_ratio

Scored = Mapping[str, Sequence[Sample]]
"""The scored samples of a run by exam id."""

Clusters = Mapping[str, str]
"""Cluster of each exam by exam id: intervals are for the general target; without one they are for the fixed pool."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the orders in which a run sat its exams, and the response of a sample in it."""

    order: str
    response: Callable[[Sample], ScoredResponse]


def sides(order: str) -> tuple[Side, ...]:
    """Return the task's own ``order`` and the easy one beside it.

    Raises:
        UsageError: An unknown order.
    """
    if order not in ORDERS:
        raise UsageError(f"unknown order {order!r}; {nearest(order, ORDERS)}")
    easy = Side("easy", lambda sample: sample.easy)
    return (easy,) if order == "easy" else (Side(order, lambda sample: sample.main), easy)


def usable(scored: Scored) -> Iterator[tuple[str, Sample]]:
    """Yield exam id and sample of all samples with both responses, by exam id; failed ones say nothing."""
    for exam in sorted(scored):
        for sample in scored[exam]:
            if not sample.failed:
                yield exam, sample


def positions(scored: Scored) -> range:
    """Return the 1-based positions of the exams."""
    return range(1, 1 + max((len(sample.main.problems) for _, sample in usable(scored)), default=0))


def is_attempt(problem: ProblemOutcome) -> bool:
    """Return whether a problem was worked on and its tokens are known; one that was never reached was not."""
    return problem.outcome != "skipped" and problem.actual_level is not None and problem.tokens is not None


def cluster_of(exam: str, clusters: Clusters | None) -> str:
    """Return the cluster of ``exam``: its own id where there are no ``clusters``.

    Raises:
        UsageError: ``clusters`` lacks it.
    """
    if clusters is None:
        return exam
    if exam not in clusters:
        raise UsageError(f"no cluster is given for exam {exam!r}")
    return clusters[exam]


def ratio(
    scored: Scored,
    part: Callable[[Sample], Part | None],
    clusters: Clusters | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return Σ numerator / Σ denominator over exams (means over the samples of each) with its 95 % t interval.

    The interval (:func:`scoring.statistics.confidence_interval`) is cut to ``bounds``, the possible values. There is
    none below two clusters, and none where nothing varied (:func:`roi_bench.analysis.tables.interval_around`).
    """
    metric = Metric("", part, None, "")
    terms = [exam_term(metric, scored[exam], cluster_of(exam, clusters)) for exam in sorted(scored)]
    estimate = estimate_ratio([term for term in terms if term is not None])
    found = interval_around(estimate.value, confidence_interval(estimate))
    if found.low is None or found.high is None:
        return found
    return Interval(found.value, max(found.low, bounds[0]), min(found.high, bounds[1]))


def interval_note(clusters: Clusters | None) -> str:
    """Return the sentence that says what the intervals are about."""
    if clusters is None:
        return "Intervals: 95 %, on these very exams (exams independent)."
    return "Intervals: 95 %, for such problems in general (clustered by re-used problem)."


def left_out_note(scored: Scored) -> str:
    """Return a sentence on failed samples with a space before it, or nothing where there are none."""
    failed = any(sample.failed for samples in scored.values() for sample in samples)
    return " Samples without a response are left out." if failed else ""
