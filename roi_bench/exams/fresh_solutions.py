"""Worked solutions of the fresh families: an independent computation of every answer, written out step by step. Pure.

Each function takes the metadata of one reasoning-gym item and returns the steps as a careful writer would put them
down, one a line, and the answer they lead to. :mod:`roi_bench.exams.fresh` rejects an item whose generator disagrees,
and ``benchmarks/fresh_difficulty.py`` measures how many tokens the steps take.
"""

from __future__ import annotations

import ast
import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import gcd, isqrt, prod
from typing import Any

Worked = tuple[list[str], int]
"""Steps, one a line, and the answer."""

LEGS = {
    **dict.fromkeys(("snake", "sea slug", "jellyfish", "flatworm", "leech"), 0),
    **dict.fromkeys(("chicken", "bird", "human", "duck"), 2),
    **dict.fromkeys(("dog", "cat", "cow", "horse", "lion", "elephant", "giraffe", "tiger", "deer", "sheep"), 4),
    **dict.fromkeys(("starfish",), 5),
    **dict.fromkeys(("insect", "ant", "butterfly", "beetle", "bee", "wasp", "grasshopper", "cricket"), 6),
    **dict.fromkeys(("cockroach", "praying mantis", "firefly"), 6),
    **dict.fromkeys(("spider", "scorpion"), 8),
    **dict.fromkeys(("crab", "lobster", "shrimp"), 10),
    **dict.fromkeys(("woodlouse",), 14),
}
"""Legs of each animal; the problems state them, so that no one needs to know a woodlouse."""


def legs(metadata: Mapping[str, Any]) -> Worked:
    """Add up ``animals`` (name → count) times their legs."""
    steps, parts = [], []
    for name, count in metadata["animals"].items():
        parts.append(count * LEGS[name])
        steps.append(f"{name}: {count} × {LEGS[name]} = {parts[-1]} legs")
    return _sum(parts, steps)


def greatest_common_divisor(metadata: Mapping[str, Any]) -> Worked:
    """Run Euclid's algorithm over ``numbers``."""
    steps = []
    result, *rest = metadata["numbers"]
    for number in rest:
        a, b = max(result, number), min(result, number)
        while b:
            steps.append(f"{a} = {a // b} × {b} + {a % b}")
            a, b = b, a % b
        result = a
        steps.append(f"so the greatest common divisor is {result}")
    return steps, result


def chain_sum(metadata: Mapping[str, Any]) -> Worked:
    """Keep a running total of ``expression`` (numbers joined by + and −)."""
    first, *rest = metadata["expression"].split()
    total, steps = int(first), []
    for operator, term in zip(rest[::2], rest[1::2], strict=True):
        result = total + int(term) if operator == "+" else total - int(term)
        steps.append(f"{total} {operator} {term} = {result}")
        total = result
    return steps, total


def polygon_angle(metadata: Mapping[str, Any]) -> Worked:
    """Subtract ``known_angles`` from the angle sum of a polygon with ``n_sides`` sides."""
    sides = metadata["n_sides"]
    total = 180 * (sides - 2)
    steps = [f"The interior angles of a polygon with {sides} sides add up to ({sides} - 2) × 180 = {total} degrees."]
    steps, known = _sum([round(angle) for angle in metadata["known_angles"]], steps)
    return [*steps, f"{total} - {known} = {total - known} degrees"], total - known


