"""The ratio estimator against textbook formulas, brute force and simulation."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio

SCORES = st.lists(st.integers(0, 3), min_size=2, max_size=60)


@given(SCORES)
def test_a_plain_mean_has_the_textbook_standard_error(scores: list[int]) -> None:
    estimate = estimate_ratio([ExamTerm(float(x), 1.0, str(i)) for i, x in enumerate(scores)])
    assert estimate.value == pytest.approx(statistics.mean(scores))
    expected = statistics.stdev(scores) / math.sqrt(len(scores))
    assert estimate.stderr_fixed == pytest.approx(expected, abs=1e-12)
    assert estimate.stderr_general == pytest.approx(expected, abs=1e-12)  # every exam its own cluster


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=40), st.randoms())
def test_regret_matches_the_influence_formula_in_any_order(pairs: list[tuple[int, int]], rng: random.Random) -> None:
    terms = [ExamTerm(float(e - h), float(e), f"c{i % 4}") for i, (e, h) in enumerate(pairs)]
    estimate = estimate_ratio(terms)
    easy, hard = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    if easy.sum() == 0:
        assert estimate.value is None
        assert estimate.stderr_fixed is None
        return
    regret = (easy.sum() - hard.sum()) / easy.sum()
    influence = -(hard - (1 - regret) * easy) / easy.mean()
    n = len(pairs)
    assert estimate.value == pytest.approx(regret)
    assert estimate.stderr_fixed == pytest.approx(math.sqrt((influence**2).sum() / (n * (n - 1))), abs=1e-12)
    sums = np.array([influence[g::4].sum() for g in range(4) if len(influence[g::4])])
    groups = len(sums)
    general = math.sqrt(groups / (groups - 1) * (sums**2).sum()) / n
    assert estimate.stderr_general == pytest.approx(general, abs=1e-12)
    rng.shuffle(terms)
    assert estimate_ratio(terms) == estimate


def test_one_exam_has_no_error_bar_and_none_is_undefined() -> None:
    one = estimate_ratio([ExamTerm(2.0, 1.0, "a")])
    assert (one.value, one.stderr_fixed, one.stderr_general) == (2.0, None, None)
    assert confidence_interval(one) is None
    assert estimate_ratio([]).value is None
    same = estimate_ratio([ExamTerm(2.0, 1.0, "a"), ExamTerm(1.0, 1.0, "a")])
    assert same.stderr_fixed is not None
    assert same.stderr_general is None


def _coverage(target: str, truth: float, draw: object, runs: int) -> float:
    hits = 0
    for run in range(runs):
        interval = confidence_interval(estimate_ratio(draw(run)), target=target)  # type: ignore[operator]
        assert interval is not None
        hits += interval[0] <= truth <= interval[1]
    return hits / runs


@pytest.mark.slow
def test_regret_intervals_cover_under_both_targets() -> None:
    """95 % intervals: with 30 re-used hard problems, only the clustered one covers the general truth."""
    easy_p, hard_p, runs = 0.8, 0.5, 400

    def draw(run: int) -> list[ExamTerm]:
        rng = np.random.default_rng(run)
        effect = rng.normal(0, 0.25, 30)  # difficulty of the re-used problem acts on the hard order
        terms = []
        for i in range(240):
            p = float(np.clip(hard_p + effect[i % 30], 0, 1))
            e, h = rng.binomial(3, easy_p), rng.binomial(3, p)
            terms.append(ExamTerm(float(e - h), float(e), str(i % 30)))
        return terms

    truth = 1 - float(np.clip(hard_p + np.random.default_rng(9).normal(0, 0.25, 10**6), 0, 1).mean()) / easy_p
    assert 0.92 <= _coverage("general", truth, draw, runs) <= 0.98
    assert _coverage("fixed", truth, draw, runs) < 0.90


@pytest.mark.slow
def test_fixed_pool_interval_covers_the_truth_on_these_exams() -> None:
    rng = np.random.default_rng(1)
    p_hard = rng.uniform(0.2, 0.8, 240)
    truth = 1 - p_hard.mean() / 0.8

    def draw(run: int) -> list[ExamTerm]:
        rng = np.random.default_rng(1000 + run)
        easy, hard = rng.binomial(3, 0.8, 240), rng.binomial(3, p_hard)
        return [ExamTerm(float(e - h), float(e), str(i)) for i, (e, h) in enumerate(zip(easy, hard, strict=True))]

    assert _coverage("fixed", truth, draw, 400) >= 0.93  # exams differ, so the interval errs on the wide side
