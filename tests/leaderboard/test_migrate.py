"""A submission of an older form, rewritten from itself: nothing invented, the same numbers, today's form left alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roi_bench.cli.submit import submit
from roi_bench.errors import RecordError
from roi_bench.leaderboard.board.gather import GradingOptions, grade_one
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.submission.pack import migrate_submission
from roi_bench.leaderboard.submission.response_files import lines_digest
from roi_bench.leaderboard.submission.schema import SETUP, outdated
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.messages import missing

OLD = Path(__file__).parents[1] / "cases" / "older_submission" / "roi-bench-tiny-rarl-api-b9c3e6e49809"
"""The first submission of tiny-rarl behind an API as it stood on the shipped board before the form named reading rules:
reading rule 1, prompts of version 1, generated exams."""


def graded(folder: Path) -> GradedSubmission:
    done = grade_one(folder, GradingOptions(drafts=True, archive=True))
    assert done.graded is not None, done.refused
    return done.graded


def document_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old submission in today's form."""
    written = migrate_submission(OLD, tmp_path_factory.mktemp("migrated"))
    assert written is not None
    return written


def test_a_submission_of_the_first_form_says_which_command_rewrites_it() -> None:
    with pytest.raises(RecordError, match=r"reading rule 1.*roi-bench submit migrate"):
        check_submission(OLD, archive=True)


def test_its_files_stay_as_they_are_and_only_what_can_be_known_is_added(migrated: Path) -> None:
    old, new = document_of(OLD), document_of(migrated)
    for task in old["tasks"]:
        assert (migrated / task["file"]).read_bytes() == (OLD / task["file"]).read_bytes()
        task |= {"reading_rule": 1, "lines_sha256": lines_digest((OLD / task["file"]).read_bytes())}
    assert new["id"] == migrated.name != OLD.name
    assert new == old | {"id": new["id"]}


def test_what_was_not_recorded_is_unknown(migrated: Path) -> None:
    submission = check_submission(migrated, archive=True).submission
    for task in submission.tasks:
        assert [getattr(task, name) for name in (*SETUP, "sent_as", "chat_template_sha256")] == [None] * 7
        assert outdated(task) == "prompt version 1 (today: 2); reading rule 1 (today: 2)"


def test_its_numbers_are_those_that_its_run_recorded_to_the_last_digit(migrated: Path) -> None:
    found = graded(migrated)
    assert [remark.text for remark in found.remarks if remark.rule == "claims"] == []
    claimed = document_of(OLD)["claimed"]
    for run in found.runs:
        numbers = {name: run.numbers[name].value for name in claimed[run.task] if name in run.numbers}
        assert len(numbers) > 20
        assert numbers == {name: claimed[run.task][name] for name in numbers}


def without_newer_fields(document: dict[str, Any]) -> None:
    """Make a submission of today one of the form before lines had hashes and engines were recorded."""
    for task in document["tasks"]:
        for name in ("lines_sha256", *SETUP):
            task.pop(name, None)


def test_a_form_that_still_passes_gets_the_hash_of_its_lines_and_keeps_its_numbers(tmp_path: Path) -> None:
    made = made_submission(tmp_path / "made", [MadeTask(exams=5), MadeTask(exams=5, order="medium")])
    old = tampered(made, tmp_path / "old", document=without_newer_fields)
    new = migrate_submission(old, tmp_path / "new")
    assert new is not None
    assert new.name != old.name
    before, after = graded(old), graded(new)
    assert after.runs == before.runs
    assert (after.remarks, after.recounted) == (before.remarks, before.recounted)
    # here all that the older form lacks follows from the files
    assert {**document_of(new), "id": ""} == {**document_of(made), "id": ""} or new.name != made.name
    assert migrate_submission(new, tmp_path / "new") is None


def migrate(*arguments: object) -> Result:
    return CliRunner().invoke(submit, ["migrate", *map(str, arguments)], standalone_mode=False)


def test_the_command_writes_beside_the_old_one_and_leaves_todays_form_alone(tmp_path: Path) -> None:
    old = tmp_path / OLD.name
    shutil.copytree(OLD, old)
    done = migrate(old)
    assert done.exception is None
    (new,) = (path for path in tmp_path.iterdir() if path != old)
    assert done.output.splitlines()[0] == str(new)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again, current = migrate(old), migrate(new)
    assert (again.exception, current.exception, again.output.splitlines()[0]) == (None, None, str(new))
    assert missing([new.name, "nothing to do"], current.output) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def edit(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        document = document_of(folder) | changes
        (folder / "submission.json").write_text(json.dumps(document), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "facts"),
    [
        (lambda folder: (folder / "submission.json").unlink(), ["submission.json"]),
        (lambda folder: (folder / "submission.json").write_text("{"), ["submission.json"]),
        (lambda folder: (folder / "submission.json").write_text("[1]"), ["submission.json", "tasks"]),
        (
            lambda folder: (folder / "roi_tiny_hard_128_metacognitive.jsonl.gz").unlink(),
            ["roi_tiny_hard_128_metacognitive.jsonl.gz", "missing"],
        ),
        (lambda folder: (folder / "roi_tiny_hard_128_metacognitive.jsonl.gz").write_bytes(b"no"), ["gzip"]),
        (edit(usd=1.0), ["altered"]),
        (edit(metadata=None), ["metadata"]),
        (edit(tasks=[{"file": ["x"]}]), ["file"]),
        (edit(tasks=[]), ["tasks"]),
        (edit(id=None), ["altered"]),
        (edit(format="another"), ["format"]),
        (edit(stars=5), ["'stars'"]),
    ],
)
def test_a_damaged_one_ends_in_one_line(tmp_path: Path, damage: Callable[[Path], object], facts: list[str]) -> None:
    folder = tmp_path / "board" / OLD.name
    shutil.copytree(OLD, folder)
    damage(folder)
    with pytest.raises(RecordError) as error:
        migrate_submission(folder, folder.parent)
    assert missing([OLD.name, *facts], str(error.value)) == []
    assert "\n" not in str(error.value)
    assert [path.name for path in folder.parent.iterdir()] == [OLD.name]
