"""Fresh exams: every answer recomputed from the question's text alone, by other means than generator and solution."""

import dataclasses
import datetime
import itertools
import json
import random
import re
from collections import Counter
from fractions import Fraction
from importlib import metadata, resources
from math import gcd, lcm, prod

import pytest

from roi_bench.errors import DataError
from roi_bench.exams import fresh
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, canonical_text
from roi_bench.exams.fresh import FAMILIES
from tests.support.messages import shows

SEED = 11
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
MONTHS += ["November", "December"]


def numbers(text):
    return [int(number) for number in re.findall(r"-?\d+", text)]


def expression(question):
    inner = question.removeprefix("What is the value of ").removesuffix("?")
    assert re.fullmatch(r"[-+×() \d]+", inner)
    return eval(inner.replace("×", "*"))  # noqa: S307 - only digits, signs and parentheses


def legs(question):
    return sum(int(count) * int(each) for count, each in re.findall(r"(\d+) × [a-z ]+ \((\d+) legs each\)", question))


def angle(question):
    sides, *known = numbers(question)
    assert len(known) == sides - 1
    assert all(0 < each < 180 for each in known)
    return (sides - 2) * 180 - sum(known)


def business_days(question):
    found = re.findall(r"(\w+day), (\w+) (\d+), (\d+)", question)
    start, end = (datetime.date(int(year), MONTHS.index(month) + 1, int(day)) for _, month, day, year in found)
    assert [found[0][0], found[1][0]] == [f"{start:%A}", f"{end:%A}"]
    return sum((start + datetime.timedelta(n)).isoweekday() < 6 for n in range((end - start).days + 1))


