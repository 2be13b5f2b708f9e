"""The schedule of RARL: one budget a step, orders by their shares, curriculum first, all of it by the seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.training.plan.recipe import OrderShares, Rarl
from roi_bench.training.rarl.rarl import ScheduledExam, exam_schedule, held_out_schedule

BUDGETS = (128, 256, 512)


def schedule(budgets=BUDGETS, seed=0, **settings):
    return exam_schedule(Rarl(**settings), budgets, seed)


def steps(turns, prompts):
    return [turns[start : start + prompts] for start in range(0, len(turns), prompts)]


def step_budgets(turns, prompts=1):
    """Budgets by step; one of them only, or the test fails."""
    found = [{turn.budget for turn in step} for step in steps(turns, prompts)]
    assert all(len(budgets) == 1 for budgets in found)
    return [budgets.pop() for budgets in found]


@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.sets(st.sampled_from(BUDGETS), min_size=1).map(sorted),
    st.lists(st.sampled_from([0.0, 0.1, 0.15, 0.25, 1 / 3, 0.5]), max_size=3).filter(lambda shares: sum(shares) <= 1),
    st.integers(0, 5),
)
def test_every_exam_is_sat_once_and_all_of_a_step_under_one_budget(number, prompts, budgets, shares, seed):
    curriculum = dict(zip(budgets, shares, strict=False))
    turns = schedule(budgets, seed, steps=number, prompts=prompts, curriculum=curriculum)
    assert [turn.exam for turn in turns] == list(range(number * prompts))
    assert {turn.order for turn in turns} <= {"easy", "medium", "hard"}
    assert len(step_budgets(turns, prompts)) == number
    counts = Counter(step_budgets(turns, prompts))
    for budget, share in curriculum.items():
        assert counts[budget] >= int(share * number) - (len(curriculum) > 1)  # rounding of what came before


def test_budgets_take_turns():
    assert step_budgets(schedule(steps=7, prompts=4), 4) == [128, 256, 512, 128, 256, 512, 128]
    assert step_budgets(schedule((256,), steps=3)) == [256] * 24


def test_the_curriculum_comes_first_in_its_own_order():
    turns = schedule(steps=10, prompts=1, curriculum={256: 0.3, 128: 0.2})
    assert step_budgets(turns) == [256] * 3 + [128] * 2 + [128, 256, 512, 128, 256]
    assert step_budgets(schedule(steps=4, prompts=1, curriculum={512: 1.0})) == [512] * 4
    assert step_budgets(schedule(steps=4, prompts=1, curriculum={512: 0.0})) == [128, 256, 512, 128]


def test_a_curriculum_that_rounds_up_makes_no_step_too_many():
    turns = schedule(steps=3, prompts=1, curriculum={128: 0.5, 256: 0.5})
    assert step_budgets(turns) == [128, 128, 256]


def test_orders_come_by_their_shares():
    turns = schedule(steps=600, prompts=8)
    counts = Counter(turn.order for turn in turns)
    assert set(counts) == {"easy", "medium", "hard"}
    assert all(1450 < count < 1750 for count in counts.values())
    turns = schedule(steps=600, prompts=8, orders=OrderShares(1, 0, 3))
    counts = Counter(turn.order for turn in turns)
    assert set(counts) == {"easy", "hard"}
    assert 2.7 < counts["hard"] / counts["easy"] < 3.3


def test_orders_are_mixed_within_steps_under_every_budget():
    turns = schedule(steps=60, prompts=8)
    mixed = sum(len({turn.order for turn in step}) > 1 for step in steps(turns, 8))
    assert mixed >= 58
    assert len({(turn.order, turn.budget) for turn in turns}) == 9


def test_only_the_orders_that_are_asked_for():
    assert {turn.order for turn in schedule(steps=20, orders=OrderShares(0, 0, 1))} == {"hard"}


def test_the_seed_draws_the_orders():
    first = schedule(steps=10, seed=1)
    assert schedule(steps=10, seed=1) == first
    other = schedule(steps=10, seed=2)
    assert [turn.order for turn in other] != [turn.order for turn in first]
    assert [(turn.exam, turn.budget) for turn in other] == [(turn.exam, turn.budget) for turn in first]


def test_held_out_exams_are_asked_in_every_order_under_each_budget():
    assert held_out_schedule(2, (128, 256)) == [
        ScheduledExam(0, "hard", 128), ScheduledExam(1, "hard", 128),
        ScheduledExam(0, "medium", 128), ScheduledExam(1, "medium", 128),
        ScheduledExam(0, "easy", 128), ScheduledExam(1, "easy", 128),
        ScheduledExam(0, "hard", 256), ScheduledExam(1, "hard", 256),
        ScheduledExam(0, "medium", 256), ScheduledExam(1, "medium", 256),
        ScheduledExam(0, "easy", 256), ScheduledExam(1, "easy", 256),
    ]  # fmt: skip
    assert held_out_schedule(0, (128,)) == []


@pytest.mark.parametrize("number", [0, 1, 7])
def test_held_out_turns_are_as_many_as_must_be(number):
    assert len(held_out_schedule(number, BUDGETS)) == number * 3 * 3
