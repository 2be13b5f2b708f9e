"""What solo samples say of a problem."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.profile import SoloSkill, SoloWithin
from roi_bench.errors import UsageError

SKILL = SoloSkill((100, 200, 300, 50), (True, False, True, True))


@pytest.mark.parametrize(
    ("budget", "rate", "cost"),
    [(49, 0.0, None), (50, 0.25, 50.0), (100, 0.5, 75.0), (299, 0.5, 75.0), (300, 0.75, 150.0)],
)
def test_by_hand(budget: int, rate: float, cost: float | None) -> None:
    assert SKILL.solve_rate(budget) == rate
    assert SKILL.mean_cost_of_right(budget) == cost


def test_within_a_budget() -> None:
    solo = SoloWithin({"a": SKILL}, 100)
    assert (solo.solve_rate("a"), solo.solve_rate("b")) == (0.5, None)
    assert (solo.level("a", "math"), solo.level("b", "math")) == (0, None)
    assert SoloWithin({"a": SKILL}, 49).level("a", "math") == 3


def test_levels_of_tiny_problems_are_an_eighth_and_fractions_count_as_more() -> None:
    solo = SoloWithin({"a": SoloSkill((32, 33), (True, True)), "b": SoloSkill((256, 257), (True, True))}, 512)
    assert solo.level("a", "tiny-easy") == 1  # 32.5 is more than the 32 of Level-0
    assert solo.level("a", "math") == 0
    assert solo.level("b", "math") == 1


@pytest.mark.parametrize(("costs", "correct"), [((), ()), ((1,), ()), ((1, 2), (True,)), ((-1,), (True,))])
def test_refused(costs: tuple[int, ...], correct: tuple[bool, ...]) -> None:
    with pytest.raises(UsageError):
        SoloSkill(costs, correct)


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1), st.integers(0, 1000), st.integers(0, 1000))
def test_more_budget_never_solves_less(samples: list[tuple[int, bool]], first: int, second: int) -> None:
    costs, correct = zip(*samples, strict=True)
    skill = SoloSkill(costs, correct)
    low, high = sorted((first, second))
    assert 0 <= skill.solve_rate(low) <= skill.solve_rate(high) <= 1
    cost = skill.mean_cost_of_right(high)
    assert (cost is None) == (skill.solve_rate(high) == 0)
    assert cost is None or cost <= high
