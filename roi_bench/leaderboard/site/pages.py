"""All pages that show submissions side by side; they are made anew at every build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from urllib.parse import urlsplit

from roi_bench.exams.exam import TIERS, sha256_text
from roi_bench.leaderboard.board.board import BADGES, Board, Entry, Review
from roi_bench.leaderboard.board.build import load_reported
from roi_bench.leaderboard.board.graded import GradedRun
from roi_bench.leaderboard.site.budgets import budget_pages
from roi_bench.leaderboard.site.charts import chart_pages
from roi_bench.leaderboard.site.exam_list import matrix_pages
from roi_bench.leaderboard.site.model_page import CHECKED, compare_pages, model_pages
from roi_bench.leaderboard.site.page import OUTCOME_MEANINGS, STATIC, PageFile, PageOptions, render
from roi_bench.leaderboard.site.shown_text import visible
from roi_bench.leaderboard.site.table_page import COLUMNS, table_pages
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import canonical_json
from roi_bench.scoring.metrics import metrics_of
from roi_bench.scoring.prompts import PROMPT_VERSION, PROMPTS, prompt_version

# What happened on the board, newest first: the changelog page and the Atom feed (RFC 4287).

LONGEST_FEED = 50
"""Events that the feed holds."""

EPOCH = "1970-01-01"
"""Date of a feed in which nothing happened yet."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        date: Day: of a submission that of its acceptance, where that is unknown that of its run.
        kind: ``submission``, ``correction``, ``review`` or ``withdrawal``.
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
    """Return submissions, corrections, reviews and withdrawals, newest first; of one day in the order of ids."""
    found = [_submitted(entry) for entry in board.entries]
    found += [_reviewed(entry, entry.review) for entry in board.entries if entry.review is not None]
    found += [_withdrawn(entry, entry.withdrawn) for entry in board.entries if entry.withdrawn is not None]
    found.sort(key=lambda event: (event.submission, event.kind))
    found.sort(key=lambda event: event.date, reverse=True)
    return found


def _submitted(entry: Entry) -> Event:
    submission = entry.graded.submission
    rest = f"{_cells_text(entry.graded.runs)}. Run of {submission.metadata.date}."
    if submission.replaces is None:
        title = f"New: {submission.metadata.model}"
        return Event(entry.day, "submission", entry.id, title, f"{rest} Badge: {entry.badge}.")
    title = "Correction awaits consent" if entry.awaits else "Corrected"
    what = "Asks to replace" if entry.awaits else "Replaces"
    text = f"{what} {submission.replaces}: {submission.reason or 'no reason given'}. {rest}"
    return Event(entry.day, "correction", entry.id, f"{title}: {submission.metadata.model}", text)


def _cells_text(runs: Sequence[GradedRun]) -> str:
    """Return exams and prompts, once per cell: ``tiny hard 128 (direct, metacognitive); tiny hard 256 (direct)``."""
    prompts: dict[str, list[str]] = {}
    for run in runs:
        prompts.setdefault(run.cell.title, []).append(run.prompt)
    return "; ".join(f"{title} ({', '.join(found)})" for title, found in prompts.items()) or "no exams"


def _reviewed(entry: Entry, review: Review) -> Event:
    agreed = f", {review.agreed} with the same outcomes" if review.agreed is not None else ""
    exams = f", {review.exams} exams run again{agreed}" if review.exams else ""
    title = f"Reviewed: {entry.graded.submission.metadata.model} is {review.badge}"
    return Event(review.date, "review", entry.id, title, f"{review.by}{exams}: {review.note}")


def _withdrawn(entry: Entry, review: Review) -> Event:
    text = f"“{review.reason}” It leaves the tables and keeps its page. Recorded by {review.by}"
    title = f"Withdrawn: {entry.graded.submission.metadata.model}"
    return Event(review.date, "withdrawal", entry.id, title, f"{text}: {review.note}" if review.note else f"{text}.")


def _allowed_in_xml(event: Event) -> Event:
    title, text = _without_noncharacters(event.title), _without_noncharacters(event.text)
    return Event(event.date, event.kind, event.submission, title, text)


