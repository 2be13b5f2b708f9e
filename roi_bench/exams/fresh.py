"""Fresh exams: generated from problem families, hence uncontaminated; a new seed is a new set (SPEC section 3)."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from random import Random
from typing import Any

from roi_bench.errors import DataError, DependencyError
from roi_bench.exams import fresh_solutions as solutions
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, Exam, Problem, canonical_text, sha256_text
from roi_bench.exams.fresh_solutions import LEGS, WEEKDAYS, Worked
from roi_bench.exams.manifest import EXAM_COUNT, shuffled

# The problem families of fresh exams: five reasoning-gym data sets a tier, their configurations and questions.
#
# A question is written here from the generator's metadata, so that it stands alone and says nothing about the form of
# the answer, which is the prompt's business. Every answer is one integer. ``docs/fresh-exams.md`` says how the tiers
# were judged.

Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of generated problem.

    Attributes:
        dataset: Name of the reasoning-gym data set.
        config: Generator settings common to all items.
        question: Question text from an item's metadata.
        solve: Worked solution from an item's metadata.
        draw: Generator settings drawn anew for each item.
        accept: Whether an item has the wanted size; if not, the next one is tried.
        gold: The generator's answer as an integer; by default the entry's ``answer``.
    """

    dataset: str
    config: Mapping[str, Any]
    question: Callable[[Metadata], str]
    solve: Callable[[Metadata], Worked]
    draw: Callable[[Random], dict[str, Any]] | None = None
    accept: Callable[[Metadata], bool] | None = None
    gold: Callable[[Mapping[str, Any]], int] = lambda entry: int(entry["answer"])


def legs_question(metadata: Metadata) -> str:
    """Ask for the legs of a herd."""
    herd = ", ".join(f"{count} × {name} ({LEGS[name]} legs each)" for name, count in metadata["animals"].items())
    return f"A farm keeps these animals: {herd}. How many legs do they have in total?"


def angle_question(metadata: Metadata) -> str:
    """Ask for the last interior angle of a polygon."""
    angles = ", ".join(f"{round(angle)}°" for angle in metadata["known_angles"])
    return (
        f"All interior angles of a convex polygon with {metadata['n_sides']} sides but one are known: {angles}. "
        "How many degrees has the remaining interior angle?"
    )


def _business_days_question(metadata: Metadata) -> str:
    start, end = (_day(datetime.date.fromisoformat(metadata[key])) for key in ("start_date", "end_date"))
    return f"How many weekdays (Monday to Friday) are there from {start} to {end}, both dates included?"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _day(date: datetime.date) -> str:
    return f"{WEEKDAYS[date.weekday()]}, {_MONTHS[date.month - 1]} {date.day}, {date.year}"


def _numbers(metadata: Metadata) -> str:
    *first, last = map(str, metadata["numbers"])
    return f"{', '.join(first)} and {last}"


def expression_question(metadata: Metadata) -> str:
    """Ask for the value of an expression."""
    return f"What is the value of {metadata['expression'].replace('*', '×')}?"


def _base_question(metadata: Metadata) -> str:
    letters = ", where the letters a to f stand for the digits 10 to 15" if metadata["source_base"] > 10 else ""
    return f"Which number, written in base 10, is {metadata['source_repr']} in base {metadata['source_base']}{letters}?"


def dice_question(metadata: Metadata) -> str:
    """Ask for the probability of a total as numerator + denominator."""
    sizes = [die.removeprefix("1d") for die in metadata["puzzle"]["dice_str"].split(", ")]
    faces = f"{', '.join(sizes[:-1])} and {sizes[-1]}"
    return (
        f"{len(sizes)} fair dice are rolled once. They have {faces} faces, numbered from 1 up. The probability that "
        f"the total is at least {metadata['puzzle']['target']} is m/n in lowest terms. What is m + n?"
    )


def dice_gold(entry: Mapping[str, Any]) -> int:
    """Return numerator + denominator of the generator's answer."""
    top, _, bottom = entry["answer"].partition("/")
    return int(top) + int(bottom or 1)


def _oranges_question(metadata: Metadata) -> str:
    grid = "\n".join(" ".join(map(str, row)) for row in metadata["matrix"])
    return (
        "In the grid below, 0 is an empty cell, 1 a fresh orange and 2 a rotten one. Every minute, each fresh orange "
        "that shares a side with a rotten one becomes rotten. After how many minutes is no fresh orange left?\n" + grid
    )


def _primes_question(metadata: Metadata) -> str:
    return f"How many prime numbers are there from {metadata['start']} to {metadata['end']}, both included?"


def _primes(width: int, low: int, high: int, least: int) -> Family:
    """Count the primes of a stretch of ``least`` to ``width`` numbers that starts between ``low`` and ``high``."""

    def draw(random: Random) -> dict[str, Any]:
        start = random.randint(low, high)
        return {"min_n": start, "max_n": start + width}

    return Family(
        "count_primes",
        {},
        _primes_question,
        solutions.count_primes,
        draw=draw,
        accept=lambda metadata: metadata["end"] - metadata["start"] >= least,
    )


