"""A finished run of invented responses to the tiny exams, played back."""

from __future__ import annotations

import json
from pathlib import Path

from roi_bench.exams.sets import load_exams
from roi_bench.harness.run import run
from tests.support.exam_factory import respond

TASKS = ("roi_tiny_hard_128", "roi_tiny_medium_128")


def sit(folder: Path, exams: int, first: int = 0) -> None:
    """Play responses to the exams from ``first`` on; every third leaves out its last answer."""
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
            *("--samples", json.dumps({task: list(range(first, exams)) for task in TASKS})),
            *("--output_path", str(folder / "out" / "a_model")),
        ]
    )
