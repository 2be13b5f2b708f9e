"""Many runs at once: rank intervals and tiers from all paired comparisons, corrected for multiplicity."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import ceil, fsum, isnan, nan
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.paired import (
    PERMUTATIONS,
    PairedDifference,
    check_target,
    compare_paired,
    holm,
    minimum_detectable_effect,
)
from roi_bench.analysis.reports.tables import Interval, interval_around
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import Estimate, ExamTerm, confidence_interval, estimate_ratio

# Testing many pairs of runs at once: the paired clustered t test on arrays.

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_NOISE = 1e-12  # relative size below which a difference is rounding
_CHUNK = 1_000_000  # entries of a block of pairs, 8 MB


@dataclass(frozen=True, slots=True, eq=False)
class RunTerms:
    """The terms of one run as columns: what :class:`roi_bench.scoring.statistics.ExamTerm` says of one exam, for all.

    Attributes:
        exams: Ids of the exams, each once; runs that name the same exams in the same order are handled fastest.
        clusters: Cluster of each.
        numerators: Numerator of each, shape (exams,).
        denominators: Denominator of each.
    """

    exams: tuple[str, ...]
    clusters: tuple[str, ...]
    numerators: FloatArray
    denominators: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PairTests:
    """Tests of pairs, arrays of shape (pairs,); NaN where undefined."""

    differences: FloatArray
    stderrs: FloatArray
    p_values: FloatArray
    exams: IntArray
    clusters: IntArray
    discordant: IntArray


def run_terms(terms: Mapping[str, ExamTerm]) -> RunTerms:
    """Return terms by exam id as columns, in the order of the ids."""
    exams = tuple(sorted(terms))
    ordered = [terms[exam] for exam in exams]
    return RunTerms(
        exams=exams,
        clusters=tuple(term.cluster for term in ordered),
        numerators=np.array([term.numerator for term in ordered], dtype=np.float64),
        denominators=np.array([term.denominator for term in ordered], dtype=np.float64),
    )


def mean_terms(exams: Sequence[str], clusters: Sequence[str], values: Sequence[float]) -> RunTerms:
    """Return the terms of a plain mean over exams, such as the score."""
    return RunTerms(tuple(exams), tuple(clusters), np.array(values, dtype=np.float64), np.ones(len(values)))


def columns_of(runs: Sequence[RunTerms | Mapping[str, ExamTerm]]) -> list[RunTerms]:
    """Return all ``runs`` as columns.

    Raises:
        UsageError: An exam in two different clusters.
    """
    columns = [run if isinstance(run, RunTerms) else run_terms(run) for run in runs]
    cluster_of: dict[str, str] = {}
    for exams, clusters in dict.fromkeys((column.exams, column.clusters) for column in columns):
        for exam, cluster in zip(exams, clusters, strict=True):
            if cluster_of.setdefault(exam, cluster) != cluster:
                raise UsageError(
                    f"exam {exam!r} belongs to {cluster_of[exam]!r} in one run and to {cluster!r} in another: the runs "
                    "are not on the same exams"
                )
    return columns


def ratios_of(numerators: FloatArray, denominators: FloatArray) -> FloatArray:
    """Return Σ numerator / Σ denominator of each row, exactly rounded sums; NaN where that is undefined."""
    sums = [(fsum(n), fsum(d)) for n, d in zip(numerators.tolist(), denominators.tolist(), strict=True)]
    return np.array([n / d if d else np.nan for n, d in sums])


def paired_tests(
    columns: Sequence[RunTerms], first: IntArray, second: IntArray, *, discordant: bool = False
) -> PairTests:
    """Return the tests of runs ``first`` against runs ``second``; discordant exams are counted only if asked for."""
    groups: dict[tuple[str, ...], int] = {}
    group_of = np.array([groups.setdefault(column.exams, len(groups)) for column in columns], dtype=np.intp)
    found = PairTests(
        *(np.full(len(first), np.nan) for _ in range(3)), *(np.zeros(len(first), dtype=np.intp) for _ in range(3))
    )
    # Pairs with the same two sets of exams have the same exams in common: they are tested together.
    kinds = np.sort(np.stack([group_of[first], group_of[second]], axis=1), axis=1) @ np.array([len(groups), 1])
    by_kind = np.argsort(kinds, kind="stable")
    for rows in np.split(by_kind, np.flatnonzero(np.diff(kinds[by_kind])) + 1) if len(first) else []:
        _test_alike(columns, first, second, rows, found, discordant)
    return found


def _test_alike(
    columns: Sequence[RunTerms], first: IntArray, second: IntArray, rows: IntArray, found: PairTests, discordant: bool
) -> None:
    """Write the tests of pairs ``rows``, which have the same exams in common, into ``found``."""
    a, b = columns[first[rows[0]]], columns[second[rows[0]]]
    common = sorted(set(a.exams).intersection(b.exams))
    if not common:
        return
    members, places = np.unique(np.concatenate([first[rows], second[rows]]), return_inverse=True)
    pairs = places.reshape(2, -1)
    numerators, denominators = _matrices([columns[member] for member in members], common)
    cluster_of = dict(zip(a.exams, a.clusters, strict=True))
    labels = np.unique([cluster_of[exam] for exam in common], return_inverse=True)[1].reshape(-1)
    count, groups = len(labels), int(labels.max()) + 1
    values = ratios_of(numerators, denominators)
    sums = _cluster_sums(numerators, denominators, values, labels)
    distances = np.empty(len(rows))
    for block in _blocks(len(rows), count):
        x, y = pairs[:, block]
        apart = sums[x] - sums[y]
        distances[block] = np.sqrt(np.einsum("pg,pg->p", apart, apart))
        if discordant:
            differs = (numerators[x] != numerators[y]) | (denominators[x] != denominators[y])
            found.discordant[rows[block]] = differs.sum(axis=1)
    noise = _NOISE * np.abs(values)[pairs].sum(axis=0)
    distances[distances <= noise * count / np.sqrt(groups)] = 0.0
    differences = values[pairs[0]] - values[pairs[1]]
    found.differences[rows], found.exams[rows], found.clusters[rows] = differences, count, groups
    if groups > 1:
        stderrs = np.sqrt(groups / (groups - 1)) * distances / count
        found.stderrs[rows] = stderrs
        found.p_values[rows] = _p_values(np.where(np.abs(differences) <= noise, 0.0, differences), stderrs, groups)


def _matrices(columns: Sequence[RunTerms], exams: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return numerators and denominators of runs on ``exams``, each of shape (runs, exams)."""
    places: dict[tuple[str, ...], IntArray] = {}
    for column in columns:
        if column.exams not in places:
            index_of = {exam: index for index, exam in enumerate(column.exams)}
            places[column.exams] = np.array([index_of[exam] for exam in exams], dtype=np.intp)
    return (
        np.stack([column.numerators[places[column.exams]] for column in columns]),
        np.stack([column.denominators[places[column.exams]] for column in columns]),
    )