def business_days(metadata: Mapping[str, Any]) -> Worked:
    """Count Monday to Friday from ``start_date`` to ``end_date``, both included, day by day past the whole weeks."""
    start, end = (datetime.date.fromisoformat(metadata[key]) for key in ("start_date", "end_date"))
    steps, parts = [], []
    first = start
    while first <= end:
        next_month = (first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
        last = min(end, next_month - datetime.timedelta(days=1))
        parts.append((last - first).days + 1)
        steps.append(f"{first:%m/%d} to {last:%m/%d}: {last.day} - {first.day} + 1 = {parts[-1]} days")
        first = next_month
    steps, days = _sum(parts, steps)
    weeks, rest = divmod(days, 7)
    steps.append(f"{days} = {weeks} × 7 + {rest}; whole weeks give {weeks} × 5 = {weeks * 5} weekdays")
    extra = 0
    for offset in range(rest):
        counts = (start.weekday() + offset) % 7 < 5
        extra += counts
        steps.append(
            f"remaining day {offset + 1}: {WEEKDAYS[(start.weekday() + offset) % 7]}, {'yes' if counts else 'no'}"
        )
    return [*steps, f"{weeks * 5} + {extra} = {weeks * 5 + extra}"], weeks * 5 + extra


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def product(metadata: Mapping[str, Any]) -> Worked:
    """Multiply the factors of ``expression`` by partial products, one for each digit of the next factor."""
    result, *rest = (int(factor) for factor in metadata["expression"].split(" * "))
    steps = []
    for factor in rest:
        parts = []
        for place, digit in enumerate(reversed(str(factor))):
            if digit != "0":
                parts.append(result * int(digit) * 10**place)
                steps.append(f"{result} × {int(digit) * 10**place} = {parts[-1]}")
        steps, result = _sum(parts, steps)
    return steps, result


def prime_factors(number: int) -> tuple[list[str], list[int]]:
    """Return the trial divisions, one a step, and the prime factors of ``number``, smallest first."""
    steps, factors, rest = [], [], number
    while rest > 1:
        prime = next(d for d in range(2, rest + 1) if rest % d == 0)
        if prime != rest:
            steps.append(f"{rest} = {prime} × {rest // prime}")
        factors.append(prime)
        rest //= prime
    return steps, factors


def least_common_multiple(metadata: Mapping[str, Any]) -> Worked:
    """Factor ``numbers`` by trial division and multiply the highest powers."""
    steps: list[str] = []
    highest: Counter[int] = Counter()
    for number in metadata["numbers"]:
        divisions, factors = prime_factors(number)
        steps += divisions
        if len(factors) > 2:
            steps.append(f"{number} = {' × '.join(map(str, factors))}")
        elif len(factors) < 2:
            steps.append(f"{number} is {'prime' if factors else 'a factor of every number'}")
        highest |= Counter(factors)
    powers = [prime**count for prime, count in sorted(highest.items())]
    steps.append("highest powers: " + " × ".join(f"{p}^{n}" if n > 1 else str(p) for p, n in sorted(highest.items())))
    result = 1
    for power in powers:
        if result > 1:
            steps.append(f"{result} × {power} = {result * power}")
        result *= power
    return steps, result


def count_primes(metadata: Mapping[str, Any]) -> Worked:
    """Test every number from ``start`` to ``end`` that no quick check (even, ending in 5, digit sum) rules out."""
    steps, found = [], 0
    for number in range(metadata["start"], metadata["end"] + 1):
        divisors = [d for d in range(2, isqrt(number) + 1) if number % d == 0]
        if divisors and divisors[0] > 5:
            steps.append(f"{number} = {divisors[0]} × {number // divisors[0]}")
        elif not divisors and number > 1:
            found += 1
            steps.append(f"{number}: no divisor up to {isqrt(number)}, prime number {found}")
    return steps, found


def expression(metadata: Mapping[str, Any]) -> Worked:
    """Evaluate ``expression`` (+, −, ×, parentheses) one operation at a time, innermost first."""
    steps: list[str] = []

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=operator, right=right):
                a, b = value(left), value(right)
                sign, result = {ast.Add: ("+", a + b), ast.Sub: ("-", a - b), ast.Mult: ("×", a * b)}[type(operator)]
                steps.append(f"{a} {sign} {signed(b)} = {result}")
                return result
        raise ValueError(f"unexpected {ast.dump(node):.80} in a generated expression")

    result = value(ast.parse(metadata["expression"], mode="eval").body)
    return steps, result


def base_conversion(metadata: Mapping[str, Any]) -> Worked:
    """Read ``source_repr`` in ``source_base`` digit by digit (Horner's scheme)."""
    base = metadata["source_base"]
    first, *rest = (int(digit, 16) for digit in metadata["source_repr"])
    total, steps = first, []
    for digit in rest:
        steps.append(f"{total} × {base} = {total * base}")
        steps.append(f"{total * base} + {digit} = {total * base + digit}")
        total = total * base + digit
    return steps, total


def rotten_oranges(metadata: Mapping[str, Any]) -> Worked:
    """Spread the rot minute by minute; -1 if a fresh orange is never reached."""
    cells = {(r, c): value for r, row in enumerate(metadata["matrix"]) for c, value in enumerate(row)}
    fresh = {cell for cell, value in cells.items() if value == 1}
    edge = {cell for cell, value in cells.items() if value == 2}
    steps = [f"{len(fresh)} fresh oranges; rotten at the start: {_cells(edge)}"]
    minutes = 0
    while edge := {cell for r, c in edge for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1))} & fresh:
        fresh -= edge
        minutes += 1
        steps.append(f"minute {minutes}: {_cells(edge)}; {len(fresh)} fresh left")
    return steps, minutes if not fresh else -1


def dice(metadata: Mapping[str, Any]) -> Worked:
    """Convolve the distributions of the dice; the answer is numerator + denominator of P(total ≥ target)."""
    target = metadata["puzzle"]["target"]
    sizes = [int(die.removeprefix("1d")) for die in metadata["puzzle"]["dice_str"].split(", ")]
    first, *rest = sizes
    ways = dict.fromkeys(range(1, first + 1), 1)
    steps = [f"one die with {first} faces: 1 way for each total from 1 to {first}"]
    for size in rest:
        steps.append(f"with the die with {size} faces:")
        totals = range(min(ways) + 1, max(ways) + size + 1)
        terms = {total: [ways[total - face] for face in range(1, size + 1) if total - face in ways] for total in totals}
        for total, parts in terms.items():
            written = f"{' + '.join(map(str, parts))} = {sum(parts)}" if len(parts) > 1 else str(sum(parts))
            steps.append(f"total {total}: {written}")
        ways = {total: sum(parts) for total, parts in terms.items()}
    good = [count for total, count in ways.items() if total >= target]
    top, bottom = sum(good), prod(sizes)
    common = gcd(top, bottom)
    steps.append(f"totals of at least {target}: {' + '.join(map(str, good))} = {top}")
    steps.append(f"{' × '.join(map(str, sizes))} = {bottom} outcomes")
    steps.append(f"{top}/{bottom} = {top // common}/{bottom // common}")
    steps.append(f"{top // common} + {bottom // common} = {(top + bottom) // common}")
    return steps, (top + bottom) // common


def _sum(parts: Sequence[int], steps: list[str]) -> Worked:
    total = parts[0] if parts else 0
    for part in parts[1:]:
        steps.append(f"{total} + {part} = {total + part}")
        total += part
    return steps, total


def signed(number: int) -> str:
    """Return ``number``, in brackets if it is negative."""
    return f"({number})" if number < 0 else str(number)


def _cells(cells: Iterable[tuple[int, int]]) -> str:
    return " ".join(f"({row + 1},{column + 1})" for row, column in sorted(cells))
