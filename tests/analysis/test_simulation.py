"""Intervals, tests and ranks on simulated exams whose truth is known: 30 re-used hard problems, as in the benchmark.

Chances of success are linear in uniform effects, so every truth is a closed form. A rate r seen in N replications has
the standard error √(r(1−r)/N), about 0.009 for 5 % or 95 % of 600; bands are 2.5 to 3 of them. All seeds are fixed.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from roi_bench.analysis.paired import Interval, PairedDifference, compare_paired, minimum_detectable_effect
from roi_bench.analysis.ranking import rank_runs
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio

Array = NDArray[np.float64]
Run = dict[str, ExamTerm]

CLUSTERS = 30
REPLICATIONS = 600


def run_of(numerators: Array, denominators: Array | None = None) -> Run:
    """A run from arrays of shape (clusters, exams of each); denominators are 1 unless given."""
    divisors = np.ones_like(numerators) if denominators is None else denominators
    return {
        f"{cluster:02}-{index:02}": ExamTerm(
            float(numerators[cluster, index]), float(divisors[cluster, index]), str(cluster)
        )
        for cluster, index in np.ndindex(*numerators.shape)
    }


def share(outcomes: list[bool]) -> float:
    return sum(outcomes) / len(outcomes)


# Coverage of the regret interval: 16 exams to a problem.


def order_chances(effects: Array) -> tuple[Array, Array]:
    """Chance that the hard problem is solved, and that another one survives being put behind it, for each cluster.

    ``effects`` in [−1, 1], shape (…, clusters, 2). An easier hard problem is solved more often in both orders and costs
    the others less, so the two effects move the scores of both orders together.
    """
    solved = 0.35 + 0.25 * effects[..., 0]
    survives = 0.55 + 0.2 * effects[..., 0] + 0.2 * effects[..., 1]
    return solved, survives


def regret_of(solved: float, survives: float) -> float:
    """Regret of the population: the others are solved with chances 0.9 and 0.6 in easy order."""
    return 1 - (solved + 1.5 * survives) / (1.5 + solved)


def draw_orders(rng: np.random.Generator, effects: Array, replications: int) -> tuple[Array, Array]:
    """Correct answers in easy and in hard order, each of shape (replications, clusters, 16)."""
    shape = (replications, CLUSTERS, 16)
    solved, survives = (np.broadcast_to(chance[..., None], shape) for chance in order_chances(effects))
    others = np.stack([rng.random(shape) < chance for chance in (0.9, 0.6)])
    easy = others.sum(axis=0) + (rng.random(shape) < solved)
    hard = (others & (rng.random((2, *shape)) < survives)).sum(axis=0) + (rng.random(shape) < solved)
    return easy.astype(np.float64), hard.astype(np.float64)


def coverage(easy: Array, hard: Array, truth: float) -> dict[str, float]:
    """How often the interval for each target covers the truth."""
    covered: dict[str, list[bool]] = {"general": [], "fixed": []}
    for e, h in zip(easy, hard, strict=True):
        estimate = estimate_ratio(list(run_of(e - h, e).values()))
        for target, hits in covered.items():
            interval = confidence_interval(estimate, target=target)
            assert interval is not None
            hits.append(interval[0] <= truth <= interval[1])
    return {target: share(hits) for target, hits in covered.items()}


def test_the_general_interval_covers_the_regret_on_such_problems_and_the_fixed_one_does_not() -> None:
    rng = np.random.default_rng(1)
    effects = rng.uniform(-1, 1, (REPLICATIONS, CLUSTERS, 2))  # new problems every time
    easy, hard = draw_orders(rng, effects, REPLICATIONS)
    truth = regret_of(0.35, 0.55)
    assert 1 - hard.sum() / easy.sum() == pytest.approx(truth, abs=0.005)
    covers = coverage(easy, hard, truth)
    assert 0.93 <= covers["general"] <= 0.975
    assert covers["fixed"] < 0.82


def test_the_fixed_interval_covers_the_regret_on_these_problems() -> None:
    """It errs on the wide side: what differs between the problems of the pool counts as noise although it stays."""
    rng = np.random.default_rng(2)
    effects = rng.uniform(-1, 1, (CLUSTERS, 2))  # the same problems every time
    easy, hard = draw_orders(rng, effects, REPLICATIONS)
    solved, survives = (float(chance.mean()) for chance in order_chances(effects))
    truth = regret_of(solved, survives)
    assert 1 - hard.sum() / easy.sum() == pytest.approx(truth, abs=0.003)
    assert truth != pytest.approx(regret_of(0.35, 0.55), abs=0.003)  # another truth than that of such problems
    covers = coverage(easy, hard, truth)
    assert 0.93 <= covers["fixed"] <= 0.99
    assert covers["general"] > covers["fixed"]


# The paired test of two scores: 8 exams to a problem, K = 1.


def draw_scores(rng: np.random.Generator, shifts: tuple[float, ...], replications: int) -> Array:
    """Correct answers of models with these shifts in the chance of success, shape (models, replications, clusters, 8).

    Exams and problems are as difficult for all models; besides, each problem suits each model more or less.
    """
    shape = (replications, CLUSTERS, 8)
    difficulty = 0.08 * rng.uniform(-1, 1, shape) + 0.08 * rng.uniform(-1, 1, (*shape[:2], 1))
    suits = 0.25 * rng.uniform(-1, 1, (len(shifts), *shape[:2], 1))
    chance = 0.5 + difficulty + suits + np.array(shifts)[:, None, None, None]
    scores: Array = rng.binomial(3, chance).astype(np.float64)
    return scores


TRUE_STDERR = sqrt(6 * (0.25 - (0.08**2 + 0.08**2 + 0.25**2) / 3) / (CLUSTERS * 8) + 18 * 0.25**2 / 3 / CLUSTERS)
"""Of the difference of two scores without shift: binomial noise of an exam, and what suits which model by problem.

