"""Effort: does a model spend its tokens on hard problems, or on those that come first?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roi_bench.analysis.reports.tables import Column, Interval, Table
from roi_bench.analysis.reports.views import (
    Clusters,
    Scored,
    asked_orders,
    cluster_of,
    interval_note,
    is_attempt,
    left_out_note,
    usable,
)
from roi_bench.errors import UsageError
from roi_bench.exams.exam import TIERS

RESAMPLES = 1000
"""Resamples of the bootstrap."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHUNK = 200_000  # entries of a block of weights: what fits a processor's cache
_COLLINEAR = 1e-9  # share of a variance below which the control explains all of it
_TOO_OFTEN_UNDEFINED = 0.05  # share of resamples


@dataclass(frozen=True, slots=True)
class Effort:
    """How tokens spent on attempted problems go with difficulty and with position.

    Attributes:
        difficulty: Partial rank correlation of tokens with tier (easy 0, middle 1, hard 2), position held fixed, −1 to
            1; None where difficulty and position cannot be separated.
        position: The same with position (1, 2, 3), tier held fixed.
        attempts: Number of attempts that these are about.
        truncated: Attempts left out because the budget cut them off, so that their full length is unknown.
        uncounted: Problems left out because their tokens are unknown.
        clusters: Number of clusters resampled for the intervals.
    """

    difficulty: Interval
    position: Interval
    attempts: int
    truncated: int
    uncounted: int
    clusters: int


@dataclass(frozen=True, slots=True)
class _Attempts:
    """Attempts as arrays of shape (attempts,), and what was left out."""

    tokens: IntArray
    tier: IntArray
    position: IntArray
    cluster: IntArray
    clusters: int
    truncated: int
    uncounted: int


