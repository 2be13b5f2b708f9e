"""Submissions of the stages of a training run: what they tell, when they are drafts, and what cannot be packed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roi_bench.cli.train import pack_stages
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.training.plan.recipe import load_recipe
from tests.leaderboard.made_submissions import MadeTask, write_results
from tests.support.messages import missing


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with the evaluation of two stages, 30 exams each."""
    evaluation = tmp_path / "run" / "evaluation"
    files = {}
    for stage, prompt in (("base", "direct"), ("rarl", "metacognitive")):
        file = write_results(
            evaluation / "results" / stage / "m", [MadeTask(exams=30, prompt=prompt)], model=f"/x/{stage}"
        )
        files[stage] = [file.relative_to(evaluation).as_posix()]
    (evaluation / "stages.json").write_text(json.dumps({"results": files}))
    return tmp_path / "run"


def test_each_stage_has_a_submission_that_says_what_it_is(run: Path) -> None:
    told: list[str] = []
    folders = pack_stages(load_recipe("tiny", ["evaluation.limit=30", "seed=3"]), run, "me@example.org", told.append)
    assert {folder.parent for folder in folders} == {run / "evaluation" / "submissions"}
    base, rarl = (check_submission(folder).submission for folder in folders)
    assert (base.metadata.model, rarl.metadata.model) == ("tiny", "tiny + MFT + RARL")
    assert [task.prompt for task in (*base.tasks, *rarl.tasks)] == ["direct", "metacognitive"]
    assert base.draft
    assert base.metadata.contact == "me@example.org"
    assert rarl.metadata.notes == "Evaluated by roi-bench train: recipe tiny, seed 3, stage rarl."
    assert "Trained on the benchmark's training exams" in rarl.metadata.contamination
    assert "Trained on" not in base.metadata.contamination.replace("Trained from", "")
    (line,) = told
    assert missing([run / "evaluation" / "submissions", "30 exams", "roi-bench submit check DIR"], line) == []


def test_without_a_contact_they_are_drafts(run: Path) -> None:
    told: list[str] = []
    folders = pack_stages(load_recipe("tiny"), run, None, told.append)
    assert all(check_submission(folder).submission.draft for folder in folders)
    assert missing(["drafts", "--contact"], told[-1]) == []


def test_what_keeps_a_submission_from_being_made_is_told_and_fails_nothing(run: Path) -> None:
    (samples,) = (run / "evaluation" / "results" / "base").rglob("samples_*.jsonl")
    samples.write_text(samples.read_text().replace("tiny/0/003", "tiny/0/002"))
    told: list[str] = []
    (only,) = pack_stages(load_recipe("tiny", ["evaluation.limit=30"]), run, "me", told.append)
    assert "rarl" in only.name
    assert missing(["base", "tiny/0/002"], told[0]) == []
    told.clear()
    (folder,) = pack_stages(load_recipe("tiny", ["evaluation.limit=30"]), run, "me", told.append)
    assert folder == only  # the same again is the same submission


def test_a_part_that_is_called_whole_is_not_packed(run: Path) -> None:
    told: list[str] = []
    assert pack_stages(load_recipe("tiny"), run, "me", told.append) == []
    assert len(told) == 2
    assert "450 of 480 exams" in told[0]
