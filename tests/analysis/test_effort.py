"""Partial rank correlations of effort, against SciPy, pandas and least squares."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from roi_bench.analysis.reports.effort import Effort, effort, effort_table, partial_spearman
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.reports.views import Scored
from roi_bench.errors import UsageError
from roi_bench.scoring.metrics import Sample
from tests.analysis.invented_runs import answered, invented_run, lost

NONE = Interval(None, None, None)


def by_least_squares(x: Any, y: Any, z: Any) -> float:
    """Correlation of the residuals of ranks of x and y after regression on the ranks of z."""
    ranks = [rankdata(values) for values in (x, y, z)]
    design = np.column_stack([np.ones(len(ranks[2])), ranks[2]])
    left = [rank - design @ np.linalg.lstsq(design, rank, rcond=None)[0] for rank in ranks[:2]]
    return float(np.corrcoef(*left)[0, 1])


def by_formula(x: Any, y: Any, z: Any) -> float:
    """The closed form of the docstring."""
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    return float((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))


def integers(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def attempts(scored: Scored, order: str) -> tuple[Any, Any, Any, list[str]]:
    """Tokens, tier, position and exam of every attempt that the budget did not cut off, in plain Python."""
    rows = [
        (p.tokens, ("easy", "middle", "hard").index(p.tier), p.position, exam)
        for exam, samples in scored.items()
        for sample in samples
        for answer in (sample.main, sample.easy)
        for p in answer.problems
        if p.outcome in ("correct", "wrong", "unanswered") and p.tokens is not None
    ]
    tokens, tier, position, exams = zip(*rows, strict=True)
    return integers(*tokens), integers(*tier), integers(*position), list(exams)


def test_by_hand() -> None:
    # y and z uncorrelated, x = z: nothing left of x for y, all of it for z
    x, y, z = integers(1, 1, 2, 2), integers(0, 1, 0, 1), integers(1, 1, 2, 2)
    assert partial_spearman(x, y, z) == (None, pytest.approx(1.0))
    # d² of ranks: 4, 4, 14, so r_xy = r_xz = 1 − 6·4/120 = 0.8 and r_yz = 1 − 6·14/120 = 0.3
    x, y, z = integers(10, 20, 30, 40, 50), integers(2, 1, 4, 3, 5), integers(1, 3, 2, 5, 4)
    expected = pytest.approx((0.8 - 0.8 * 0.3) / math.sqrt((1 - 0.64) * (1 - 0.09)))
    assert partial_spearman(x, y, z) == (expected, expected)


@pytest.mark.parametrize("order", ["hard", "medium"])
def test_against_least_squares_the_formula_and_pandas(order: str) -> None:
    import pandas

    scored, _ = invented_run(80, order, samples=2, seed=3)
    tokens, tier, position, _ = attempts(scored, order)
    found = effort(scored, order, resamples=5)
    assert found.attempts == len(tokens)
    assert found.truncated > 0
    for interval, one, other in ((found.difficulty, tier, position), (found.position, position, tier)):
        assert interval.value == pytest.approx(by_least_squares(tokens, one, other))
        assert interval.value == pytest.approx(by_formula(tokens, one, other))
        frame = pandas.DataFrame({"x": tokens, "y": one, "z": other}).rank().corr()
        xy, xz, yz = frame.loc["x", "y"], frame.loc["x", "z"], frame.loc["y", "z"]
        assert interval.value == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert found.difficulty.value is not None
    assert found.position.value is not None
    assert found.difficulty.value > 0.3
    assert found.position.value < -0.1


def test_where_the_control_is_constant_it_is_plain_spearman() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 9, 40), generator.integers(0, 3, 40)
    assert partial_spearman(x, y, np.ones(40, dtype=np.int64)) == (pytest.approx(spearmanr(x, y).statistic), None)


def test_one_sorted_order_cannot_tell_difficulty_from_position() -> None:
    scored = {
        str(i): (Sample(answered("hard", *((("wrong", 9 * i + k)) for k in (3, 2, 1))), skipping),)
        for i, skipping in enumerate([answered("easy", *[("skipped", 5)] * 3)] * 4)
    }
    assert effort(scored, "hard", resamples=20) == Effort(NONE, NONE, 12, 0, 0, 4)
    with_easy = {**scored, "z": (Sample(answered("hard", *[("wrong", 5)] * 3), answered("easy", *[("wrong", 7)] * 3)),)}
    assert effort(with_easy, "hard", resamples=20).difficulty.value is not None


def test_a_task_in_easy_order_is_looked_at_once() -> None:
    scored, _ = invented_run(10, "hard")
    found = effort(scored, "easy", resamples=3)
    assert (found.difficulty, found.position) == (NONE, NONE)
    assert found.attempts < effort(scored, "hard", resamples=3).attempts


def test_what_is_left_out_is_counted() -> None:
    main = answered("hard", ("truncated", 500), ("wrong", None), ("skipped", 4))
    easy = answered("easy", ("correct", 5), ("unanswered", 7), ("empty", 0))
    found = effort({"a": (Sample(main, easy),), "b": (Sample(lost(), easy),)}, "hard", resamples=3)
    assert (found.attempts, found.truncated, found.uncounted, found.clusters) == (2, 1, 1, 1)


def test_nothing_at_all() -> None:
    assert effort({}, "hard") == Effort(NONE, NONE, 0, 0, 0, 0)
    assert effort({"a": (Sample(lost(), lost("easy")),)}, "hard") == Effort(NONE, NONE, 0, 0, 0, 0)
    assert partial_spearman(integers(), integers(), integers()) == (None, None)
    assert partial_spearman(integers(3), integers(1), integers(2)) == (None, None)


def test_one_exam_has_a_value_and_no_interval() -> None:
    scored, _ = invented_run(1, "hard", samples=8)
    found = effort(scored, "hard")
    assert found.difficulty.value is not None
    assert (found.difficulty.low, found.difficulty.high, found.clusters) == (None, None, 1)


def test_the_bootstrap_resamples_whole_clusters_and_ranks_anew() -> None:
    scored, clusters = invented_run(24, "hard", clusters=6, seed=5)
    tokens, tier, position, exams = attempts(scored, "hard")
    names = sorted(set(clusters.values()))
    members = {name: [i for i, exam in enumerate(exams) if clusters[exam] == name] for name in names}
    drawn = np.random.default_rng(7).multinomial(6, [1 / 6] * 6, size=200)
    values = []
    for counts in drawn:
        rows = [i for name, count in zip(names, counts, strict=True) for i in members[name] * count]
        values.append(
            [by_formula(tokens[rows], tier[rows], position[rows]), by_formula(tokens[rows], position[rows], tier[rows])]
        )
    lows, highs = np.quantile(np.array(values), (0.025, 0.975), axis=0)
    found = effort(scored, "hard", clusters, resamples=200, seed=7)
    assert found.clusters == 6
    for index, interval in enumerate((found.difficulty, found.position)):
        assert (interval.low, interval.high) == (pytest.approx(lows[index]), pytest.approx(highs[index]))


def test_too_many_undefined_resamples_leave_no_interval() -> None:
    # Without exam "b" every attempt is at its own tier's place, so a quarter of the resamples are collinear.
    skipped = [("skipped", 5)] * 3
    scored = {
        "a": (Sample(answered("hard", ("wrong", 30), ("wrong", 20), ("wrong", 10)), answered("easy", *skipped)),),
        "b": (
            Sample(
                answered("hard", ("wrong", 33), ("wrong", 17), ("wrong", 12)),
                answered("easy", ("wrong", 9), ("wrong", 19), ("wrong", 44)),
            ),
        ),
    }
    found = effort(scored, "hard")
    assert found.difficulty.value is not None
    assert (found.difficulty.low, found.difficulty.high) == (None, None)


def test_seeded_and_independent_of_the_order_of_exams() -> None:
    scored, clusters = invented_run(40, "medium", clusters=8)
    found = effort(scored, "medium", clusters, seed=1)
    assert effort(dict(reversed(scored.items())), "medium", dict(reversed(clusters.items())), seed=1) == found
    assert effort(scored, "medium", clusters, seed=2).difficulty != found.difficulty
    assert found.difficulty.low is not None
    assert found.difficulty.high is not None
    assert found.difficulty.low < (found.difficulty.value or 0) < found.difficulty.high


def test_a_full_run_takes_moments() -> None:
    small, _ = invented_run(240, "hard")
    large, _ = invented_run(480, "hard")

    def seconds(scored: Scored) -> float:
        return min(_timed(scored) for _ in range(3))

    effort(small, "hard", resamples=10)
    assert seconds(large) < 8 * seconds(small)  # linear work would be twice


def _timed(scored: Scored) -> float:
    start = time.perf_counter()
    effort(scored, "hard", resamples=300)
    return time.perf_counter() - start


def test_table() -> None:
    scored, clusters = invented_run(30, "medium", clusters=5)
    found = effort(scored, "medium", clusters, seed=4)
    table = effort_table(scored, "medium", clusters, seed=4)
    left = (found.attempts, found.truncated, found.uncounted)
    assert table.rows == (
        ("difficulty", "position", found.difficulty, *left),
        ("position", "difficulty", found.position, *left),
    )
    assert "clustered by re-used problem" in table.note
    with pytest.raises(UsageError, match="zigzag"):
        effort_table(scored, "zigzag")
    with pytest.raises(UsageError, match=r"resamples.*0"):
        effort(scored, "medium", resamples=0)


VALUES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(1, 3)), max_size=25)


@given(VALUES)
def test_always_a_correlation_or_nothing(rows: list[tuple[int, int, int]]) -> None:
    x, y, z = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    for found, one, other in zip(partial_spearman(x, y, z), (y, z), (z, y), strict=True):
        if found is None:
            continue
        assert -1 <= found <= 1
        if len(set(other)) > 1:
            assert found == pytest.approx(by_least_squares(x, one, other), abs=1e-6)


@given(VALUES, st.integers(1, 50), st.integers(0, 9))
def test_only_the_order_of_tokens_matters(rows: list[tuple[int, int, int]], scale: int, shift: int) -> None:
    x, y, z = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    assert partial_spearman(scale * x**3 + shift, y, z) == partial_spearman(x, y, z)
    turned = tuple(None if value is None else pytest.approx(-value) for value in partial_spearman(x, y, z))
    assert partial_spearman(-x, y, z) == turned
