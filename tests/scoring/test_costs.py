"""What a task cost, against computations by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.costs import TaskCost, task_cost


def sample(main: list[float | None], easy: list[float | None], score: float | None) -> dict[str, Any]:
    return {"usd": [main, easy], "score": score}


BY_HAND = [
    sample([0.25, 0.5], [0.125, 0.125], 1.5),  # 3 answers correct in two samples
    sample([1.0, 0.25], [0.5, 0.25], 0.5),  # 1
    sample([0.5, 0.5], [0.25, 0.25], 0.0),
]


def test_costs_by_hand() -> None:
    cost = task_cost(BY_HAND)
    assert cost == TaskCost(usd=3.0, usd_easy=1.5, exams=6, correct=4.0, unknown=0)
    assert (cost.usd_per_exam, cost.usd_per_correct) == (0.5, 0.75)


def test_the_document_has_every_number_by_name() -> None:
    cost = task_cost(BY_HAND)
    assert cost is not None
    assert cost.as_document() == {
        "usd": 3.0,
        "usd_easy": 1.5,
        "exams": 6,
        "correct": 4.0,
        "unknown": 0,
        "usd_per_exam": 0.5,
        "usd_per_correct": 0.75,
    }


@pytest.mark.parametrize(
    ("unknown", "usd", "usd_easy", "count"),
    [
        (sample([0.5, None], [0.25, 0.25], 2.0), 3.5, 2.0, 1),
        (sample([0.5, 0.5], [None, None], 2.0), 4.0, 1.5, 2),
        (sample([None, None], [None, 0.25], 2.0), 3.0, 1.75, 3),
        (sample([None, None], [None, None], 2.0), 3.0, 1.5, 4),
    ],
)
def test_an_unknown_cost_in_either_order_is_in_no_sum_and_leaves_no_ratio(
    unknown: dict[str, Any], usd: float, usd_easy: float, count: int
) -> None:
    cost = task_cost([*BY_HAND, unknown])
    assert cost == TaskCost(usd, usd_easy, exams=8, correct=8.0, unknown=count)
    assert (cost.usd_per_exam, cost.usd_per_correct) == (None, None)


def test_where_nothing_is_correct_there_is_no_cost_per_correct_answer() -> None:
    for score in (0.0, None):
        cost = task_cost([sample([0.5], [0.25], score)])
        assert cost == TaskCost(0.5, 0.25, exams=1, correct=0.0, unknown=0)
        assert (cost.usd_per_exam, cost.usd_per_correct) == (0.5, None)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [{"score": 2.0}, {"score": 1.0, "usd": None}],
        [sample([None], [None], 1.0), {"score": 2.0}],
        [{"score": 1.0, "usd": []}],
    ],
)
def test_where_no_response_has_a_cost_there_is_none(samples: list[dict[str, Any]]) -> None:
    assert task_cost(samples) is None


def test_what_was_free_has_a_cost_of_nothing() -> None:
    assert task_cost([sample([0.0], [0.0], 3.0)]) == TaskCost(0.0, 0.0, exams=1, correct=3.0, unknown=0)


def test_problems_asked_alone_all_count_and_no_exam_counts_three_times() -> None:
    exams = [
        {"usd": [[0.25, 0.5], [0.5, 0.25], [1.0, 1.0]], "score": 1.5},  # 3 answers correct in two samples
        {"usd": [[0.125, 0.125], [0.25, None], [0.5, 0.5]], "score": 0.0},
    ]
    cost = task_cost(exams)
    assert cost == TaskCost(usd=5.0, usd_easy=0.0, exams=4, correct=3.0, unknown=1)
    exams[1]["usd"][1][1] = 0.0
    cost = task_cost(exams)
    assert cost == TaskCost(usd=5.0, usd_easy=0.0, exams=4, correct=3.0, unknown=0)
    assert (cost.usd_per_exam, cost.usd_per_correct) == (1.25, pytest.approx(5 / 3))


def test_a_solo_task_counts_problems_and_their_accuracy() -> None:
    problems = [
        {"usd": [[0.25, 0.5, 0.25, 0.0]], "acc": 0.75},
        {"usd": [[0.5, 0.5, 0.5, 0.5]], "acc": 0.0},
        {"usage": [[None] * 4], "acc": None},
    ]
    assert task_cost(problems[:2]) == TaskCost(usd=3.0, usd_easy=0.0, exams=8, correct=3.0, unknown=0)
    cost = task_cost(problems)
    assert cost == TaskCost(usd=3.0, usd_easy=0.0, exams=12, correct=3.0, unknown=4)
    assert (cost.usd_per_exam, cost.usd_per_correct) == (None, None)


def test_unknown_costs_keep_the_shape_of_their_form() -> None:
    known = {"usd": [[0.5], [0.25], [0.25]], "score": 1.0}
    unknown = {"usage": [[None], [{"tokens": 3}], [None]], "score": 2.0}
    assert task_cost([known, unknown]) == TaskCost(1.0, 0.0, exams=2, correct=3.0, unknown=3)
    assert task_cost([unknown]) is None


def test_a_sample_that_tells_nothing_of_its_cost_has_the_form_of_the_others() -> None:
    cost = task_cost([{"usd": [[1.0], [1.0], [1.0]], "score": 1.0}, {"score": 2.0}])
    assert cost == TaskCost(usd=3.0, usd_easy=0.0, exams=2, correct=3.0, unknown=3)


@st.composite
def tasks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a task of some exams, each asked in both orders with the same number of samples."""
    samples = draw(st.integers(1, 3))
    usd = st.none() | st.floats(0, 100)
    side = st.lists(usd, min_size=samples, max_size=samples)
    score = st.none() | st.integers(0, 3 * samples).map(lambda correct: correct / samples)
    return draw(st.lists(st.builds(sample, side, side, score), min_size=1, max_size=12))


@given(task=tasks())
def test_costs_are_exact_sums(task: list[dict[str, Any]]) -> None:
    main, easy = ([usd for exam in task for usd in exam["usd"][side]] for side in (0, 1))
    cost = task_cost(task)
    if all(usd is None for usd in [*main, *easy]):
        assert cost is None
        return
    assert cost is not None
    known, known_easy = ([Fraction(usd) for usd in side if usd is not None] for side in (main, easy))
    assert (cost.usd, cost.usd_easy) == (float(sum(known)), float(sum(known_easy)))
    assert cost.unknown == [*main, *easy].count(None)
    assert cost.exams == len(main)
    correct = sum(round((exam["score"] or 0) * len(exam["usd"][0])) for exam in task)
    assert cost.correct == pytest.approx(correct)
    if cost.unknown:
        assert cost.usd_per_exam is cost.usd_per_correct is None
    else:
        assert cost.usd_per_exam == pytest.approx(float(sum(known) / len(main)))
        by_correct = None if not correct else pytest.approx(float(sum(known) / correct))
        assert cost.usd_per_correct == by_correct


def test_an_exam_none_of_whose_costs_is_known_leaves_no_ratio() -> None:
    cost = task_cost([{"usd": [[0.5], [0.25]], "score": 1.0, "usage": [[None], [None]]},
                      {"score": 2.0, "usage": [[None], [None]]}])  # as metering.metered writes it  # fmt: skip
    assert cost is not None
    assert (cost.usd_per_exam, cost.usd_per_correct) == (None, None)
