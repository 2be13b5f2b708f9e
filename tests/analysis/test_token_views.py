"""Where the tokens go."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.reports.views import (
    TokenSummary,
    planning_shares,
    token_table,
    tokens_by_position,
    tokens_by_position_and_tier,
    tokens_by_tier,
)
from roi_bench.scoring.metrics import Sample
from tests.analysis.invented_runs import answered, invented_run, lost, problem, response

EASY = answered("easy", ("correct", 10), ("correct", 20), ("correct", 30))


def five_exams() -> dict[str, tuple[Sample, ...]]:
    """Position 1 (hard): 100, 200, 300, 400 and a skip of 50; position 2 (middle): 40 each; 3 (easy): 10 each."""
    firsts = [("wrong", 100), ("correct", 200), ("unanswered", 300), ("truncated", 400), ("skipped", 50)]
    return {
        str(index): (
            Sample(answered("hard", first, ("wrong", 40), ("correct", 10), index=index, planning=20 * index), EASY),
        )
        for index, first in enumerate(firsts)
    }


def test_positions_by_hand() -> None:
    first, second, third, *easy = tokens_by_position(five_exams(), "hard")
    whole = 1050 + 200 + 50 + 200
    # ranks 0, 1, 2, 3 of 100 … 400: the 10th percentile lies at 0.3, the 90th at 2.7
    assert first == TokenSummary("hard", 1, None, 4, 0, 250.0, pytest.approx((130, 175, 250, 325, 370)), 1050 / whole)
    assert second == TokenSummary("hard", 2, None, 5, 0, 40.0, (40, 40, 40, 40, 40), 200 / whole)
    assert third.share == 50 / whole
    assert [item.mean for item in easy] == [10, 20, 30]
    assert planning_shares(five_exams(), "hard") == {"hard": 200 / whole, "easy": 0.0}


def test_tiers_by_hand() -> None:
    found = {(item.order, item.tier): item for item in tokens_by_tier(five_exams(), "hard")}
    assert (found["hard", "hard"].mean, found["hard", "hard"].attempted) == (250, 4)
    assert (found["hard", "easy"].mean, found["easy", "hard"].mean) == (10, 30)
    both = tokens_by_position_and_tier(five_exams(), "hard")
    assert [(item.order, item.position, item.tier) for item in both] == [
        *(("hard", 1, "hard"), ("hard", 2, "middle"), ("hard", 3, "easy")),
        *(("easy", 1, "easy"), ("easy", 2, "middle"), ("easy", 3, "hard")),
    ]
    assert both[0].quantiles == pytest.approx((130, 175, 250, 325, 370))


def test_a_problem_never_reached_is_no_attempt_and_its_tokens_none() -> None:
    main = response(
        [
            problem(1, "hard", "truncated", 500),
            problem(2, "middle", "truncated", 0, attempted=False),
            problem(3, "easy", "truncated", 0, attempted=False),
        ]
    )
    found = tokens_by_position({"a": (Sample(main, EASY),)}, "hard")
    assert [item.attempted for item in found[:3]] == [1, 0, 0]
    assert (found[1].mean, found[1].quantiles, found[1].share) == (None, None, 0.0)


def test_unknown_tokens_are_left_out_and_counted() -> None:
    scored = five_exams()
    unknown = Sample(answered("hard", ("wrong", None), ("wrong", None), ("skipped", None)), EASY)
    scored["unknown"] = (unknown, unknown)
    scored["lost"] = (Sample(lost(), EASY),)
    with_them, without = tokens_by_position(scored, "hard"), tokens_by_position(five_exams(), "hard")
    assert [item.uncounted for item in with_them] == [2, 2, 2, 0, 0, 0]
    assert [(i.attempted, i.mean, i.share) for i in with_them[:3]] == [
        (i.attempted, i.mean, i.share) for i in without[:3]
    ]
    assert "without a response" in token_table(scored, "hard").note


def test_a_response_with_one_unknown_problem_has_no_shares() -> None:
    partly = Sample(answered("hard", ("wrong", 70), ("wrong", None), ("wrong", 30)), EASY)
    first, second, *_ = tokens_by_position({"a": (partly,)}, "hard")
    assert (first.attempted, first.mean, first.share) == (1, 70, None)
    assert (second.attempted, second.uncounted) == (0, 1)


def test_no_tokens_at_all() -> None:
    unknown = answered("hard", ("wrong", None), ("wrong", None), ("wrong", None))
    scored = {"a": (Sample(unknown, unknown),)}
    assert {(i.attempted, i.uncounted, i.mean, i.share) for i in tokens_by_position(scored, "hard")} == {
        (0, 1, None, None)
    }
    assert planning_shares(scored, "hard") == {"hard": None, "easy": None}
    assert token_table({}, "hard").rows[-1] == ("easy", "planning", *[None] * 7)


def test_recounted_problems_may_exceed_what_the_provider_says() -> None:
    told = answered("hard", ("wrong", 60), ("wrong", 30), ("wrong", 20))
    usage = told.usage
    assert usage is not None
    short = type(told)(told.problems, 1000, type(usage)(100, "stop", "provider"), 0, False, False)
    scored = {"a": (Sample(short, EASY),)}
    assert [item.share for item in tokens_by_position(scored, "hard")[:3]] == [60 / 110, 30 / 110, 20 / 110]
    assert planning_shares(scored, "hard")["hard"] == 0


def test_the_table_shows_it_all() -> None:
    table = token_table(five_exams(), "hard")
    assert table.rows[0] == ("hard", "position 1", 4, 0, 250.0, pytest.approx(130), 250.0, pytest.approx(370), 0.7)
    assert [row[1] for row in table.rows[:7]] == [
        *("position 1", "position 2", "position 3", "easy", "middle", "hard", "planning"),
    ]
    assert table.rows[6][-1] == 200 / 1500
    assert len(table.rows) == 14


def test_against_the_standard_library() -> None:
    scored, _ = invented_run(90, "medium", samples=2)
    attempts = [
        p.tokens
        for samples in scored.values()
        for sample in samples
        for p in sample.main.problems
        if p.position == 2 and p.outcome != "skipped" and p.tokens
    ]
    found = tokens_by_position(scored, "medium")[1]
    assert found.attempted == len(attempts)
    assert found.mean == pytest.approx(statistics.fmean(attempts))
    deciles = statistics.quantiles(attempts, n=10, method="inclusive")
    quartiles = statistics.quantiles(attempts, n=4, method="inclusive")
    assert found.quantiles == pytest.approx((deciles[0], *quartiles, deciles[8]))


SPENT = st.tuples(st.sampled_from(["correct", "wrong", "skipped", "truncated"]), st.none() | st.integers(0, 2000))


@given(st.lists(st.tuples(SPENT, SPENT, SPENT, st.integers(0, 50)), min_size=1, max_size=6))
def test_shares_add_up(rows: list[tuple[tuple[str, int | None], ...]]) -> None:
    scored = {
        str(i): (Sample(answered("medium", *row[:3], index=i, planning=row[3]), EASY),)  # type: ignore[arg-type]
        for i, row in enumerate(rows)
    }
    planning = planning_shares(scored, "medium")["medium"]
    for view in (tokens_by_position, tokens_by_tier, tokens_by_position_and_tier):
        found = [item for item in view(scored, "medium") if item.order == "medium"]
        if planning is None:
            assert all(item.share is None for item in found)
        else:
            assert planning + sum(item.share or 0 for item in found) == pytest.approx(1)
        for item in found:
            assert item.quantiles is None or list(item.quantiles) == sorted(item.quantiles)
            assert item.quantiles is None or np.isfinite(item.mean or 0)