def _cluster_sums(numerators: FloatArray, denominators: FloatArray, values: FloatArray, labels: IntArray) -> FloatArray:
    """Return the influences of each run summed over each cluster, shape (runs, clusters).

    The same terms give the same bits in every row, so that equal runs differ by exactly 0.
    """
    totals = np.array([fsum(row) for row in denominators.tolist()])
    means = np.where(totals == 0, np.nan, totals)[:, None] / len(labels)
    influences = (numerators - values[:, None] * denominators) / means
    by_cluster = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_cluster], np.arange(labels.max() + 1))
    return np.asarray(np.add.reduceat(influences[:, by_cluster], starts, axis=1), dtype=np.float64)


def _p_values(differences: FloatArray, stderrs: FloatArray, clusters: int) -> FloatArray:
    from scipy.stats import t

    sure = np.where(differences == 0, 1.0, 2.0 ** (1 - clusters))
    usual = 2 * t.sf(np.abs(differences) / np.where(stderrs == 0, 1.0, stderrs), clusters - 1)
    return np.where(np.isnan(stderrs), np.nan, np.where(stderrs == 0, sure, usual))


def _blocks(rows: int, entries: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, entries))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rank:
    """The rank of one run among all.

    Attributes:
        name: Name of the run.
        estimate: The metric on all its own exams, with both standard errors.
        interval: t interval of the value at 1 − alpha for the target; None if undefined.
        ranks: Best and worst rank that the comparisons leave open, from 1; None where the value is undefined.
        tier: Tier from 1, the best; None where the value is undefined.
    """

    name: str
    estimate: Estimate
    interval: tuple[float, float] | None
    ranks: tuple[int, int] | None
    tier: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared, as one of many.

    Attributes:
        first: Name of run A, the one higher up in the list of ranks.
        second: Name of run B.
        paired: A − B on the exams in common.
        adjusted_p: Its p-value adjusted for all comparisons; None if that is undefined.
        better: Name of the significantly better run; None if neither is.
    """

    first: str
    second: str
    paired: PairedDifference
    adjusted_p: float | None
    better: str | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """All runs, best value first and undefined values last, and all comparisons of runs with a defined value."""

    ranks: tuple[Rank, ...]
    comparisons: tuple[Comparison, ...]


def rank_runs(
    runs: Mapping[str, Mapping[str, ExamTerm]],
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    target: str = "general",
    permutations: int | None = None,
    seed: int = 0,
) -> Ranking:
    """Rank runs (terms by exam id, by name of run) by one metric.

    Of n runs with a defined value, each has the rank interval [1 + number of runs significantly better, n − number of
    runs significantly worse]; as the p-values are adjusted for all pairs, all intervals are right together with
    probability about 1 − alpha (Mogstad et al. 2024, "Inference for ranks", Review of Economic Studies 91(1)). A tier
    starts at the first run in order of value that is significantly worse than the top run of the tier above; equal
    values are ordered by name. Values are those of all exams of a run, differences those of the exams in common.

    ``permutations`` are :func:`permutations_for` the number of comparisons unless given.

    Raises:
        UsageError: Two runs that :func:`roi_bench.analysis.paired.compare_paired` refuses, or ``alpha`` outside (0, 1).
    """
    check_target(target)
    check_alpha(alpha)
    estimates = {name: estimate_ratio(list(terms.values())) for name, terms in runs.items()}
    values = {name: estimate.value for name, estimate in estimates.items() if estimate.value is not None}
    order = sorted(values, key=lambda name: (-values[name] if higher_is_better else values[name], name))
    pairs = list(combinations(order, 2))
    swaps = permutations_for(len(pairs), alpha) if permutations is None else permutations
    paired = [_compare(a, b, runs, target, swaps, seed) for a, b in pairs]
    p_values = [nan if difference.p_value is None else difference.p_value for difference in paired]
    adjusted = [None if isnan(p) else p for p in holm(np.array(p_values, dtype=np.float64)).tolist()]
    comparisons = tuple(
        Comparison(a, b, difference, p, _better(a, b, difference, p is not None and p <= alpha, higher_is_better))
        for (a, b), difference, p in zip(pairs, paired, adjusted, strict=True)
    )
    intervals, tiers = _rank_intervals(order, comparisons), _tiers(order, comparisons)
    undefined = sorted(estimates.keys() - values.keys())
    ranks = tuple(
        Rank(
            name=name,
            estimate=estimates[name],
            interval=confidence_interval(estimates[name], confidence=1 - alpha, target=target),
            ranks=intervals.get(name),
            tier=tiers.get(name),
        )
        for name in order + undefined
    )
    return Ranking(ranks, comparisons)


def check_alpha(alpha: float) -> None:
    """Raise UsageError unless ``alpha`` lies between 0 and 1."""
    if not 0 < alpha < 1:
        raise UsageError(f"alpha must be between 0 and 1, not {alpha}")


def permutations_for(comparisons: int, alpha: float) -> int:
    """Return how many random swaps let the smallest adjusted p-value of ``comparisons`` reach a quarter of ``alpha``.

    The smallest p-value of P swaps is 1/(1 + P), and the adjustment multiplies it by the number of comparisons: with
    too few swaps nothing could be significant among many runs. At least :data:`roi_bench.analysis.paired.PERMUTATIONS`.
    """
    return max(PERMUTATIONS, ceil(4 * comparisons / alpha))


def _compare(
    a: str, b: str, runs: Mapping[str, Mapping[str, ExamTerm]], target: str, permutations: int, seed: int
) -> PairedDifference:
    try:
        return compare_paired(runs[a], runs[b], target=target, permutations=permutations, seed=seed)
    except UsageError as error:
        raise UsageError(f"{a!r} against {b!r}: {error}") from error


def _better(a: str, b: str, paired: PairedDifference, significant: bool, higher_is_better: bool) -> str | None:
    """Return the better of ``a`` and ``b`` if they differ significantly."""
    if not significant or not paired.difference:
        return None
    return a if (paired.difference > 0) == higher_is_better else b


def rank_interval(beaten_by: int, beats: int, runs: int) -> tuple[int, int]:
    """Return best and worst rank of one of ``runs`` runs that so many beat and that beats so many significantly."""
    return 1 + beaten_by, runs - beats


def tiers_of(order: Sequence[Key], is_beaten: Callable[[Key, Key], bool]) -> dict[Key, int]:
    """Return the tier of each run, from 1.

    Args:
        order: The runs, best first.
        is_beaten: Whether the first of two runs, which is higher up in ``order``, is significantly better than the
            second.
    """
    tiers: dict[Key, int] = {}
    tops: list[Key] = []
    for name in order:
        if not tops or is_beaten(tops[-1], name):
            tops.append(name)
        tiers[name] = len(tops)
    return tiers


def _rank_intervals(order: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, tuple[int, int]]:
    beaten_by, beats = dict.fromkeys(order, 0), dict.fromkeys(order, 0)
    for comparison in comparisons:
        if comparison.better is not None:
            beats[comparison.better] += 1
            beaten_by[comparison.second if comparison.better == comparison.first else comparison.first] += 1
    return {name: rank_interval(beaten_by[name], beats[name], len(order)) for name in order}


def _tiers(order: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, int]:
    beaten = {(c.first, c.second) for c in comparisons if c.better == c.first}
    return tiers_of(order, lambda top, name: (top, name) in beaten)


# Hundreds of runs at once: rank intervals, tiers and chosen pairs by the paired clustered t test, on whole arrays.
#
# Ranks and tiers are those of :func:`rank_runs`; only the test is another one. A permutation test of
# each of 125,000 pairs needs millions of swaps a pair to survive the adjustment for so many; the t test does not.


@dataclass(frozen=True, slots=True, eq=False)
class ManyRanks:
    """The ranks of many runs, which are named by their index.

    Attributes:
        order: Indices of the runs, best value first, undefined values last; equal values in the order given.
        ranks: Best and worst rank of each run that the comparisons leave open, from 1; None where its value is
            undefined.
        tiers: Tier of each run from 1, the best; None where its value is undefined.
        adjusted_p: Adjusted p-value of each pair, shape (runs, runs), symmetric; NaN where nothing was tested.
    """

    order: tuple[int, ...]
    ranks: tuple[tuple[int, int] | None, ...]
    tiers: tuple[int | None, ...]
    adjusted_p: FloatArray


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """Run A minus run B on the exams that both have, for the general target (clustered).

    Attributes:
        a: Index of run A.
        b: Index of run B.
        exams: Number of exams in common; all else is undefined where there is none.
        discordant: Number of these whose terms differ.
        difference: R_A − R_B with its 95 % t interval (clusters − 1 degrees of freedom).
        p_value: Two-sided p of the paired t test, not adjusted; None below two clusters.
        detectable: True difference found with 80 % power; None where nothing varied.
    """

    a: int
    b: int
    exams: int
    discordant: int
    difference: Interval
    p_value: float | None
    detectable: float | None


def rank_many(
    runs: Sequence[RunTerms | Mapping[str, ExamTerm]], *, higher_is_better: bool = True, alpha: float = 0.05
) -> ManyRanks:
    """Rank runs (terms by exam id) by one metric, as :func:`roi_bench.analysis.ranking.rank_runs` does.

    Each pair is tested on the exams in common. With ψ_i the influences of :func:`scoring.statistics.estimate_ratio`,
    the standard error of R_A − R_B is √(G/(G−1) · Σ_g(Σ_{i∈g}(ψ_A,i − ψ_B,i))²) / n, and t = (R_A − R_B) / SE has
    G − 1 degrees of freedom (Cameron & Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference"; Miller 2024,
    arXiv 2411.00640). Where that is 0 and the runs differ, all clusters agree, and p is that of swapping the labels
    of each cluster, 2^(1−G). The p-values are adjusted for all pairs (Holm's method). A pair without two clusters
    in common tests nothing.

    Time and memory grow with the number of pairs; runs with different exams cost more than others.

    Raises:
        UsageError: An exam in two different clusters, or ``alpha`` outside (0, 1).
    """
    check_alpha(alpha)
    columns = columns_of(runs)
    values = [float(ratios_of(column.numerators[None], column.denominators[None])[0]) for column in columns]
    defined = [index for index, value in enumerate(values) if not np.isnan(value)]
    order = sorted(defined, key=lambda index: -values[index] if higher_is_better else values[index])
    first, second = np.triu_indices(len(order), k=1)
    placed = np.array(order, dtype=np.intp)
    found = paired_tests(columns, placed[first], placed[second])
    adjusted = holm(found.p_values)
    significant = (adjusted <= alpha) & (found.differences != 0)
    first_is_better = (found.differences > 0) == higher_is_better
    beats = np.zeros((len(order), len(order)), dtype=np.bool_)
    beats[first, second] = significant & first_is_better
    beats[second, first] = significant & ~first_is_better
    beaten_by, wins = beats.sum(axis=0).tolist(), beats.sum(axis=1).tolist()
    tier_at = tiers_of(range(len(order)), lambda top, place: bool(beats[top, place]))
    ranks: list[tuple[int, int] | None] = [None] * len(runs)
    tiers: list[int | None] = [None] * len(runs)
    for place, index in enumerate(order):
        ranks[index], tiers[index] = rank_interval(beaten_by[place], wins[place], len(order)), tier_at[place]
    matrix = np.full((len(runs), len(runs)), np.nan)
    matrix[placed[first], placed[second]] = matrix[placed[second], placed[first]] = adjusted
    undefined = [index for index, value in enumerate(values) if np.isnan(value)]
    return ManyRanks((*order, *undefined), tuple(ranks), tuple(tiers), matrix)


def paired_lines(
    runs: Sequence[RunTerms | Mapping[str, ExamTerm]], pairs: Sequence[tuple[int, int]]
) -> list[ComparedPair]:
    """Return chosen pairs (indices of A and B in ``runs``) compared as :func:`rank_many` does.

    All but p is what :func:`roi_bench.analysis.paired.compare_paired` gives for the general target; intervals without
    width are left out.

    Raises:
        UsageError: An exam in two different clusters.
    """
    first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    found = paired_tests(columns_of(runs), first, second, discordant=True)
    lines = []
    for row, (a, b) in enumerate(pairs):
        difference, stderr = float(found.differences[row]), float(found.stderrs[row])
        exams, clusters = int(found.exams[row]), int(found.clusters[row])
        ends = detectable = None
        if not np.isnan(stderr):
            half, effect = _of_unit_stderr(exams, clusters)
            ends, detectable = (difference - half * stderr, difference + half * stderr), effect * stderr or None
        lines.append(
            ComparedPair(
                a=a,
                b=b,
                exams=exams,
                discordant=int(found.discordant[row]),
                difference=interval_around(None if np.isnan(difference) else difference, ends),
                p_value=None if np.isnan(found.p_values[row]) else float(found.p_values[row]),
                detectable=detectable,
            )
        )
    return lines


@lru_cache(maxsize=64)
def _of_unit_stderr(exams: int, clusters: int) -> tuple[float, float]:
    """Return half the width of the interval, and the minimum detectable effect, of a difference with standard error 1.

    There are at least two clusters.
    """
    ends = confidence_interval(Estimate(0.0, None, 1.0, exams, clusters)) or (0.0, 0.0)
    return ends[1], minimum_detectable_effect(1.0, clusters - 1) or 0.0