def _product(factors: int, digits: int) -> Family:
    sizes = {"min_terms": factors, "max_terms": factors, "min_digits": digits, "max_digits": digits}
    return Family("products", sizes, expression_question, solutions.product)


def _common_multiple(count: int, low: int, high: int) -> Family:
    sizes = {"min_numbers": count, "max_numbers": count, "min_value": low, "max_value": high}
    return Family(
        "lcm",
        sizes,
        lambda metadata: f"What is the least common multiple of {_numbers(metadata)}?",
        solutions.least_common_multiple,
    )


def _dice(count: int, low: int, high: int) -> Family:
    """Roll ``count`` dice whose largest has ``low`` to ``high`` faces."""
    return Family(
        "dice",
        {"num_dice": count},
        dice_question,
        solutions.dice,
        draw=lambda random: {"max_dice_size": random.randint(low, high)},
        gold=dice_gold,
    )


_EASY = (
    Family(
        "leg_counting",
        {"min_animals": 5, "max_animals": 6, "min_instances": 2, "max_instances": 15},
        legs_question,
        solutions.legs,
    ),
    Family(
        "gcd",
        {"min_numbers": 2, "max_numbers": 2, "min_value": 500, "max_value": 9999},
        lambda metadata: f"What is the greatest common divisor of {_numbers(metadata)}?",
        solutions.greatest_common_divisor,
        accept=lambda metadata: len(solutions.greatest_common_divisor(metadata)[0]) in range(6, 12),
    ),
    Family(
        "chain_sum",
        {"min_terms": 9, "max_terms": 12, "min_digits": 3, "max_digits": 4},
        expression_question,
        solutions.chain_sum,
    ),
    Family(
        "simple_geometry",
        {"min_sides": 7, "max_sides": 9, "min_angle": 80, "max_angle": 170},
        angle_question,
        solutions.polygon_angle,
        accept=lambda metadata: 0 < solutions.polygon_angle(metadata)[1] < 180,  # else it would not be convex
    ),
    Family(
        "calendar_arithmetic",
        {"tasks": ["count_business_days"], "offset_upper_bound": 180},
        _business_days_question,
        solutions.business_days,
        draw=lambda random: {"year": random.randint(2000, 2099)},
        accept=lambda metadata: solutions.business_days(metadata)[1] >= 30,
    ),
)

_MIDDLE = (
    _product(3, 5),
    _common_multiple(6, 100, 1000),
    _primes(width=90, low=200, high=2000, least=60),
    Family(
        "basic_arithmetic",
        {
            "min_terms": 18,
            "max_terms": 22,
            "min_digits": 2,
            "max_digits": 2,
            "operators": ["+", "-", "*"],
        },
        expression_question,
        solutions.expression,
    ),
    Family(
        "base_conversion",
        {"min_base": 7, "max_base": 16, "min_value": 10**10, "max_value": 10**12},
        _base_question,
        solutions.base_conversion,
        accept=lambda metadata: metadata["target_base"] == 10 != metadata["source_base"],
    ),
)

_HARD = (
    _product(4, 8),
    _common_multiple(18, 500, 5000),
    _primes(width=480, low=1000, high=9000, least=360),
    Family(
        "rotten_oranges",
        {"min_n": 15, "max_n": 16, "p_oranges": 0.8, "p_rotten": 0.03},
        _oranges_question,
        solutions.rotten_oranges,
        accept=lambda metadata: metadata["solution"] >= 5,
    ),
    _dice(5, 8, 12),
)

FAMILIES = {"easy": _EASY, "middle": _MIDDLE, "hard": _HARD}
"""Families of each tier, in rotation."""


# Fresh exams: generated, hence uncontaminated; a new seed is a new set (SPEC section 3).
#
# An item is a function of (seed, tier, index) alone. Its answer is computed twice: by reasoning-gym and by
# :mod:`roi_bench.exams.fresh_solutions`; an item on which they differ is an error. The exams of seed 0 are frozen as a
# hash, so that a generator version that makes other exams under the same names is detected.

BLOCK = 30
"""Exams in which every family stands in equal shares and every medium permutation as often."""

FROZEN_FILE = "fresh_frozen.json"

_ATTEMPTS = 1000


def fresh_exams(seed: int, count: int = EXAM_COUNT) -> tuple[Exam, ...]:
    """Return the exams ``fresh/<seed>/000`` …; a smaller ``count`` gives a prefix.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: It generates other problems than the version with which the exams were frozen, or a wrong answer.
    """
    _check_frozen()
    return _compose(seed, count)


def fresh_problem(seed: int, tier: str, index: int, family: int) -> Problem:
    """Return one generated problem ``fresh/<seed>/<tier>/<index>`` of the tier's ``family``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: generator and worked solution disagree about the answer.
    """
    name = f"fresh/{seed}/{tier}/{index}"
    chosen = FAMILIES[tier][family]
    return checked_problem(name, tier, chosen, generate(chosen, name))


