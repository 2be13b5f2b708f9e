"""The paired comparison against cases by hand, exact rational arithmetic, scipy, and what must hold for any runs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from roi_bench.analysis import paired
from roi_bench.analysis.paired import PairedDifference, compare_paired, minimum_detectable_effect
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import ExamTerm

Run = dict[str, ExamTerm]
Parts = tuple[int, int, int, int]

PARTS = st.tuples(st.integers(-2, 3), st.integers(0, 3), st.integers(-2, 3), st.integers(0, 3))
"""Numerator and denominator of run A, then of run B, of one exam."""

SEVERAL = st.lists(PARTS, min_size=2, max_size=6)


def mean_run(scores: Sequence[float], clusters: int | None = None) -> Run:
    """A run whose metric is a plain mean; every exam its own cluster, or the exams dealt out to ``clusters``."""
    return {
        f"exam-{i:03}": ExamTerm(float(x), 1.0, str(i if clusters is None else i % clusters))
        for i, x in enumerate(scores)
    }


def ratio_runs(parts: Sequence[Parts], clusters: int | None = None) -> tuple[Run, Run]:
    names = [str(i if clusters is None else i % clusters) for i in range(len(parts))]
    a = {f"exam-{i}": ExamTerm(float(p[0]), float(p[1]), names[i]) for i, p in enumerate(parts)}
    b = {f"exam-{i}": ExamTerm(float(p[2]), float(p[3]), names[i]) for i, p in enumerate(parts)}
    return a, b


def exact_p_value(units: Sequence[Parts]) -> Fraction:
    """All swaps one by one in rational arithmetic; the t statistic as T² / (T² + Σψ²), undefined ratios as extreme."""

    def statistic(rows: Sequence[Parts]) -> Fraction:
        n_a, d_a, n_b, d_b = (sum(column) for column in zip(*rows, strict=True))
        if d_a == 0 or d_b == 0:
            return Fraction(1)
        r_a, r_b = Fraction(n_a, d_a), Fraction(n_b, d_b)
        variance = sum(((row[0] - r_a * row[1]) / d_a - (row[2] - r_b * row[3]) / d_b) ** 2 for row in rows)
        squared = (r_a - r_b) ** 2
        return squared / (squared + variance) if squared + variance else Fraction(0)

    seen = statistic(units)
    outcomes = [
        statistic([(*row[2:], *row[:2]) if swap else row for row, swap in zip(units, swaps, strict=True)])
        for swaps in product((False, True), repeat=len(units))
    ]
    return Fraction(sum(outcome >= seen for outcome in outcomes), len(outcomes))


def test_a_small_mean_by_hand() -> None:
    """Differences 1, 0, 2, −1: mean 0.5, Σ(d − 0.5)² = 5; of the 8 sign patterns of 1, 2, 1 six reach |sum| 2."""
    result = compare_paired(mean_run([2, 1, 3, 0]), mean_run([1, 1, 1, 1]))
    stderr = sqrt(5 / (4 * 3))
    assert (result.exams, result.clusters, result.unpaired, result.discordant) == (4, 4, 0, 3)
    assert (result.value_a, result.value_b, result.difference) == (1.5, 1.0, 0.5)
    assert result.stderr_fixed == pytest.approx(stderr)
    assert result.stderr_general == pytest.approx(stderr)  # every exam its own cluster
    assert result.interval_general == pytest.approx((0.5 - 3.182446 * stderr, 0.5 + 3.182446 * stderr))
    assert result.p_value == 6 / 8
    assert result.minimum_detectable_effect == pytest.approx((3.182446 + 0.978472) * stderr)


def test_a_small_regret_by_hand() -> None:
    """E, H of A: (3, 1), (2, 2); of B: (3, 3), (1, 0). Regret 2/5 and 1/4; ψ of A ±0.32, of B ∓0.375."""
    result = compare_paired(*ratio_runs([(2, 3, 0, 3), (0, 2, 1, 1)]), target="fixed")
    assert result.difference == pytest.approx(0.4 - 0.25)
    assert result.stderr_fixed == pytest.approx(0.32 + 0.375)
    assert result.discordant == 2
    assert result.interval_fixed == pytest.approx((0.15 - 12.7062 * 0.695, 0.15 + 12.7062 * 0.695), abs=1e-4)


def test_clusters_by_hand() -> None:
    """Differences 1, 1 | 2, 0 | −1, 1 in three clusters: mean 2/3, sums about it 2/3, 2/3, −4/3; with n = 6, G = 3."""
    a = mean_run([1, 2, 0, 1, 0, 1], clusters=3)  # dealt out in turn: clusters 0 1 2 0 1 2
    b = mean_run([0, 0, 1, 0, 0, 0], clusters=3)
    general, fixed = compare_paired(a, b), compare_paired(a, b, target="fixed")
    assert (general.exams, general.clusters, general.discordant) == (6, 3, 5)
    assert general.stderr_general == pytest.approx(sqrt(3 / 2 * (4 / 9 + 4 / 9 + 16 / 9)) / 6)
    assert general.stderr_fixed == pytest.approx(np.std([1, 2, -1, 1, 0, 1], ddof=1) / sqrt(6))
    assert general.p_value == 4 / 8  # cluster sums 2, 2, 0 (the third swaps to itself): half of the patterns reach 4
    assert fixed.p_value == 10 / 32  # signs of 1, 2, 1, 1, 1: the 2 and at most one unlike it among the ones reach 4
    assert (general.target, fixed.target) == ("general", "fixed")
    assert (general.stderr, general.interval) == (general.stderr_general, general.interval_general)
    assert (fixed.stderr, fixed.interval) == (fixed.stderr_fixed, fixed.interval_fixed)
    assert general.minimum_detectable_effect == minimum_detectable_effect(general.stderr_general, 2)
    assert fixed.minimum_detectable_effect == minimum_detectable_effect(fixed.stderr_fixed, 5)
    assert general.interval_general == pytest.approx(stats.t.interval(0.95, 2, loc=2 / 3, scale=general.stderr_general))
    assert general.interval_fixed == pytest.approx(stats.t.interval(0.95, 5, loc=2 / 3, scale=general.stderr_fixed))


@given(SEVERAL)
def test_p_value_of_exams_is_that_of_exact_arithmetic(parts: list[Parts]) -> None:
    a, b = ratio_runs(parts)
    result = compare_paired(a, b, target="fixed")
    if result.difference is None:
        assert 0 in (sum(p[1] for p in parts), sum(p[3] for p in parts))
        assert result.p_value is None
    else:
        assert result.p_value == float(exact_p_value(parts))


@given(st.lists(PARTS, min_size=4, max_size=12))
def test_p_value_of_clusters_is_that_of_exact_arithmetic_on_their_sums(parts: list[Parts]) -> None:
    result = compare_paired(*ratio_runs(parts, clusters=4))
    if result.difference is not None:
        columns = [[p[k] for p in parts] for k in range(4)]
        sums = [tuple(sum(column[g::4]) for column in columns) for g in range(4)]
        assert result.p_value == float(exact_p_value(sums))  # type: ignore[arg-type]


def test_a_swap_that_leaves_nothing_to_divide_by_counts_as_extreme() -> None:
    """After swapping either exam alone a run has denominator 0; unswapped and both swapped the difference is ±0.5."""
    assert compare_paired(*ratio_runs([(1, 1, 0, 0), (0, 0, 1, 2)])).p_value == 1.0
    assert exact_p_value([(1, 1, 0, 0), (0, 0, 1, 2)]) == 1


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_plain_means_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, 11), rng.integers(0, 4, 11)
    result = compare_paired(mean_run(a.tolist()), mean_run(b.tolist()), target="fixed")
    reference = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert result.p_value == pytest.approx(reference.pvalue)
    student = stats.ttest_rel(a, b)
    assert result.stderr_fixed == pytest.approx((a - b).mean() / student.statistic)
    assert result.interval_fixed == pytest.approx(tuple(student.confidence_interval(0.95)))


def test_random_swaps_come_close_to_all_swaps() -> None:
    rng = np.random.default_rng(5)
    easy_a, hard_a, easy_b, hard_b = rng.integers(0, 4, (4, 14)).tolist()
    parts = [(e - h, e + 1, f - k, f + 1) for e, h, f, k in zip(easy_a, hard_a, easy_b, hard_b, strict=True)]
    a, b = ratio_runs(parts)
    every = compare_paired(a, b, target="fixed", permutations=2**14).p_value
    some = [compare_paired(a, b, target="fixed", permutations=2000, seed=seed).p_value for seed in (0, 0, 1, 2)]
    assert every is not None
    assert 0.02 < every < 0.98
    assert some == [pytest.approx(every, abs=4 * sqrt(every * (1 - every) / 2000))] * 4
    assert some[0] == some[1]
    assert len(set(some)) > 1
    assert compare_paired(a, b, target="fixed", permutations=2**14, seed=1).p_value == every  # all: the seed is idle


def test_random_swaps_never_give_zero() -> None:
    better = mean_run([1 + i % 2 for i in range(60)])
    assert compare_paired(better, mean_run([0] * 60), permutations=199).p_value == 1 / 200
    assert compare_paired(mean_run([1] * 5), mean_run([0] * 5), permutations=32).p_value == 2 / 32


def test_units_that_do_not_differ_need_no_swap() -> None:
    """Six of 300 exams differ: 2⁶ swaps stand for all 2³⁰⁰."""
    a, b = mean_run([1] * 6 + [2, 0] * 147), mean_run([0] * 6 + [2, 0] * 147)
    assert compare_paired(a, b, permutations=64).p_value == 2 / 64
    some = compare_paired(a, b, permutations=40).p_value  # not all of the 64, so random ones and their rule
    assert some in [(1 + count) / 41 for count in range(41)]


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_blocks_of_swaps_add_up(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    a, b = mean_run([3, 1, 2, 0, 3, 1]), mean_run([1, 2, 1, 1, 1, 0])
    whole, long = compare_paired(a, b), mean_run([2] * 40)
    monkeypatch.setattr(paired, "_CHUNK", chunk)
    assert compare_paired(a, b) == whole
    assert compare_paired(long, mean_run([0] * 40), permutations=99).p_value == 1 / 100


@given(SEVERAL, st.sampled_from(["fixed", "general"]), st.sampled_from([7, 1000]))
def test_swapping_the_runs_negates_everything(parts: list[Parts], target: str, permutations: int) -> None:
    a, b = ratio_runs(parts, clusters=3)
    one = compare_paired(a, b, target=target, permutations=permutations)
    two = compare_paired(b, a, target=target, permutations=permutations)
    if one.difference is None or two.difference is None:
        assert one.difference == two.difference
        return
    assert two.difference == -one.difference
    assert (two.value_a, two.value_b) == (one.value_b, one.value_a)
    assert two.stderr == pytest.approx(one.stderr, abs=1e-12)
    assert two.p_value == one.p_value
    assert two.minimum_detectable_effect == pytest.approx(one.minimum_detectable_effect)
    for left, right in ((one.interval_fixed, two.interval_fixed), (one.interval_general, two.interval_general)):
        if left is not None:
            assert right == pytest.approx((-left[1], -left[0]), abs=1e-12)


@given(SEVERAL, st.sampled_from(["fixed", "general"]))
def test_a_run_against_itself(parts: list[Parts], target: str) -> None:
    run, _ = ratio_runs(parts, clusters=3)
    result = compare_paired(run, dict(run), target=target)
    assert result.discordant == 0
    if result.value_a is not None:
        assert (result.difference, result.p_value) == (0.0, 1.0)
        assert (result.stderr, result.interval) == (0.0, (0.0, 0.0))
        assert result.minimum_detectable_effect is None


@given(SEVERAL, st.randoms(use_true_random=False), st.sampled_from([7, 1000]))
def test_the_order_of_exams_and_the_names_of_clusters_do_not_matter(
    parts: list[Parts], rng: random.Random, permutations: int
) -> None:
    a, b = ratio_runs(parts, clusters=3)
    result = compare_paired(a, b, permutations=permutations)
    names = {"0": "z", "1": "k", "2": "a"}
    keys = [*a]
    rng.shuffle(keys)
    shuffled = {key: replace(a[key], cluster=names[a[key].cluster]) for key in keys}
    renamed = {key: replace(term, cluster=names[term.cluster]) for key, term in b.items()}
    assert compare_paired(shuffled, renamed, permutations=permutations) == result


@given(st.lists(PARTS, min_size=2, max_size=6), st.integers(2, 3))
def test_exams_that_repeat_each_other_add_nothing_to_the_general_target(parts: list[Parts], times: int) -> None:
    once = compare_paired(*ratio_runs(parts), target="fixed")
    again = compare_paired(*ratio_runs(parts * times, clusters=len(parts)))
    assert again.p_value == once.p_value
    assert again.stderr_general == pytest.approx(once.stderr_fixed, abs=1e-12)
    assert again.minimum_detectable_effect == pytest.approx(once.minimum_detectable_effect)


@given(SEVERAL, st.sampled_from([3.0, 1e6, 1e-6]))
def test_the_unit_of_the_metric_does_not_matter(parts: list[Parts], scale: float) -> None:
    def scaled(run: Mapping[str, ExamTerm]) -> Run:
        return {key: replace(term, numerator=term.numerator * scale) for key, term in run.items()}

    a, b = ratio_runs(parts)
    one, two = compare_paired(a, b), compare_paired(scaled(a), scaled(b))
    assert two.p_value == one.p_value
    if one.difference is not None and one.stderr is not None:
        assert two.difference == pytest.approx(one.difference * scale)
        assert two.stderr == pytest.approx(one.stderr * scale)


@given(SEVERAL, st.sampled_from([1, 10**7]))
def test_an_offset_of_both_ratios_does_not_matter(parts: list[Parts], offset: int) -> None:
    """Numbers such as token counts are large beside their differences."""
    a, b = ratio_runs(parts)
    moved = ratio_runs([(p[0] + offset * p[1], p[1], p[2] + offset * p[3], p[3]) for p in parts])
    one, two = compare_paired(a, b), compare_paired(*moved)
    assert two.p_value == one.p_value
    assert two.stderr == pytest.approx(one.stderr, abs=1e-6)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=9), st.integers(1, 7))
def test_a_constant_lead_has_no_spread_and_rounding_is_not_taken_for_one(thirds: list[int], samples: int) -> None:
    """Every exam differs by exactly one; means over samples (thirds, sevenths, …) are not exact in binary."""
    b = mean_run([x / samples for x in thirds])
    a = mean_run([1 + x / samples for x in thirds])
    result = compare_paired(a, b)
    assert result.difference == pytest.approx(1)
    assert result.stderr == 0
    assert result.minimum_detectable_effect is None
    assert result.p_value == 2 / 2 ** len(thirds)


@pytest.mark.parametrize("samples", [3, 7])
def test_ties_are_ties_in_spite_of_rounding(samples: int) -> None:
    """The same differences, once as whole numbers and once as sums of fractions."""
    scores_a, scores_b = [3, 1, 2, 0, 3, 1, 2, 2], [1, 2, 1, 1, 1, 0, 2, 3]
    whole = compare_paired(mean_run(scores_a), mean_run(scores_b))
    parts = compare_paired(mean_run([x / samples for x in scores_a]), mean_run([x / samples for x in scores_b]))
    assert parts.p_value == whole.p_value == 76 / 128


def test_only_common_exams_are_used() -> None:
    a, b = mean_run([2, 1, 3, 0]), mean_run([1, 1, 1, 1])
    more_a = {**a, "only-a": ExamTerm(9.0, 1.0, "z")}
    more_b = {**b, "only-b": ExamTerm(5.0, 1.0, "z"), "also-b": ExamTerm(1.0, 1.0, "y")}
    assert compare_paired(more_a, more_b) == replace(compare_paired(a, b), unpaired=3)


def test_what_is_undefined_is_none() -> None:
    a, b = ratio_runs([(0, 0, 1, 2), (0, 0, 0, 3)])
    nothing = compare_paired(a, b)
    assert (nothing.exams, nothing.clusters, nothing.discordant, nothing.value_a) == (2, 2, 2, None)
    assert nothing.value_b == pytest.approx(0.2)
    undefined = [nothing.difference, nothing.stderr_fixed, nothing.stderr_general, nothing.p_value]
    undefined += [nothing.minimum_detectable_effect]
    assert undefined == [None] * 5
    assert nothing.interval_fixed is None
    assert nothing.interval_general is None


def test_one_exam_or_one_cluster_has_no_error_bar() -> None:
    one = compare_paired(mean_run([2]), mean_run([1]), target="fixed")
    assert (one.difference, one.stderr_fixed, one.p_value, one.minimum_detectable_effect) == (1.0, None, None, None)
    a, b = mean_run([2, 1, 3], clusters=1), mean_run([1, 1, 1], clusters=1)
    general, fixed = compare_paired(a, b), compare_paired(a, b, target="fixed")
    assert (general.stderr_general, general.p_value, general.minimum_detectable_effect) == (None, None, None)
    assert general.stderr_fixed == fixed.stderr_fixed == pytest.approx(1 / sqrt(3))
    assert fixed.p_value == 2 / 4


def test_minimum_detectable_effect_of_many_exams_is_2_8_standard_errors() -> None:
    assert minimum_detectable_effect(0.5, 10**6) == pytest.approx(0.5 * (1.95996 + 0.84162), rel=1e-5)
    assert minimum_detectable_effect(None, 29) is None
    assert minimum_detectable_effect(0.0, 29) is None


def test_refusals_say_what_was_wrong() -> None:
    a, b = mean_run([1, 2]), mean_run([2, 1])
    with pytest.raises(UsageError, match="no exam"):
        compare_paired(a, {"other": ExamTerm(1.0, 1.0, "0")})
    with pytest.raises(UsageError, match=r"'exam-001'.*'1'.*'0'"):
        compare_paired(a, mean_run([2, 1], clusters=1))
    with pytest.raises(UsageError, match=r"'both'.*general.*fixed"):
        compare_paired(a, b, target="both")
    with pytest.raises(UsageError, match=r"permutations.*0"):
        compare_paired(a, b, permutations=0)


def test_the_default_is_the_general_target() -> None:
    a, b = mean_run([2, 1, 3, 0], clusters=2), mean_run([1, 1, 1, 1], clusters=2)
    result: PairedDifference = compare_paired(a, b)
    assert result == compare_paired(a, b, target="general")
    assert result.stderr == result.stderr_general != result.stderr_fixed
