"""A board: graded submissions side by side, and the folder of submissions that it is built from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from roi_bench.analysis.ranking import ComparedPair
from roi_bench.analysis.runs import Cell
from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.exam import ORDERS
from roi_bench.exams.sets import EXAM_SETS
from roi_bench.leaderboard.board.graded import GradedRun, GradedSubmission
from roi_bench.leaderboard.submission.schema import Submission, parse_submission
from roi_bench.leaderboard.submission.untrusted_files import (
    METADATA_BYTES,
    METADATA_DEPTH,
    METADATA_FILE,
    parse_strict,
    shown,
)
from roi_bench.machine import write_atomically

# A board: graded submissions side by side, with ranks, tiers, badges, corrections, and numbers of the literature.

BADGES = ("reported", "regraded", "reproduced", "maintainer-run")
"""How far a row can be trusted, least first: taken from the literature; graded again by us from raw responses; some
exams run again by us with the same outcomes; run by the board's maintainers (SPEC section 13)."""


REGRADED = BADGES[1]
"""What a submission earns by passing."""

CONFIRMED = "correction"
"""What stands in the place of a badge where maintainers record that a correction has the word of the old contact."""

WITHDRAWN = "withdrawal"
"""The same where a submission's contact withdraws it."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the board's maintainers say of a submission (``reviews.json`` of the board), never the submitter.

    Attributes:
        submission: Id of the submission.
        badge: ``reproduced`` or ``maintainer-run``; or what is none: :data:`CONFIRMED`, it corrects another one, whose
            contact has agreed, or :data:`WITHDRAWN`, its own contact has withdrawn it.
        by: Who.
        date: When, ``2026-11-24``.
        exams: Number of exams that were run again; None for ``maintainer-run``.
        note: What was found.
        agreed: Number of these exams whose problems all came out as in the submission; None where it was not said.
        reason: Why it was withdrawn, in its submitter's words; empty for others.
    """

    submission: str
    badge: str
    by: str
    date: str
    exams: int | None
    note: str
    agreed: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission on the board.

    Attributes:
        graded: The submission.
        badge: One of :data:`BADGES`.
        review: The review behind the badge, or None.
        replaced_by: Id of the submission that corrects it; such an entry keeps its page and leaves the tables.
        accepted: Day on which it came to the board, None where nobody knows. Unlike the day of the run it is not the
            submitter's word.
        awaits: It corrects another one whose contact is not known to agree; it has a page, and no row until then.
        withdrawn: Who recorded that its contact withdrew it, when and why; such an entry keeps its page too.
    """

    graded: GradedSubmission
    badge: str
    review: Review | None
    replaced_by: str | None
    accepted: str | None = None
    awaits: bool = False
    withdrawn: Review | None = None

    @property
    def has_rows(self) -> bool:
        """Whether its runs stand in tables, or in the archive."""
        return self.replaced_by is None and not self.awaits and self.withdrawn is None

    @property
    def id(self) -> str:
        """Id of the submission."""
        return self.graded.submission.id

    @property
    def day(self) -> str:
        """Day on which it is news: that of its acceptance; where that is unknown, that of the run."""
        return self.accepted or self.graded.submission.metadata.date


@dataclass(frozen=True, slots=True)
class Standing:
    """One row of a table: a run and where it stands among the others of its cell.

    Attributes:
        entry: Its submission.
        run: The run.
        ranks: Best and worst rank that the comparisons leave open; None where the score is undefined, or the exams are
            too few (:func:`roi_bench.scoring.statistics.is_small`).
        tier: Tier from 1; None likewise.
        pareto: No other run of the cell has a score at least as high for less money, or a higher one for the same; None
            where its cost is unknown or its score undefined.
    """

    entry: Entry
    run: GradedRun
    ranks: tuple[int, int] | None
    tier: int | None
    pareto: bool | None


@dataclass(frozen=True, slots=True)
class Reported:
    """A number from the literature: reported, not reproduced here.

    Attributes:
        model: What was run, ``Qwen2.5-1.5B-Instruct``.
        method: ``direct``, ``MFT + RARL`` …
        cell: Exam set, order and budget; the exams are the authors' own, so rows cannot be compared exam by exam.
        score: Score, or None.
        regret: Regret, or None.
        source: Where it stands.
    """

    model: str
    method: str
    cell: Cell
    score: float | None
    regret: float | None
    source: str


@dataclass(frozen=True, slots=True)
class CellTable:
    """All runs of the same exams in the same order under the same budget, best score first.

    Attributes:
        cell: What they have in common.
        standings: One row for each run.
        neighbours: Runs close to each other in the table, compared by score; runs are named by their row.
        reported: Rows from the literature.
    """

    cell: Cell
    standings: tuple[Standing, ...]
    neighbours: tuple[ComparedPair, ...]
    reported: tuple[Reported, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A folder that is no valid submission: its name and why."""

    folder: str
    reason: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the pages show.

    Attributes:
        title: Title of the board.
        description: A sentence below it.
        base_url: Address at which it is published, with a slash at the end, or an empty text.
        entries: All submissions, replaced ones too, by date and id, newest first.
        cells: Tables, the board's main cell first.
        refused: What was refused.
        drafts: Whether drafts are among the entries (a board that must not be published).
        project_url: Address of the project, with a slash at the end, or an empty text: then nothing leads to it.
        notes: What its maintainers should know of their own files.
        archive: Runs of older rules and prompts, with their submissions: newest first, then in the order of tables.
    """

    title: str
    description: str
    base_url: str
    entries: Sequence[Entry]
    cells: Sequence[CellTable]
    refused: Sequence[Refused]
    drafts: bool
    project_url: str = ""
    notes: Sequence[str] = ()
    archive: Sequence[tuple[Entry, GradedRun]] = ()

    @property
    def updated(self) -> str | None:
        """Day of the latest acceptance, review or withdrawal; None on an empty board."""
        known = (review for entry in self.entries for review in (entry.review, entry.withdrawn))
        reviews = [review.date for review in known if review is not None]
        return max([entry.day for entry in self.entries] + reviews, default=None)

    def is_new(self, entry: Entry) -> bool:
        """Return whether ``entry`` came in the last :data:`NEW_DAYS` days before the board's latest change.

        On a board on which everything is that young nothing is.
        """
        if self.updated is None or entry.accepted is None:
            return False
        since = (date.fromisoformat(self.updated) - timedelta(days=NEW_DAYS)).isoformat()
        return entry.accepted >= since and any(one.day < since for one in self.entries)


NEW_DAYS = 30
"""Days for which a submission is called new, counted back from the board's latest change, not from today: pages do not
change by themselves."""


# What lies in a folder of submissions: the submissions' own folders, ``reviews.json`` and ``board.json``.

REVIEWS_FILE, SETTINGS_FILE, ACCEPTED_FILE = "reviews.json", "board.json", "accepted.json"
"""Files of the board's maintainers beside the submissions' folders."""

TITLE = "roi-bench"
DESCRIPTION = "Three problems, one generation, one hard token budget: which model knows what its thinking is worth?"

MAIN_CELL = "v1_hard_512"
"""Slug of the cell that is shown first if it has a run and ``board.json`` names no other."""

LONGEST = {
    "title": 200,
    "description": 2000,
    "base_url": 500,
    "project_url": 500,
    "main_cell": 100,
    "by": 200,
    "note": 2000,
    "reason": 2000,
}
"""Most characters of a text, by field."""

BUDGETS = (128, 256, 512, 1024)
"""Budgets of the shipped tasks, which a board takes if ``board.json`` names no others."""

MOST_BUDGETS = 16
"""Most budgets that a board takes; each has tables of its own."""

COUNTS = ("exams", "agreed")
"""Fields of a review that are numbers."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%+-]*)*", re.ASCII)
_CELL = re.compile(rf"({'|'.join(EXAM_SETS)})(_[0-9]+)?_({'|'.join(ORDERS)})_[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """The content of ``board.json``.

    Attributes:
        title: Title of the board.
        description: A sentence below it.
        base_url: Address at which it is published, with a slash at the end, or an empty text.
        main_cell: Slug of the cell that is shown first; None: :data:`MAIN_CELL` if it is there, else the cell with most
            rows.
        project_url: Address of the project: of the repository that holds the submissions, and to which new ones are
            sent. The one place where it is set; empty: no page leads there.
        budgets: Budgets of exam tasks that the board takes; others would only add tables.
    """

    title: str = TITLE
    description: str = DESCRIPTION
    base_url: str = ""
    main_cell: str | None = None
    project_url: str = ""
    budgets: tuple[int, ...] = BUDGETS


def read_reviews(submissions: Path, folders: Sequence[Path]) -> tuple[Review, ...]:
    """Return the reviews in ``reviews.json``, none where there is no such file.

    Raises:
        RecordError: It is damaged, or names a submission that has no folder.
    """
    path = submissions / REVIEWS_FILE
    found = _read(path)
    if found is None:
        return ()
    return reviews_of(found, str(path), {folder.name: folder for folder in folders})


def reviews_of(found: Any, where: str, folders: Mapping[str, Path]) -> tuple[Review, ...]:
    """Return the reviews in a JSON value.

    Args:
        found: The value.
        where: Its file in messages.
        folders: Folders of the submissions by id.

    Raises:
        RecordError: It is no list of reviews, or one of them is wrong or impossible.
    """
    if not isinstance(found, list):
        raise RecordError(f"{where}: is not a list of reviews")
    reviews = tuple(_review(f"{where}: review {number}", entry, folders) for number, entry in enumerate(found, start=1))
    _check_withdrawals(where, reviews, folders)
    return reviews


def _check_withdrawals(where: str, reviews: Sequence[Review], folders: Mapping[str, Path]) -> None:
    """Check that nothing is withdrawn twice, or both withdrawn and corrected."""
    gone = [review.submission for review in reviews if review.badge == WITHDRAWN]
    if twice := sorted({name for name in gone if gone.count(name) > 1}):
        raise RecordError(f"{where}: {twice[0]} is withdrawn twice; remove one of the entries")
    for name in sorted(confirmed_by(reviews)) if gone else ():
        if (about := submission_in(folders[name])) is not None and about.replaces in gone:
            raise RecordError(
                f"{where}: {about.replaces} is withdrawn, and {name}, which corrects it, has its row; withdraw the "
                "correction, or submit it again without `replaces`"
            )


def confirmed_by(reviews: Sequence[Review]) -> frozenset[str]:
    """Return the ids of corrections that have the word of the contact of what they correct."""
    return frozenset(review.submission for review in reviews if review.badge == CONFIRMED)


def withdrawn_by(reviews: Sequence[Review]) -> dict[str, Review]:
    """Return the entries on submissions that their contacts withdrew, by id."""
    return {review.submission: review for review in reviews if review.badge == WITHDRAWN}


def read_accepted(submissions: Path, folders: Sequence[Path]) -> dict[str, str]:
    """Return the day on which submissions were accepted, by id, as ``accepted.json`` says; none without such a file.

    Raises:
        RecordError: It is damaged, or names a submission that has no folder.
    """
    path = submissions / ACCEPTED_FILE
    found = _read(path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RecordError(f"{path}: is not an object of days by submission")
    known = {folder.name for folder in folders}
    for name, day in found.items():
        if name not in known:
            raise RecordError(f"{path} names the unknown submission {shown(name)!r}; name a folder beside it")
        if not isinstance(day, str) or not _is_day(day):
            raise RecordError(f"{path}: {name} has the day {shown(day)!r}; write it as 2026-11-24")
    return found


def read_settings(submissions: Path) -> BoardSettings:
    """Return what ``board.json`` says, defaults where there is no such file.

    Raises:
        RecordError: It is damaged.
    """
    path = submissions / SETTINGS_FILE
    found = _read(path)
    if found is None:
        return BoardSettings()
    return settings_of(found, str(path))


def settings_of(found: Any, path: str) -> BoardSettings:
    """Return the settings in a JSON value.

    Args:
        found: The value.
        path: Its file in messages.

    Raises:
        RecordError: It is no object of settings, or one of them is wrong.
    """
    keys = ("title", "description", "base_url", "main_cell", "project_url", "budgets")
    texts = _texts(path, found, (), keys)
    budgets = found.get("budgets")
    if budgets is not None and not (
        isinstance(budgets, list)
        and 0 < len(set(map(str, budgets))) == len(budgets) <= MOST_BUDGETS
        and all(type(one) is int and 0 < one <= 1_000_000 for one in budgets)
    ):
        raise RecordError(
            f"{path}: budgets must be a list of at most {MOST_BUDGETS} numbers of tokens, such as {list(BUDGETS)}, not "
            f"{shown(budgets)}"
        )
    for name in ("base_url", "project_url"):
        try:
            texts[name] = check_address(texts.get(name, ""))
        except UsageError as error:
            raise RecordError(f"{path}: {name} {error}") from error
    if not _CELL.fullmatch(texts.get("main_cell", MAIN_CELL)):
        raise RecordError(
            f"{path}: main_cell {shown(texts['main_cell'])!r} is not a slug of a table, such as {MAIN_CELL!r}"
        )
    return BoardSettings(**texts, budgets=BUDGETS if budgets is None else tuple(sorted(budgets)))


def check_address(address: str) -> str:
    """Return the address of a site with a slash at its end; an empty text stays empty.

    Raises:
        UsageError: It is no plain http or https address of a folder.
    """
    if not address:
        return ""
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{shown(address)!r}: not a plain address of a site; give one as https://example.org/board/, without query"
        )
    return address if address.endswith("/") else f"{address}/"


def _review(where: str, entry: Any, folders: Mapping[str, Path]) -> Review:
    texts = _texts(where, entry, ("submission", "badge", "by", "date"), ("note", "reason", *COUNTS))
    if texts["submission"] not in folders:
        raise RecordError(
            f"{where} names the unknown submission {shown(texts['submission'])!r}; name a folder beside it"
        )
    if texts["badge"] not in (given := (*BADGES[2:], CONFIRMED, WITHDRAWN)):
        raise RecordError(
            f"{where}: badge {shown(texts['badge'])!r} is not one that a review gives: {', '.join(given)}"
        )
    if not _is_day(texts["date"]):
        raise RecordError(f"{where}: date {shown(texts['date'])!r} is not valid; write it as 2026-11-24")
    if date.fromisoformat(texts["date"]) > date.today() + timedelta(days=1):
        raise RecordError(f"{where}: date {texts['date']} lies in the future")
    exams, agreed = (entry.get(name) for name in COUNTS)
    needed = texts["badge"] == "reproduced"
    if needed != (type(exams) is int and exams > 0) or not (needed or exams is None):
        raise RecordError(
            f"{where}: exams must be the number that was run again for 'reproduced', and null or left out for others"
        )
    if agreed is not None and not (type(agreed) is int and needed and 0 <= agreed <= exams):
        raise RecordError(f"{where}: agreed must be how many of the {exams} exams came out alike, not {shown(agreed)}")
    if (texts["badge"] == WITHDRAWN) != bool(texts.get("reason", "").strip()):
        raise RecordError(f"{where}: reason must be why it was withdrawn for {WITHDRAWN!r}, and left out for others")
    about = submission_in(folders[texts["submission"]])
    if needed and exams > (most := MOST_EXAMS if about is None else exams_of(about)):
        raise RecordError(f"{where}: {exams} exams cannot have been run again, the submission has {most}")
    if texts["badge"] == CONFIRMED and about is not None and about.replaces is None:
        raise RecordError(f"{where}: {about.id} corrects no other submission, so there is nothing to confirm")
    said = texts["submission"], texts["badge"], texts["by"], texts["date"]
    return Review(*said, exams, texts.get("note", ""), agreed, texts.get("reason", ""))


def submission_in(folder: Path) -> Submission | None:
    """Return what a folder says of its submission; None where it cannot be read, and every build refuses it."""
    try:
        return parse_submission(_bytes(folder / METADATA_FILE), folder.name)
    except (OSError, RecordError):
        return None


def exams_of(submission: Submission) -> int:
    """Return how many exams the tasks of a submission have together."""
    return sum(task.documents for task in submission.tasks if task.kind.has_order)


MOST_EXAMS = 64 * 2000
"""Most exams that a submission can have: tasks times documents, by its schema."""


def write_review(path: Path, record: Mapping[str, Any], folder: Path) -> None:
    """Add an entry to a ``reviews.json``, in the place of one of the same badge by the same person if there is one.

    Args:
        path: The file; made if need be.
        record: The entry.
        folder: Folder of the submission.

    Raises:
        RecordError: The file is damaged, the entry would be refused, or the submission is withdrawn.
        UsageError: It cannot be written.
    """
    beside = {one.name: one for one in folder.parent.iterdir()} if folder.parent.is_dir() else {}
    folders = {**beside, folder.name: folder}
    _review(str(path), dict(record), folders)
    found = _read(path) or []
    if (gone := withdrawn_by(reviews_of(found, str(path), folders)).get(folder.name)) is not None:
        raise RecordError(f"{path}: {folder.name} was withdrawn on {gone.date}; nothing more is recorded of it")
    key = ("submission", "badge", "by")
    kept = [one for one in found if any(one.get(k) != record[k] for k in key)]
    reviews_of([*kept, dict(record)], str(path), folders)
    try:
        write_atomically(path, (json.dumps([*kept, record], ensure_ascii=False, indent=1) + "\n").encode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}); name another file") from error


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _texts(where: str, found: Any, needed: Sequence[str], optional: Sequence[str]) -> dict[str, str]:
    """Return the texts of an object that holds the ``needed`` keys and no others but ``optional`` ones.

    Raises:
        RecordError: It is no object, a key is missing or unknown, or a text is none, too long or holds control
            characters.
    """
    if not isinstance(found, dict):
        raise RecordError(f"{where}: is not a JSON object")
    if missing := [key for key in needed if key not in found]:
        raise RecordError(f"{where}: {missing[0]!r} is missing")
    allowed = [*needed, *optional]
    if unknown := [key for key in found if key not in allowed]:
        hint = "".join(f"; did you mean {one!r}?" for one in get_close_matches(str(unknown[0])[:80], allowed, n=1))
        raise RecordError(f"{where}: unknown key {shown(unknown[0])!r}{hint or ';'} known: {', '.join(allowed)}")
    texts = {}
    for key, value in found.items():
        if key in (*COUNTS, "budgets") or (value is None and key not in needed):
            continue
        if not isinstance(value, str) or len(value) > LONGEST.get(key, 200) or _CONTROL.search(value):
            raise RecordError(
                f"{where}: {key} must be a text of at most {LONGEST.get(key, 200)} characters on one line, not "
                f"{shown(value)!r}"
            )
        texts[key] = value
    return texts


def _read(path: Path) -> Any:
    """Return the value in a JSON file of the board; None where there is no such file."""
    if not path.exists() and not path.is_symlink():
        return None
    if path.is_symlink() or not path.is_file():
        raise RecordError(f"{path}: is not a plain file; a board's own files must be")
    try:
        return parse_strict(_bytes(path), largest=METADATA_BYTES, deepest=METADATA_DEPTH)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error


def _bytes(path: Path) -> bytes:
    """Return the content of a file, of one that is too large a byte more than it may have."""
    with path.open("rb") as stream:
        return stream.read(METADATA_BYTES + 1)
