"""Money: estimates, amounts as text, and a purse out of which never more is spent than was allowed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.limits import Estimate, Price, Purse, estimate, usd_text
from tests.support.messages import shown_in

PRICE = Price(usd_in=0.15e-6, usd_out=0.6e-6)
REQUESTS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 32_768)), max_size=50)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 400)),
        st.tuples(st.just("settle"), st.integers(0, 100), st.floats(0, 1)),
    ),
    max_size=60,
)
"""What a run does with its purse: an attempt begins that may cost so much, or one in flight ends, at a share of it."""


def test_a_price_is_by_token() -> None:
    assert Price(0.5, 2.0).of(3, 4) == 9.5
    assert PRICE.of(1_000_000, 1_000_000) == pytest.approx(0.75)


# ---------------------------------------------------------------------------------------------------------- estimate
@given(requests=REQUESTS)
def test_an_estimate_takes_every_budget_for_used_up(requests: list[tuple[int, int]]) -> None:
    found = estimate(iter(requests), PRICE)
    assert found.requests == len(requests)
    assert found.most_usd == pytest.approx(sum(PRICE.of(prompt, budget) for prompt, budget in requests))
    assert found.prompt_tokens == sum(prompt for prompt, _ in requests)
    assert found.most_generated_tokens == sum(budget for _, budget in requests)


def test_without_a_price_the_tokens_are_estimated_all_the_same() -> None:
    assert estimate([(10, 512), (20, 512)], None) == Estimate(2, 30, 1024, None)


def test_a_free_model_costs_nothing_which_is_known() -> None:
    assert estimate([(10, 512)], Price(0.0, 0.0)).most_usd == 0.0


def test_an_estimate_is_one_line() -> None:
    found = Estimate(1200, 340_000, 614_400, 12.3456)
    counts = ("1,200", "340,000", "614,400")
    assert shown_in(found.line(), *counts, "$12.35")
    unpriced = Estimate(1200, 340_000, 614_400, None).line()
    assert shown_in(unpriced, *counts)
    assert "$" not in unpriced
    assert "$0.0000" in Estimate(1, 2, 3, 0.0).line()
    assert "\n" not in found.line() + unpriced


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (12.34, "$12.34"),
        (0.0042, "$0.0042"),
        (1234567.891, "$1,234,567.89"),
        (1.0, "$1.00"),
        (0.99, "$0.9900"),
        (0.0, "$0.0000"),
    ],
)
def test_an_amount_has_enough_digits_to_mean_something(usd: float, text: str) -> None:
    assert usd_text(usd) == text


# ------------------------------------------------------------------------------------------------------------- purse
@given(limit=st.integers(0, 1000), before=st.integers(0, 500), steps=STEPS)
def test_what_is_spent_and_set_aside_never_exceeds_the_limit_in_any_order(
    limit: int, before: int, steps: list[tuple[str, int] | tuple[str, int, float]]
) -> None:
    unit = 1 / 64  # sums of such amounts are exact
    purse = Purse(limit * unit, before * unit)
    in_flight: list[int] = []
    spent = before
    for step in steps:
        if len(step) == 2:
            most = step[1]
            fits = spent + sum(in_flight) + most <= limit
            assert purse.reserve(most * unit) is fits  # never too much, and never refused without need
            if fits:
                in_flight.append(most)
        elif in_flight:
            most = in_flight.pop(step[1] % len(in_flight))
            actual = int(most * step[2])
            purse.settle(most * unit, actual * unit)
            spent += actual
        assert (purse.spent, purse.in_flight) == (spent * unit, len(in_flight))
        assert spent + sum(in_flight) <= max(limit, before)


@given(
    limit=st.floats(0, 10),
    attempts=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=60),
    at_once=st.integers(1, 8),
)
def test_amounts_that_do_not_add_up_exactly_stay_below_the_limit_too(
    limit: float, attempts: list[tuple[float, float]], at_once: int
) -> None:
    purse = Purse(limit)
    in_flight: list[tuple[float, float]] = []
    exact = Fraction(0)
    for most, share in attempts:
        if len(in_flight) == at_once:
            begun, actual = in_flight.pop(0)
            purse.settle(begun, actual)
            exact += Fraction(actual)
        if purse.reserve(most):
            in_flight.append((most, most * share))
        assert exact + sum(Fraction(begun) for begun, _ in in_flight) <= limit + 1e-12
    assert purse.spent == pytest.approx(float(exact))


def test_what_is_in_flight_counts_with_all_it_may_cost_until_its_cost_is_known() -> None:
    purse = Purse(1.0)
    assert purse.reserve(0.75)
    assert not purse.reserve(0.5)
    purse.settle(0.75, 0.25)
    assert purse.reserve(0.75)
    assert not purse.reserve(0.25)


def test_no_rounding_error_stays_behind_when_nothing_is_in_flight() -> None:
    purse = Purse(1.0)
    amounts = (0.2, 0.4, 0.3)  # 0.2 + 0.4 + 0.3 - 0.2 - 0.4 - 0.3 is a little above zero
    assert all(purse.reserve(most) for most in amounts)
    for most in amounts:
        purse.settle(most, 0.0)
    assert purse.in_flight == 0
    assert purse.reserve(1.0)


def test_what_earlier_starts_spent_counts() -> None:
    purse = Purse(2.0, spent=1.5)
    assert not purse.reserve(0.75)
    assert purse.reserve(0.5)
    assert Purse(2.0, spent=2.5).reserve(0.25) is False


def test_a_limit_may_be_reached_exactly() -> None:
    purse = Purse(1.0)
    assert purse.reserve(1.0)
    purse.settle(1.0, 1.0)
    assert (purse.spent, purse.reserve(0.0), purse.reserve(0.001)) == (1.0, True, False)


def test_without_a_limit_everything_is_allowed_and_still_counted() -> None:
    purse = Purse(None)
    assert all(purse.reserve(10.0**power) for power in range(9))
    purse.settle(100.0, 2.5)
    purse.settle(10.0, 0.0)
    assert purse.spent == 2.5