def _without_noncharacters(text: str) -> str:
    """Return ``text`` fit for XML 1.0, which knows no controls, surrogates, U+FFFE and U+FFFF (section 2.2)."""
    return visible(text).replace("\ufffe", "⟦U+FFFE⟧").replace("\uffff", "⟦U+FFFF⟧")


# The method page: what the numbers are, how they are computed, and which versions of everything they rest on.

GRADERS = ("math-verify", "reasoning-gym", "sympy")
"""Packages whose verdicts are part of what a score means."""


@dataclass(frozen=True, slots=True)
class ExamVersion:
    """An exam set on the board: its name, version, hash, and how many tasks of submissions are of it."""

    title: str
    version: int
    sha256: str
    tasks: int


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A prompt: its name, the hash that is its version, its system turn (empty: none) and the user's message."""

    name: str
    sha256: str
    system: str
    user: str


class _Open(dict[str, str]):
    """Leaves the places of a format text open."""

    def __missing__(self, name: str) -> str:
        """Return the place as it stands."""
        return f"{{{name}}}"


def method_page(board: Board) -> PageFile:
    """Return ``method.html``."""
    prompts = [
        PromptVersion(
            f"{name}, paraphrase {number}" if number else name,
            worded.sha256,
            worded.system.format_map(_Open()),
            worded.user.format_map(_Open()),
        )
        for name, prompt in PROMPTS.items()
        for number, worded in enumerate((prompt, *prompt.paraphrases))
    ]
    return render(
        "method.html",
        "method.html",
        {
            "board": board,
            "columns": COLUMNS,
            "metrics": metrics_of(TIERS),
            "outcomes": {name: said for name, said in OUTCOME_MEANINGS.items() if name != "error"},  # refused
            "badges": [(badge, CHECKED[badge]) for badge in BADGES],
            "exams": exam_versions(board),
            "prompt_version": PROMPT_VERSION,
            "reading_rule": READING_RULE,
            "reported": load_reported(),
            "prompts": prompts,
            "software": [(name, version) for name in GRADERS if (version := _version(name)) is not None],
        },
    )


def exam_versions(board: Board) -> list[ExamVersion]:
    """Return the exam sets of the board's submissions, by name."""
    counts: dict[tuple[str, int, str], int] = {}
    for entry in board.entries:
        for task in entry.graded.submission.tasks:
            title = f"{task.exam_set}/{task.exam_seed}" if task.exam_seed else task.exam_set
            key = (title, task.exam_version, task.exams_sha256)
            counts[key] = counts.get(key, 0) + 1
    return [ExamVersion(*key, tasks) for key, tasks in sorted(counts.items())]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def archive_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``archive.html``: runs of older rules and prompts; nothing where there are none."""
    if board.archive:
        rows = []
        for entry, run in board.archive:
            task = next(task for task in entry.graded.submission.tasks if task.name == run.task)
            version = prompt_version(task.prompt_sha256, task.prompt, task.paraphrase)
            rows.append((entry, run, version, task.reading_rule))
        versions = {"prompt_version": PROMPT_VERSION, "reading_rule": READING_RULE}
        yield render("archive.html", "archive.html", {"board": board, "rows": rows, **versions})


def submit_page(board: Board) -> PageFile:
    """Return ``submit.html``: how to submit, how to cite, and what may be done with what is here."""
    plain = _without_noncharacters(board.title).translate({ord(character): None for character in "\\{}%#$&~^_"})
    context = {"board": board, "plain_title": plain, "year": (board.updated or "")[:4]}
    return render("submit.html", "submit.html", context)


def board_pages(board: Board, options: PageOptions) -> Iterator[PageFile]:
    """Yield every page that depends on more than one submission, and the data of the compare page.

    Args:
        board: What is shown.
        options: What the site shows.
    """
    yield from table_pages(board)
    yield from chart_pages(board)
    yield from budget_pages(board)
    yield from matrix_pages(board)
    yield from model_pages(board)
    yield from compare_pages(board, options)
    yield method_page(board)
    yield from archive_pages(board)
    yield submit_page(board)
    yield from history_pages(board)
    yield render("not_found.html", "404.html", {"board": board, "root": urlsplit(board.base_url).path})


def static_files() -> Iterator[PageFile]:
    """Yield the files of ``static/``, by name."""
    for path in sorted(STATIC.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield PageFile(f"static/{path.name}", path.read_bytes())
