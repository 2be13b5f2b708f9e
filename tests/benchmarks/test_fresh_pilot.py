"""Candidates of the fresh exams: problems that say all, are the same every time, and have one whole answer."""

from __future__ import annotations

import json
from argparse import Namespace
from math import gcd
from pathlib import Path

import pytest

from benchmarks import fresh_pilot
from benchmarks.fresh_pilot import Candidate, candidates, table

CANDIDATES = list(candidates())


@pytest.mark.parametrize("candidate", CANDIDATES, ids=[one.name for one in CANDIDATES])
def test_a_problem_is_the_same_every_time_and_has_a_whole_answer(candidate: Candidate) -> None:
    for index in range(12):
        question, answer = candidate.problem(index)
        assert candidate.problem(index) == (question, answer)
        assert type(answer) is int
        assert question == question.strip()
        assert question[-1] in "?." or "\n" in question
        assert str(answer) != question


def test_systems_and_trains_come_out_whole() -> None:
    for name in ("tickets/1", "tickets/2", "tickets/3", "meeting/1"):
        (candidate,) = [one for one in CANDIDATES if one.name == name]
        assert all(candidate.problem(index)[1] > 0 for index in range(40)), name


def test_closed_forms_by_hand() -> None:
    assert fresh_pilot.KINDS["gcd"].answer({"numbers": [12, 18]}) == gcd(12, 18)
    assert fresh_pilot.KINDS["pairs"].answer({"n": 5, "absent": 2}) == 9
    assert fresh_pilot.KINDS["garden"].answer({"a": 3, "b": 2, "path": 1}) == 14
    assert fresh_pilot.KINDS["circle"].answer({"n": 5, "k": 2}) == 3


def test_the_table_counts_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for index in range(4):
        answer = CANDIDATES[0].problem(index)[1]
        text = f"So it is \\boxed{{{answer if index else answer + 1}}}."
        lines.append(
            {"candidate": CANDIDATES[0].name, "problem": index, "cap": 50, "response": text, "tokens": 10 + index}
        )
    (tmp_path / "a_model.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table(Namespace(out=tmp_path))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "a_model" in line]
    assert [cell.strip() for cell in row.strip("|").split("|")][2:] == ["a_model", "4", "0.75", "12", "12", "0.00"]
