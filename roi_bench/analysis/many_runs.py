"""Hundreds of runs at once: rank intervals, tiers and chosen pairs by the paired clustered t test, on whole arrays.

Ranks and tiers are those of :mod:`roi_bench.analysis.ranking`; only the test is another one. A permutation test of each
of 125,000 pairs needs millions of swaps a pair to survive the adjustment for so many; the t test does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from roi_bench.analysis.many_pairs import FloatArray, RunTerms, columns_of, paired_tests, ratios_of
from roi_bench.analysis.paired import holm, minimum_detectable_effect
from roi_bench.analysis.ranking import check_level, rank_interval, tiers_of
from roi_bench.analysis.tables import Interval, interval_around
from roi_bench.scoring.statistics import Estimate, ExamTerm, confidence_interval


@dataclass(frozen=True, slots=True, eq=False)
class ManyRanks:
    """Where each of many runs stands; runs are named by their index.

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
class TestedPair:
    """Run A minus run B on the exams that both sat, for such problems in general (clustered).

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
    runs: Sequence[RunTerms | Mapping[str, ExamTerm]], *, higher_is_better: bool = True, level: float = 0.05
) -> ManyRanks:
    """Rank runs (terms by exam id) by one metric, as :func:`roi_bench.analysis.ranking.rank_runs` does.

    Each pair is tested on the exams in common. With ψ_i the influences of :func:`scoring.statistics.estimate_ratio`,
    the standard error of R_A − R_B is √(G/(G−1) · Σ_g(Σ_{i∈g}(ψ_A,i − ψ_B,i))²) / n, and t = (R_A − R_B) / SE has
    G − 1 degrees of freedom (Cameron & Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference"; Miller 2024,
    arXiv 2411.00640). Where that is 0 and the runs differ, all clusters agree, and p is that of swapping the labels
    of each cluster, 2^(1−G). The p-values are adjusted for all pairs (Holm's method). A pair without two clusters
    in common tests nothing.

    Time and memory grow with the number of pairs; runs that sat different exams cost more than others.

    Raises:
        UsageError: An exam in two different clusters, or a level outside (0, 1).
    """
    check_level(level)
    columns = columns_of(runs)
    values = [float(ratios_of(column.numerators[None], column.denominators[None])[0]) for column in columns]
    defined = [index for index, value in enumerate(values) if not np.isnan(value)]
    order = sorted(defined, key=lambda index: -values[index] if higher_is_better else values[index])
    first, second = np.triu_indices(len(order), k=1)
    placed = np.array(order, dtype=np.intp)
    found = paired_tests(columns, placed[first], placed[second])
    adjusted = holm(found.p_values)
    significant = (adjusted <= level) & (found.differences != 0)
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
) -> list[TestedPair]:
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
            TestedPair(
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
