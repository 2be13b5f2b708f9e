"""From a folder of submissions to a board: tables by cell, ranks, tiers, neighbours, badges, corrections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from roi_bench.analysis.many_pairs import mean_terms
from roi_bench.analysis.many_runs import TestedPair, paired_lines, rank_many
from roi_bench.analysis.runs import Cell
from roi_bench.exams.exam import ORDERS
from roi_bench.leaderboard.board import BADGES, Board, CellTable, Entry, PairedLine, Refused, Review, Standing
from roi_bench.leaderboard.board_files import (
    MAIN_CELL,
    BoardSettings,
    check_address,
    read_reviews,
    read_settings,
    submission_folders,
)
from roi_bench.leaderboard.corrections import settle
from roi_bench.leaderboard.gather import Gathered, Wish, grade_many, look_up
from roi_bench.leaderboard.graded import GradedRun, GradedSubmission
from roi_bench.leaderboard.reported import reported_rows
from roi_bench.leaderboard.strict_json import shown

NEIGHBOURS = 3
"""How many runs above and below a run it is compared with, exam by exam, on the pages."""

Show = Callable[[Iterable[Gathered], int], Iterable[Gathered]]
"""Goes through submissions as they are graded and shows progress; the number is how many there will be."""


def no_progress(items: Iterable[Gathered], total: int) -> Iterable[Gathered]:  # noqa: ARG001 - form of Show
    """Go through ``items`` and show nothing."""
    return items


@dataclass(frozen=True, slots=True)
class Sources:
    """A folder of submissions as the board's maintainers arranged it.

    Attributes:
        folders: The submissions' folders.
        refused: What else lies there.
        reviews: Content of ``reviews.json``.
        settings: Content of ``board.json``, with the address that the caller gave.
    """

    folders: tuple[Path, ...]
    refused: tuple[Refused, ...]
    reviews: tuple[Review, ...]
    settings: BoardSettings


def read_sources(submissions: Path, base_url: str | None = None) -> Sources:
    """Return what lies in ``submissions``; nothing of the submissions themselves is read yet.

    Args:
        submissions: The folder.
        base_url: Address of the site, in place of what ``board.json`` says.

    Raises:
        UsageError: It is no folder, or ``base_url`` no address.
        RecordError: ``reviews.json`` or ``board.json`` is damaged.
    """
    folders, refused = submission_folders(submissions)
    settings, reviews = read_settings(submissions), read_reviews(submissions, folders)
    if base_url is not None:
        address = check_address(base_url)
        settings = BoardSettings(settings.title, settings.description, address, settings.main_cell)
    return Sources(tuple(folders), tuple(refused), reviews, settings)


def load_board(
    submissions: Path,
    wish: Wish,
    *,
    workers: int | None = None,
    base_url: str | None = None,
    show: Show = no_progress,
) -> Board:
    """Return the board of the submissions in a folder, each graded unless the cache knows it.

    Args:
        submissions: The folder.
        wish: Cache, drafts, recounting; pages are not made.
        workers: Processes that grade; by default one per core.
        base_url: Address of the site, in place of what ``board.json`` says.
        show: Shows progress.

    Raises:
        UsageError: It is no folder, or ``base_url`` no address.
        RecordError: A file of the board's own is damaged.
        DataError: A problem of an exam set is missing.
    """
    sources = read_sources(submissions, base_url)
    graded, waiting, refused = look_up(sources.folders, wish, lambda _: True)
    with closing(grade_many(waiting, wish, workers)) as arriving:
        for done in show(arriving, len(waiting)):
            if done.graded is not None:
                graded.append(done.graded)
            elif done.refused is not None:
                refused.append(Refused(shown(done.folder.name), done.refused))
    return make_board(graded, [*sources.refused, *refused], sources.reviews, sources.settings, drafts=wish.drafts)


def make_board(
    graded: Sequence[GradedSubmission],
    refused: Sequence[Refused],
    reviews: Sequence[Review],
    settings: BoardSettings,
    *,
    drafts: bool,
) -> Board:
    """Return the board of graded submissions, given in whatever order.

    A main cell that nothing sat yet is passed over.
    """
    standing, replaced, more = settle(graded)
    best: dict[str, Review] = {}
    for review in sorted(reviews, key=lambda one: (BADGES.index(one.badge), one.date)):
        best[review.submission] = review
    entries = [
        Entry(one, best[one.submission.id].badge if one.submission.id in best else "regraded", review, correction)
        for one in standing
        for review, correction in [(best.get(one.submission.id), replaced.get(one.submission.id))]
    ]
    entries.sort(key=lambda entry: (entry.graded.submission.metadata.date, entry.id), reverse=True)
    return Board(
        title=settings.title,
        description=settings.description,
        base_url=settings.base_url,
        entries=tuple(entries),
        cells=_tables(entries, settings.main_cell),
        refused=tuple(sorted([*refused, *more], key=lambda one: (one.folder, one.reason))),
        drafts=drafts and any(entry.graded.submission.draft for entry in entries),
    )


def _tables(entries: Sequence[Entry], main: str | None) -> tuple[CellTable, ...]:
    rows: dict[Cell, list[tuple[Entry, GradedRun]]] = {}
    for entry in entries:
        if entry.replaced_by is None:
            for run in entry.graded.runs:
                rows.setdefault(run.cell, []).append((entry, run))
    order = sorted(rows, key=_place)
    by_slug = {cell.slug: cell for cell in order}
    if order:
        named = (by_slug.get(slug) for slug in (main, MAIN_CELL) if slug is not None)
        first = next(filter(None, named), None) or max(order, key=lambda cell: len(rows[cell]))
        order.sort(key=lambda cell: cell != first)
    return tuple(_table(cell, rows[cell]) for cell in order)


def _place(cell: Cell) -> tuple[str, int, int, int]:
    """Return the place of a cell among others: by exam set, order and budget, as :func:`analysis.runs.in_order`."""
    order = ORDERS.index(cell.order) if cell.order in ORDERS else len(ORDERS)
    return cell.exam_set, cell.exam_seed or 0, order, cell.budget


def _table(cell: Cell, rows: Sequence[tuple[Entry, GradedRun]]) -> CellTable:
    """Return the table of one cell: best score first, equal scores by name, undefined ones last."""
    rows = sorted(rows, key=_standing_key)
    terms = [mean_terms(run.exam_ids, run.exam_clusters, run.scores) for _, run in rows]
    ranks = rank_many(terms)
    efficient = _pareto([run for _, run in rows])
    standings = tuple(
        Standing(entry, run, ranks.ranks[i], ranks.tiers[i], efficient[i]) for i, (entry, run) in enumerate(rows)
    )
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, min(a + 1 + NEIGHBOURS, len(rows)))]
    neighbours = tuple(_line(tested) for tested in paired_lines(terms, pairs) if tested.difference.value is not None)
    return CellTable(cell, standings, neighbours, reported_rows(cell))


def _line(tested: TestedPair) -> PairedLine:
    found = tested.difference
    return PairedLine(
        a=tested.a,
        b=tested.b,
        exams=tested.exams,
        discordant=tested.discordant,
        difference=(found.value or 0.0, found.low, found.high),
        p_value=tested.p_value,
        detectable=tested.detectable,
    )


def _standing_key(row: tuple[Entry, GradedRun]) -> tuple[float, str, str, str]:
    entry, run = row
    score = run.numbers["score"].value
    return -score if score is not None else float("inf"), entry.graded.submission.metadata.model, run.prompt, entry.id


def _pareto(runs: Sequence[GradedRun]) -> list[bool | None]:
    """Return for each run whether no other one scores as high for less money, or higher for the same.

    None where the score is undefined or the cost unknown.
    """
    points = [
        (run.usd_per_exam, -score, index)
        for index, run in enumerate(runs)
        if run.usd_per_exam is not None and (score := run.numbers["score"].value) is not None
    ]
    found: list[bool | None] = [None] * len(runs)
    frontier = (0.0, float("inf"))
    for usd, negative_score, index in sorted(points):
        if negative_score < frontier[1]:
            frontier = usd, negative_score
        found[index] = (usd, negative_score) == frontier
    return found
