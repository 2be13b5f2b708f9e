"""Comparing two runs on the same exams, exam by exam: difference, interval, permutation test, detectable effect.

A metric is a ratio of sums R = Σ numerator / Σ denominator (:mod:`scoring.statistics`), so the difference R_A − R_B
has on exam i the influence ψ_A,i − ψ_B,i, and difficulty common to both runs cancels. There are two targets: ``fixed``
(these very exams; exams independent) and ``general`` (new problems; clusters independent, SPEC section 9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import Estimate, ExamTerm, confidence_interval, estimate_ratio

TARGETS = ("general", "fixed")
"""What a statement is about: new problems, or these exams."""

PERMUTATIONS = 10_000
"""Random swaps of a permutation test by default; where all swaps are no more than this, all are gone through."""

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]

_NOISE = 1e-12  # relative size below which a difference is rounding
_TIE = 1e-9  # statistics in [0, 1] closer than this are the same
_CHUNK = 2_000_000  # entries of a block of swaps, 16 MB


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Run A minus run B on the exams that both have, in the unit of the metric.

    Attributes:
        target: ``general`` or ``fixed``: whose p-value and minimum detectable effect these are.
        exams: Number of exams in common; only these are used.
        unpaired: Number of exams that only one of the two runs has.
        clusters: Number of clusters of the common exams.
        discordant: Number of common exams whose terms differ.
        value_a: R_A on the common exams; None where its denominator is zero.
        value_b: R_B likewise.
        difference: R_A − R_B; None where either is undefined, and then so is everything below.
        stderr_fixed: Standard error with exams independent; None below two exams.
        stderr_general: Standard error clustered by the re-used problem; None below two clusters.
        interval_fixed: 95 % t interval of the difference, exams − 1 degrees of freedom.
        interval_general: 95 % t interval of the difference, clusters − 1 degrees of freedom.
        p_value: Two-sided permutation p-value; None below two units to swap (exams or clusters).
        minimum_detectable_effect: True difference that a two-sided 5 % test would find with 80 % power; None also where
            nothing varied (standard error 0), because that says nothing about what could be found.
    """

    target: str
    exams: int
    unpaired: int
    clusters: int
    discordant: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    stderr_fixed: float | None
    stderr_general: float | None
    interval_fixed: Interval | None
    interval_general: Interval | None
    p_value: float | None
    minimum_detectable_effect: float | None

    @property
    def stderr(self) -> float | None:
        """Standard error for :attr:`target`."""
        return self.stderr_general if self.target == "general" else self.stderr_fixed

    @property
    def interval(self) -> Interval | None:
        """95 % interval for :attr:`target`."""
        return self.interval_general if self.target == "general" else self.interval_fixed


