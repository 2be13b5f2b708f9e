"""Vectorised comparisons of many runs against the ones made pair by pair, scipy, cases by hand, and simulation."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from roi_bench.analysis.paired import compare_paired
from roi_bench.analysis.ranking import FloatArray, ManyRanks, mean_terms, paired_lines, rank_many, rank_runs, run_terms
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import ExamTerm

Run = dict[str, ExamTerm]


def invented(seed: int, *, exams: int = 60, clusters: int = 12, shift: float = 0.0, ratio: bool = False) -> Run:
    """A run of 0–3 points an exam; with ``ratio`` a regret-like metric whose denominators vary and are 0 at times."""
    source = random.Random(seed)
    terms = {}
    for index in range(exams):
        chance = min(0.95, max(0.05, 0.2 + 0.5 * ((index * 7) % 10) / 10 + shift))
        points = sum(source.random() < chance for _ in range(3))
        easy = sum(source.random() < chance for _ in range(3))
        numerator, denominator = (float(easy - points), float(easy)) if ratio else (float(points), 1.0)
        terms[f"exam-{index:03}"] = ExamTerm(numerator, denominator, f"c{index % clusters}")
    return terms


def chosen(run: Run, exams: range) -> Run:
    return {f"exam-{index:03}": run[f"exam-{index:03}"] for index in exams}


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("clusters", [2, 12, 60])
def test_lines_are_those_of_the_comparison_pair_by_pair(ratio: bool, clusters: int) -> None:
    runs = [invented(seed, clusters=clusters, shift=0.03 * seed, ratio=ratio) for seed in range(6)]
    runs += [chosen(runs[0], range(40)), chosen(runs[1], range(20, 60)), chosen(runs[2], range(1, 60, 2))]
    pairs = [(a, b) for a in range(len(runs)) for b in range(len(runs)) if a != b]
    for (a, b), line in zip(pairs, paired_lines(runs, pairs), strict=True):
        expected = compare_paired(runs[a], runs[b], permutations=8)
        assert (line.a, line.b, line.exams, line.discordant) == (a, b, expected.exams, expected.discordant)
        assert line.difference.value == expected.difference
        if (expected.stderr_general or 0.0) < 1e-15:  # one cluster, or clusters that all agree
            assert (line.difference.low, line.difference.high, line.detectable) == (None, None, None)
            assert line.p_value == expected.p_value
        else:
            assert (line.difference.low, line.difference.high) == pytest.approx(expected.interval, abs=1e-9)
            assert line.detectable == pytest.approx(expected.minimum_detectable_effect, abs=1e-9)


def test_single_exams_as_clusters_make_it_the_paired_t_test() -> None:
    runs = [invented(seed, clusters=60, shift=0.04 * seed) for seed in range(5)]
    pairs = [(a, b) for a in range(5) for b in range(a)]
    for (a, b), line in zip(pairs, paired_lines(runs, pairs), strict=True):
        points_a, points_b = ([term.numerator for term in runs[run].values()] for run in (a, b))
        assert line.p_value == pytest.approx(ttest_rel(points_a, points_b).pvalue, rel=1e-9)


def test_equal_runs_differ_by_exactly_nothing() -> None:
    """Thirds have no exact sum, and the mappings come in different orders: still not a trace of a difference."""
    source = random.Random(3)
    run = {
        f"exam-{i:03}": ExamTerm(source.randrange(10) / 3, source.randrange(1, 5) / 7, f"c{i % 30}") for i in range(480)
    }
    shuffled = dict(sorted(run.items(), key=lambda item: hash_of(item[0])))
    others = [invented(seed, exams=480, clusters=30, ratio=True) for seed in range(3)]
    found = rank_many([run, others[0], shuffled, others[1], run, others[2]])
    for a, b in ((0, 2), (0, 4), (2, 4)):
        (line,) = paired_lines([run, others[0], shuffled, others[1], run, others[2]], [(a, b)])
        assert (line.difference.value, line.difference.low, line.p_value, line.discordant) == (0.0, None, 1.0, 0)
        assert found.adjusted_p[a, b] == 1.0
        assert found.ranks[a] == found.ranks[b]


def hash_of(name: str) -> int:
    return int(name[-3:]) * 7919 % 480


def test_where_all_clusters_agree_p_is_that_of_swapping_each() -> None:
    """One point more on every exam of 5 clusters: the standard error is 0, and 2 of 2⁵ swaps are as extreme."""
    low = {f"exam-{i:03}": ExamTerm(i % 3 / 3, 1.0, f"c{i % 5}") for i in range(20)}
    high = {exam: ExamTerm(term.numerator + 1, 1.0, term.cluster) for exam, term in low.items()}
    (line,) = paired_lines([high, low], [(0, 1)])
    assert line.p_value == 2**-4 == compare_paired(high, low).p_value
    assert (line.difference.low, line.detectable) == (None, None)
    assert rank_many([low, high]).ranks == ((1, 2), (1, 2))


def test_perfect_runs_stand_above_those_that_solve_nothing() -> None:
    runs = [mean_terms([f"e{i}" for i in range(30)], [f"c{i}" for i in range(30)], [points] * 30) for points in (0, 3)]
    found = rank_many(runs)
    assert (found.order, found.ranks, found.tiers) == ((1, 0), ((2, 2), (1, 1)), (2, 1))


def steps(*solved: int) -> list[Run]:
    """Runs that solve the first so many of 64 exams."""
    return [{f"exam-{i:03}": ExamTerm(float(i < count), 1.0, str(i)) for i in range(64)} for count in solved]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_ranks_and_tiers_are_those_of_the_ranking_where_both_tests_agree(higher_is_better: bool) -> None:
    solved = (10, 60, 40, 12, 39, 25, 61)
    runs = steps(*solved)
    expected = rank_runs({f"run {i}": run for i, run in enumerate(runs)}, higher_is_better=higher_is_better)
    found = rank_many(runs, higher_is_better=higher_is_better)
    assert [f"run {index}" for index in found.order] == [rank.name for rank in expected.ranks]
    by_name = {rank.name: rank for rank in expected.ranks}
    assert found.ranks == tuple(by_name[f"run {i}"].ranks for i in range(len(runs)))
    assert found.tiers == tuple(by_name[f"run {i}"].tier for i in range(len(runs)))
    assert len(set(found.tiers)) == 4
    assert any(one is not None and one[0] != one[1] for one in found.ranks)


def test_a_run_may_be_better_on_the_exams_in_common_and_stand_lower_by_its_own() -> None:
    """The second solves all that both sat, and fails at the rest, which the first never saw."""
    half, whole, none = steps(20, 32, 0)
    runs = [chosen(half, range(32)), whole, none]
    expected = {rank.name: rank for rank in rank_runs(dict(zip("abc", runs, strict=True)), higher_is_better=True).ranks}
    found = rank_many(runs)
    assert found.order == (0, 1, 2)
    assert found.ranks == ((2, 2), (1, 1), (3, 3)) == tuple(expected[name].ranks for name in "abc")
    assert found.tiers == (1, 1, 2) == tuple(expected[name].tier for name in "abc")


def test_columns_and_mappings_are_the_same_runs() -> None:
    runs = [invented(seed, shift=0.05 * seed) for seed in range(4)]
    columns = [
        mean_terms(list(run), [t.cluster for t in run.values()], [t.numerator for t in run.values()]) for run in runs
    ]
    assert_equal(rank_many(runs), rank_many(columns))
    assert_equal(rank_many(runs), rank_many([run_terms(runs[0]), runs[1], *columns[2:]]))


def assert_equal(one: ManyRanks, other: ManyRanks) -> None:
    assert (one.order, one.ranks, one.tiers) == (other.order, other.ranks, other.tiers)
    np.testing.assert_array_equal(one.adjusted_p, other.adjusted_p)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(7)))
def test_the_order_in_which_runs_are_given_changes_nothing(places: list[int]) -> None:
    runs = [invented(seed, shift=0.08 * seed) for seed in range(5)]
    runs += [chosen(invented(9), range(30)), {}]
    usual, other = rank_many(runs), rank_many([runs[place] for place in places])
    assert [places[index] for index in other.order] == list(usual.order)
    assert other.ranks == tuple(usual.ranks[place] for place in places)
    assert other.tiers == tuple(usual.tiers[place] for place in places)
    np.testing.assert_array_equal(other.adjusted_p, usual.adjusted_p[np.ix_(places, places)])


def test_undefined_values_stand_last_without_a_rank() -> None:
    undefined = {f"exam-{i:03}": ExamTerm(0.0, 0.0, str(i)) for i in range(64)}
    found = rank_many([undefined, *steps(0, 64), {}])
    assert (found.order, found.ranks) == ((2, 1, 0, 3), (None, (2, 2), (1, 1), None))
    assert found.tiers == (None, 2, 1, None)
    assert np.isnan(found.adjusted_p[0]).all()
    assert found.adjusted_p[1, 2] < 1e-9
    (line,) = paired_lines([undefined, *steps(0)], [(0, 1)])
    assert (line.exams, line.difference.value, line.p_value, line.detectable) == (64, None, None, None)


def test_runs_without_an_exam_in_common_are_not_told_apart() -> None:
    (run,) = steps(64)
    parts = [chosen(run, range(32)), {exam: ExamTerm(0.0, 1.0, term.cluster) for exam, term in run.items()}]
    parts[1] = chosen(parts[1], range(32, 64))
    found = rank_many(parts)
    assert (found.ranks, found.tiers) == (((1, 2), (1, 2)), (1, 1))
    (line,) = paired_lines(parts, [(0, 1)])
    assert (line.exams, line.difference.value, line.p_value) == (0, None, None)


def test_one_cluster_tests_nothing() -> None:
    runs = [{exam: ExamTerm(term.numerator, 1.0, "one") for exam, term in run.items()} for run in steps(0, 64)]
    assert rank_many(runs).ranks == ((1, 2), (1, 2))
    (line,) = paired_lines(runs, [(1, 0)])
    assert (line.difference.value, line.difference.low, line.p_value, line.detectable) == (1.0, None, None, None)


def test_no_runs_no_pairs() -> None:
    assert rank_many([]).order == ()
    assert rank_many(steps(3)).ranks == ((1, 1),)
    assert paired_lines(steps(3), []) == []


def test_an_exam_in_two_clusters_is_refused() -> None:
    runs = [invented(0), invented(1) | {"exam-004": ExamTerm(1.0, 1.0, "elsewhere")}]
    with pytest.raises(UsageError, match=r"'exam-004'.*'c4'.*'elsewhere'"):
        rank_many(runs)
    with pytest.raises(UsageError, match=r"(level|alpha).*1\.0"):
        rank_many(runs[:1], alpha=1.0)


def simulated(generator: np.random.Generator, skills: FloatArray) -> list[list[float]]:
    """Scores of runs with the given skills on 120 exams: problems re-used in 30 clusters are harder for some runs."""
    hard = np.repeat(generator.normal(size=30), 4)
    taste = np.repeat(generator.normal(scale=0.5, size=(len(skills), 30)), 4, axis=1)
    chances = 1 / (1 + np.exp(hard - skills[:, None] - taste))
    return [[float(points) for points in run] for run in generator.binomial(3, chances)]


def test_equal_runs_are_hardly_ever_told_apart() -> None:
    """12 equal runs, 66 pairs: in 5 % of the cases at most some pair differs; 400 cases leave ± 2.2 % of noise."""
    generator = np.random.default_rng(11)
    exams, clusters = [f"e{i:03}" for i in range(120)], [f"c{i // 4}" for i in range(120)]
    false = unadjusted = 0
    for _ in range(400):
        runs = [mean_terms(exams, clusters, scores) for scores in simulated(generator, np.zeros(12))]
        found = rank_many(runs)
        false += any(rank != (1, 12) for rank in found.ranks)
        pairs = [(0, 1), (2, 3), (4, 5), (6, 7)]
        unadjusted += sum((line.p_value or 1.0) <= 0.05 for line in paired_lines(runs, pairs))
    assert false / 400 <= 0.072
    assert 0.035 <= unadjusted / 1600 <= 0.068, "the p-value of one pair keeps its level, and makes use of it"


def test_true_ranks_lie_in_the_intervals() -> None:
    """Ten runs of different skill: all intervals are right together in 95 % of the cases, and they are short."""
    generator = np.random.default_rng(12)
    exams, clusters = [f"e{i:03}" for i in range(120)], [f"c{i // 4}" for i in range(120)]
    right, widths = 0, []
    for _ in range(100):
        scores = simulated(generator, np.linspace(1.5, -1.5, 10))
        ranks = rank_many([mean_terms(exams, clusters, points) for points in scores]).ranks
        intervals = [one for one in ranks if one is not None]
        right += all(low <= place <= high for place, (low, high) in enumerate(intervals, start=1))
        widths += [high - low for low, high in intervals]
    assert right >= 90
    assert np.mean(widths) < 5
