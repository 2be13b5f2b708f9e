"""What a change to a board amounts to: read from git, checked and graded."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import (
    BADGES,
    REGRADED,
    REVIEWS_FILE,
    SETTINGS_FILE,
    BoardSettings,
    Review,
    confirmed_by,
    reviews_of,
    settings_of,
    withdrawn_by,
)
from roi_bench.leaderboard.board.build import name_remarks, settle_corrections, shares_by_id, why_not_on
from roi_bench.leaderboard.board.cache import load_graded
from roi_bench.leaderboard.board.gather import GradedFolder, GradingOptions, grade_many, grade_one
from roi_bench.leaderboard.board.graded import GradedRun, GradedSubmission, Remark, correction_changes
from roi_bench.leaderboard.board.same_responses import RunPrints, fingerprints, prints_of, run_prints
from roi_bench.leaderboard.checks.rules import submitted_responses
from roi_bench.leaderboard.review_comment import FORMAT, FORMAT_VERSION
from roi_bench.leaderboard.submission.schema import Submission, parse_submission
from roi_bench.leaderboard.submission.untrusted_files import (
    FILE_BYTES,
    FILES,
    FOLDER_BYTES,
    METADATA_BYTES,
    METADATA_DEPTH,
    METADATA_FILE,
    content_of,
    parse_strict,
    shown,
)

# What a change adds to a folder of submissions, read from git: new submissions may come, nothing else may change.
#
# The change is untrusted. Nothing of it is checked out: paths, modes and sizes are checked first, and only plain
# files are then written, to a folder of their own.

MOST_FOLDERS = 20
"""Submissions that one change may add; more need several changes."""

_PLAIN, _NAME = "100644", re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_CHANGE = re.compile(r":\d{6} (\d{6}) [0-9a-f]+ ([0-9a-f]+) ([A-Z])\d*")
_LIST_BYTES = 1 << 20
_APART = "change nothing else in a pull request with a submission"


@dataclass(frozen=True, slots=True)
class AddedFolder:
    """A submission that a change adds.

    Attributes:
        name: Name of its folder.
        files: Names of its files with git's hashes of their contents.
    """

    name: str
    files: tuple[tuple[str, str], ...]


def added_folders(repository: Path, submissions: str, base: str, head: str) -> tuple[AddedFolder, ...]:
    """Return the submissions that ``head`` adds to what it branched off from ``base``.

    Args:
        repository: A clone that has both.
        submissions: Folder of the submissions in the repository, with slashes.
        base: What is changed: a branch or commit.
        head: The change.

    Raises:
        UsageError: There is no such repository, branch or commit.
        RecordError: The change does anything but add plain files in new folders; the message says what.
    """
    old, new = commit(repository, base), commit(repository, head)
    start = _git(repository, "merge-base", old, new).decode().strip()
    known = set(_names(repository, old, submissions))
    found: dict[str, list[tuple[str, str]]] = {}
    for mode, blob, status, path in _changes(repository, start, new):
        folder, name = _place(path, submissions)
        if status != "A":
            what = {"D": "removes", "M": "alters", "T": "alters"}.get(status, "changes")
            raise RecordError(f"{what} {shown(path)}: submissions are only ever added; a correction is a new one")
        if folder in known:
            raise RecordError(f"adds {shown(path)} to an existing submission; a correction is a new one")
        if mode != _PLAIN:
            raise RecordError(f"adds {shown(path)} with mode {mode}; a submission has plain files only")
        found.setdefault(folder, []).append((name, blob))
        if len(found) > MOST_FOLDERS or len(found[folder]) > FILES:
            raise RecordError(f"adds more than {MOST_FOLDERS} submissions, or one of more than {FILES} files")
    return tuple(AddedFolder(name, tuple(files)) for name, files in sorted(found.items()))


def write_folder(repository: Path, added: AddedFolder, out: Path) -> Path:
    """Write the files of an added submission to a folder of its name in ``out``, and return that.

    Raises:
        RecordError: They are larger than a submission may be; nothing is written then.
    """
    sizes = [int(_git(repository, "cat-file", "-s", blob)) for _, blob in added.files]
    if max(sizes) > FILE_BYTES or sum(sizes) > FOLDER_BYTES:
        raise RecordError(f"{added.name}: {sum(sizes)} bytes; a submission has at most {FOLDER_BYTES}")
    folder = out / added.name
    folder.mkdir(parents=True)
    for name, blob in added.files:
        (folder / name).write_bytes(_git(repository, "cat-file", "blob", blob, most=FILE_BYTES))
    return folder


def commit(repository: Path, name: str) -> str:
    """Return the hash of the commit that ``name`` means.

    Raises:
        UsageError: It means none, or ``repository`` is none.
    """
    try:
        return _git(repository, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except RecordError as error:
        raise UsageError(f"{repository}: {shown(name)!r} is not a branch or commit there; fetch it first") from error


def _changes(repository: Path, start: str, new: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield mode, hash, status and path of every changed file."""
    options = ("--raw", "-z", "-r", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv")
    parts = _git(repository, "diff-tree", *options, start, new, most=_LIST_BYTES).split(b"\0")
    for what, path in zip(parts[:-1:2], parts[1::2], strict=True):
        if (found := _CHANGE.fullmatch(what.decode("ascii"))) is None:
            raise RecordError(f"{repository}: cannot understand how git describes a change: {shown(what)}")
        yield found[1], found[2], found[3], path.decode("utf-8", "replace")


def _place(path: str, submissions: str) -> tuple[str, str]:
    """Return the folder and the name of a file of a submission.

    Raises:
        RecordError: It is none.
    """
    inside = path.removeprefix(f"{submissions}/")
    parts = inside.split("/")
    if inside == path:
        raise RecordError(f"changes {shown(path)}, which is not in {submissions}; {_APART}")
    if len(parts) == 1:
        raise RecordError(f"changes {shown(path)}, a file of the board's maintainers; {_APART}")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise RecordError(f"adds {shown(path)}, which is not a file of a submission; see docs/leaderboard.md")
    return parts[0], parts[1]


def _names(repository: Path, tree: str, submissions: str) -> Iterator[str]:
    """Yield what lies in the folder of submissions."""
    for path in _git(repository, "ls-tree", "--name-only", "-z", tree, f"{submissions}/").split(b"\0")[:-1]:
        yield path.decode("utf-8", "replace").rpartition("/")[2]


def known_submissions(repository: Path, submissions: str, base: str) -> frozenset[str]:
    """Return the names of what lies in the folder of submissions of ``base``.

    Raises:
        UsageError: There is no such repository, branch or commit.
    """
    return frozenset(_names(repository, commit(repository, base), submissions))


def file_of(repository: Path, tree: str, path: str, most: int) -> bytes:
    """Return the content of the file at ``path``, from the repository's root, in the commit with the hash ``tree``.

    Raises:
        RecordError: There is no such file, or it is larger than ``most`` bytes.
    """
    return _git(repository, "cat-file", "blob", f"{tree}:{path}", most=most)


def check_place(repository: Path, submissions: str, base: str, head: str) -> None:
    """Check that there is a folder of submissions, on either side of the change.

    Raises:
        UsageError: There is none, or no such repository, branch or commit.
    """
    if not any(any(_names(repository, commit(repository, one), submissions)) for one in (base, head)):
        raise UsageError(
            f"{repository}: no folder {shown(submissions)!r} there in {shown(base)} or {shown(head)}; name the folder "
            "of submissions as it is called from the root of the repository"
        )


def _git(repository: Path, *arguments: str, most: int = 1 << 26) -> bytes:
    """Return what git says.

    Raises:
        UsageError: git is not installed.
        RecordError: git fails, or says more than ``most`` bytes.
    """
    command: Sequence[str] = ["git", "-C", str(repository), "--no-pager", *arguments]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            output = process.stdout.read(most + 1) if process.stdout else b""
            if len(output) > most:
                process.kill()
                raise RecordError(f"git {arguments[0]} prints more than {most} bytes; the change is too large")
    except OSError as error:
        raise UsageError(f"git cannot be run ({error.strerror or error}); install it") from error
    if process.returncode != 0:
        raise RecordError(f"{repository}: git {arguments[0]} failed; is the whole history there (fetch-depth: 0)?")
    return output


# What stands on a board before a change, read from git: submissions, and whose responses a new one shares.


@dataclass(frozen=True, slots=True)
class BaseBoard:
    """The submissions on a board at one commit.

    Attributes:
        repository: A clone that has the commit.
        folder: Folder of the submissions in it, with slashes.
        commit: Hash of the commit.
        submissions: The submissions by id; what is damaged, or is none, is left out.
        reviews: What its maintainers say of them; nothing where their file is damaged.
        settings: Its settings; the usual ones where their file is damaged.
    """

    repository: Path
    folder: str
    commit: str
    submissions: Mapping[str, Submission]
    reviews: tuple[Review, ...]
    settings: BoardSettings


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
    places = {name: Path(submissions) / name for name in known_submissions(repository, submissions, at)}
    try:
        reviews = reviews_of(_value(repository, at, f"{submissions}/{REVIEWS_FILE}"), REVIEWS_FILE, places)
    except (RecordError, ValueError):
        reviews = ()  # there are none, or a build refuses them, which the maintainers will see
    try:
        settings = settings_of(_value(repository, at, f"{submissions}/{SETTINGS_FILE}"), SETTINGS_FILE)
    except (RecordError, ValueError):
        settings = BoardSettings()
    return BaseBoard(repository, submissions, at, found, reviews, settings)


def _value(repository: Path, at: str, path: str) -> Any:
    content = file_of(repository, at, path, METADATA_BYTES)
    return parse_strict(content, largest=METADATA_BYTES, deepest=METADATA_DEPTH)


def prints_on(
    board: BaseBoard, exams: Collection[tuple[str, int | None]], cache: Path | None, *, recount: bool = False
) -> list[RunPrints]:
    """Return the fingerprints of the runs on ``board``.

    Args:
        board: The board.
        exams: Exam sets and seeds of which runs are wanted.
        cache: Folder of a build's cache, which has those of all that was graded; what is not there is read, which takes
            about a second a run.
        recount: Whether the build counted tokens again.
    """
    found: list[RunPrints] = []
    for submission in board.submissions.values():
        asked = [task for task in submission.tasks if task.kind.has_order and not task.paraphrase]
        wanted = [task for task in asked if (task.exam_set, task.exam_seed) in exams]
        if not wanted:
            continue
        try:
            files = {name: _file_on(board, submission, name) for name in _files_of(submission)}
            graded = None if cache is None else load_graded(cache, content_of(files), recount=recount)
            if graded is not None:
                found += prints_of(graded)
                continue
            for task in wanted:
                documents = submitted_responses(task, files[task.file], task.file).documents
                names = [document.id for document in documents]
                found.append(run_prints(submission, task.name, names, fingerprints(documents, names)))
        except RecordError:
            continue  # no build takes it
    return found


def _files_of(submission: Submission) -> list[str]:
    return [METADATA_FILE, *(task.file for task in submission.tasks)]


def _file_on(board: BaseBoard, submission: Submission, name: str) -> bytes:
    path = f"{board.folder}/{submission.id}/{name}"
    return file_of(board.repository, board.commit, path, METADATA_BYTES if name == METADATA_FILE else FILE_BYTES)


# What a change to a board amounts to: every submission that it adds, checked and graded.


def review_change(
    repository: Path,
    submissions: str,
    base: str,
    head: str,
    *,
    recount: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Return what the submissions that ``head`` adds to ``base`` are worth, as a JSON value.

    Args:
        repository: A clone that has both.
        submissions: Folder of the submissions in it.
        base: What is changed.
        head: The change.
        recount: Count tokens again with tokenizers from the hub too.
        cache: Folder of the board's cache, of which only what stands on the board is read; None: none.
        workers: Processes that grade.

    Raises:
        UsageError: There is no such repository, branch or commit.
        DataError: The exams of a task cannot be loaded.
    """
    problem: str | None = None
    found: list[dict[str, Any]] = []
    board = read_base(repository, submissions, base)
    try:
        added = added_folders(repository, submissions, base, head)
        with tempfile.TemporaryDirectory(prefix="roi-bench-review-") as folder:
            places, too_large = _written(repository, added, Path(folder))
            options = GradingOptions(cache=None, drafts=True, recount=recount)
            graded = [*too_large, *grade_many(places, options, workers)]
            new = [one.graded for one in graded if one.graded is not None]
            refused = _refused_beside(board, new)
            old = _corrected_ones(board, new, cache, options, Path(folder) / "corrected")
        shared = _shared_with(board, new, prints_on(board, _exams_of(new), cache, recount=recount))
        found = [_reviewed(one, refused, shared, old) for one in graded]
    except RecordError as error:
        problem = str(error)
    found.sort(key=lambda one: str(one["folder"]))
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "problem": problem, "submissions": found}


def is_accepted(review: Mapping[str, Any]) -> bool:
    """Return whether nothing in a review was refused."""
    return review["problem"] is None and all(one["refused"] is None for one in review["submissions"])


def _written(repository: Path, added: Sequence[AddedFolder], out: Path) -> tuple[list[Path], list[GradedFolder]]:
    """Return the folders that could be written, and why others could not."""
    places, too_large = [], []
    for one in added:
        try:
            places.append(write_folder(repository, one, out))
        except RecordError as error:
            too_large.append(GradedFolder(out / one.name, None, str(error)))
    return places, too_large


def _refused_beside(board: BaseBoard, graded: Sequence[GradedSubmission]) -> dict[str, str]:
    """Return why new submissions that pass the checks are refused beside those that are there already, by id."""
    whole = [one for one in graded if not one.submission.draft]
    refused = {
        one.submission.id: "a draft; pack the whole run without --draft to submit it"
        for one in graded
        if one.submission.draft
    }
    confirmed, withdrawn = confirmed_by(board.reviews), withdrawn_by(board.reviews)
    there = settle_corrections([*board.submissions.values()], confirmed, withdrawn).standing
    corrected = {one.replaces: one.id for one in there.values() if one.replaces is not None}
    for one in whole:
        target = str(one.submission.replaces)
        if (why := why_not_on(one.submission, board.settings)) is not None:
            refused[one.submission.id] = why
        elif (first := corrected.get(target)) is not None:
            refused[one.submission.id] = (
                f"corrects {target}, which {first} corrects already; correct that one, the last of the chain"
            )
    new = [one.submission for one in whole if one.submission.id not in refused]
    settled = settle_corrections([*board.submissions.values(), *new], confirmed, withdrawn)
    return refused | {one.id: settled.refused[one.id] for one in new if one.id in settled.refused}


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a new submission corrects.

    Attributes:
        graded: It, graded.
        badge: Its badge on the board.
    """

    graded: GradedSubmission
    badge: str


def _corrected_ones(
    board: BaseBoard, new: Sequence[GradedSubmission], cache: Path | None, options: GradingOptions, folder: Path
) -> dict[str, Corrected]:
    """Return what new submissions correct, by id: from the change itself, from the cache, or graded in ``folder``."""
    by_id = {one.submission.id: one for one in new}
    badges = {review.submission: review.badge for review in board.reviews if review.badge in BADGES}
    found = {}
    for target in sorted({one.submission.replaces for one in new if one.submission.replaces is not None}):
        graded = by_id.get(target)
        if graded is None and target in board.submissions:
            graded = _graded_on(board, board.submissions[target], cache, options, folder)
        if graded is not None:
            found[target] = Corrected(graded, badges.get(target, REGRADED))
    return found


def _graded_on(
    board: BaseBoard, submission: Submission, cache: Path | None, options: GradingOptions, folder: Path
) -> GradedSubmission | None:
    """Return a submission of the board, graded; None where no build takes it."""
    try:
        files = {name: _file_on(board, submission, name) for name in _files_of(submission)}
    except RecordError:
        return None
    if cache is not None and (known := load_graded(cache, content_of(files), recount=options.recount)) is not None:
        return known
    place = folder / submission.id
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return grade_one(place, replace(options, archive=True)).graded


def _exams_of(graded: Sequence[GradedSubmission]) -> set[tuple[str, int | None]]:
    return {(run.cell.exam_set, run.cell.exam_seed) for one in graded for run in one.runs}


def _shared_with(
    board: BaseBoard, new: Sequence[GradedSubmission], known: Sequence[RunPrints]
) -> dict[str, list[Remark]]:
    """Return the remarks on what submissions share with each other, the new ones and those on the board, by id."""
    runs = [*known, *(run for one in new for run in prints_of(one))]
    by_id = {**board.submissions, **{one.submission.id: one.submission for one in new}}
    names, shares = name_remarks(by_id.values()), shares_by_id(runs, by_id)
    return {name: [*names.get(name, ()), *shares.get(name, ())] for name in by_id}


def _reviewed(
    one: GradedFolder,
    refused_beside: Mapping[str, str],
    shared: Mapping[str, Sequence[Remark]],
    corrected: Mapping[str, Corrected],
) -> dict[str, Any]:
    graded = one.graded
    refused = one.refused if graded is None else refused_beside.get(graded.submission.id)
    content = {"folder": one.folder.name, "refused": refused}
    if graded is None or refused is not None:
        return {**content, "model": None, "correction": None, "remarks": [], "runs": []}
    old = corrected.get(str(graded.submission.replaces))
    return {
        **content,
        "model": graded.submission.metadata.model,
        "correction": None if old is None else _correction(graded, old),
        "remarks": [remark.text for remark in (*graded.remarks, *shared.get(graded.submission.id, ()))],
        "runs": [_run(run) for run in graded.runs],
    }


def _correction(new: GradedSubmission, old: Corrected) -> dict[str, Any]:
    return {
        "of": old.graded.submission.id,
        "badge": old.badge,
        "contact": old.graded.submission.metadata.contact,
        "changes": correction_changes(new, old.graded),
    }


def _run(run: GradedRun) -> dict[str, Any]:
    return {
        "task": run.task,
        "exams": run.exams,
        "score": _interval(run.numbers["score"]),
        "regret": _interval(run.numbers["regret"]),
        "tokens": run.numbers["tokens"].value,
    }


def _interval(number: Interval) -> list[float | None]:
    return [number.value, number.low, number.high]
