"""The candidates: every kind at the sizes that are to be judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.fresh_candidates import counting, generated, numbers, shapes_and_dates, word_problems
from benchmarks.fresh_candidates.kind import Kind
from roi_bench.exams.exam import Problem

KINDS: dict[str, Kind] = {
    **word_problems.KINDS,
    **numbers.KINDS,
    **counting.KINDS,
    **shapes_and_dates.KINDS,
    **generated.KINDS,
}

SIZES: dict[str, list[dict[str, Any]]] = {
    # arithmetic and its word problems
    "product": [{"digits": (2, 2)}, {"digits": (2, 3)}],
    "sum": [{"terms": (3, 4)}, {"terms": (6, 8)}],
    "expression": [
        {"terms": (3, 4), "digits": (1, 2), "most": 2000},
        {"terms": (6, 8), "digits": (1, 2), "most": 5000},
    ],
    "shopping": [{"lines": 2}, {"lines": 3}, {"lines": 5}],
    "journey": [{"legs": 2}, {"legs": 3}],
    "stock": [{"days": 2}, {"days": 4}, {"days": 7}, {"days": 24}],
    "mean": [{"values": 3}, {"values": 4}],
    "legs": [{"animals": (3, 3)}],
    "packing": [{}],
    "tank": [{"pipes": 2}, {"pipes": 3}],
    "saving": [{}],
    # algebra
    "equation": [{"form": "one_side"}, {"form": "two_sides"}, {"form": "brackets"}],
    "complex": [{"most": 12}],
    "ratio": [{}],
    "ages": [{"people": 2}, {"people": 3}],
    "tickets": [{"unknowns": 2}, {"unknowns": 3}, {"unknowns": 4}],
    # number theory
    "lcm": [{"count": 2, "range": (8, 48)}, {"count": 3, "range": (8, 60)}, {"count": 4, "range": (8, 60)}],
    "factors": [{"range": (1000, 9999), "least": 4}],
    "fraction": [{"min_value": 5, "max_value": 90, "min_factor": 3, "max_factor": 12}],
    "base": [{"range": (60, 400)}, {"range": (1000, 9000)}],
    "multiples": [{"to": (60, 400)}],
    "divisor_sum": [{"range": (2000, 9000), "divisors": 16}],
    "power": [
        {"modulus": (41, 97), "base": (11, 60), "exponent": (3, 5)},
        {"modulus": (103, 197), "base": (3, 30), "exponent": (100, 500)},
    ],
    "remainders": [{"moduli": (7, 8, 9, 11, 13), "count": 2}, {"moduli": (7, 8, 9, 11, 13), "count": 3}],
    # sequences
    "stretch": [
        {"step": (3, 9), "terms": (4, 6)},
        {"step": (3, 9), "terms": (8, 20)},
    ],
    "recurrence": [
        {"order": 1, "p": (2, 2), "q": (1, 9), "n": (3, 4)},
        {"order": 1, "p": (2, 3), "q": (1, 9), "n": (5, 6)},
        {"order": 2, "p": (1, 3), "q": (0, 0), "n": (7, 8)},
        {"order": 1, "p": (3, 9), "q": (2, 19), "n": (24, 40), "mod": 1},
    ],
    "pattern": [{"degree": 1, "n": (15, 40)}, {"degree": 2, "n": (8, 10)}, {"degree": 2, "n": (30, 40)}],
    # counting, grids, graphs, logic, probability
    "outfits": [{"things": 2}, {"things": 3}],
    "pairs": [{"n": (12, 90)}, {"n": (14, 60), "absent": 1}],
    "exactly": [{"people": (5, 13), "each": (2, 3)}],
    "committee": [{"people": (5, 11), "k": (3, 5), "least": 2}],
    "knapsack": [{"items": (4, 4)}],
    "dice": [{"count": 4, "faces": (8, 12)}],
    "paths": [{"side": (6, 8), "blocked": (5, 9), "least": 30}],
    "cheapest": [{"side": (3, 3), "low": 11, "high": 99}, {"side": (7, 8), "low": 11, "high": 99}],
    "network": [
        {"towns": (3, 4), "density": 0.5},
        {"towns": (5, 6), "density": 0.5},
        {"towns": (11, 13), "density": 0.4},
    ],
    "liars": [{"people": (2, 2)}, {"people": (4, 5)}],
    # geometry, dates and times
    "angle": [{"sides": (3, 3), "angle": (15, 120)}, {"sides": (5, 7), "angle": (80, 170)}],
    "rectangle": [{}],
    "garden": [{}],
    "polygon": [{"corners": 3, "reach": 9}, {"corners": 5, "reach": 15}],
    "days": [{"days": (20, 90)}, {"days": (60, 400)}],
    "shift": [{"shifts": 1}, {"shifts": 2}],
}
"""Sizes by kind, small to large: those that a first round with the 1.5 B left in sight, and their neighbours.

The first round (72 candidates, two or three problems each, cap 700) ruled out ``gcd``, ``digits``, ``subsets``,
``row``, ``circle``, ``buses``, ``room``, ``cuboid`` and ``meeting``: never solved, at 237 to 564 tokens (medians), so
neither easy nor hard.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind at a size.

    Attributes:
        name: ``kind/number``, the number that of the size.
        kind: The kind.
        size: The size.
    """

    name: str
    kind: Kind
    size: dict[str, Any]

    def problem(self, stage: str, index: int) -> Problem:
        """Return the problem number ``index`` of a stage, its answer computed twice.

        Raises:
            ValueError: The worked solution leads to another answer.
        """
        name = f"{stage}/{self.name}/{index}"
        facts = self.kind.draw(Random(name), self.size)
        steps, answer = self.kind.solve(facts)
        if answer != self.kind.answer(facts):
            raise ValueError(f"{name}: the worked solution says {answer}, the check {self.kind.answer(facts)}: {facts}")
        solution = "\n".join([*steps, f"\\boxed{{{answer}}}"])
        return Problem(id=name, pool="fresh-easy", question=self.kind.ask(facts), answer=str(answer), solution=solution)


def candidates() -> Iterator[Candidate]:
    """Yield every kind at every size."""
    for name, sizes in SIZES.items():
        for number, size in enumerate(sizes, start=1):
            yield Candidate(f"{name}/{number}", KINDS[name], size)
