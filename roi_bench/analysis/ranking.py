"""Many runs at once: rank intervals and tiers from all paired comparisons, corrected for multiplicity."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, isnan, nan
from typing import TypeVar

import numpy as np

from roi_bench.analysis.paired import PERMUTATIONS, PairedDifference, check_target, compare_paired, holm
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import Estimate, ExamTerm, confidence_interval, estimate_ratio

Interval = tuple[float, float]

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rank:
    """Where one run stands among all.

    Attributes:
        name: Name of the run.
        estimate: The metric on all its own exams, with both standard errors.
        interval: t interval of the value at 1 − level for the target; None if undefined.
        ranks: Best and worst rank that the comparisons leave open, from 1; None where the value is undefined.
        tier: Tier from 1, the best; None where the value is undefined.
    """

    name: str
    estimate: Estimate
    interval: Interval | None
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
    level: float = 0.05,
    target: str = "general",
    permutations: int | None = None,
    seed: int = 0,
) -> Ranking:
    """Rank runs (terms by exam id, by name of run) by one metric.

    Of n runs with a defined value, each has the rank interval [1 + number of runs significantly better, n − number of
    runs significantly worse]; as the p-values are adjusted for all pairs, all intervals are right together with
    probability about 1 − level (Mogstad et al. 2024, "Inference for ranks", Review of Economic Studies 91(1)). A tier
    starts at the first run in order of value that is significantly worse than the top run of the tier above; equal
    values are ordered by name. Values are those of all exams of a run, differences those of the exams in common.

    ``permutations`` are :func:`permutations_for` the number of comparisons unless given.

    Raises:
        UsageError: Two runs that :func:`roi_bench.analysis.paired.compare_paired` refuses, or a level outside (0, 1).
    """
    check_target(target)
    check_level(level)
    estimates = {name: estimate_ratio(list(terms.values())) for name, terms in runs.items()}
    values = {name: estimate.value for name, estimate in estimates.items() if estimate.value is not None}
    order = sorted(values, key=lambda name: (-values[name] if higher_is_better else values[name], name))
    pairs = list(combinations(order, 2))
    swaps = permutations_for(len(pairs), level) if permutations is None else permutations
    paired = [_compare(a, b, runs, target, swaps, seed) for a, b in pairs]
    p_values = [nan if difference.p_value is None else difference.p_value for difference in paired]
    adjusted = [None if isnan(p) else p for p in holm(np.array(p_values, dtype=np.float64)).tolist()]
    comparisons = tuple(
        Comparison(a, b, difference, p, _better(a, b, difference, p is not None and p <= level, higher_is_better))
        for (a, b), difference, p in zip(pairs, paired, adjusted, strict=True)
    )
    intervals, tiers = _rank_intervals(order, comparisons), _tiers(order, comparisons)
    undefined = sorted(estimates.keys() - values.keys())
    ranks = tuple(
        Rank(
            name=name,
            estimate=estimates[name],
            interval=confidence_interval(estimates[name], level=1 - level, target=target),
            ranks=intervals.get(name),
            tier=tiers.get(name),
        )
        for name in order + undefined
    )
    return Ranking(ranks, comparisons)


def check_level(level: float) -> None:
    """Raise UsageError unless ``level`` lies between 0 and 1."""
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}")


def permutations_for(comparisons: int, level: float) -> int:
    """Return how many random swaps let the smallest adjusted p-value of ``comparisons`` reach a quarter of ``level``.

    The smallest p-value of P swaps is 1/(1 + P), and the adjustment multiplies it by the number of comparisons: with
    too few swaps nothing could be significant among many runs. At least :data:`roi_bench.analysis.paired.PERMUTATIONS`.
    """
    return max(PERMUTATIONS, ceil(4 * comparisons / level))


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
