"""Known answer on real input: the data sets' own solutions, boxed and cut at the budget, against a second computation.

The expectation uses none of the package's reading, grading, token or metric code: it knows where in the text each final
box ends and where the cut falls.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from roi_bench.exams.exam import Exam
from roi_bench.exams.sets import load_exams
from tests.harness.harness_runs import evaluate

EVERY_TASK = [f"roi_exam_{order}_{budget}" for order in ("medium", "hard") for budget in (512, 1024)]


@pytest.fixture(scope="module")
def tokenizer_path(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A byte-level BPE of 4,096 tokens learned from MATH's training solutions: real text in realistic token lengths."""
    lines = (data_dir / "math" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator((json.loads(line)["solution"] for line in lines), vocab_size=4096, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, clean_up_tokenization_spaces=False)
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(path)
    return str(path)


def reference_response(exam: Exam, order: str) -> tuple[str, list[list[int]]]:
    """Return the whole solution text of an exam and, by position, where in it each right box ends."""
    text, ends = "", []
    for position, problem in enumerate(exam.ordered(order), start=1):
        text += f"### Problem {position}\n"
        solution = re.sub(r"<<.*?>>", "", problem.solution or "").split("####")[0]
        mine = [len(text) + found for found in box_ends(solution)]
        text += f"{solution}\n\\boxed{{{problem.answer}}}"
        ends.append([*mine, len(text)])
        text += "\n\n"
    return text, ends


def box_ends(solution: str) -> list[int]:
    """Return where the boxes of a reference solution end (brace counting, one box at most)."""
    start = solution.find("\\boxed{")
    if start < 0:
        return []
    depth = 0
    for offset in range(start + len("\\boxed"), len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[offset], 0)
        if depth == 0:
            return [offset + 1]
    raise ValueError("unbalanced reference solution")


def expected(exams: tuple[Exam, ...], order: str, budget: int, tokenizer: Any) -> dict[str, float]:
    """Return the numbers that a run on the reference solutions must give, computed from character offsets."""
    rows = []
    for exam in exams:
        row: dict[str, Any] = {"cluster": exam.problems[2].id}
        for name, asked in (("main", order), ("easy", "easy")):
            text, ends = reference_response(exam, asked)
            cut = len(tokenizer.decode(tokenizer.encode(text)[:budget]))
            row[name] = [any(end <= cut for end in boxes) for boxes in ends]
        rows.append(row)
    score, easy = (sum(sum(row[name]) for row in rows) / len(rows) for name in ("main", "easy"))
    influence: dict[str, float] = defaultdict(float)
    for row in rows:
        influence[row["cluster"]] += -(sum(row["main"]) - score / easy * sum(row["easy"])) / easy
    groups = len(influence)
    return {
        "score": score,
        "score_easy": easy,
        "regret": (easy - score) / easy,
        "regret_stderr": math.sqrt(groups / (groups - 1) * sum(x * x for x in influence.values())) / len(rows),
        **{f"p{k}_acc": sum(row["main"][k - 1] for row in rows) / len(rows) for k in (1, 2, 3)},
        "correct": score / 3,
        "truncated": 1 - score / 3,
        "wrong": 0.0,
        "skip_rate": 0.0,
        "unanswered": 0.0,
        "empty": 0.0,
        "error": 0.0,
        "over_budget": 0.0,
    }


@pytest.mark.slow
def test_reference_solutions_score_what_a_second_computation_says(
    data_dir: Path, tokenizer_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    exams = load_exams("v1")
    recording = tmp_path / "reference.jsonl"
    with recording.open("w", encoding="utf-8") as stream:
        for exam in exams:
            for order in ("easy", "medium", "hard"):
                response = reference_response(exam, order)[0]
                stream.write(json.dumps({"exam": exam.id, "order": order, "response": response}) + "\n")
    results = evaluate(EVERY_TASK, model="roi-playback", responses=str(recording), tokenizer=tokenizer_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_path)
    for name in EVERY_TASK:
        order, budget = name.split("_")[2], int(name.split("_")[3])
        found = results["results"][name]
        for key, value in expected(exams, order, budget, tokenizer).items():
            assert found[f"{key},none"] == pytest.approx(value, abs=1e-12), (name, key)
        assert results["n-samples"][name]["effective"] == 480
        assert 0 < found["budget_use,none"] <= 1
    at = {name: results["results"][name]["score,none"] for name in EVERY_TASK}
    assert at["roi_exam_hard_512"] < at["roi_exam_hard_1024"]  # the cut really bites
