"""A re-run beside a submission: what came out alike, and the entry that it gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roi_bench.cli.leaderboard import leaderboard
from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import read_reviews, write_review
from roi_bench.leaderboard.board.build import load_board
from roi_bench.leaderboard.board.gather import GradingOptions
from roi_bench.leaderboard.board.same_responses import compare_rerun, rerun_record, rerun_table
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered, write_results
from tests.support.messages import missing

TASKS = [MadeTask(exams=12), MadeTask(exams=12, order="medium")]


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("made") / "submissions", TASKS)


def again(folder: Path, model: str = "made-up/model", **changes: Any) -> Path:
    """Return results of the first exams of the hard task; ``changes`` to it."""
    write_results(folder, [MadeTask(**{"exams": 5, **changes})], model=model)
    return folder


def test_an_honest_greedy_run_agrees_in_everything(submission: Path, tmp_path: Path) -> None:
    (found,) = compare_rerun(submission, [again(tmp_path)], workers=1)
    assert (found.task, found.exams, found.agreed) == ("roi_tiny_hard_128", 5, 5)
    assert (found.responses, found.texts, found.lengths.count, found.lengths.of) == (10, 10, 10, 10)
    assert found.tokens is not None
    assert found.tokens[0] == found.tokens[1]
    assert found.score is not None
    assert found.score.difference == 0
    record = rerun_record(submission.name, [found], "Others", "2026-11-25")
    assert (record["exams"], record["agreed"], record["badge"]) == (5, 5, "reproduced")


def one_wrong(name: str, text: str) -> str:
    return text.replace("\\boxed{", "\\boxed{9", 1) if name == "tiny/0/002" else text


def test_what_differs_is_counted(submission: Path, tmp_path: Path) -> None:
    (found,) = compare_rerun(submission, [again(tmp_path, text=one_wrong)], workers=1)
    assert (found.exams, found.agreed, found.texts) == (5, 4, 8)
    (row,) = rerun_table([found]).rows
    assert row[:6] == ("roi_tiny_hard_128", 5, 4, 10, 8, found.lengths.count)


def test_a_submission_of_the_re_run_does_too(submission: Path, tmp_path: Path) -> None:
    other = made_submission(tmp_path / "again", TASKS, model="made-up/model", contact="other@example.org")
    found = compare_rerun(submission, [other], workers=1)
    assert [(one.task, one.exams, one.agreed) for one in found] == [
        ("roi_tiny_medium_128", 12, 12),
        ("roi_tiny_hard_128", 12, 12),
    ]


def test_another_model_is_no_reproduction_and_another_task_nothing_to_compare(submission: Path, tmp_path: Path) -> None:
    other = again(tmp_path / "other", "made-up/worse", skill=(0.0, 0.0, 0.0), attempts=(True, True, True))
    found = compare_rerun(submission, [other], workers=1)
    with pytest.raises(RecordError, match=r"\d of 5 exams"):
        rerun_record(submission.name, found, "Others", "2026-11-25")
    with pytest.raises(UsageError, match="roi_tiny_medium_128, roi_tiny_hard_128"):
        compare_rerun(submission, [again(tmp_path / "budget", budget=256)], workers=1)
    with pytest.raises(UsageError, match="sampling"):
        compare_rerun(submission, [again(tmp_path / "sampled", temperature=0.7)], workers=1)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(leaderboard, ["reproduce", *map(str, arguments)], standalone_mode=False)


def test_the_command_shows_the_table_and_writes_the_entry(submission: Path, tmp_path: Path) -> None:
    results, reviews = again(tmp_path / "results"), tmp_path / "reviews.json"
    shown = invoke(submission, results, "--workers", 1)
    assert shown.exception is None
    assert "roi_tiny_hard_128" in shown.output
    assert not reviews.exists()
    given = ("--by", "Others", "--date", "2026-11-25", "--reviews", reviews, "--workers", 1)
    assert invoke(submission, results, *given).exception is None
    (entry,) = json.loads(reviews.read_text(encoding="utf-8"))
    assert (entry["submission"], entry["exams"], entry["agreed"], entry["by"]) == (submission.name, 5, 5, "Others")
    (review,) = read_reviews(tmp_path, [submission])
    assert (review.badge, review.exams, review.agreed, review.date) == ("reproduced", 5, 5, "2026-11-25")
    assert isinstance(invoke(submission, results, "--date", "2026-11-25").exception, UsageError)
    by_nobody = invoke(submission, results, "--by", "a\nb", "--reviews", reviews, "--workers", 1)
    assert isinstance(by_nobody.exception, RecordError)


def test_a_correction_is_confirmed_after_its_change_was_shown(submission: Path, tmp_path: Path) -> None:
    shutil.copytree(submission, tmp_path / submission.name)
    correction = tampered(
        submission,
        tmp_path,
        document=lambda content: (
            content.update(replaces=submission.name, reason="because"),
            content["metadata"].update(contact="evil@example.org"),
        ),
    )

    def confirm(*arguments: object) -> Result:
        return CliRunner().invoke(
            leaderboard, ["confirm", *map(str, arguments), "--workers", "1"], standalone_mode=False
        )

    shown = confirm(correction)
    assert shown.exception is None
    for fact in (submission.name, "'nobody@example.org'", "'evil@example.org'", "roi_tiny_hard_128: score "):
        assert fact in shown.output
    assert not (tmp_path / "reviews.json").exists()
    assert isinstance(confirm(correction, "--by", "Us").exception, UsageError)
    assert isinstance(confirm(tmp_path / submission.name).exception, UsageError)
    board = load_board(tmp_path, GradingOptions(drafts=True), workers=1)
    assert {entry.id: entry.has_rows for entry in board.entries} == {submission.name: True, correction.name: False}
    for entry in board.entries:
        told = " ".join(remark.text for remark in entry.graded.remarks if remark.rule == "correction")
        assert missing(["evil@example.org", "nobody@example.org", "no row until", "score"], told) == []
    assert confirm(correction, "--by", "Us", "--note", "By mail.", "--date", "2026-11-26").exception is None
    board = load_board(tmp_path, GradingOptions(drafts=True), workers=1)
    assert {entry.id: entry.has_rows for entry in board.entries} == {submission.name: False, correction.name: True}
    (row,) = {standing.entry.id for table in board.cells for standing in table.standings}
    assert row == correction.name
    with pytest.raises(RecordError, match="corrects no other"):
        write_review(
            tmp_path / "reviews.json",
            {"submission": submission.name, "badge": "correction", "by": "Us", "date": "2026-11-26"},
            tmp_path / submission.name,
        )
