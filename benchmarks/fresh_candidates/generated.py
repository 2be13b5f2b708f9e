"""Candidates from reasoning-gym: its data sets of small arithmetic, asked in our words.

A problem's facts are the metadata of the data set's item and its answer, ``gold``; the worked solution is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd
from random import Random
from typing import Any

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, Worked, added
from roi_bench.exams import fresh
from roi_bench.exams import fresh_solutions as solutions

_ATTEMPTS = 200


def _drawn(
    dataset: str,
    settings: Callable[[Size, Random], Mapping[str, Any]],
    gold: Callable[[Mapping[str, Any]], int] = lambda entry: int(entry["answer"]),
    accept: Callable[[Facts, Size], bool] | None = None,
) -> Callable[[Random, Size], Facts]:
    """Return a function that draws the first item of ``dataset`` that is accepted, under settings by size."""

    def draw(random: Random, size: Size) -> Facts:
        from reasoning_gym import create_dataset

        items = create_dataset(dataset, seed=random.getrandbits(32), size=_ATTEMPTS, **settings(size, random))
        for index in range(_ATTEMPTS):
            entry = items[index]
            facts: Facts = {**entry["metadata"], "gold": gold(entry)}
            if accept is None or accept(facts, size):
                return facts
        raise ValueError(f"none of {_ATTEMPTS} items of {dataset} is accepted at {dict(size)}")

    return draw


def _gold(facts: Facts) -> int:
    return int(facts["gold"])


def _sentences(solve: Callable[[Mapping[str, Any]], Worked]) -> Callable[[Facts], Worked]:
    """Return ``solve`` with each step as a sentence."""

    def sentences(facts: Facts) -> Worked:
        steps, answer = solve(facts)
        return [f"{step[0].upper()}{step[1:]}{'' if step[-1] in '.:' else '.'}" for step in steps], answer

    return sentences


def _between(names: str, low_high: tuple[int, int]) -> dict[str, int]:
    return {f"min_{names}": low_high[0], f"max_{names}": low_high[1]}


def _two_numbers(what: str) -> Callable[[Facts], str]:
    return lambda facts: (
        f"What is the {what} of {', '.join(map(str, facts['numbers'][:-1]))} and {facts['numbers'][-1]}?"
    )


def _numbers(size: Size, _: Random) -> dict[str, int]:
    return {**_between("numbers", (size["count"],) * 2), **_between("value", size["range"])}


def _ask_angle(facts: Facts) -> str:
    if facts["n_sides"] == 3:
        one, two = map(round, facts["known_angles"])
        return f"Two angles of a triangle are {one}° and {two}°. How many degrees has the third?"
    return fresh.angle_question(facts)


def _ask_factors(facts: Facts) -> str:
    return f"What is the sum of the prime factors of {facts['number']}, each counted as often as it divides the number?"


def _solve_factors(facts: Facts) -> Worked:
    divisions, factors = solutions.prime_factors(facts["number"])
    steps = [f"{step}." for step in divisions]
    return steps, added(factors, steps)


def _ask_fraction(facts: Facts) -> str:
    return f"The fraction {facts['numerator']}/{facts['denominator']} is m/n in lowest terms. What is m + n?"


def _solve_fraction(facts: Facts) -> Worked:
    top, bottom = facts["numerator"], facts["denominator"]
    steps, _ = _sentences(solutions.greatest_common_divisor)({"numbers": [top, bottom]})
    common = gcd(top, bottom)
    m, n = top // common, bottom // common
    steps.append(f"{top} / {common} = {m} and {bottom} / {common} = {n}.")
    return [*steps, f"{m} + {n} = {m + n}."], m + n


def _ask_complex(facts: Facts) -> str:
    one, two = (_complex(facts[name]) for name in ("num1", "num2"))
    return f"With i² = -1, the product ({one})({two}) is x + yi with whole numbers x and y. What is x + y?"


def _complex(number: tuple[float, float]) -> str:
    a, b = map(round, number)
    return f"{a} {'+' if b >= 0 else '-'} {abs(b)}i"


def _solve_complex(facts: Facts) -> Worked:
    (a, b), (c, d) = (map(round, facts[name]) for name in ("num1", "num2"))
    signed = solutions.signed
    steps = [f"x = {a} × {signed(c)} - {signed(b)} × {signed(d)} = {a * c} - {signed(b * d)} = {a * c - b * d}."]
    steps.append(f"y = {a} × {signed(d)} + {signed(b)} × {signed(c)} = {a * d} + {signed(b * c)} = {a * d + b * c}.")
    total = a * c - b * d + a * d + b * c
    return [*steps, f"x + y = {a * c - b * d} + {signed(a * d + b * c)} = {total}."], total


def _ask_base(facts: Facts) -> str:
    return f"Which number, written in base 10, is {facts['source_repr']} in base {facts['source_base']}?"


def _complex_gold(entry: Mapping[str, Any]) -> int:
    real, imaginary = entry["metadata"]["result"]
    return int(real + imaginary)


def _fraction_gold(entry: Mapping[str, Any]) -> int:
    return int(entry["metadata"]["simplified_numerator"] + entry["metadata"]["simplified_denominator"])


KINDS = {
    "product": Kind(
        "arithmetic",
        _drawn("products", lambda size, _: {**_between("terms", (2, 2)), **_between("digits", size["digits"])}),
        fresh.expression_question,
        _sentences(solutions.product),
        _gold,
    ),
    "sum": Kind(
        "arithmetic",
        _drawn("chain_sum", lambda size, _: {**_between("terms", size["terms"]), **_between("digits", (2, 2))}),
        fresh.expression_question,
        _sentences(solutions.chain_sum),
        _gold,
    ),
    "expression": Kind(
        "arithmetic",
        _drawn(
            "basic_arithmetic",
            lambda size, _: {
                **_between("terms", size["terms"]),
                **_between("digits", size["digits"]),
                "operators": ["+", "-", "*"],
            },
            accept=lambda facts, size: 2 < abs(facts["gold"]) <= size["most"],
        ),
        fresh.expression_question,
        _sentences(solutions.expression),
        _gold,
    ),
    "lcm": Kind(
        "number theory",
        _drawn("lcm", _numbers),
        _two_numbers("least common multiple"),
        _sentences(solutions.least_common_multiple),
        _gold,
    ),
    "legs": Kind(
        "arithmetic in words",
        _drawn(
            "leg_counting", lambda size, _: {**_between("animals", size["animals"]), **_between("instances", (2, 20))}
        ),
        fresh.legs_question,
        _sentences(solutions.legs),
        _gold,
    ),
    "angle": Kind(
        "geometry",
        _drawn(
            "simple_geometry",
            lambda size, _: {**_between("sides", size["sides"]), **_between("angle", size["angle"])},
            accept=lambda facts, _: 0 < facts["gold"] < 180,
        ),
        _ask_angle,
        _sentences(solutions.polygon_angle),
        _gold,
    ),
    "factors": Kind(
        "number theory",
        _drawn(
            "prime_factorization",
            lambda size, _: _between("value", size["range"]),
            lambda entry: sum(entry["metadata"]["factors"]),
            lambda facts, size: len(facts["factors"]) >= size["least"],
        ),
        _ask_factors,
        _solve_factors,
        _gold,
    ),
    "fraction": Kind(
        "number theory",
        _drawn("fraction_simplification", lambda size, _: size, _fraction_gold),
        _ask_fraction,
        _solve_fraction,
        _gold,
    ),
    "complex": Kind(
        "algebra",
        _drawn(
            "complex_arithmetic",
            lambda size, _: {
                **_between("real", (2, size["most"])),
                **_between("imag", (2, size["most"])),
                "operations_weights": [0, 0, 1, 0],
            },
            _complex_gold,
        ),
        _ask_complex,
        _solve_complex,
        _gold,
    ),
    "base": Kind(
        "number theory",
        _drawn(
            "base_conversion",
            lambda size, _: {"min_base": 3, "max_base": 10, **_between("value", size["range"])},
            lambda entry: int(entry["metadata"]["decimal_value"]),
            lambda facts, _: facts["target_base"] == 10 != facts["source_base"],
        ),
        _ask_base,
        _sentences(solutions.base_conversion),
        _gold,
    ),
    "dice": Kind(
        "probability",
        _drawn(
            "dice",
            lambda size, random: {"num_dice": size["count"], "max_dice_size": random.randint(*size["faces"])},
            fresh.dice_gold,
            lambda facts, _: facts["puzzle"]["den"] >= 20,
        ),
        fresh.dice_question,
        _sentences(solutions.dice),
        _gold,
    ),
}
