"""The shipped board: small, whole, of generated problems only; and its numbers are those of the README."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from roi_bench.exams.tiny import model_path
from roi_bench.harness.run import run
from roi_bench.leaderboard.board.board import read_reviews, read_settings
from roi_bench.leaderboard.board.gather import submission_folders
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.submission.schema import parse_submission
from tests.support.roi_runs import samples_in

ROOT = Path(__file__).resolve().parents[2]
SUBMISSIONS = ROOT / "leaderboard" / "submissions"
FOLDERS, OTHERS = submission_folders(SUBMISSIONS)
NORMAL_95 = 1.959964
"""Standard errors from the middle of a 95 % interval to its end."""

WHOLE = {folder.name[:-13]: folder for folder in FOLDERS}


def test_its_submissions_are_those_that_its_page_names() -> None:
    page = (ROOT / "leaderboard" / "README.md").read_text(encoding="utf-8")
    assert OTHERS == []
    assert sorted(WHOLE) == sorted(re.findall(r"^\| `([a-z-]+)-…` \|", page, re.MULTILINE))
    assert read_settings(SUBMISSIONS).main_cell == "tiny_hard_128"
    assert {review.badge for review in read_reviews(SUBMISSIONS, FOLDERS)} == {"maintainer-run"}


def test_all_are_whole_runs_of_generated_problems_with_the_responses_that_they_tell() -> None:
    for folder in FOLDERS:
        submission = parse_submission((folder / "submission.json").read_bytes(), folder.name)
        assert submission.id == folder.name
        assert not submission.draft
        assert {task.exam_set for task in submission.tasks} <= {
            "tiny",
            "fresh",
        }  # no text that has a licence of its own
        for task in submission.tasks:
            assert hashlib.sha256((folder / task.file).read_bytes()).hexdigest() == task.sha256
            assert task.documents == (1440 if task.form == "solo" else 480)


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SUBMISSIONS.rglob("*") if path.is_file()) < 3_000_000


STAGES = {"base": "base", "mft": "MFT", "rarl": "MFT + RARL"}
"""The README's name of each shipped model."""


@pytest.mark.parametrize(
    ("submission", "stage"),
    [("tiny-base", "base"), ("tiny-mft", "mft"), ("tiny-rarl", "rarl"), ("tiny-rarl-api", "rarl")],
)
def test_the_numbers_of_the_readme_are_those_of_the_shipped_responses(submission: str, stage: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| {re.escape(STAGES[stage])} \| `(roi_tiny_\w+)` \| (.+) \|$", readme, re.MULTILINE)
    assert len(rows) == 1
    checked = check_submission(WHOLE[f"roi-bench-{submission}"])
    assert checked.recounted
    graded, _ = grade_submission(checked, workers=1)
    assert [remark for remark in graded.remarks if remark.rule == "claims"] == []
    found = {run.task: run.numbers for run in graded.runs}
    for task, shown in rows:
        pairs = []
        for interval in (found[task][metric] for metric in ("score", "score_easy", "regret")):
            assert interval.low is not None
            pairs.append(f"{interval.value:.2f} ± {(interval.value - interval.low) / NORMAL_95:.2f}")
        positions = ", ".join(f"{found[task][f'p{k}_acc'].value:.2f}" for k in (1, 2, 3))
        assert shown == " | ".join([*pairs, positions])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_shipped_responses_are_what_the_shipped_models_write(stage: str, tmp_path: Path) -> None:
    folder = WHOLE[f"roi-bench-tiny-{stage}"]
    prompt = "" if stage == "base" else "_metacognitive"
    tasks = [f"roi_tiny_{order}_128{prompt}" for order in ("hard", "medium")]
    run(
        [
            *("--model", "hf", "--model_args", f"pretrained={model_path(stage)},dtype=float32", "--device", "cpu"),
            *("--batch_size", "48", "--tasks", ",".join(tasks), "--limit", "48", "--output_path", str(tmp_path)),
        ]
    )
    for task in tasks:
        with gzip.open(folder / f"{task}.jsonl.gz", "rt", encoding="utf-8") as lines:
            shipped = {
                line["id"]: [request[0]["text"] for request in line["requests"]] for line in map(json.loads, lines)
            }
        samples = samples_in(tmp_path, task)
        assert len(samples) == 48
        for sample in samples:
            assert [response for (response,) in sample["resps"]] == shipped[sample["doc"]["exam_id"]]


def test_what_it_says_of_itself_is_true_of_the_shipped_models() -> None:
    for name in ("base", "mft", "rarl"):
        content = json.loads((WHOLE[f"roi-bench-tiny-{name}"] / "submission.json").read_text(encoding="utf-8"))
        expected = {"base": "tiny_model", "mft": "tiny_mft", "rarl": "tiny_rarl"}[name]
        assert {task["tokenizer"] for task in content["tasks"]} == {f"roi-bench:{expected}"}
        assert content["metadata"]["parameters"] == 801_984