def compare_paired(
    terms_a: Mapping[str, ExamTerm],
    terms_b: Mapping[str, ExamTerm],
    *,
    target: str = "general",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedDifference:
    """Compare two runs on the exams (ids are the keys) that both have, for one metric.

    Standard errors are those of :func:`scoring.statistics.estimate_ratio` with ψ_A,i − ψ_B,i for ψ_i; for plain means
    and exams independent that is the paired t-test (Miller 2024, arXiv 2411.00640). The result depends on
    the seed only where the swaps are too many to go through all of them, and never on the order of the mappings.

    Raises:
        UsageError: No exam in common, an exam in two different clusters, an unknown target or no permutations.
    """
    check_target(target)
    if permutations < 1:
        raise UsageError(f"permutations must be at least 1, not {permutations}")
    ids = sorted(terms_a.keys() & terms_b.keys())
    if not ids:
        raise UsageError("the two runs have no exam in common, so they cannot be compared")
    pairs = [(terms_a[exam], terms_b[exam]) for exam in ids]
    for exam, (a, b) in zip(ids, pairs, strict=True):
        if a.cluster != b.cluster:
            clusters = f"{a.cluster!r} in one run and to {b.cluster!r} in the other"
            raise UsageError(f"exam {exam!r} belongs to {clusters}: the runs are not on the same exams")
    run_a, run_b = estimate_ratio([a for a, _ in pairs]), estimate_ratio([b for _, b in pairs])
    difference, p_value = _difference(pairs, run_a, run_b), None
    units = run_a.clusters if target == "general" else run_a.exams
    if difference.value is not None and units > 1:
        p_value = _permutation_p_value(_unit_sums(pairs, target), permutations, seed)
    stderr = difference.stderr_general if target == "general" else difference.stderr_fixed
    return PairedDifference(
        target=target,
        exams=len(ids),
        unpaired=len(terms_a) + len(terms_b) - 2 * len(ids),
        clusters=run_a.clusters,
        discordant=sum(a != b for a, b in pairs),
        value_a=run_a.value,
        value_b=run_b.value,
        difference=difference.value,
        stderr_fixed=difference.stderr_fixed,
        stderr_general=difference.stderr_general,
        interval_fixed=confidence_interval(difference, target="fixed"),
        interval_general=confidence_interval(difference, target="general"),
        p_value=p_value,
        minimum_detectable_effect=minimum_detectable_effect(stderr, units - 1),
    )


def check_target(target: str) -> None:
    """Raise UsageError unless ``target`` is one of :data:`TARGETS`."""
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")


def minimum_detectable_effect(stderr: float | None, degrees_of_freedom: int) -> float | None:
    """Return (t_{0.975} + t_{0.8}) · standard error: found with 80 % power at the two-sided 5 % level.

    Source: Bloom 1995, "Minimum detectable effects", Evaluation Review 19(5); for evals Miller 2024, arXiv 2411.00640.
    None where the standard error is None or 0.
    """
    from scipy.stats import t

    if not stderr:
        return None
    return float(t.ppf(0.975, degrees_of_freedom) + t.ppf(0.8, degrees_of_freedom)) * stderr


def _difference(pairs: Sequence[tuple[ExamTerm, ExamTerm]], run_a: Estimate, run_b: Estimate) -> Estimate:
    """Return R_A − R_B as an estimate: its influences ψ_A − ψ_B are a plain mean's, so ``estimate_ratio`` serves."""
    value_a, value_b = run_a.value, run_b.value
    if value_a is None or value_b is None:
        return Estimate(None, None, None, run_a.exams, run_a.clusters)
    mean_a, mean_b = (fsum(pair[run].denominator for pair in pairs) / len(pairs) for run in (0, 1))
    noise = _NOISE * (abs(value_a) + abs(value_b))
    influences = []
    for a, b in pairs:
        influence_a = (a.numerator - value_a * a.denominator) / mean_a
        influence = influence_a - (b.numerator - value_b * b.denominator) / mean_b
        influences.append(ExamTerm(influence if abs(influence) > noise else 0.0, 1.0, a.cluster))
    spread = estimate_ratio(influences)
    return Estimate(value_a - value_b, spread.stderr_fixed, spread.stderr_general, spread.exams, spread.clusters)


def _unit_sums(pairs: Sequence[tuple[ExamTerm, ExamTerm]], target: str) -> FloatArray:
    """Return what each unit to be swapped adds: shape (units, 4), numerator and denominator of A, then of B."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for index, (a, b) in enumerate(pairs):
        unit = a.cluster if target == "general" else str(index)
        rows.setdefault(unit, []).append((a.numerator, a.denominator, b.numerator, b.denominator))
    return np.array([[fsum(column) for column in zip(*members, strict=True)] for members in rows.values()])


class _SwapStatistic:
    """(R_A − R_B)² / ((R_A − R_B)² + variance), in [0, 1], for given swaps of the labels A and B.

    It grows with the t statistic |R_A − R_B| / SE and stays finite where SE is 0. Without the SE the test would not
    keep its level for a ratio: runs with the same regret but different Σ score_easy are not exchangeable. Studentised
    it is exact if they are and asymptotically right if only R_A = R_B (Janssen 1997, Statistics & Probability Letters
    36; Chung & Romano 2013, Annals of Statistics 41(2); for pairs Konietschke & Pauly 2014, Statistics and Computing
    24). For plain means of units of one size both give the same p-value.
    """

    def __init__(self, units: FloatArray) -> None:
        numerators, denominators = units[:, 0::2], units[:, 1::2]
        self.total = float(denominators.sum())
        self.noise = (_NOISE * float(np.abs(numerators).sum()) / self.total) ** 2 + float(np.finfo(np.float64).tiny)
        # Centring on the pooled ratio moves R_A and R_B alike and keeps the moments from cancelling.
        centred = units.copy()
        centred[:, 0::2] -= numerators.sum() / self.total * denominators
        swapped = centred[:, [2, 3, 0, 1]]
        # Swapping equal parts changes nothing: such units count, but need no swap.
        differing = (units[:, :2] != units[:, 2:]).any(axis=1)
        self.units = int(differing.sum())
        moments, swapped_moments = (np.einsum("ui,uj->uij", x, x).reshape(-1, 16) for x in (centred, swapped))
        self.sums, self.sum_steps = centred.sum(axis=0), (swapped - centred)[differing]
        self.moments, self.moment_steps = moments.sum(axis=0), (swapped_moments - moments)[differing]

    def __call__(self, swaps: FloatArray) -> FloatArray:
        """Return the statistic, shape (rows,), for swaps of shape (rows, differing units), 1 where labels change.

        Where a swap leaves a run without denominator the ratio is undefined; that counts as extreme, the safe side.
        """
        sums = self.sums + swaps @ self.sum_steps
        undefined = (sums[:, 1::2] <= _NOISE * self.total).any(axis=1)
        denominators = np.where(undefined[:, None], 1.0, sums[:, 1::2])
        ratios = sums[:, 0::2] / denominators
        # ψ of a unit is its row (numerator and denominator of A, of B) times these weights, so Σψ² needs moments only.
        weights = np.stack([np.ones_like(ratios), -ratios], axis=2) / denominators[:, :, None]
        weights[:, 1] *= -1
        weights = weights.reshape(-1, 4)
        moments = (self.moments + swaps @ self.moment_steps).reshape(-1, 4, 4)
        variance = np.maximum(np.einsum("ri,rij,rj->r", weights, moments, weights), 0.0)
        squared = (ratios[:, 0] - ratios[:, 1]) ** 2
        return np.where(undefined, 1.0, squared / (squared + variance + self.noise))


def _permutation_p_value(units: FloatArray, permutations: int, seed: int) -> float:
    """Return the share of swaps at least as extreme as what was seen; ``units`` as of :func:`_unit_sums`.

    All swaps if they are at most ``permutations`` (units with equal parts left out: each swap of the others stands for
    as many swaps of all), else random ones with the rule (1 + count) / (1 + permutations) (Phipson & Smyth 2010,
    "Permutation p-values should never be zero", arXiv 1603.05766).
    """
    statistic = _SwapStatistic(units)
    seen = float(statistic(np.zeros((1, statistic.units)))[0])
    exact = statistic.units < permutations.bit_length()
    blocks = _all_swaps(statistic.units) if exact else _random_swaps(statistic.units, permutations, seed)
    extreme = sum(int((statistic(block) >= seen - _TIE).sum()) for block in blocks)
    return extreme / 2**statistic.units if exact else (1 + extreme) / (1 + permutations)


def _blocks(rows: int, units: int) -> Iterator[tuple[int, int]]:
    step = max(1, _CHUNK // max(1, units))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def _all_swaps(units: int) -> Iterator[FloatArray]:
    """Yield all swaps of ``units`` in blocks of shape (rows, units), 1 where labels change."""
    for start, stop in _blocks(2**units, units):
        yield (np.arange(start, stop)[:, None] >> np.arange(units) & 1).astype(np.float64)


def _random_swaps(units: int, permutations: int, seed: int) -> Iterator[FloatArray]:
    """Yield ``permutations`` seeded random swaps in blocks of shape (rows, units), 1 where labels change."""
    generator = np.random.default_rng(seed)
    for start, stop in _blocks(permutations, units):
        yield generator.integers(0, 2, (stop - start, units), dtype=np.int8).astype(np.float64)


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted so that the chance of any false rejection stays below the level.

    The k-th smallest of m is multiplied by m − k + 1, capped at 1, and never below the one before it (Holm 1979, "A
    simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2)). NaN stays NaN and
    does not count: an undefined comparison tests nothing.

    Args:
        p_values: Of shape (tests,).
    """
    defined = np.flatnonzero(~np.isnan(p_values))
    ascending = defined[np.argsort(p_values[defined], kind="stable")]
    factors = np.arange(len(ascending), 0, -1)
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[ascending] = np.maximum.accumulate(np.minimum(1.0, factors * p_values[ascending]))
    return adjusted
