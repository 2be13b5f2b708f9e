"""Invented responses to the fresh exams, for the playback run of the shipped board: ``roi-playback`` reads them.

Nobody wrote them: a seed decides how long the work on a problem is, and whether its answer is right, wrong or a skip.
The work is a count of steps. They show what a board makes of exams at full size, and say nothing of any model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from roi_bench.exams.exam import ORDERS, Exam, Problem
from roi_bench.exams.sets import load_exams

STEPS = {"easy": (10, 60), "middle": (40, 180), "hard": (120, 450)}
"""Fewest and most steps of work by tier; a step is two tokens of the shipped tokenizer."""

SHARES = {"easy": (0.00, 0.95), "middle": (0.05, 0.75), "hard": (0.35, 0.30)}
"""Share of problems that are skipped, and share of the others that are right, by tier."""


def draws(*parts: object) -> Iterator[float]:
    """Yield numbers from 0 to 1 that depend on ``parts`` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    for start in range(0, len(digest), 4):
        yield int.from_bytes(digest[start : start + 4], "big") / 2**32


def work_and_box(problem: Problem, tier: str, seed: int) -> str:
    """Return the invented work on a problem and its final box; the same in every order of every exam."""
    length, skip, right, off = (value for value, _ in zip(draws(seed, problem.id), range(4), strict=False))
    skipped, solved = SHARES[tier]
    if skip < skipped:
        return "\\boxed{NA}"
    fewest, most = STEPS[tier]
    steps = " ".join(f"step {number}" for number in range(1, fewest + int(length * (most - fewest)) + 1))
    answer = int(problem.answer) + (0 if right < solved else 1 + int(off * 9))
    return f"{steps}\n\\boxed{{{answer}}}"


def response(exam: Exam, order: str, seed: int) -> str:
    """Return the invented response to an exam, not cut at any budget."""
    asked = enumerate(zip(exam.ordered(order), exam.tiers(order), strict=True), start=1)
    parts = [f"### Problem {number}\n{work_and_box(problem, tier, seed)}" for number, (problem, tier) in asked]
    return "\n\n".join(parts)


def main() -> None:
    """Write the file that ``roi-playback`` answers from."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = [
        json.dumps({"exam": exam.id, "order": order, "response": response(exam, order, options.seed)})
        for exam in load_exams("fresh")
        for order in ORDERS
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