def effort(
    scored: Scored, order: str, clusters: Clusters | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> Effort:
    """Return the partial Spearman correlations of effort, pooled over the task's ``order`` and the easy order.

    One sorted order cannot separate difficulty from position; the same exams in two orders can. Tokens, tier and
    position are replaced by their ranks (ties share the mean rank) and the ranks of two are correlated after a linear
    regression of both on the third: (r_xy − r_xz·r_yz) / √((1 − r_xz²)(1 − r_yz²)) (Conover 1999, Practical
    Nonparametric Statistics, 3rd ed., section 5.4). 95 % percentile interval over resamples of whole clusters (Field &
    Welsh 2007, "Bootstrapping clustered data", JRSS B 69(3)), ranks taken anew in each; resamples where it is undefined
    are left out, and there is no interval where that is more than one in twenty, or below two clusters.

    Raises:
        UsageError: An unknown order, an exam without cluster, or fewer than one resample.
    """
    if resamples < 1:
        raise UsageError(f"resamples must be at least 1, not {resamples}")
    attempts = _attempts(scored, order, clusters)
    values = partial_spearman(attempts.tokens, attempts.tier, attempts.position)
    lows, highs = _bootstrap(attempts, resamples, seed)
    difficulty, position = (
        Interval(value, *((None, None) if value is None else (low, high)))
        for value, low, high in zip(values, lows, highs, strict=True)
    )
    return Effort(
        difficulty=difficulty,
        position=position,
        attempts=len(attempts.tokens),
        truncated=attempts.truncated,
        uncounted=attempts.uncounted,
        clusters=attempts.clusters,
    )


def partial_spearman(x: IntArray, y: IntArray, z: IntArray) -> tuple[float | None, float | None]:
    """Return the rank correlation of x with y holding z fixed, and of x with z holding y fixed.

    Args:
        x: Values, shape (n,).
        y: Values, shape (n,).
        z: Values, shape (n,).

    Returns:
        Numbers from −1 to 1; None where a variable is constant or the one held fixed explains all of it.
    """
    if not len(x):
        return None, None
    found = _partial_correlations((x, y, z), np.ones((1, len(x))))[0]
    with_y, with_z = (None if np.isnan(value) else float(value) for value in found)
    return with_y, with_z


def effort_table(scored: Scored, order: str, clusters: Clusters | None = None, *, seed: int = 0) -> Table:
    """Return :func:`effort` as a table.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    found = effort(scored, order, clusters, seed=seed)
    left = (found.attempts, found.truncated, found.uncounted)
    return Table(
        name="effort",
        title="Effort against difficulty and position",
        columns=(
            *(Column("tokens against"), Column("held fixed"), Column("rank correlation"), Column("attempts")),
            *(Column("cut off"), Column("not counted")),
        ),
        rows=(
            ("difficulty", "position", found.difficulty, *left),
            ("position", "difficulty", found.position, *left),
        ),
        note="Partial Spearman correlation of tokens per attempt, −1 to 1, over the task's and the easy order. "
        "Left out: attempts cut off by the budget, and problems whose tokens are unknown (not counted). "
        f"{interval_note(clusters)}{left_out_note(scored)}",
    )


def _attempts(scored: Scored, order: str, clusters: Clusters | None) -> _Attempts:
    names = sorted({cluster_of(exam, clusters) for exam, _ in usable(scored)})
    index = {name: number for number, name in enumerate(names)}
    rows: list[tuple[int, int, int, int]] = []
    truncated = uncounted = 0
    for asked in asked_orders(order):
        for exam, sample in usable(scored):
            for problem in asked.response(sample).problems:
                uncounted += problem.tokens is None
                if not is_attempt(problem):
                    continue
                if problem.outcome == "truncated":
                    truncated += 1
                    continue
                tier, cluster = TIERS.index(problem.tier), index[cluster_of(exam, clusters)]
                rows.append((problem.tokens or 0, tier, problem.position, cluster))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return _Attempts(columns[0], columns[1], columns[2], columns[3], len(names), truncated, uncounted)


def _bootstrap(
    attempts: _Attempts, resamples: int, seed: int
) -> tuple[tuple[float | None, float | None], tuple[float | None, float | None]]:
    """Return the lower ends, then the upper ends of the intervals of both correlations."""
    if attempts.clusters < 2 or not len(attempts.tokens):
        return (None, None), (None, None)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(attempts.clusters, [1 / attempts.clusters] * attempts.clusters, size=resamples)
    step = max(1, _CHUNK // len(attempts.tokens))
    variables = (attempts.tokens, attempts.tier, attempts.position)
    found = np.concatenate(
        [
            _partial_correlations(variables, drawn[start : start + step][:, attempts.cluster].astype(np.float64))
            for start in range(0, resamples, step)
        ]
    )
    ends = [_percentiles(column) for column in found.T]
    return (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])


def _percentiles(values: FloatArray) -> tuple[float | None, float | None]:
    defined = values[~np.isnan(values)]
    if len(defined) < (1 - _TOO_OFTEN_UNDEFINED) * len(values):
        return None, None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


def _partial_correlations(variables: tuple[IntArray, IntArray, IntArray], weights: FloatArray) -> FloatArray:
    """Return the correlations of ranks of x and y given z, and of x and z given y.

    Args:
        variables: x, y, z, each of shape (n,).
        weights: How often each observation counts, whole numbers, shape (rows, n).

    Returns:
        Shape (rows, 2); NaN where undefined.
    """
    ranks = [_ranks(variable, weights) for variable in variables]
    count = weights.sum(axis=1)
    mean = (count + 1) / 2  # ties or not

    def covariance(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("rn,rn,rn->r", weights, a, b) - count * mean**2, dtype=np.float64)

    xx, yy, zz = (covariance(rank, rank) for rank in ranks)
    xy, xz, yz = covariance(ranks[0], ranks[1]), covariance(ranks[0], ranks[2]), covariance(ranks[1], ranks[2])
    return np.stack([_partial(xx, yy, zz, xy, xz, yz), _partial(xx, zz, yy, xz, xy, yz)], axis=1)


def _partial(
    xx: FloatArray, yy: FloatArray, zz: FloatArray, xy: FloatArray, xz: FloatArray, yz: FloatArray
) -> FloatArray:
    """Return the correlation of the residuals of x and y on z from sums of squares and products.

    A constant z explains nothing; NaN where it explains all of x or y, or one of these is constant.
    """
    slope = np.divide(1.0, zz, out=np.zeros_like(zz), where=zz > 0)
    x_left, y_left = xx - xz**2 * slope, yy - yz**2 * slope
    defined = (x_left > _COLLINEAR * xx) & (y_left > _COLLINEAR * yy)
    scale = np.sqrt(np.where(defined, x_left * y_left, 1.0))
    found = np.clip((xy - xz * yz * slope) / scale, -1.0, 1.0)
    return np.asarray(np.where(defined, found, np.nan), dtype=np.float64)


def _ranks(values: IntArray, weights: FloatArray) -> FloatArray:
    """Return the mean ranks of ``values`` where each occurs as often as its weight says; shape of ``weights``."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(distinct)))
    occurrences = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(occurrences, axis=1) - (occurrences - 1) / 2
    return np.asarray(middle[:, group], dtype=np.float64)
