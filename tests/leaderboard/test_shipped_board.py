"""The shipped board: small, whole, of generated problems only; and its numbers are those of the README."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from roi_bench.leaderboard.board.board import read_reviews, read_settings, submission_folders
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.submission.schema import parse_submission

ROOT = Path(__file__).resolve().parents[2]
SUBMISSIONS = ROOT / "leaderboard" / "submissions"
FOLDERS, OTHERS = submission_folders(SUBMISSIONS)
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


def test_the_same_model_locally_and_through_an_api_gives_the_numbers_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| MFT \+ RARL \| `(roi_tiny_\w+)` \| (\S+) ± .+? \| (\S+) ± .+? \| (\S+) ±", readme, re.MULTILINE
    )
    assert len(rows) == 2
    for name in ("roi-bench-tiny-rarl", "roi-bench-tiny-rarl-api"):
        checked = check_submission(WHOLE[name])
        assert checked.recounted
        graded, _ = grade_submission(checked, workers=1)
        assert [remark for remark in graded.remarks if remark.rule == "claims"] == []
        found = {run.task: run.numbers for run in graded.runs}
        for task, *shown in rows:
            values = [found[task][metric].value for metric in ("score", "score_easy", "regret")]
            assert [f"{value:.2f}" for value in values] == shown, name


def test_what_it_says_of_itself_is_true_of_the_shipped_models() -> None:
    for name in ("base", "mft", "rarl"):
        content = json.loads((WHOLE[f"roi-bench-tiny-{name}"] / "submission.json").read_text(encoding="utf-8"))
        expected = {"base": "tiny_model", "mft": "tiny_mft", "rarl": "tiny_rarl"}[name]
        assert {task["tokenizer"] for task in content["tasks"]} == {f"roi-bench:{expected}"}
        assert content["metadata"]["parameters"] == 801_984
