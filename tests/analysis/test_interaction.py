"""The interaction of two runs and two budgets: by hand, against a one-sample t test, and where it must stay silent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from roi_bench.analysis.interaction import budget_interactions
from roi_bench.analysis.paired import holm
from roi_bench.analysis.ranking import mean_terms, paired_lines


def terms(scores, clusters=None):
    ids = [f"e{index:03d}" for index in range(len(scores))]
    return mean_terms(ids, clusters or ids, list(scores))


def drawn(seed, *means, exams=200):
    rng = np.random.default_rng(seed)
    return [terms(rng.binomial(3, mean / 3, exams).astype(float)) for mean in means]


def test_the_interaction_is_the_difference_of_two_gains():
    a, b = {128: terms([0, 1, 2, 1]), 256: terms([1, 1, 2, 2])}, {128: terms([1, 1, 1, 1]), 256: terms([3, 2, 3, 1])}
    (found,) = budget_interactions([a, b])
    assert (found.a, found.b, found.low, found.high, found.exams) == (0, 1, 128, 256, 4)
    assert found.at_low.value == pytest.approx(0.0)
    assert found.at_high.value == pytest.approx(-0.75)
    assert found.change.value == pytest.approx(-0.75)
    wanted = ttest_1samp(np.array([1, 0, 0, 1.0]) - np.array([2, 1, 2, 0.0]), 0.0)
    assert found.adjusted_p == pytest.approx(wanted.pvalue)
    low, high = wanted.confidence_interval(0.95)
    assert (found.change.low, found.change.high) == pytest.approx((low, high))


def test_the_run_that_is_ahead_under_the_smaller_budget_comes_first():
    low_a, high_a, low_b, high_b = drawn(1, 1.0, 2.5, 2.0, 1.5)
    (found,) = budget_interactions([{128: low_a, 256: high_a}, {128: low_b, 256: high_b}])
    assert (found.a, found.b) == (1, 0)
    assert found.at_low.value > 0 > found.at_high.value
    assert found.change.low < found.change.value < found.change.high < 0
    assert found.changes
    assert found.reverses
    assert found.is_sure


def test_a_lead_that_only_grows_is_no_reversal():
    (found,) = budget_interactions(
        [dict(zip((1, 2), pair, strict=True)) for pair in (drawn(2, 1.2, 2.6), drawn(3, 1.0, 1.2))]
    )
    assert found.changes
    assert not found.reverses
    assert not found.is_sure


def test_a_reversal_within_noise_is_not_sure():
    (found,) = budget_interactions(
        [dict(zip((1, 2), pair, strict=True)) for pair in (drawn(2, 1.0, 2.6), drawn(6, 1.0, 1.2))]
    )
    assert found.changes
    assert not found.is_sure


def test_all_comparisons_of_a_page_are_corrected_together():
    runs = [dict(zip((128, 256, 512), drawn(seed, 1.0, 1.2, 1.4), strict=True)) for seed in range(4)]
    found = budget_interactions(runs)
    assert len(found) == 6 * 3
    raw = []
    for one in found:
        gains = [
            terms((runs[index][one.high].numerators - runs[index][one.low].numerators).tolist())
            for index in (one.a, one.b)
        ]
        raw.append(paired_lines(gains, [(0, 1)])[0].p_value)
    assert [one.adjusted_p for one in found] == pytest.approx(holm(np.array(raw)).tolist())
    assert [one.adjusted_p for one in found] == sorted(one.adjusted_p for one in found)


def test_clusters_that_share_a_problem_count_as_one():
    scores = [list(map(float, np.random.default_rng(seed).integers(0, 4, 40))) for seed in range(4)]
    alone = [terms(one) for one in scores]
    shared = [terms(one, [f"c{index // 8}" for index in range(40)]) for one in scores]
    (free,), (bound,) = (
        budget_interactions([{1: one[0], 2: one[1]}, {1: one[2], 2: one[3]}]) for one in (alone, shared)
    )
    assert free.change.value == pytest.approx(bound.change.value)
    assert free.change.low != pytest.approx(bound.change.low)


def test_runs_that_did_not_sit_both_budgets_are_compared_with_none():
    low, high = drawn(1, 1.0, 2.0)
    assert budget_interactions([]) == []
    assert budget_interactions([{128: low, 256: high}, {128: low}, {512: high}]) == []
    assert len(budget_interactions([{128: low, 256: high}, {128: low}, {128: low, 256: high}])) == 1


def test_a_copy_changes_nothing():
    low, high = drawn(1, 1.0, 2.0)
    (found,) = budget_interactions([{128: low, 256: high}] * 2)
    assert found.change.value == 0
    assert not found.changes


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_under_no_change_hardly_anything_is_found(seed, count):
    """All runs gain the same from tokens, so whatever is found is false."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.8, 2.0, count)
    runs = [{1: terms(rng.normal(mean, 1.0, 60)), 2: terms(rng.normal(mean + 0.5, 1.0, 60))} for mean in skill]
    found = budget_interactions(runs)
    assert all(one.adjusted_p is not None and 0 <= one.adjusted_p <= 1 for one in found)
    assert sum(one.changes for one in found) <= count
