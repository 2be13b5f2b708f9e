"""Rows of real models hold no text, and give back every number of the run that they were taken from."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import real_models
from benchmarks.real_models import SHOWN, keep, read_rows, samples_of, table
from roi_bench.exams.sets import load_exams
from roi_bench.harness.run import run
from roi_bench.scoring.statistics import estimate_ratio
from tests.support.exam_factory import respond

TASKS = ("roi_tiny_hard_128", "roi_tiny_medium_128")


def sit(folder: Path, exams: int) -> None:
    """Play responses of which every third leaves out its last answer."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, exam in enumerate(list(load_exams("tiny"))[:exams]):
        for order in ("easy", "medium", "hard"):
            answers = [problem.answer for problem in exam.ordered(order)]
            wrong = number % (2 if order == "hard" else 3) == 0
            text = respond([*answers[:2], "no such number" if wrong else answers[2]])
            lines.append({"exam": exam.id, "order": order, "response": text})
    (folder / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = (
        f"responses={folder / 'responses.jsonl'},tokenizer={Path('roi_bench/data/tiny_model').resolve()},cut=false"
    )
    run(
        [
            *("--model", "roi-playback", "--model_args", arguments, "--tasks", ",".join(TASKS)),
            *("--limit", str(exams), "--output_path", str(folder / "out" / "a_model")),
        ]
    )


def test_rows_give_every_number_back_and_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for exams in (3, 9):  # a second day
        sit(tmp_path, exams)
        keep(Namespace(out=tmp_path / "out", rows=tmp_path / "rows.csv"))
    assert re.search(r"\b9\b.*\b27\b", capsys.readouterr().out)
    rows = read_rows(tmp_path / "rows.csv")
    results = json.loads(max((tmp_path / "out").rglob("results_*.json")).read_text())["results"]
    for task, order in zip(TASKS, ("hard", "medium"), strict=True):
        samples = samples_of(rows, "a_model", "direct", 128, order)
        assert len(samples) == 9
        for metric in real_models._metrics():
            estimate = estimate_ratio(real_models._terms(metric, samples))
            assert estimate.value == pytest.approx(results[task][f"{metric.name},none"])
            assert estimate.stderr_general == pytest.approx(results[task][f"{metric.name}_stderr,none"])
    table(Namespace(rows=tmp_path / "rows.csv"))
    printed = capsys.readouterr().out
    assert all(name.replace("_", "\\_") in printed for name in SHOWN)
    assert "boxed" not in (tmp_path / "rows.csv").read_text()
    assert (tmp_path / "rows.csv").read_text().count("a_model,direct,easy,128,tiny/0/") == 9