def primes(question):
    start, end = numbers(question)
    sieve = set(range(2, end + 1)) - {a * b for a in range(2, int(end**0.5) + 1) for b in range(a, end // a + 1)}
    return sum(number >= start for number in sieve)


def base(question):
    source, digits = re.search(r"is (\w+) in base (\d+)", question).groups()
    return int(source, int(digits))


def oranges(question):
    grid = [list(map(int, line.split())) for line in question.split("\n")[1:]]
    distance = {(r, c): 0 for r, row in enumerate(grid) for c, cell in enumerate(row) if cell == 2}
    queue = list(distance)
    for r, c in queue:
        for cell in ((r, c + 1), (r, c - 1), (r + 1, c), (r - 1, c)):
            inside = 0 <= cell[0] < len(grid) and 0 <= cell[1] < len(grid[0])
            if inside and cell not in distance and grid[cell[0]][cell[1]] == 1:
                distance[cell] = distance[r, c] + 1
                queue.append(cell)
    assert len(distance) == sum(cell > 0 for row in grid for cell in row)
    return max(distance.values())


def dice(question):
    count, *sizes, first, target = numbers(question.replace("m/n", ""))
    assert (len(sizes), first) == (count, 1)
    *most, last = sizes
    # Every total of all dice but the last, then the faces of the last that are enough.
    good = 0
    for total, ways in Counter(map(sum, itertools.product(*(range(1, size + 1) for size in most)))).items():
        good += ways * min(last, max(0, last - (target - total) + 1))
    probability = Fraction(good, prod(sizes))
    return probability.numerator + probability.denominator


INDEPENDENT = {
    "leg_counting": legs,
    "gcd": lambda question: gcd(*numbers(question)),
    "chain_sum": expression,
    "simple_geometry": angle,
    "calendar_arithmetic": business_days,
    "products": expression,
    "lcm": lambda question: lcm(*numbers(question)),
    "count_primes": primes,
    "basic_arithmetic": expression,
    "base_conversion": base,
    "rotten_oranges": oranges,
    "dice": dice,
}

CASES = [(tier, place, family.dataset) for tier in TIERS for place, family in enumerate(FAMILIES[tier])]


@pytest.fixture(scope="module")
def exams():
    return fresh.fresh_exams(SEED)


@pytest.mark.parametrize(("tier", "place", "dataset"), CASES)
def test_the_question_alone_gives_the_answer(tier, place, dataset):
    for index in range(20):
        problem = fresh.fresh_problem(SEED, tier, index, place)
        assert str(INDEPENDENT[dataset](problem.question)) == problem.answer
        assert (problem.id, problem.pool) == (f"fresh/{SEED}/{tier}/{index}", f"fresh-{tier}")
        assert problem.question == canonical_text(problem.question)
        # The form of the answer is the prompt's business alone.
        assert not re.search(
            r"(?i)final answer|answer (with|only|in)|boxed|round|give |reply|difficult", problem.question
        )


@pytest.mark.parametrize(("tier", "place", "dataset"), CASES)
def test_an_item_depends_on_seed_tier_and_index_alone(tier, place, dataset):
    first = fresh.fresh_problem(SEED, tier, 3, place)
    random.seed(123)
    fresh.fresh_problem(SEED, tier, 4, place)
    assert fresh.fresh_problem(SEED, tier, 3, place) == first
    others = [fresh.fresh_problem(SEED + 1, tier, 3, place), fresh.fresh_problem(SEED, tier, 4, place)]
    assert first.question not in [problem.question for problem in others]


def family_of(problem):
    """Return the place of the problem's family, found by trying."""
    _, seed, tier, index = problem.id.split("/")
    places = range(len(FAMILIES[tier]))
    return next(p for p in places if fresh.fresh_problem(int(seed), tier, int(index), p).question == problem.question)


def test_every_prefix_of_whole_blocks_holds_every_family_alike(exams):
    places = [tuple(family_of(problem) for problem in exam.problems) for exam in exams[:120]]
    for k in range(1, 5):
        for tier in range(3):
            assert Counter(place[tier] for place in places[: 30 * k]) == dict.fromkeys(range(5), 6 * k)
        assert Counter(e.medium for e in exams[: 30 * k]) == dict.fromkeys(MEDIUM_PERMUTATIONS, 10 * k)
    assert len({(middle, hard) for _, middle, hard in places[:30]}) == 25


def test_problems_of_a_set_and_of_two_seeds_differ(exams):
    other = fresh.fresh_exams(SEED + 1)
    for tier in range(2):
        assert len({exam.problems[tier].question for exam in (*exams, *other)}) == 960
    assert len({exam.problems[2].question for exam in (*exams, *other)}) > 950  # five dice may fall twice


def test_a_smaller_count_is_a_prefix(exams):
    assert fresh.fresh_exams(SEED, 45) == exams[:45]


def test_tiers_differ_in_the_length_of_worked_solutions(exams):
    characters = [sorted(len(exam.problems[tier].solution) for exam in exams) for tier in range(3)]
    easy, middle, hard = (lengths[240] for lengths in characters)
    assert 1.5 * easy < middle
    assert 3.5 * middle < hard
    assert characters[0][456] < characters[2][24]  # the longest 5 % of the easy ones against the shortest of the hard


def test_the_installed_generator_is_the_frozen_one():
    frozen = json.loads((resources.files("roi_bench") / "data" / fresh.FROZEN_FILE).read_text(encoding="utf-8"))
    assert frozen["seed_0_sha256"] == fresh.exams_sha256(fresh.fresh_exams(0))
    assert fresh.freeze() == json.dumps({**frozen, "reasoning_gym": metadata.version("reasoning-gym")}, indent=1) + "\n"


def test_a_changed_generator_is_found_out():
    frozen = {"reasoning_gym": "0.1.1", "seed_0_sha256": "f" * 64}
    installed = f"reasoning-gym {metadata.version('reasoning-gym')}"
    with pytest.raises(DataError, match=shows(installed, "f" * 64, "pip install reasoning-gym==0.1.1")):
        fresh.check_generator(frozen)


def test_a_wrong_generator_answer_is_an_error():
    entry = {"answer": "7", "metadata": {"numbers": [12, 18]}}
    with pytest.raises(DataError, match=shows("fresh/0/easy/0", "gcd", 7, 6, "pip install")):
        fresh.checked_problem("fresh/0/easy/0", "easy", FAMILIES["easy"][1], entry)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"dataset": "no such data set"}, ("ValueError", "pip install")),
        ({"config": {"no_such_option": 1}}, ("TypeError", "pip install")),
        ({"accept": lambda metadata: metadata["renamed"]}, ("KeyError: 'renamed'", "pip install")),
        ({"accept": lambda metadata: False}, ("gcd", 1000)),
    ],
)
def test_a_generator_of_another_shape_is_an_error(changes, facts):
    family = dataclasses.replace(FAMILIES["easy"][1], **changes)
    with pytest.raises(DataError, match=shows("fresh/0/easy/0", *facts)):
        fresh.generate(family, "fresh/0/easy/0")
