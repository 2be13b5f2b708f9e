"""What stands on a board before a change, read from git: submissions, and whose responses a new one has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roi_bench.errors import RecordError
from roi_bench.leaderboard.added_folders import commit, file_of, known_submissions
from roi_bench.leaderboard.checks import submitted_responses
from roi_bench.leaderboard.corrections import is_related
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.limits import FILE_BYTES, METADATA_BYTES
from roi_bench.leaderboard.response_files import responses_sha256
from roi_bench.leaderboard.safe_files import METADATA_FILE
from roi_bench.leaderboard.submission import Submission
from roi_bench.leaderboard.submission_files import parse_submission


@dataclass(frozen=True, slots=True)
class BaseBoard:
    """The submissions on a board at one commit.

    Attributes:
        repository: A clone that has the commit.
        folder: Folder of the submissions in it, with slashes.
        commit: Hash of the commit.
        submissions: The submissions by id; what is damaged, or is none, is left out.
    """

    repository: Path
    folder: str
    commit: str
    submissions: Mapping[str, Submission]


def read_base(repository: Path, submissions: str, base: str) -> BaseBoard:
    """Return the board at ``base``; of its submissions only what they say of themselves is read.

    Raises:
        UsageError: There is no such repository, branch or commit.
    """
    at, found = commit(repository, base), {}
    for name in sorted(known_submissions(repository, submissions, at)):
        try:
            content = file_of(repository, at, f"{submissions}/{name}/{METADATA_FILE}", METADATA_BYTES)
            one = parse_submission(content, name)
        except RecordError:
            continue  # a file of the maintainers' own, or a folder that no build takes
        if one.id == name and not one.draft:
            found[name] = one
    return BaseBoard(repository, submissions, at, found)


def responses_on(board: BaseBoard, tasks: Collection[str]) -> dict[tuple[str, str], list[str]]:
    """Return which submissions of ``board`` have which responses: ids by name of the task and hash of its responses.

    Args:
        board: The board.
        tasks: Names of the tasks of which responses are read; reading all of a large board would take many minutes.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for submission in board.submissions.values():
        for task in submission.tasks:
            if task.name not in tasks:
                continue
            path = f"{board.folder}/{submission.id}/{task.file}"
            try:
                packed = file_of(board.repository, board.commit, path, FILE_BYTES)
                documents = submitted_responses(task, packed, path).documents
            except RecordError:
                continue  # no build takes it
            found.setdefault((task.name, responses_sha256(documents)), []).append(submission.id)
    return found


def why_copied(
    graded: GradedSubmission, responses: Mapping[tuple[str, str], Sequence[str]], by_id: Mapping[str, Submission]
) -> str | None:
    """Return why a new submission is refused for responses that the board has already; None where they are its own.

    Only tasks of the same name are compared, which sat the same exams in the same order under the same budget and
    prompt. What is copied otherwise, the board's pages tell (:func:`roi_bench.leaderboard.corrections.settle`).

    Args:
        graded: The submission.
        responses: What :func:`responses_on` found of its tasks.
        by_id: All submissions, new ones too, between which corrections may lie.
    """
    for run in graded.runs:
        for name in responses.get((run.task, run.responses_sha256), ()):
            if not is_related(graded.submission, by_id[name], by_id):
                return (
                    f"{run.task}: its responses are those of {name}, which is on this board; a submission has "
                    "responses of its own, or names in `replaces` what it corrects"
                )
    return None
