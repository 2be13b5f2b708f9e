"""Ratio estimates with standard errors, for a fixed pool and for the general population of problems (SPEC section 9).

Every metric of the benchmark is a ratio of two sums over exams (a plain mean has denominator 1), so one estimator and
one standard error serve them all, regret included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt


@dataclass(frozen=True, slots=True)
class ExamTerm:
    """What one exam contributes to a ratio.

    Attributes:
        numerator: Its part of the numerator (mean over the exam's samples).
        denominator: Its part of the denominator; 1 for a plain mean, 0 where the exam has none.
        cluster: Name of the reused unit it belongs to (the AIME problem).
    """

    numerator: float
    denominator: float
    cluster: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio with its two standard errors.

    Attributes:
        value: Σ numerator / Σ denominator; None where the denominator is zero (undefined, not 0).
        stderr_fixed: Standard error for these very exams (exams independent); None below two exams.
        stderr_general: Standard error for new problems (clustered by the reused problem); None below two clusters.
        exams: Number of exams.
        clusters: Number of clusters.
    """

    value: float | None
    stderr_fixed: float | None
    stderr_general: float | None
    exams: int
    clusters: int

    @property
    def degrees_of_freedom(self) -> int:
        """Degrees of freedom of the general standard error: clusters − 1."""
        return self.clusters - 1


FEWEST_EXAMS, FEWEST_CLUSTERS = 30, 5
"""A run with fewer of either is for trying only: no rank is given (SPEC section 9)."""


def is_small(exams: int, clusters: int) -> bool:
    """Return whether a run of so many exams and clusters is for trying only."""
    return exams < FEWEST_EXAMS or clusters < FEWEST_CLUSTERS


def estimate_ratio(terms: Sequence[ExamTerm]) -> Estimate:
    """Return Σ numerator / Σ denominator with linearised standard errors.

    With ratio R and mean denominator D̄, exam i has the influence ψᵢ = (numeratorᵢ − R·denominatorᵢ) / D̄; for regret,
    numerator E−H and denominator E, that is −(Hᵢ − (1−R)·Eᵢ)/Ē. Fixed pool: √(Σψᵢ² / (n(n−1))), which for a plain mean
    is the usual s/√n. General: the same with ψ summed over clusters, √(G/(G−1) · Σ_g(Σ_{i∈g}ψᵢ)²) / n (Cameron & Miller
    2015, "A Practitioner's Guide to Cluster-Robust Inference", section II; Miller 2024, arXiv 2411.00640, for evals).

    Sums are exactly rounded (``math.fsum``), so the result does not depend on the order of ``terms``.
    """
    count = len(terms)
    total = fsum(term.denominator for term in terms)
    clusters: dict[str, list[float]] = {}
    if total == 0:
        return Estimate(None, None, None, count, len({term.cluster for term in terms}))
    value = fsum(term.numerator for term in terms) / total
    mean_denominator = total / count
    influences = []
    for term in terms:
        influence = (term.numerator - value * term.denominator) / mean_denominator
        influences.append(influence)
        clusters.setdefault(term.cluster, []).append(influence)
    fixed = _root(fsum(x * x for x in influences), count, count) if count > 1 else None
    sums = [fsum(members) for members in clusters.values()]
    groups = len(sums)
    general = _root(fsum(x * x for x in sums), groups, count) if groups > 1 else None
    return Estimate(value, fixed, general, count, groups)


def confidence_interval(
    estimate: Estimate, *, confidence: float = 0.95, target: str = "general"
) -> tuple[float, float] | None:
    """Return the two-sided t interval of ``estimate`` for the ``general`` or ``fixed`` target, or None if undefined.

    Degrees of freedom: clusters − 1 (general), exams − 1 (fixed).
    """
    from scipy.stats import t

    general = target == "general"
    stderr = estimate.stderr_general if general else estimate.stderr_fixed
    if estimate.value is None or stderr is None:
        return None
    half = float(t.ppf(0.5 + confidence / 2, (estimate.clusters if general else estimate.exams) - 1)) * stderr
    return estimate.value - half, estimate.value + half


def mean_or_none(values: Iterable[float]) -> float | None:
    """Return the exactly rounded mean, or None for no values."""
    items = list(values)
    return fsum(items) / len(items) if items else None


def _root(sum_of_squares: float, groups: int, count: int) -> float:
    return sqrt(groups / (groups - 1) * sum_of_squares) / count
