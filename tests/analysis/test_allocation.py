"""Allocation theory against enumeration in Fractions, mixed-integer and linear programmes, and its own inequalities."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, linprog, milp

from roi_bench.analysis import allocation
from roi_bench.analysis.allocation import (
    SKIP,
    Policy,
    best_choices,
    cross_fitted_value,
    hindsight_value,
    optimal_policy,
    play_value,
    policy_value,
)
from roi_bench.errors import UsageError
from tests.analysis import brute_force

Samples = tuple[NDArray[Any], NDArray[Any]]

ROUNDING = 1e-12
"""What a float may be off the exact fraction, or one exact float off another."""


@st.composite
def instances(draw: st.DrawFn, positions: int = 4, samples: int = 4, exams: int = 2, two_sets: bool = False) -> Any:
    """Draw (costs, correct[, other costs, other correct], budget, skip cost); with ties, zeros, and costs beyond it."""
    shape = (draw(st.integers(1, exams)), draw(st.integers(1, positions)))
    budget = draw(st.integers(0, 12))
    sets: list[Any] = []
    for _ in range(1 + two_sets):
        count = draw(st.integers(1, samples))
        flat = shape[0] * shape[1] * count
        costs = draw(st.lists(st.integers(0, 15), min_size=flat, max_size=flat))
        correct = draw(st.lists(st.booleans(), min_size=flat, max_size=flat))
        sets += [np.array(costs, dtype=np.int64).reshape(*shape, count), np.array(correct).reshape(*shape, count)]
    return (*sets, budget, draw(st.integers(0, 5)))


def exams_of(costs: NDArray[Any], correct: NDArray[Any]) -> list[brute_force.Exam]:
    """Return the same samples as the slow reference wants them."""
    return [
        [list(zip(c.tolist(), y.tolist(), strict=True)) for c, y in zip(*exam, strict=True)]
        for exam in zip(costs, correct, strict=True)
    ]


def assert_equal(values: NDArray[Any], expected: list[list[Fraction]]) -> None:
    """Check values of exams × budgets against fractions."""
    assert values.shape == (len(expected), len(expected[0]))
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, [[float(x) for x in row] for row in expected], rtol=0, atol=ROUNDING)


def random_samples(rng: np.random.Generator, shape: tuple[int, ...], most: int, right: float = 0.6) -> Samples:
    return rng.integers(0, most + 1, shape), rng.random(shape) < right


# The best policy.


@settings(deadline=None, max_examples=150)
@given(instances(exams=1))
def test_the_best_policy_is_that_of_an_expectimax_over_all_caps(case: Any) -> None:
    costs, correct, budget, skip_cost = case
    expected = [
        [brute_force.best_value(exam, b, skip_cost) for b in range(budget + 1)] for exam in exams_of(costs, correct)
    ]
    assert_equal(optimal_policy(costs, correct, budget, skip_cost).values, expected)


@settings(deadline=None, max_examples=40)
@given(instances(exams=1, positions=3))
def test_the_best_choices_are_those_whose_value_is_the_best_policys(case: Any) -> None:
    costs, correct, budget, skip_cost = case
    found = best_choices(costs, correct, budget, skip_cost)
    (exam,) = exams_of(costs, correct)
    for place, left in product(range(len(exam)), range(budget + 1)):
        caps = {left, *(cost for cost, _ in exam[place] if cost <= left)}  # under a smaller one nothing is attempted
        skipping = value_of_action(exam[place:], None, left, skip_cost)
        attempting = max(value_of_action(exam[place:], cap, left, skip_cost) for cap in caps)
        best = brute_force.best_value(exam[place:], left, skip_cost)
        assert found[0, place, left].tolist() == [skipping == best, attempting == best]


def value_of_action(exam: Any, action: int | None, left: int, skip_cost: int) -> Fraction:
    """Return the value of one action on the first problem, and the best policy after it."""
    paid = [brute_force.outcome(sample, action, skip_cost) for sample in exam[0]]
    values = [right + brute_force.best_value(exam[1:], left - cost, skip_cost) for cost, right in paid if cost <= left]
    return sum(values, Fraction(0)) / len(paid)


@pytest.mark.parametrize("seed", range(6))
def test_many_exams_at_once_with_dear_skips_and_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs, correct = random_samples(rng, (12, 3, 4), 9)
    costs[:4] = 2 * (costs[:4] // 2)
    expected = [[brute_force.best_value(exam, b, seed) for b in range(15)] for exam in exams_of(costs, correct)]
    assert_equal(optimal_policy(costs, correct, 14, seed).values, expected)


def test_by_hand() -> None:
    """Problem 1 is right after 2 tokens or wrong after 9, problem 2 right after 4; a skip costs 1.

    From 5 tokens on a skip and problem 2 give 1; with 6, giving problem 1 up after 2 tokens leaves 4 in either case.
    """
    costs, correct = np.array([[[2, 9], [4, 4]]]), np.array([[[True, False], [True, True]]])
    policy = optimal_policy(costs, correct, 7, 1)
    np.testing.assert_array_equal(policy.values, [[0, 0, 0.5, 0.5, 0.5, 1, 1.5, 1.5]])
    np.testing.assert_array_equal(policy.caps[0, 0], [0, 1, 2, 3, 4, SKIP, 2, 2])


def test_a_tie_goes_to_the_larger_cap_and_to_the_attempt() -> None:
    """With nothing to save tokens for, no cap and no skip; neither of an unsolved problem nor of one solved early."""
    costs, correct = (
        np.array([[[3, 5]], [[3, 5]], [[0, 0]]]),
        np.array([[[True, False]], [[False, False]], [[True, True]]]),
    )
    policy = optimal_policy(costs, correct, 9, 0)
    np.testing.assert_array_equal(policy.caps, np.broadcast_to(np.arange(10), (3, 1, 10)))


def test_a_tie_below_no_cap() -> None:
    """Problem 2 is right after 4 tokens, a skip costs 2; a cap of 1 on problem 1 saves and loses as much as the skip.

    Of 6 tokens, 4 are left after a cap of 1 or 2 and after the skip, but 1 where problem 1 runs its 5 tokens.
    """
    costs, correct = np.array([[[1, 2, 5], [4, 4, 4]]]), np.array([[[False, False, False], [True, True, True]]])
    policy = optimal_policy(costs, correct, 6, 2)
    assert policy.values[0, 6] == 1
    assert policy.caps[0, 0, 6] == 2
    assert optimal_policy(costs[..., 2:], correct[..., 2:], 6, 2).caps[0, 0, 6] == SKIP


def test_a_tie_of_no_cap_where_nothing_is_left() -> None:
    """The budget ends problem 1, but problem 2 is right after 0 tokens: as good as a skip, if one could be paid."""
    costs, correct = np.array([[[9], [0]]]), np.array([[[False], [True]]])
    policy = optimal_policy(costs, correct, 5, 2)
    np.testing.assert_array_equal(policy.values, [[0, 0, 1, 1, 1, 1]])
    np.testing.assert_array_equal(policy.caps[0, 0], [0, 1, 2, 3, 4, 5])


def test_the_choice_among_ties_does_not_hang_on_rounding() -> None:
    """Thirds: two caps are worth 2/3 + 1/3 in a different order of summation, and the larger is taken."""
    costs = np.array([[[1, 2, 7], [4, 4, 9]]])
    correct = np.array([[[True, True, False], [True, True, True]]])
    policy = optimal_policy(costs, correct, 30, 1)
    value = [[brute_force.best_value(exams_of(costs, correct)[0], b, 1) for b in range(31)]]
    assert_equal(policy.values, value)
    for b in range(31):
        caps = range(b + 1)
        worth = [
            sum(
                earned + brute_force.best_value(exams_of(costs, correct)[0][1:], b - paid, 1)
                for paid, earned in (brute_force.outcome(s, cap, 1) for s in exams_of(costs, correct)[0][0])
                if paid <= b
            )
            for cap in caps
        ]
        # Among the caps that are tried: an observed cost, or none.
        tried = [cap for cap in caps if cap in (1, 2, 7, b) and worth[cap] == 3 * value[0][b]]
        assert policy.caps[0, 0, b] == (max(tried) if tried else SKIP)


@settings(deadline=None, max_examples=100)
@given(instances())
def test_a_policy_is_worth_on_its_own_samples_what_it_says(case: Any) -> None:
    costs, correct, budget, skip_cost = case
    policy = optimal_policy(costs, correct, budget, skip_cost)
    np.testing.assert_array_equal(policy_value(policy, costs, correct, skip_cost), policy.values)


@settings(deadline=None, max_examples=150)
@given(instances(positions=3, samples=3, two_sets=True))
def test_the_worth_of_a_policy_on_other_samples(case: Any) -> None:
    costs, correct, other_costs, other_correct, budget, skip_cost = case
    policy = optimal_policy(costs, correct, budget, skip_cost)

    def value(row: int, exam: brute_force.Exam, b: int) -> Fraction:
        def choose(position: int, left: int) -> int | None:
            cap = int(policy.caps[row, position, left])
            return None if cap == SKIP else cap

        return brute_force.policy_value(exam, choose, b, skip_cost)

    others = exams_of(other_costs, other_correct)
    expected = [[value(row, exam, b) for b in range(budget + 1)] for row, exam in enumerate(others)]
    assert_equal(policy_value(policy, other_costs, other_correct, skip_cost), expected)


@settings(deadline=None, max_examples=50)
@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_samples_and_exams_does_not_matter(case: Any, random: Any) -> None:
    costs, correct, budget, skip_cost = case
    policy = optimal_policy(costs, correct, budget, skip_cost)
    order = list(range(costs.shape[2]))
    random.shuffle(order)
    again = optimal_policy(costs[::-1, :, order], correct[::-1, :, order], budget, skip_cost)
    np.testing.assert_array_equal(again.values[::-1], policy.values)
    np.testing.assert_array_equal(again.caps[::-1], policy.caps)


def test_small_counters_do_not_overflow() -> None:
    """N · K^N = 128 is one more than a signed byte holds, 32,768 one more than two bytes."""
    for positions, samples in ((2, 8), (1, 128), (2, 128), (3, 22)):
        costs, correct = np.ones((1, positions, samples), dtype=np.int64), np.ones((1, positions, samples), dtype=bool)
        expected = np.minimum(np.arange(6), positions)[None]
        np.testing.assert_array_equal(optimal_policy(costs, correct, 5, 1).values, expected)
        np.testing.assert_array_equal(cross_fitted_value(costs, correct, 5, 1), expected)
    costs, correct = np.full((1, 2, 1), 100), np.ones((1, 2, 1), dtype=bool)
    np.testing.assert_array_equal(hindsight_value(costs, correct, 120, 1), [np.arange(121) >= 100])


# Cross-fitting.


@pytest.mark.parametrize("samples", [2, 3, 4, 5])
def test_cross_fitting_is_both_halves_on_each_other(samples: int) -> None:
    costs, correct = random_samples(np.random.default_rng(samples), (9, 3, samples), 9)
    halves = [(costs[..., k::2], correct[..., k::2]) for k in (0, 1)]
    expected = np.zeros((9, 16))
    for fitting, held_out in (halves, halves[::-1]):
        policy = optimal_policy(*fitting, 15, 2)
        expected += policy_value(policy, *held_out, 2) * held_out[0].shape[2] / samples
    found = cross_fitted_value(costs, correct, 15, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
    assert not np.allclose(found, optimal_policy(costs, correct, 15, 2).values)


def test_cross_fitting_by_hand() -> None:
    """Even samples are right after 2 tokens, odd ones after 4; each half's policy is blind to what is special.

    With 6 tokens the policy of the even ones gives problem 1 all 6, so that 4 + 4 tokens do not fit for the odd ones.
    """
    costs, correct = np.array([[[2, 4, 2], [2, 4, 2]]]), np.ones((1, 2, 3), dtype=bool)
    found = cross_fitted_value(costs, correct, 8, 1)
    # Odd on even (weight 2/3): 0 0 1 1 2 …; even on odd (weight 1/3): 0 0 0 0 1 1 1 1 2.
    np.testing.assert_allclose(found * 3, [[0, 0, 2, 2, 5, 5, 5, 5, 6]], rtol=0, atol=ROUNDING)


@settings(deadline=None, max_examples=50)
@given(instances())
def test_identical_halves_lose_nothing(case: Any) -> None:
    costs, correct, budget, skip_cost = case
    twice = np.repeat(costs, 2, axis=2), np.repeat(correct, 2, axis=2)
    found = cross_fitted_value(*twice, budget, skip_cost)
    np.testing.assert_allclose(found, optimal_policy(costs, correct, budget, skip_cost).values, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(found, optimal_policy(*twice, budget, skip_cost).values, rtol=0, atol=ROUNDING)


# Programmes that a solver solves.


def knapsack_by_milp(costs: NDArray[Any], correct: NDArray[Any], budget: int, skip_cost: int) -> float:
    """Return the deterministic value: choose problems to attempt; a skip is paid where a later one is attempted.

    Variables: attempt_i, then skip_i ≥ attempt_j − attempt_i for j > i.
    """
    count = len(costs)
    rows, upper = [np.concatenate([costs, np.full(count, skip_cost)])], [float(budget)]
    for i in range(count):
        for j in range(i + 1, count):
            row = np.zeros(2 * count)
            row[j], row[i], row[count + i] = 1, -1, -1
            rows.append(row)
            upper.append(0.0)
    found = milp(
        -np.concatenate([correct, np.zeros(count)]),
        integrality=np.ones(2 * count),
        bounds=(0, 1),
        constraints=LinearConstraint(np.array(rows), ub=upper),
    )
    assert found.success
    return -float(found.fun)


@pytest.mark.parametrize("skip_cost", [0, 1, 3])
@pytest.mark.parametrize("positions", [3, 6, 10])
def test_one_sample_a_problem_is_a_plain_knapsack(positions: int, skip_cost: int) -> None:
    rng = np.random.default_rng(10 * positions + skip_cost)
    costs, correct = random_samples(rng, (3, positions, 1), 12)
    budget = 5 * positions
    values = optimal_policy(costs, correct, budget, skip_cost).values
    np.testing.assert_array_equal(hindsight_value(costs, correct, budget, skip_cost), values)
    for row in range(3):
        for b in range(0, budget + 1, max(1, budget // 7)):
            expected = knapsack_by_milp(costs[row, :, 0], correct[row, :, 0], b, skip_cost)
            assert values[row, b] == pytest.approx(expected, abs=1e-6)


def value_by_linear_programme(exam: brute_force.Exam, budget: int, skip_cost: int) -> float:
    """Return the best policy's value as a multiple-choice programme: in each state, a share of 1 over its options.

    A state is (position, tokens left); flow[state, option] is the chance of being there and choosing the option; what
    flows out of a state is what flows into it (occupation measures of a Markov decision process).
    """
    states = [(i, b) for i in range(len(exam)) for b in range(budget + 1)]
    columns = [(state, action) for state in states for action in (None, *range(state[1] + 1))]
    number = {state: row for row, state in enumerate(states)}
    flow, reward = np.zeros((len(states), len(columns))), np.zeros(len(columns))
    for column, ((i, b), action) in enumerate(columns):
        flow[number[i, b], column] += 1
        for sample in exam[i]:
            paid, earned = brute_force.outcome(sample, action, skip_cost)
            reward[column] += earned / len(exam[i])
            if (target := (i + 1, b - paid)) in number:
                flow[number[target], column] -= 1 / len(exam[i])
    start = np.zeros(len(states))
    start[number[0, budget]] = 1
    found = linprog(-reward, A_eq=flow, b_eq=start)
    assert found.success
    return -float(found.fun)


@pytest.mark.parametrize("seed", range(8))
def test_several_options_a_problem_are_a_multiple_choice_programme(seed: int) -> None:
    costs, correct = random_samples(np.random.default_rng(seed), (1, 3, 3), 8)
    values = optimal_policy(costs, correct, 14, seed % 3).values
    for b in (3, 8, 14):
        expected = value_by_linear_programme(exams_of(costs, correct)[0], b, seed % 3)
        assert values[0, b] == pytest.approx(expected, abs=1e-7)


# Hindsight and fixed plans.


@settings(deadline=None, max_examples=100)
@given(instances(samples=3, exams=1))
def test_hindsight_is_the_best_set_of_every_draw(case: Any) -> None:
    costs, correct, budget, skip_cost = case
    expected = [
        [brute_force.hindsight_value(exam, b, skip_cost) for b in range(budget + 1)]
        for exam in exams_of(costs, correct)
    ]
    assert_equal(hindsight_value(costs, correct, budget, skip_cost), expected)


def test_hindsight_by_hand() -> None:
    """Sets {1}, {2}, {3}, {1, 2}, {2, 3}, {1, 3}, {1, 2, 3} of costs 5, 2, 3 with skips of 1 before the last."""
    costs, correct = np.array([[[5], [2], [3]]]), np.ones((1, 3, 1), dtype=bool)
    np.testing.assert_array_equal(hindsight_value(costs, correct, 10, 1), [[0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3]])
    correct[0, 1] = False
    np.testing.assert_array_equal(hindsight_value(costs, correct, 10, 1), [[0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]])


CHANCES = [Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1)]


@settings(deadline=None, max_examples=100)
@given(instances(positions=3, samples=3), st.data())
def test_a_fixed_plan_is_the_mean_over_draws_and_sets(case: Any, data: st.DataObject) -> None:
    costs, correct, budget, skip_cost = case
    shape = costs.shape[:2]
    flat = shape[0] * shape[1]
    attempt = np.array(data.draw(st.lists(st.sampled_from(CHANCES), min_size=flat, max_size=flat))).reshape(shape)
    caps = np.array(data.draw(st.lists(st.integers(-2, 15), min_size=flat, max_size=flat))).reshape(shape)
    found = play_value(costs, correct, budget, skip_cost, attempt.astype(float), caps)
    uncapped = play_value(costs, correct, budget, skip_cost, attempt.astype(float))
    for values, limits in ((found, caps), (uncapped, np.full(shape, -1))):
        expected = [
            [
                brute_force.plan_value(
                    exam, attempt[row], [None if cap < 0 else cap for cap in limits[row].tolist()], b, skip_cost
                )
                for b in range(budget + 1)
            ]
            for row, exam in enumerate(exams_of(costs, correct))
        ]
        assert_equal(values, expected)


def test_a_fixed_plan_by_hand() -> None:
    """Three problems of 3 tokens, the second wrong; a skip costs 1, a problem given up after 0 tokens as well."""
    costs, correct = np.full((1, 3, 1), 3), np.array([[[True], [False], [True]]])
    for attempt, caps, expected in (
        ([1, 1, 1], None, [0, 0, 0, 1, 1, 1, 1, 1, 1, 2]),
        ([1, 0, 1], None, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),
        ([1, 1, 1], [-1, 0, -1], [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),
        ([1, 1, 1], [3, 2, 3], [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]),
        ([1, 1, 1], [2, 2, 3], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
        ([0, 0, 0.5], None, [0, 0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5]),
    ):
        limits = None if caps is None else np.array([caps])
        found = play_value(costs, correct, 9, 1, np.array([attempt], dtype=float), limits)
        np.testing.assert_array_equal(found, [expected])


# Inequalities.


@settings(deadline=None, max_examples=200)
@given(instances(samples=5, exams=3), st.data())
@example((np.array([[[1, 9], [9, 9]]]), np.array([[[False, True], [True, True]]]), 12, 3), None)
@example((np.array([[[5], [4]]]), np.array([[[False], [True]]]), 6, 3), None)
def test_any_plan_is_below_the_policy_and_that_below_hindsight(case: Any, data: st.DataObject | None) -> None:
    """Also where a wrong answer is cheaper than a skip, and a problem is given up before a skip would be written."""
    costs, correct, budget, skip_cost = case
    shape = costs.shape[:2]
    flat = shape[0] * shape[1]
    attempt, caps = np.ones(shape), np.zeros(shape, dtype=np.int64)
    if data is not None:
        attempt = np.array(data.draw(st.lists(st.floats(0, 1), min_size=flat, max_size=flat))).reshape(shape)
        caps = np.array(data.draw(st.lists(st.integers(-1, 15), min_size=flat, max_size=flat))).reshape(shape)
    plan = play_value(costs, correct, budget, skip_cost, attempt, caps)
    best = optimal_policy(costs, correct, budget, skip_cost).values
    hindsight = hindsight_value(costs, correct, budget, skip_cost)
    assert (plan <= best + ROUNDING).all()
    assert (best <= hindsight + ROUNDING).all()
    assert (hindsight <= shape[1]).all()
    for values in (plan, best, hindsight):
        assert (values[:, 0] >= 0).all()
        assert (np.diff(values, axis=1) >= -ROUNDING).all()


def test_the_inequalities_are_strict_somewhere() -> None:
    costs, correct = random_samples(np.random.default_rng(1), (50, 3, 5), 12)
    plan = play_value(costs, correct, 20, 1, np.ones((50, 3)))[:, 12].mean()
    best, hindsight = (f(costs, correct, 20, 1) for f in (lambda *a: optimal_policy(*a).values, hindsight_value))
    assert plan + 0.1 < best[:, 12].mean() < hindsight[:, 12].mean() - 0.1


# Sizes.


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, correct = random_samples(np.random.default_rng(2), (7, 3, 4), 9)
    attempt = np.random.default_rng(3).random((7, 3))

    def everything() -> list[NDArray[Any]]:
        policy = optimal_policy(costs, correct, 15, 2)
        return [
            *(policy.values, policy.caps, cross_fitted_value(costs, correct, 15, 2)),
            *(hindsight_value(costs, correct, 15, 2), play_value(costs, correct, 15, 2, attempt)),
        ]

    at_once = everything()
    for numbers in (1, 40, 130):
        monkeypatch.setattr(allocation, "CHUNK_NUMBERS", numbers)
        for found, expected in zip(everything(), at_once, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_value_of_a_budget_does_not_depend_on_the_largest() -> None:
    costs, correct = random_samples(np.random.default_rng(4), (5, 3, 4), 30)
    attempt, caps = np.full((5, 3), 0.5), np.full((5, 3), 20)
    for function in (
        lambda b: optimal_policy(costs, correct, b, 2).values,
        lambda b: cross_fitted_value(costs, correct, b, 2),
        lambda b: hindsight_value(costs, correct, b, 2),
        lambda b: play_value(costs, correct, b, 2, attempt, caps),
    ):
        np.testing.assert_array_equal(function(12), function(60)[:, :13])


def test_no_exams_and_a_budget_of_nothing() -> None:
    none = np.zeros((0, 3, 2), dtype=np.int64), np.zeros((0, 3, 2), dtype=bool)
    one = np.array([[[0, 1], [0, 0]]]), np.array([[[True, True], [True, False]]])
    for samples, expected in ((none, np.zeros((0, 1))), (one, [[1.0]])):
        attempt = np.ones(samples[0].shape[:2])
        for found in (
            optimal_policy(*samples, 0, 0).values,
            hindsight_value(*samples, 0, 0),
        ):
            np.testing.assert_array_equal(found, expected)
        assert (
            cross_fitted_value(*samples, 0, 0).shape == play_value(*samples, 0, 0, attempt).shape == (len(attempt), 1)
        )


def test_the_size_that_the_analysis_needs() -> None:
    """Budgets 0 … 1024 of the real exams, with an exam of 3 sure problems among them."""
    rng = np.random.default_rng(5)
    costs = np.minimum((rng.lognormal(5.7, 0.8, (30, 3, 16))).astype(np.int64), 1024)
    correct = rng.random(costs.shape) < 0.5
    costs[0], correct[0] = 300, True
    policy = optimal_policy(costs, correct, 1024, 12)
    assert policy.caps.shape == (30, 3, 1025)
    assert policy.values[0, [299, 300, 311, 312, 599, 600, 899, 900]].tolist() == [0, 1, 1, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(policy_value(policy, costs, correct, 12), policy.values)
    assert (policy.values <= hindsight_value(costs, correct, 1024, 12) + ROUNDING).all()


# What cannot be meant.

COSTS, CORRECT = np.ones((2, 3, 2), dtype=np.int64), np.ones((2, 3, 2), dtype=bool)

FUNCTIONS = {
    "policy": lambda c, y, b, s: optimal_policy(c, y, b, s),
    "cross-fitted": cross_fitted_value,
    "hindsight": hindsight_value,
    "play": lambda c, y, b, s: play_value(c, y, b, s, np.ones((2, 3))),
    "policy on others": lambda c, y, b, s: policy_value(Policy(np.zeros((2, b + 1)), np.zeros((2, 3, b + 1))), c, y, s),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    ("costs", "correct", "skip_cost", "fact"),
    [
        (COSTS, CORRECT[:, :, :1], 1, r"costs.*\(2, 3, 2\).*verdicts.*\(2, 3, 1\)"),
        (COSTS[0], CORRECT[0], 1, r"\(3, 2\)"),
        (COSTS[:, :, :0], CORRECT[:, :, :0], 1, r"\(2, 3, 0\)"),
        (COSTS[:, :0], CORRECT[:, :0], 1, r"\(2, 0, 2\)"),
        (COSTS.astype(float), CORRECT, 1, "costs.*float64"),
        (COSTS, CORRECT.astype(int), 1, "verdicts.*int64"),
        (COSTS - 4, CORRECT, 1, "cost.*-3"),
        (COSTS, CORRECT, -1, "skip cost.*-1"),
    ],
)
def test_samples_that_cannot_be_meant(function: Any, costs: Any, correct: Any, skip_cost: int, fact: str) -> None:
    with pytest.raises(UsageError, match=fact):
        function(costs, correct, 5, skip_cost)


@pytest.mark.parametrize("function", ["policy", "cross-fitted", "hindsight", "play"])
def test_a_negative_budget(function: str) -> None:
    with pytest.raises(UsageError, match=r"budget.*-1"):
        FUNCTIONS[function](COSTS, CORRECT, -1, 1)


def test_one_sample_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match=r"samples.*1"):
        cross_fitted_value(COSTS[:, :, :1], CORRECT[:, :, :1], 5, 1)


@pytest.mark.parametrize(
    ("attempt", "caps", "fact"),
    [
        (np.full((2, 3), 1.25), None, r"1\.25"),
        (np.array([[0.5, -0.25, 1], [0, 0, 0]]), None, r"-0\.25.*1\.0"),
        (np.full((2, 3), np.nan), None, "nan"),
        (np.ones((2, 2)), None, r"attempts.*\(2, 2\)"),
        (np.ones((2, 3)), np.ones((3, 2), dtype=int), r"caps.*\(3, 2\)"),
        (np.ones((2, 3)), np.ones((2, 3)), "caps.*float64"),
    ],
)
def test_plans_that_cannot_be_meant(attempt: Any, caps: Any, fact: str) -> None:
    with pytest.raises(UsageError, match=fact):
        play_value(COSTS, CORRECT, 5, 1, attempt, caps)


def test_a_policy_of_other_exams() -> None:
    policy = optimal_policy(COSTS, CORRECT, 5, 1)
    with pytest.raises(UsageError, match=r"\(2, 3, 6\).*\(1, 3\)"):
        policy_value(policy, COSTS[:1], CORRECT[:1], 1)
    with pytest.raises(UsageError, match=r"\(2, 3, 6\).*\(2, 2\)"):
        policy_value(policy, COSTS[:, :2], CORRECT[:, :2], 1)


def test_more_than_can_be_counted() -> None:
    wide = np.ones((1, 20, 10), dtype=np.int64)
    with pytest.raises(UsageError, match=f"{2 * 10**21}.*64"):
        optimal_policy(wide, wide.astype(bool), 5, 1)
    # One sample more than can be: without the limit this would be slow, not endless.
    many = np.ones((1, 3, 129), dtype=np.int64)
    with pytest.raises(UsageError, match=r"129 samples.*3 problems.*2146689"):
        hindsight_value(many, many.astype(bool), 5, 1)
