"""What a change to a board amounts to: every submission that it adds, checked and graded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError
from roi_bench.leaderboard.added_folders import AddedFolder, added_folders, write_folder
from roi_bench.leaderboard.base_board import BaseBoard, read_base, responses_on, why_copied
from roi_bench.leaderboard.corrections import settle_corrections
from roi_bench.leaderboard.gather import Gathered, Wish, grade_many
from roi_bench.leaderboard.graded import GradedRun, GradedSubmission, Number
from roi_bench.leaderboard.review_comment import FORMAT, FORMAT_VERSION


def review_change(
    repository: Path, submissions: str, base: str, head: str, *, recount: bool = False, workers: int | None = None
) -> dict[str, Any]:
    """Return what the submissions that ``head`` adds to ``base`` are worth, as a JSON value.

    Args:
        repository: A clone that has both.
        submissions: Folder of the submissions in it.
        base: What is changed.
        head: The change.
        recount: Count tokens again with tokenizers from the hub too.
        workers: Processes that grade.

    Raises:
        UsageError: There is no such repository, branch or commit.
        DataError: The exams that were sat cannot be loaded.
    """
    problem: str | None = None
    found: list[dict[str, Any]] = []
    board = read_base(repository, submissions, base)
    try:
        added = added_folders(repository, submissions, base, head)
        with tempfile.TemporaryDirectory(prefix="roi-bench-review-") as folder:
            places, too_large = _written(repository, added, Path(folder))
            graded = [*too_large, *grade_many(places, Wish(drafts=True, recount=recount), workers)]
        refused = _refused_beside(board, [one.graded for one in graded if one.graded is not None])
        found = [_reviewed(one, refused) for one in graded]
    except RecordError as error:
        problem = str(error)
    found.sort(key=lambda one: str(one["folder"]))
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "problem": problem, "submissions": found}


def is_accepted(review: Mapping[str, Any]) -> bool:
    """Return whether nothing in a review was refused."""
    return review["problem"] is None and all(one["refused"] is None for one in review["submissions"])


def _written(repository: Path, added: Sequence[AddedFolder], out: Path) -> tuple[list[Path], list[Gathered]]:
    """Return the folders that could be written, and why others could not."""
    places, too_large = [], []
    for one in added:
        try:
            places.append(write_folder(repository, one, out))
        except RecordError as error:
            too_large.append(Gathered(out / one.name, None, str(error)))
    return places, too_large


def _refused_beside(board: BaseBoard, graded: Sequence[GradedSubmission]) -> dict[str, str]:
    """Return why new submissions that pass the checks are refused beside those that are there already, by id."""
    whole = [one for one in graded if not one.submission.draft]
    refused = {
        one.submission.id: "a draft; pack the whole run without --draft to submit it"
        for one in graded
        if one.submission.draft
    }
    responses = responses_on(board, {run.task for one in whole for run in one.runs})
    replaced = settle_corrections([*board.submissions.values()]).replaced
    by_id = {**board.submissions, **{one.submission.id: one.submission for one in whole}}
    for one in whole:
        target = str(one.submission.replaces)
        if (why := why_copied(one, responses, by_id)) is not None:
            refused[one.submission.id] = why
        elif (first := replaced.get(target)) is not None:
            refused[one.submission.id] = (
                f"corrects {target}, which {first} corrects already; correct that one, the last of the chain"
            )
    new = [one.submission for one in whole if one.submission.id not in refused]
    settled = settle_corrections([*board.submissions.values(), *new])
    return refused | {one.id: settled.refused[one.id] for one in new if one.id in settled.refused}


def _reviewed(one: Gathered, refused_beside: Mapping[str, str]) -> dict[str, Any]:
    graded = one.graded
    refused = one.refused if graded is None else refused_beside.get(graded.submission.id)
    content = {"folder": one.folder.name, "refused": refused}
    if graded is None or refused is not None:
        return {**content, "model": None, "replaces": None, "remarks": [], "runs": []}
    return {
        **content,
        "model": graded.submission.metadata.model,
        "replaces": graded.submission.replaces,
        "remarks": [remark.text for remark in graded.remarks],
        "runs": [_run(run) for run in graded.runs],
    }


def _run(run: GradedRun) -> dict[str, Any]:
    return {
        "task": run.task,
        "exams": run.exams,
        "score": _interval(run.numbers["score"]),
        "regret": _interval(run.numbers["regret"]),
        "tokens": run.numbers["tokens"].value,
    }


def _interval(number: Number) -> list[float | None]:
    return [number.value, number.low, number.high]