A uniform effect in [−w, w] has the variance w²/3; a chance p of mean 0.5 has E p(1 − p) = 0.25 − Var p.
"""


def paired_tests(scores: Array, target: str, permutations: int = 199) -> list[PairedDifference]:
    return [
        compare_paired(run_of(a), run_of(b), target=target, permutations=permutations)
        for a, b in zip(*scores, strict=True)
    ]


def rejected(results: list[PairedDifference]) -> float:
    return share([result.p_value is not None and result.p_value <= 0.05 for result in results])


def covered_zero(intervals: list[Interval | None]) -> float:
    return share([interval is not None and interval[0] <= 0 <= interval[1] for interval in intervals])


def mean_of(values: list[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def test_equal_models_differ_significantly_in_5_percent_and_more_often_if_clusters_are_ignored() -> None:
    scores = draw_scores(np.random.default_rng(3), (0.0, 0.0), REPLICATIONS)
    by_problem, by_exam = paired_tests(scores, "general"), paired_tests(scores[:, :200], "fixed")
    assert 0.03 <= rejected(by_problem) <= 0.075
    assert rejected(by_exam) > 0.15
    assert 0.925 <= covered_zero([result.interval_general for result in by_problem]) <= 0.975
    assert covered_zero([result.interval_fixed for result in by_problem]) < 0.85
    variances = [(result.stderr_general or 0.0) ** 2 for result in by_problem]
    assert float(np.mean(variances)) == pytest.approx(TRUE_STDERR**2, rel=0.03)


def test_the_minimum_detectable_effect_is_found_in_80_percent() -> None:
    effect = minimum_detectable_effect(TRUE_STDERR, CLUSTERS - 1)
    assert effect is not None
    shift = effect / 3 / 2  # three problems an exam, half up and half down
    scores = draw_scores(np.random.default_rng(5), (shift, -shift), REPLICATIONS)
    results = paired_tests(scores, "general", permutations=399)
    assert mean_of([result.difference for result in results]) == pytest.approx(effect, rel=0.04)
    assert 0.75 <= rejected(results) <= 0.86
    assert mean_of([result.minimum_detectable_effect for result in results]) == pytest.approx(effect, rel=0.03)


def test_equal_regrets_of_unequal_models_differ_significantly_in_5_percent() -> None:
    """Model A solves nearly all in easy order, B a quarter, and both lose 40 % of it: same regret, other scores.

    The runs are not exchangeable: without the standard error in the statistic the test would reject about 11 %.
    """
    rng = np.random.default_rng(6)
    results = []
    for _ in range(REPLICATIONS):
        easy = [rng.binomial(3, chance, (120, 1)).astype(np.float64) for chance in (0.9, 0.25)]
        runs = [run_of(e - rng.binomial(e.astype(int), 0.6), e) for e in easy]
        results.append(compare_paired(*runs, target="fixed", permutations=199))
    assert 0.03 <= rejected(results) <= 0.075
    assert 0.925 <= covered_zero([result.interval_fixed for result in results]) <= 0.975


def test_the_rank_intervals_of_equal_runs_are_all_right_in_95_percent() -> None:
    """Four equal runs: each interval should be [1, 4]; six comparisons without adjustment would spoil about 20 %."""
    scores = draw_scores(np.random.default_rng(7), (0.0,) * 4, 200)
    spoilt = []
    for models in zip(*scores, strict=True):
        runs = {name: run_of(model) for name, model in zip("abcd", models, strict=True)}
        ranking = rank_runs(runs, higher_is_better=True, permutations=399)
        spoilt.append(any(one.ranks != (1, 4) for one in ranking.ranks))
    assert 0.01 <= share(spoilt) <= 0.08
