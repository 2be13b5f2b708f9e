"""What happened on the board, newest first: the changelog page and the Atom feed (RFC 4287)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roi_bench.exams.exam import sha256_text
from roi_bench.leaderboard.board import Board, Entry, Review
from roi_bench.leaderboard.graded import GradedRun
from roi_bench.leaderboard.page import PageFile, render
from roi_bench.leaderboard.shown_text import visible
from roi_bench.records.journal import canonical_json

LONGEST_FEED = 50
"""Events that the feed holds."""

EPOCH = "1970-01-01"
"""Date of a feed in which nothing happened yet."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        date: Day.
        kind: ``submission``, ``correction`` or ``review``.
        submission: Id of the submission.
        title: What happened, in a few words.
        text: More about it.
    """

    date: str
    kind: str
    submission: str
    title: str
    text: str


def history_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``changelog.html`` and ``feed.xml``."""
    happened = events(board)
    names = {entry.id: entry.graded.submission.metadata.model for entry in board.entries}
    yield render("changelog.html", "changelog.html", {"board": board, "events": happened, "names": names})
    recent = [_allowed_in_xml(event) for event in happened[:LONGEST_FEED]]
    updated = recent[0].date if recent else EPOCH
    context = {
        "board": board,
        "urn": _urn(board),
        "events": recent,
        "updated": updated,
        "title": _without_noncharacters(board.title),
    }
    yield render("feed.xml", "feed.xml", context)


def _urn(board: Board) -> str:
    """Return what ids of a feed begin with where the board has no address: other boards have another title or cell."""
    main = board.cells[0].cell.slug if board.cells else ""
    return f"urn:roi-bench:{sha256_text(canonical_json([visible(board.title), main]))[:12]}"


def events(board: Board) -> list[Event]:
    """Return submissions, corrections and reviews, newest first; of one day in the order of ids."""
    found = [_submitted(entry) for entry in board.entries]
    found += [_reviewed(entry, entry.review) for entry in board.entries if entry.review is not None]
    found.sort(key=lambda event: (event.submission, event.kind))
    found.sort(key=lambda event: event.date, reverse=True)
    return found


def _submitted(entry: Entry) -> Event:
    submission = entry.graded.submission
    cells = _cells_text(entry.graded.runs)
    if submission.replaces is None:
        title = f"New: {submission.metadata.model}"
        return Event(submission.metadata.date, "submission", entry.id, title, f"{cells}. Badge: {entry.badge}.")
    text = f"Replaces {submission.replaces}: {submission.reason or 'no reason given'}. {cells}."
    return Event(submission.metadata.date, "correction", entry.id, f"Corrected: {submission.metadata.model}", text)


def _cells_text(runs: Sequence[GradedRun]) -> str:
    """Return what was sat and how, once a cell: ``tiny hard 128 (direct, metacognitive); tiny hard 256 (direct)``."""
    prompts: dict[str, list[str]] = {}
    for run in runs:
        prompts.setdefault(run.cell.title, []).append(run.prompt)
    return "; ".join(f"{title} ({', '.join(found)})" for title, found in prompts.items()) or "no exams"


def _reviewed(entry: Entry, review: Review) -> Event:
    exams = f", {review.exams} exams run again" if review.exams else ""
    title = f"Reviewed: {entry.graded.submission.metadata.model} is {review.badge}"
    return Event(review.date, "review", entry.id, title, f"{review.by}{exams}: {review.note}")


def _allowed_in_xml(event: Event) -> Event:
    title, text = _without_noncharacters(event.title), _without_noncharacters(event.text)
    return Event(event.date, event.kind, event.submission, title, text)


def _without_noncharacters(text: str) -> str:
    """Return ``text`` fit for XML 1.0, which knows no controls, surrogates, U+FFFE and U+FFFF (section 2.2)."""
    return visible(text).replace("\ufffe", "⟦U+FFFE⟧").replace("\uffff", "⟦U+FFFF⟧")
