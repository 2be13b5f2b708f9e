"""Rank intervals, tiers and Holm's adjustment against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.analysis.paired import PERMUTATIONS, compare_paired, holm
from roi_bench.analysis.ranking import Ranking, permutations_for, rank_runs
from roi_bench.errors import UsageError
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio

Run = dict[str, ExamTerm]

EXAMS = 16


def run_with(solved: int, exams: int = EXAMS, clusters: int | None = None) -> Run:
    """A run that solves the first ``solved`` exams, one point each."""
    return {
        f"exam-{i:03}": ExamTerm(float(i < solved), 1.0, str(i if clusters is None else i % clusters))
        for i in range(exams)
    }


def rank(solved: dict[str, int], **options: object) -> Ranking:
    return rank_runs({name: run_with(count) for name, count in solved.items()}, **{"higher_is_better": True} | options)  # type: ignore[arg-type]


def summary(ranking: Ranking) -> list[tuple[str, tuple[int, int] | None, int | None]]:
    return [(one.name, one.ranks, one.tier) for one in ranking.ranks]


def adjusted(*p_values: float | None) -> list[float | None]:
    found = holm(np.array([np.nan if p is None else p for p in p_values], dtype=np.float64))
    return [None if np.isnan(p) else float(p) for p in found]


def test_holm_by_hand() -> None:
    """0.005·4, 0.01·3, then 0.03·2; 0.04·1 is less than that and takes it over."""
    assert adjusted(0.01, 0.04, 0.03, 0.005) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted(0.5, 0.9) == [1.0, 1.0]
    assert adjusted(0.02) == [0.02]
    assert adjusted() == []


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_holm_step_by_step(p_values: list[float | None]) -> None:
    """One at a time, from the smallest: what the definition says."""
    ascending = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    expected: list[float | None] = [None] * len(p_values)
    running = 0.0
    for position, (p, index) in enumerate(ascending):
        running = max(running, min(1.0, (len(ascending) - position) * p))
        expected[index] = running
    assert adjusted(*p_values) == expected


def test_an_undefined_p_value_stays_so_and_does_not_count() -> None:
    assert adjusted(None, 0.01, None, 0.02) == [None, 0.02, None, 0.02]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_lies_between_the_p_value_and_bonferroni(p_values: list[float]) -> None:
    found = [p for p in adjusted(*p_values) if p is not None]
    assert len(found) == len(p_values)
    for p, q in zip(p_values, found, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    assert [q for _, q in sorted(zip(p_values, found, strict=True))] == sorted(found)


def test_clear_differences_leave_one_rank_each() -> None:
    ranking = rank({"low": 0, "high": 16, "middle": 8})
    assert summary(ranking) == [("high", (1, 1), 1), ("middle", (2, 2), 2), ("low", (3, 3), 3)]
    assert [(c.first, c.second, c.better) for c in ranking.comparisons] == [
        ("high", "middle", "high"),
        ("high", "low", "high"),
        ("middle", "low", "middle"),
    ]


def test_where_lower_is_better_the_order_turns() -> None:
    ranking = rank({"low": 0, "high": 16, "middle": 8}, higher_is_better=False)
    assert summary(ranking) == [("low", (1, 1), 1), ("middle", (2, 2), 2), ("high", (3, 3), 3)]
    assert {c.better for c in ranking.comparisons if "low" in (c.first, c.second)} == {"low"}


def test_equal_runs_share_ranks_and_stand_by_name() -> None:
    ranking = rank({"b": 12, "worst": 0, "a": 12})
    assert summary(ranking) == [("a", (1, 2), 1), ("b", (1, 2), 1), ("worst", (3, 3), 2)]
    assert [c.adjusted_p for c in ranking.comparisons] == [1.0, pytest.approx(6 / 2**12), pytest.approx(6 / 2**12)]


def test_a_tier_starts_where_a_run_is_worse_than_the_top_of_the_tier_above() -> None:
    """Steps of 5 exams: neighbours differ with p = 2/32 only, all others significantly (2/1024 · 5 at most)."""
    ranking = rank({"d": 0, "c": 5, "b": 10, "a": 15}, permutations=2**15)
    assert summary(ranking) == [("a", (1, 2), 1), ("b", (1, 3), 1), ("c", (2, 4), 2), ("d", (3, 4), 2)]
    adjusted = {(c.first, c.second): c.adjusted_p for c in ranking.comparisons}
    assert adjusted["a", "d"] == pytest.approx(6 * 2 / 2**15)
    assert adjusted["a", "c"] == adjusted["b", "d"] == pytest.approx(5 * 2 / 2**10)
    assert adjusted["a", "b"] == adjusted["b", "c"] == adjusted["c", "d"] == pytest.approx(3 * 2 / 2**5)
    # With all neighbours significant at a lax level, each run is a tier.
    assert [one.tier for one in rank({"d": 0, "c": 5, "b": 10, "a": 15}, alpha=0.2).ranks] == [1, 2, 3, 4]


def test_the_adjustment_decides() -> None:
    """p = 2/64 is below 5 % for one comparison and above it for the last two of three."""
    assert summary(rank({"a": 6, "b": 0})) == [("a", (1, 1), 1), ("b", (2, 2), 2)]
    assert summary(rank({"a": 6, "b": 0, "c": 0})) == [("a", (1, 3), 1), ("b", (1, 3), 1), ("c", (1, 3), 1)]


def test_a_p_value_equal_to_the_level_is_significant() -> None:
    assert [one.tier for one in rank({"a": 6, "b": 0}, alpha=2 / 64).ranks] == [1, 2]
    assert [one.tier for one in rank({"a": 6, "b": 0}, alpha=2 / 65).ranks] == [1, 1]


def test_one_run_alone_and_none() -> None:
    alone = rank({"only": 3})
    assert summary(alone) == [("only", (1, 1), 1)]
    assert alone.comparisons == ()
    assert rank({}) == Ranking((), ())


def test_undefined_values_come_last_without_a_tier() -> None:
    undefined = {f"exam-{i:03}": ExamTerm(0.0, 0.0, str(i)) for i in range(EXAMS)}
    runs = {"z": undefined, "y": {}, "b": run_with(16), "a": run_with(0)}
    ranking = rank_runs(runs, higher_is_better=True)
    assert summary(ranking) == [("b", (1, 1), 1), ("a", (2, 2), 2), ("y", None, None), ("z", None, None)]
    assert [(c.first, c.second) for c in ranking.comparisons] == [("b", "a")]
    assert ranking.ranks[-1].estimate.value is None
    assert ranking.ranks[-1].interval is None


def test_a_comparison_that_is_undefined_decides_nothing() -> None:
    """Both values are defined, but on the exams in common run a has no denominator."""
    a = {"1": ExamTerm(0.0, 0.0, "1"), "2": ExamTerm(0.0, 0.0, "2"), "3": ExamTerm(2.0, 1.0, "3")}
    b = {"1": ExamTerm(1.0, 1.0, "1"), "2": ExamTerm(0.0, 1.0, "2")}
    ranking = rank_runs({"a": a, "b": b}, higher_is_better=True)
    assert summary(ranking) == [("a", (1, 2), 1), ("b", (1, 2), 1)]
    assert (ranking.comparisons[0].adjusted_p, ranking.comparisons[0].better) == (None, None)


def test_estimates_and_intervals_are_those_of_each_run() -> None:
    runs = {"a": run_with(9, clusters=4), "b": run_with(3, clusters=4)}
    runs["a"]["more"] = ExamTerm(1.0, 1.0, "more")
    expected = estimate_ratio(list(runs["a"].values()))
    for target in ("general", "fixed"):
        first = rank_runs(runs, higher_is_better=True, target=target, alpha=0.1).ranks[0]
        assert (first.name, first.estimate) == ("a", expected)
        assert first.interval == confidence_interval(expected, confidence=0.9, target=target)


def test_the_target_is_that_of_the_comparisons() -> None:
    """Four clusters can at best give p = 2/16; the exams in them p = 2/2¹⁶."""
    runs = {"a": run_with(16, clusters=4), "b": run_with(0, clusters=4)}
    assert [one.ranks for one in rank_runs(runs, higher_is_better=True).ranks] == [(1, 2), (1, 2)]
    assert [one.ranks for one in rank_runs(runs, higher_is_better=True, target="fixed").ranks] == [(1, 1), (2, 2)]
    assert rank_runs(runs, higher_is_better=True).comparisons[0].adjusted_p == 2 / 16


def test_comparisons_are_those_of_two_runs_with_the_seed_and_the_swaps() -> None:
    even = {f"exam-{i:03}": ExamTerm(float(i % 2 == 0), 1.0, str(i)) for i in range(60)}
    runs = {"a": run_with(40, exams=60), "b": run_with(10, exams=60), "c": even}
    for seed in (0, 3):
        ranking = rank_runs(runs, higher_is_better=True, permutations=500, seed=seed)
        assert [(c.first, c.second) for c in ranking.comparisons] == [("a", "c"), ("a", "b"), ("c", "b")]
        for comparison in ranking.comparisons:
            first, second = runs[comparison.first], runs[comparison.second]
            assert comparison.paired == compare_paired(first, second, permutations=500, seed=seed)


def test_swaps_suffice_for_many_runs() -> None:
    """With 30 swaps p ≥ 1/31, which three comparisons bring above 5 %; by default there are as many as it takes."""
    runs = {"a": run_with(60, exams=60), "b": run_with(30, exams=60), "c": run_with(0, exams=60)}
    assert [one.tier for one in rank_runs(runs, higher_is_better=True, permutations=30).ranks] == [1, 1, 1]
    assert [one.tier for one in rank_runs(runs, higher_is_better=True).ranks] == [1, 2, 3]
    assert permutations_for(3, 0.05) == PERMUTATIONS
    assert permutations_for(780, 0.05) == 62_400
    tiny = rank_runs(runs, higher_is_better=True, alpha=0.0002).comparisons  # 3 / 10 001 would not do
    assert [c.better for c in tiny] == ["a", "a", "b"]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, EXAMS), min_size=1), st.booleans())
def test_every_run_stands_within_its_rank_interval(solved: dict[str, int], higher: bool) -> None:
    ranks = rank(solved, higher_is_better=higher, permutations=2000).ranks
    tiers = [one.tier for one in ranks if one.tier is not None]
    assert tiers == sorted(tiers)
    assert set(tiers) == set(range(1, max(tiers) + 1))
    assert len(tiers) == len(solved)
    for place, one in enumerate(ranks, start=1):
        assert one.ranks is not None
        assert 1 <= one.ranks[0] <= place <= one.ranks[1] <= len(ranks)


def test_refusals_say_what_was_wrong() -> None:
    with pytest.raises(UsageError, match=r"'a'.*'b'"):
        rank_runs({"a": run_with(2), "b": {"other": ExamTerm(0.0, 1.0, "1")}}, higher_is_better=True)
    for level in (0.0, 1.0):
        with pytest.raises(UsageError, match=f"(level|alpha).*{level}"):
            rank({"a": 1}, alpha=level)
    with pytest.raises(UsageError, match="'both'"):
        rank({"a": 1}, target="both")
