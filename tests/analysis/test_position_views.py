"""Accuracy by position and tier; what the views of a run have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.reports.views import (
    accuracies_by_position,
    accuracies_by_tier_and_position,
    asked_orders,
    is_attempt,
    position_table,
    ratio,
    tier_position_table,
)
from roi_bench.errors import UsageError
from roi_bench.scoring.metrics import Sample, exam_term, metrics_of
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.statistics import ExamTerm, confidence_interval, estimate_ratio
from tests.analysis.invented_runs import answered, invented_run, lost, problem
from tests.support.attempts import exam_attempt, score_exams
from tests.support.exam_factory import make_exam, respond
from tests.support.graders import EqualityGrader

R, W = ("correct", 100), ("wrong", 100)


def three_exams() -> dict[str, tuple[Sample, ...]]:
    """Right in hard order: -, 2, 3 / 1, -, 3 / -, 2, 3; in easy order: 1 / 1, 2 / 1."""
    return {
        "a": (Sample(answered("hard", W, R, R), answered("easy", R, W, W)),),
        "b": (Sample(answered("hard", R, W, R, index=1), answered("easy", R, R, W, index=1)),),
        "c": (Sample(answered("hard", W, R, R, index=2), answered("easy", R, W, W, index=2)),),
    }


def test_positions_by_hand() -> None:
    found = accuracies_by_position(three_exams(), "hard")
    assert [(item.order, item.position) for item in found] == [(o, k) for o in ("hard", "easy") for k in (1, 2, 3)]
    assert [item.accuracy.value for item in found] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1 / 3, 0])
    assert {(item.exams, item.problems, item.tier) for item in found} == {(3, 3, None)}
    # s = 1/√3, s/√n = 1/3, t(2) = 4.3027: cut to 0–1
    assert found[0].accuracy == Interval(pytest.approx(1 / 3), 0.0, 1.0)
    assert found[2].accuracy == Interval(1.0, None, None)


def test_intervals_are_those_of_the_estimator_clustered_or_not() -> None:
    scored, clusters = invented_run(60, samples=2, clusters=7)
    metric = next(m for m in metrics_of(("gsm8k", "math", "aime")) if m.name == "p2_acc")
    for given_clusters, target in ((clusters, "general"), (None, "fixed")):
        terms = [exam_term(metric, samples, clusters[exam]) for exam, samples in scored.items()]
        estimate = estimate_ratio([term for term in terms if term is not None])
        found = accuracies_by_position(scored, "hard", given_clusters)[1]
        ends = confidence_interval(estimate, target=target)
        assert ends is not None
        assert (found.accuracy.value, found.exams, found.problems) == (estimate.value, 60, 120)
        assert (found.accuracy.low, found.accuracy.high) == pytest.approx(ends)


def test_tiers_and_positions_by_hand() -> None:
    hard = accuracies_by_tier_and_position(three_exams(), "hard")
    assert [(item.order, item.tier, item.position) for item in hard] == [
        *(("hard", "easy", 3), ("hard", "middle", 2), ("hard", "hard", 1)),
        *(("easy", "easy", 1), ("easy", "middle", 2), ("easy", "hard", 3)),
    ]
    assert [item.accuracy.value for item in hard] == pytest.approx([1, 2 / 3, 1 / 3, 1, 1 / 3, 0])


def test_medium_order_has_seven_places_of_tiers() -> None:
    scored, _ = invented_run(30, "medium")
    found = [item for item in accuracies_by_tier_and_position(scored, "medium") if item.order == "medium"]
    places = {(item.tier, item.position): item.exams for item in found}
    assert places == {
        ("easy", 1): 10,
        ("easy", 2): 10,
        ("easy", 3): 10,
        ("middle", 1): 20,
        ("middle", 3): 10,
        ("hard", 2): 20,
        ("hard", 3): 10,
    }


def test_exams_without_such_a_tier_there_do_not_narrow_the_interval() -> None:
    scored, _ = invented_run(30, "medium")
    found = next(i for i in accuracies_by_tier_and_position(scored, "medium") if (i.tier, i.position) == ("middle", 3))
    terms = [
        ExamTerm(float(sample.main.problems[2].outcome == "correct"), 1.0, exam)
        for exam, (sample,) in scored.items()
        if sample.main.problems[2].tier == "middle"
    ]
    assert len(terms) == found.exams == 10
    ends = confidence_interval(estimate_ratio(terms))
    assert ends is not None
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((max(0, ends[0]), min(1, ends[1])))


def test_what_an_attempt_is() -> None:
    assert is_attempt(problem(1, "easy", "wrong", 0))
    assert not is_attempt(problem(1, "easy", "wrong", None))
    assert not is_attempt(problem(1, "easy", "truncated", 0, attempted=False))
    # Should a skipped problem ever be given its level alone, it stays a skipped one.
    assert not is_attempt(problem(1, "easy", "skipped", 12, attempted=True))


def test_samples_of_an_exam_weigh_as_one_exam() -> None:
    scored = {
        "a": (Sample(answered("hard", R, R, R), answered("easy", R, R, R)),),
        "b": tuple(Sample(answered("hard", W, W, W), answered("easy", W, W, W)) for _ in range(3)),
    }
    first = accuracies_by_position(scored, "hard")[0]
    assert (first.accuracy.value, first.exams, first.problems) == (0.5, 2, 4)


def test_failed_samples_are_left_out_in_both_orders() -> None:
    scored = three_exams()
    whole = position_table(scored, "hard")
    assert "without a response" not in whole.note
    scored["d"] = (Sample(answered("hard", R, R, R), lost("easy")),)
    scored["e"] = (Sample(lost(), answered("easy", R, R, R)), scored["a"][0])
    table = position_table(scored, "hard")
    assert [row[2:4] for row in table.rows] == [(4, 4)] * 6
    assert "without a response" in table.note


def test_real_responses_go_the_whole_way() -> None:
    attempts = [
        exam_attempt(make_exam(i), "medium", 100, (Response(respond(main)),), (Response(respond(["1", "2", "9"])),))
        for i, main in enumerate((["1", "9", "2"], ["2", "1", "9"], ["9", "3", "1"]))  # EHM, MEH, MHE
    ]
    scored = dict(zip("abc", score_exams(attempts, EqualityGrader()), strict=True))
    rows = {row[:3]: row[5] for row in tier_position_table(scored, "medium").rows}
    values = {place: cell.value for place, cell in rows.items() if isinstance(cell, Interval)}
    assert values == {
        **{("medium", "easy", k): 1.0 for k in (1, 2, 3)},
        ("medium", "middle", 1): 0.5,
        ("medium", "middle", 3): 1.0,
        ("medium", "hard", 2): 0.5,
        ("medium", "hard", 3): 0.0,
        ("easy", "easy", 1): 1.0,
        ("easy", "middle", 2): 1.0,
        ("easy", "hard", 3): 0.0,
    }


def test_tables_say_whose_intervals_they_hold() -> None:
    scored, clusters = invented_run(6, clusters=3)
    assert "for new problems" in position_table(scored, "hard", clusters).note
    assert "on these very exams" in tier_position_table(scored, "hard").note


def test_one_exam_has_no_interval_and_no_exam_no_rows() -> None:
    one = {"a": three_exams()["a"]}
    assert next(item.accuracy for item in accuracies_by_position(one, "hard")) == Interval(0.0, None, None)
    assert position_table({}, "hard").rows == ()
    assert tier_position_table({"a": (Sample(lost(), lost("easy")),)}, "hard").rows == ()


def test_unknown_order_or_cluster() -> None:
    with pytest.raises(UsageError, match=r"'hrad'.*'hard'"):
        position_table({}, "hrad")
    with pytest.raises(UsageError, match=r"cluster.*'b'"):
        position_table(three_exams(), "hard", {"a": "x"})


def test_a_task_in_easy_order_has_one_side() -> None:
    assert [side.order for side in asked_orders("easy")] == ["easy"]
    assert [side.order for side in asked_orders("medium")] == ["medium", "easy"]
    sample = three_exams()["a"][0]
    assert [side.response(sample) for side in asked_orders("hard")] == [sample.main, sample.easy]


def test_nothing_varied_no_interval() -> None:
    third = (Sample(answered("hard", R, W, W), answered("easy", R, R, R)),) + (
        Sample(answered("hard", W, W, W), answered("easy", R, R, R)),
    ) * 2
    scored = dict.fromkeys("abcdefg", third)
    found = ratio(scored, lambda sample: (float(sample.main.score), 1.0), None)
    assert found == Interval(pytest.approx(1 / 3), None, None)


OUTCOMES = st.sampled_from(["correct", "wrong", "skipped", "truncated", "unanswered", "empty"])
ANSWERS = st.tuples(OUTCOMES, OUTCOMES, OUTCOMES)


@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=6))
def test_positions_and_tiers_add_up_to_the_score(rows: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    scored = {
        str(index): (
            Sample(
                answered("medium", *((outcome, None) for outcome in main), index=index),
                answered("easy", *((outcome, None) for outcome in easy), index=index),
            ),
        )
        for index, (main, easy) in enumerate(rows)
    }
    right = sum(main.count("correct") for main, _ in rows)
    by_position = [item for item in accuracies_by_position(scored, "medium") if item.order == "medium"]
    by_both = [item for item in accuracies_by_tier_and_position(scored, "medium") if item.order == "medium"]
    for found in (by_position, by_both):
        assert sum((item.accuracy.value or 0) * item.problems for item in found) == pytest.approx(right)
        assert sum(item.problems for item in found) == 3 * len(rows)
        for item in found:
            low, high = item.accuracy.low, item.accuracy.high
            assert (low is None) == (high is None)
            assert low is None or high is None or 0 <= low <= (item.accuracy.value or 0) <= high <= 1
