"""Candidates of the fresh exams: problems that say all, are the same every time, and have one whole answer."""

from __future__ import annotations

import json
from argparse import Namespace
from math import gcd, lcm, prod
from pathlib import Path
from random import Random
from re import findall

import pytest

from benchmarks.fresh_admission import BEST_GUESS, Answers, admitted_tier, best_guess, table
from benchmarks.fresh_candidates.sizes import KINDS, Candidate, candidates
from roi_bench.exams.exam import canonical_text
from roi_bench.grading.grader import Grader
from roi_bench.reading.responses import read_response

CANDIDATES = list(candidates())


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


@pytest.mark.parametrize("candidate", CANDIDATES, ids=[one.name for one in CANDIDATES])
def test_a_problem_is_the_same_every_time_and_its_worked_solution_is_right(candidate: Candidate, grader) -> None:
    questions = set()
    for index in range(12):
        problem = candidate.problem("test", index)  # raises if the two answers differ
        assert candidate.problem("test", index) == problem
        assert problem.question == canonical_text(problem.question)
        assert int(problem.answer) == int(str(int(problem.answer)))
        assert problem.solution is not None
        read = read_response(f"### Problem 1\n{problem.solution}", 1).problems[0].answer
        assert read is not None
        assert grader.grade(problem.pool, read, problem.answers, problem.question).correct
        questions.add(problem.question)
    assert len(questions) >= 10


def test_every_candidate_stands_at_sizes_of_its_own() -> None:
    names = [one.name for one in CANDIDATES]
    assert len(set(names)) == len(names)
    assert {name.partition("/")[0] for name in names} == set(KINDS)


def numbers(text: str) -> list[int]:
    return [int(number) for number in findall(r"-?\d+", text)]


def fewest(question: str) -> int:
    """Return the length of the shortest way, by trying all ways without a circle."""
    roads = [(a, b, int(km)) for a, b, km in findall(r"([A-Z])–([A-Z]) (\d+)", question)]
    start, end = findall(r"from ([A-Z]) to ([A-Z])", question)[0]
    ways, best = [(start, 0, {start})], 10**6
    while ways:
        town, gone, seen = ways.pop()
        if town == end:
            best = min(best, gone)
        for a, b, km in roads:
            other = b if a == town else a if b == town else town
            if other not in seen and gone + km < best:
                ways.append((other, gone + km, seen | {other}))
    return best


def least_number(question: str) -> int:
    rests, moduli = numbers(question)[::2], numbers(question)[1::2]
    return next(x for x in range(1, lcm(*moduli) + 1) if [x % m for m in moduli] == rests)


FROM_THE_TEXT = {
    "shopping": lambda t: numbers(t)[0] - sum(a * b for a, b in zip(numbers(t)[1::2], numbers(t)[2::2], strict=True)),
    "journey": lambda t: sum(a * b for a, b in zip(numbers(t)[::2], numbers(t)[1::2], strict=True)),
    "saving": lambda t: (numbers(t)[2] - numbers(t)[0]) // numbers(t)[1],
    "ratio": lambda t: numbers(t)[0] * numbers(t)[2] // (numbers(t)[1] + numbers(t)[2]),
    "remainders": least_number,
    "divisor_sum": lambda t: sum(d for d in range(1, numbers(t)[0] + 1) if numbers(t)[0] % d == 0),
    "power": lambda t: pow(*numbers(t)),
    "lcm": lambda t: lcm(*numbers(t)),
    "fraction": lambda t: sum(numbers(t)) // gcd(*numbers(t)),
    "network": fewest,
    "rectangle": lambda t: numbers(t)[0] * (numbers(t)[1] // 2 - numbers(t)[0]),
    "outfits": lambda t: prod(numbers(t)),
}


@pytest.mark.parametrize("name", FROM_THE_TEXT)
def test_the_question_alone_gives_the_answer(name: str) -> None:
    for candidate in (one for one in CANDIDATES if one.name.partition("/")[0] == name):
        for index in range(10):
            problem = candidate.problem("text", index)
            assert FROM_THE_TEXT[name](problem.question) == int(problem.answer), problem.question


def test_systems_of_tickets_have_one_solution_in_whole_prices() -> None:
    for unknowns in (2, 3, 4):
        for index in range(40):
            facts = KINDS["tickets"].draw(Random(index), {"unknowns": unknowns})
            assert KINDS["tickets"].solve(facts)[1] == KINDS["tickets"].answer(facts) > 0


def test_closed_forms_by_hand() -> None:
    assert KINDS["pairs"].answer({"n": 5, "absent": 2}) == 9
    assert KINDS["garden"].answer({"a": 3, "b": 2, "path": 1}) == 14
    steps, total = KINDS["stretch"].solve({"step": 3, "low": 4, "high": 13, "rest": 0})
    assert total == 27
    assert steps[:2] == ["The first is 6, the last 12, in steps of 3.", "There are (12 - 6) / 3 + 1 = 3 of them."]
    assert steps[2:] == ["First and last together are 6 + 12 = 18.", "The sum is 3 × 18 / 2 = 27."]


@pytest.mark.parametrize(
    ("solved", "tokens", "guess", "tier"),
    [
        *((0.6, 320, 0.03, "easy"), (0.59, 320, 0.01, None), (0.6, 321, 0.01, None), (1.0, 100, 0.031, None)),
        *((0.2, 250, 0.01, "middle"), (0.5, 550, 0.01, "middle"), (0.19, 300, 0, None), (0.4, 551, 0, None)),
        *((0.05, 600, 0.01, "hard"), (0.06, 700, 0.01, None), (0.0, 599, 0.01, None), (0.0, 1024, 0.04, None)),
    ],
)
def test_the_rule_of_admission(solved: float, tokens: float, guess: float, tier: str | None) -> None:
    assert admitted_tier(Answers(40, solved, tokens, None, 0.0), guess) == tier


def test_the_best_constant_guess_is_counted() -> None:
    guess, share = best_guess(CANDIDATES[0], 30)
    answers = [CANDIDATES[0].problem("guess", index).answer for index in range(30)]
    assert share == max(answers.count(answer) for answer in answers) / 30
    assert answers.count(guess) / 30 == share


def test_the_table_counts_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for index in range(5):
        problem = CANDIDATES[0].problem("pilot", index)
        text = f"So it is \\boxed{{{int(problem.answer) + (index == 0)}}}."
        lines.append({"candidate": CANDIDATES[0].name, "problem": index, "question_sha256": problem.sha256, "cap": 50})
        lines[-1] |= {"response": text, "tokens": 10 + index}
    lines[4]["question_sha256"] = "0" * 64  # asked of another version of the problem: not counted
    lines.append({**lines[0], "candidate": "gone/1"})
    (tmp_path / "pilot-qwen15.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table(Namespace(out=tmp_path, stage="pilot"))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "qwen15" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3:] == ["qwen15", "4", "0.75", "12", "12", "0.00", "easy"]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=[one.name for one in CANDIDATES])
def test_no_constant_guess_is_often_right(candidate: Candidate) -> None:
    assert best_guess(candidate)[1] <= BEST_GUESS
