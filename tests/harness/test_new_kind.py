"""A fourth kind of asking: one class, one prompt that names it, and a task file; everything else takes it as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roi_bench.exams.exam import Exam
from roi_bench.exams.sets import load_exams
from roi_bench.grading.grader import Grader
from roi_bench.harness.run import run
from roi_bench.records.regrade import compare, estimate_task, flat_values
from roi_bench.records.results import find_results, read_results
from roi_bench.scoring.kinds import KINDS, ExamKind, RequestContent
from roi_bench.scoring.metrics import Metric, ScoredResponse
from roi_bench.scoring.prompts import PROMPTS, exam_prompt
from tests.support.exam_factory import respond


class PairKind(ExamKind):
    """The easy and the middle problem of an exam in one generation."""

    name, requests = "pair", 1

    def asked(self, document: Exam, order: str | None) -> tuple[RequestContent, ...]:
        return (RequestContent(document.problems[:2], ("easy", "middle")),)

    def sample(self, document: Exam, order: str | None, scored: Sequence[ScoredResponse]) -> Any:
        return scored[0]

    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        return (Metric("pair_score", lambda sample: (float(sample.score), 1.0), True, "correct answers of two, 0–2"),)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder with the task file of the new kind."""
    monkeypatch.setitem(KINDS, PairKind.name, PairKind())
    monkeypatch.setitem(PROMPTS, "pair", replace(PROMPTS["direct"], kind="pair", paraphrases=()))
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "roi_pair_128.yaml").write_text(
        "task: roi_pair_128\nclass: !function roi_bench.harness.task.RoiTask\noutput_type: generate_until\n"
        "metadata: {version: 2}\n"
        "dataset_kwargs: {exam_set: tiny, order: hard, budget: 128, prompt: pair}\n"
    )
    return folder


def test_a_fourth_kind_is_asked_scored_recorded_and_regraded(pair: Path, tmp_path: Path) -> None:
    exams = load_exams("tiny")[:4]
    lines = []
    for number, exam in enumerate(exams):
        answers = [problem.answer for problem in exam.problems[:2]]
        text = respond(answers if number % 2 else [answers[0], "no such number"])
        lines.append(json.dumps({"exam": exam.id, "order": "hard", "response": text}) + "\n")
    (tmp_path / "responses.jsonl").write_text("".join(lines))
    arguments = ["--model", "roi-playback", "--model_args", f"responses={tmp_path / 'responses.jsonl'}"]
    arguments += ["--tasks", "roi_pair_128", "--include_path", str(pair), "--limit", "4"]
    run([*arguments, "--output_path", str(tmp_path / "out")])

    (path,) = find_results(tmp_path / "out")
    (task,) = read_results(path)
    assert (task.record.form, task.record.kind.noun, len(task.documents)) == ("pair", "exam", 4)
    assert [len(document.requests) for document in task.documents] == [1] * 4
    assert task.values["pair_score"] == 1.5
    prompts = [
        json.loads(line)["arguments"]["gen_args_0"]["arg_0"]
        for line in task.samples_path.read_text("utf-8").splitlines()
    ]
    assert prompts == [exam_prompt([p.question for p in exam.problems[:2]], 128, "pair") for exam in exams]
    with Grader() as grader:
        values = flat_values(estimate_task(task, {exam.id: exam for exam in load_exams("tiny")}, grader, None))
    assert all(row.equal for row in compare(task, values))