def checked_problem(name: str, tier: str, family: Family, entry: Mapping[str, Any]) -> Problem:
    """Return the generated ``entry`` as the problem ``name``.

    Raises:
        DataError: generator and worked solution disagree about the answer.
    """
    steps, answer = family.solve(entry["metadata"])
    if answer != family.gold(entry):
        raise DataError(
            f"{name}: {family.dataset} of reasoning-gym {_installed()} says {family.gold(entry)}, the worked solution "
            f"{answer}; pip install reasoning-gym=={_frozen()['reasoning_gym']}"
        )
    return Problem(
        id=name,
        pool=f"fresh-{tier}",
        question=canonical_text(family.question(entry["metadata"])),
        answer=str(answer),
        solution="\n".join(steps),
    )


def exams_sha256(exams: tuple[Exam, ...]) -> str:
    """Return the SHA-256 over ids, questions, answers and medium permutations of ``exams``."""
    rows = [[exam.id, exam.medium, *([item.id, item.sha256, item.answer] for item in exam.problems)] for exam in exams]
    return sha256_text(json.dumps(rows, separators=(",", ":")))


@lru_cache(maxsize=1)
def _check_frozen() -> None:
    check_generator(_frozen())


def check_generator(frozen: Mapping[str, str]) -> None:
    """Check that the installed reasoning-gym generates seed 0 as it was frozen.

    Args:
        frozen: ``reasoning_gym``, the version it was frozen with, and ``seed_0_sha256``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: It generates something else.
    """
    actual = exams_sha256(_compose(0, EXAM_COUNT))
    if actual != frozen["seed_0_sha256"]:
        raise DataError(
            f"reasoning-gym {_installed()} generates other fresh exams (seed 0: sha256 {actual}) than "
            f"reasoning-gym {frozen['reasoning_gym']}, which they were frozen with ({frozen['seed_0_sha256']}); "
            f"pip install reasoning-gym=={frozen['reasoning_gym']}"
        )


def freeze() -> str:
    """Return the text of ``data/fresh_frozen.json`` for the installed reasoning-gym."""
    document = {"reasoning_gym": _installed(), "seed_0_sha256": exams_sha256(_compose(0, EXAM_COUNT))}
    return json.dumps(document, indent=1) + "\n"


@lru_cache(maxsize=2)
def _compose(seed: int, count: int) -> tuple[Exam, ...]:
    """Arrange the families: in block b, cell j = 5q + r takes hard r, middle r+q+b, easy r+2q+3b and permutation q+b.

    With five families a tier, every family occurs six times in a block and every permutation ten times, and within a
    block a hard family meets every middle family.
    """
    exams: list[Exam] = []
    while len(exams) < count:
        block = len(exams) // BLOCK
        for cell in shuffled([f"{cell:02d}" for cell in range(BLOCK)], "fresh", seed, block):
            index = len(exams)
            q, r = divmod(int(cell), 5)
            places = {"easy": r + 2 * q + 3 * block, "middle": r + q + block, "hard": r}
            easy, middle, hard = (fresh_problem(seed, tier, index, places[tier] % 5) for tier in TIERS)
            name = f"fresh/{seed}/{index:03d}"
            medium = MEDIUM_PERMUTATIONS[(q + block) % len(MEDIUM_PERMUTATIONS)]
            exams.append(Exam(id=name, problems=(easy, middle, hard), medium=medium, cluster=name))
    return tuple(exams[:count])


def generate(family: Family, name: str) -> dict[str, Any]:
    """Return the reasoning-gym entry of the item ``name``: ``question``, ``answer`` and ``metadata``.

    Raises:
        DependencyError: reasoning-gym is not installed.
        DataError: It behaves differently from the version with which the exams were frozen.
    """
    try:
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise DependencyError(
            f"fresh exams need reasoning-gym ({error}); pip install 'roi-bench[fresh]' (a C compiler builds part of it)"
        ) from None
    random = Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    config = {**family.config, **(family.draw(random) if family.draw else {})}
    try:
        dataset = create_dataset(family.dataset, seed=random.getrandbits(32), size=_ATTEMPTS, **config)
        for attempt in range(_ATTEMPTS):
            entry: dict[str, Any] = dataset[attempt]
            if family.accept is None or family.accept(entry["metadata"]):
                return entry
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: {family.dataset} of reasoning-gym {_installed()} no longer works as expected "
            f"({type(error).__name__}: {error}); pip install reasoning-gym=={_frozen()['reasoning_gym']}"
        ) from error
    raise DataError(
        f"{name}: none of {_ATTEMPTS} items of {family.dataset} of reasoning-gym {_installed()} has the wanted size; "
        f"pip install reasoning-gym=={_frozen()['reasoning_gym']}"
    )


def _frozen() -> dict[str, str]:
    text = (resources.files("roi_bench") / "data" / FROZEN_FILE).read_text(encoding="utf-8")
    frozen: dict[str, str] = json.loads(text)
    return frozen


def _installed() -> str:
    return metadata.version("reasoning-gym")
