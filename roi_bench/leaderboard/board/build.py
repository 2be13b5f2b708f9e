"""From a folder of submissions to a board: tables by cell, ranks, tiers, neighbours, badges, corrections."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from roi_bench.analysis.ranking import mean_terms, paired_lines, rank_many
from roi_bench.analysis.runs import Cell
from roi_bench.errors import nearest
from roi_bench.exams.exam import ORDERS
from roi_bench.leaderboard.board.board import (
    BADGES,
    MAIN_CELL,
    REGRADED,
    Board,
    BoardSettings,
    CellTable,
    Entry,
    Refused,
    Reported,
    Review,
    Standing,
    check_address,
    confirmed_by,
    read_accepted,
    read_reviews,
    read_settings,
    withdrawn_by,
)
from roi_bench.leaderboard.board.gather import (
    GradedFolder,
    GradingOptions,
    days_in_history,
    grade_many,
    look_up,
    submission_folders,
)
from roi_bench.leaderboard.board.graded import GradedRun, GradedSubmission, Remark, correction_changes
from roi_bench.leaderboard.board.same_responses import (
    NAMED,
    RunPrints,
    prints_of,
    share_remarks,
    shared_responses,
    unrelated,
)
from roi_bench.leaderboard.submission.schema import Submission
from roi_bench.leaderboard.submission.untrusted_files import shown, skeleton
from roi_bench.scoring.statistics import is_small

# Numbers of the literature, read from ``reported.json``: reported, not reproduced here (SPEC section 10).

REPORTED_FILE = Path(__file__).with_name("reported.json")
"""The rows, each with its source and whether we have it from the source itself."""

SECOND_HAND = "second-hand: as quoted by its readers"
"""Stands behind a source that we have a number from only through others."""


@lru_cache(maxsize=1)
def load_reported() -> tuple[Reported, ...]:
    """Return all rows in file order: on their authors' own exams of the same pools, order and budget, not on ours."""
    return tuple(
        Reported(
            model=row["model"],
            method=row["method"],
            cell=Cell(row["exam_set"], None, row["order"], row["budget"]),
            score=row["score"],
            regret=row["regret"],
            source=f"{row['source']} ({SECOND_HAND})" if row["second_hand"] else row["source"],
        )
        for row in json.loads(REPORTED_FILE.read_text(encoding="utf-8"))
    )


def reported_rows(cell: Cell) -> tuple[Reported, ...]:
    """Return what the literature reports for a cell."""
    return tuple(row for row in load_reported() if row.cell == cell)


# How submissions relate to each other: corrections, and responses that are those of another submission.
#
# A build does not know in which order submissions arrived, and their dates are the submitters' word. So age decides
# nothing between two that claim the same; the review of a change does know what was there before
# (:mod:`roi_bench.leaderboard.review`).


@dataclass(frozen=True, slots=True)
class Corrections:
    """What corrects what.

    Attributes:
        standing: Submissions that are not refused, corrected ones too, by id.
        replaced: Id of the correction of each corrected one.
        refused: Why others are refused, by id.
        awaiting: Corrections among those that stand that take no row yet, since the word of the contact of what they
            correct, or of what that corrects, is missing.
    """

    standing: Mapping[str, Submission]
    replaced: Mapping[str, str]
    refused: Mapping[str, str]
    awaiting: frozenset[str]


def settle(
    graded: Sequence[GradedSubmission], confirmed: Collection[str], withdrawn: Collection[str] = ()
) -> tuple[list[GradedSubmission], Corrections]:
    """Return the submissions that stand, with remarks, and what corrects what.

    Submissions that share responses all stand, each with a remark that names the others, unless one corrects the other.

    Args:
        graded: The submissions.
        confirmed: Ids of corrections that have the word of the contact of what they correct.
        withdrawn: Ids of submissions that their contacts withdrew.
    """
    found = settle_corrections([one.submission for one in graded], confirmed, withdrawn)
    standing = [one for one in graded if one.submission.id in found.standing]
    return _with_remarks(standing, found.standing), found


def settle_corrections(
    submissions: Sequence[Submission], confirmed: Collection[str], withdrawn: Collection[str] = ()
) -> Corrections:
    """Return which of ``submissions`` stand, whatever order they come in.

    A correction names a submission that stands, of the same model and not younger; chains of corrections are fine. Of
    several corrections of one submission the confirmed one stands; if there is none, or more than one, all are refused:
    the board's maintainers keep one of them. A withdrawn submission stands, and nothing corrects it.
    """
    by_id = {submission.id: submission for submission in submissions}
    standing = {name: one for name, one in by_id.items() if one.replaces is None}
    # Layer by layer: a correction is judged only after what it corrects, so the order of submissions changes nothing.
    # What is still waiting then hangs on a refused or missing submission, or on a circle.
    replaced: dict[str, str] = {}
    refused: dict[str, str] = {}
    awaiting: set[str] = set()
    waiting = [one for one in by_id.values() if one.replaces is not None]
    while ready := [one for one in waiting if one.replaces in standing]:
        waiting = [one for one in waiting if one.replaces not in standing]
        fit: dict[str, list[Submission]] = {}
        for submission in ready:
            corrected = standing[str(submission.replaces)]
            reason = _why_not(submission, corrected, withdrawn)
            if reason is None:
                fit.setdefault(corrected.id, []).append(submission)
            else:
                refused[submission.id] = reason
        for target, corrections in fit.items():
            chosen, others = _choose(target, corrections, confirmed)
            refused |= others
            if chosen is None:
                continue
            standing[chosen.id] = chosen
            if chosen.id in confirmed and target not in awaiting:
                replaced[target] = chosen.id
            else:
                awaiting.add(chosen.id)
    while waiting:
        ends = [one for one in waiting if one.replaces in refused or one.replaces not in by_id] or waiting
        refused |= {one.id: _dangling(one, by_id, refused) for one in ends}
        waiting = [one for one in waiting if one not in ends]
    return Corrections(standing, replaced, refused, frozenset(awaiting))


def _why_not(correction: Submission, corrected: Submission, withdrawn: Collection[str]) -> str | None:
    """Return why ``correction`` cannot correct a submission that stands; None where it can."""
    if corrected.id in withdrawn:
        return f"corrects {corrected.id}, which was withdrawn; submit it without `replaces`"
    if correction.metadata.model != corrected.metadata.model:
        return (
            f"corrects {corrected.id}, which is of another model ({corrected.metadata.model!r}, not "
            f"{correction.metadata.model!r}); a correction has the model's name of what it corrects"
        )
    if correction.metadata.date < corrected.metadata.date:
        return (
            f"corrects {corrected.id}, which is younger ({corrected.metadata.date}, not {correction.metadata.date} or "
            "before); a correction names an older submission"
        )
    return None


def _choose(
    target: str, corrections: Sequence[Submission], confirmed: Collection[str]
) -> tuple[Submission | None, dict[str, str]]:
    """Return which of the corrections of ``target`` stands, if one does, and why the others are refused, by id."""
    if len(corrections) == 1:
        return corrections[0], {}
    agreed = [one for one in corrections if one.id in confirmed]
    chosen = agreed[0] if len(agreed) == 1 else None
    refused = _rivals(target, sorted(one.id for one in corrections))
    return chosen, {name: why for name, why in refused.items() if chosen is None or name != chosen.id}


def _rivals(target: str, names: Sequence[str]) -> dict[str, str]:
    """Return why each of several corrections of ``target`` is refused, by id."""
    found = {}
    for name in names:
        others = _listed([other for other in names if other != name])
        found[name] = f"corrects {target}, as {others} does; the board's maintainers keep one of them"
    return found


def _dangling(submission: Submission, by_id: Mapping[str, Submission], refused: Mapping[str, str]) -> str:
    target = str(submission.replaces)
    if target in refused:
        return f"corrects {target}, which is refused itself; submit it without `replaces`"
    if target in by_id:
        return f"corrects {target} in a circle of corrections; one of them must correct nothing"
    return f"corrects {target}, which is not among the submissions; name one that is, or leave `replaces` out"


def shares_by_id(runs: Sequence[RunPrints], by_id: Mapping[str, Submission]) -> dict[str, list[Remark]]:
    """Return the remarks on responses that unrelated submissions share, by id.

    Args:
        runs: The runs of all submissions.
        by_id: The submissions, between which corrections may lie.
    """
    corrected = {name: set(_corrected_by(one, by_id)) for name, one in by_id.items()}
    return share_remarks(unrelated(shared_responses(runs), corrected))


def name_remarks(submissions: Iterable[Submission]) -> dict[str, list[Remark]]:
    """Return a remark for each submission whose model has a name that looks like another one's, by id."""
    alike: dict[str, list[Submission]] = {}
    for one in submissions:
        alike.setdefault(skeleton(one.metadata.model), []).append(one)
    found: dict[str, list[Remark]] = {}
    for group in alike.values():
        for one in group:
            others = sorted(other.id for other in group if other.metadata.model != one.metadata.model)
            if others:
                text = f"the name {one.metadata.model!a} looks like that of {_listed(others)}"
                found[one.id] = [Remark("name", text)]
    return found


def _with_remarks(standing: Sequence[GradedSubmission], by_id: Mapping[str, Submission]) -> list[GradedSubmission]:
    """Return submissions with a remark for each run that shares responses with other submissions."""
    shares = shares_by_id([run for one in standing for run in prints_of(one)], by_id)
    names = name_remarks(by_id.values())
    found = {one: [*names.get(one, ()), *shares.get(one, ())] for one in {*names, *shares}}
    return [
        replace(one, remarks=(*one.remarks, *found[one.submission.id])) if one.submission.id in found else one
        for one in standing
    ]


MOST_CHANGES = 16
"""Changes of a correction that remarks tell one by one."""


def _with_corrections(
    standing: Sequence[GradedSubmission], badges: Mapping[str, str], corrections: Corrections
) -> list[GradedSubmission]:
    """Return submissions with remarks on what corrections change, on the correction and on what it corrects."""
    by_id = {one.submission.id: one for one in standing}
    remarks: dict[str, list[Remark]] = {}
    for new in standing:
        old = by_id.get(str(new.submission.replaces))
        if old is None:
            continue
        awaits = f"; {AWAITS}" if new.submission.id in corrections.awaiting else ""
        badge = badges.get(old.submission.id, REGRADED)
        changes = correction_changes(new, old)
        more = [f"{len(changes) - MOST_CHANGES} more changes"] if len(changes) > MOST_CHANGES else []
        listed = [Remark("correction", text) for text in (*changes[:MOST_CHANGES], *more)]
        head = f"corrects {old.submission.id}, whose badge is {badge}{awaits}"
        remarks.setdefault(new.submission.id, []).extend([Remark("correction", head), *listed])
        head = f"{new.submission.id} corrects this submission{awaits}"
        remarks.setdefault(old.submission.id, []).extend([Remark("correction", head), *listed])
    return [
        replace(one, remarks=(*one.remarks, *remarks[one.submission.id])) if one.submission.id in remarks else one
        for one in standing
    ]


AWAITS = "it takes no row until the maintainers have recorded that the contact of what it corrects agrees"
"""What is said of a correction that is not confirmed."""


def _listed(names: Sequence[str]) -> str:
    """Return names in a line, the first few of many."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _corrected_by(submission: Submission, by_id: Mapping[str, Submission]) -> Iterator[str]:
    """Yield the ids that ``submission`` corrects, one after the other; each once, even in a circle."""
    seen: set[str] = set()
    current: Submission | None = submission
    while current is not None and current.replaces is not None and current.replaces not in seen:
        seen.add(current.replaces)
        yield current.replaces
        current = by_id.get(current.replaces)


# From a folder of submissions to a board: tables by cell, ranks, tiers, neighbours, badges, corrections.

NEIGHBOURS = 3
"""How many runs above and below a run it is compared with, exam by exam, on the pages."""

Show = Callable[[Iterable[GradedFolder], int], Iterable[GradedFolder]]
"""Goes through submissions as they are graded and shows progress; the number is how many there will be."""


def no_progress(items: Iterable[GradedFolder], total: int) -> Iterable[GradedFolder]:  # noqa: ARG001 - form of Show
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
        accepted: Day on which each submission came to the board, where known.
    """

    folders: tuple[Path, ...]
    refused: tuple[Refused, ...]
    reviews: tuple[Review, ...]
    settings: BoardSettings
    accepted: Mapping[str, str]


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
        settings = replace(settings, base_url=check_address(base_url))
    accepted = days_in_history(submissions) | read_accepted(submissions, folders)
    return Sources(tuple(folders), tuple(refused), reviews, settings, accepted)


def load_board(
    submissions: Path,
    options: GradingOptions,
    *,
    workers: int | None = None,
    base_url: str | None = None,
    show: Show = no_progress,
) -> Board:
    """Return the board of the submissions in a folder, each graded unless the cache knows it.

    Args:
        submissions: The folder.
        options: Cache, drafts, recounting, samples; pages are not made.
        workers: Processes that grade; by default one per core.
        base_url: Address of the site, in place of what ``board.json`` says.
        show: Shows progress.

    Raises:
        UsageError: It is no folder, or ``base_url`` no address.
        RecordError: A file of the board's own is damaged.
        DataError: A problem of an exam set is missing.
    """
    sources = read_sources(submissions, base_url)
    # what is in the cache has no samples: they need the responses, so all submissions are graded, each once
    graded, waiting, refused = look_up(sources.folders, options, lambda _: options.samples is None)
    with closing(grade_many(waiting, options, workers)) as arriving:
        for done in show(arriving, len(waiting)):
            if done.graded is not None:
                graded.append(done.graded)
            elif done.refused is not None:
                refused.append(Refused(shown(done.folder.name), done.refused))
    return make_board(
        graded,
        [*sources.refused, *refused],
        sources.reviews,
        sources.settings,
        drafts=options.drafts,
        accepted=sources.accepted,
    )


def make_board(
    graded: Sequence[GradedSubmission],
    refused: Sequence[Refused],
    reviews: Sequence[Review],
    settings: BoardSettings,
    *,
    drafts: bool,
    accepted: Mapping[str, str] | None = None,
) -> Board:
    """Return the board of graded submissions, given in whatever order.

    A main cell without runs is ignored, and told of.
    """
    days = accepted or {}
    outside = {one.submission.id: why for one in graded if (why := why_not_on(one.submission, settings)) is not None}
    admitted = [one for one in graded if one.submission.id not in outside]
    withdrawn = withdrawn_by(reviews)
    standing, corrections = settle(admitted, confirmed_by(reviews), withdrawn)
    best: dict[str, Review] = {}
    given = [review for review in reviews if review.badge in BADGES]
    for review in sorted(given, key=lambda one: (BADGES.index(one.badge), one.date)):
        best[review.submission] = review
    badges = {one.submission.id: best[one.submission.id].badge for one in standing if one.submission.id in best}
    entries = [
        Entry(
            one,
            badges.get(one.submission.id, REGRADED),
            best.get(one.submission.id),
            corrections.replaced.get(one.submission.id),
            days.get(one.submission.id),
            awaits=one.submission.id in corrections.awaiting,
            withdrawn=withdrawn.get(one.submission.id),
        )
        for one in _with_corrections(standing, badges, corrections)
    ]
    more = [Refused(name, reason) for name, reason in {**outside, **corrections.refused}.items()]
    entries.sort(key=lambda entry: (entry.graded.submission.metadata.date, entry.id), reverse=True)
    cells = _tables(entries, settings.main_cell)
    return Board(
        title=settings.title,
        description=settings.description,
        base_url=settings.base_url,
        entries=tuple(entries),
        cells=cells,
        refused=tuple(sorted([*refused, *more], key=lambda one: (one.folder, one.reason))),
        drafts=drafts and any(entry.graded.submission.draft for entry in entries),
        project_url=settings.project_url,
        notes=tuple(_notes(settings, [table.cell.slug for table in cells])),
        archive=tuple(_archive(entries)),
    )


def _archive(entries: Sequence[Entry]) -> Iterator[tuple[Entry, GradedRun]]:
    """Yield the runs of submissions with rows that are not compared with today's."""
    for entry in entries:
        older = entry.graded.older if entry.has_rows else {}
        yield from ((entry, run) for run in entry.graded.runs if run.task in older)


def why_not_on(submission: Submission, settings: BoardSettings) -> str | None:
    """Return why a board with these settings does not take a submission, or None."""
    for task in submission.tasks:
        if task.kind.has_order and task.budget not in settings.budgets:
            admitted = ", ".join(map(str, settings.budgets))
            return (
                f"{task.name}: budget {task.budget} is none of this board's, which are {admitted}; its maintainers can "
                "add it to `budgets` in board.json"
            )
    return None


def _notes(settings: BoardSettings, slugs: Sequence[str]) -> Iterator[str]:
    """Yield what is odd about the settings of a board, though nothing is wrong with them by themselves."""
    if settings.main_cell is not None and slugs and settings.main_cell not in slugs:
        yield (
            f"board.json: main_cell {settings.main_cell!r} has no runs, so {slugs[0]!r} is shown first; "
            f"{nearest(settings.main_cell, list(slugs))}"
        )


def _tables(entries: Sequence[Entry], main: str | None) -> tuple[CellTable, ...]:
    rows: dict[Cell, list[tuple[Entry, GradedRun]]] = {}
    for entry in entries:
        if entry.has_rows:
            for run in entry.graded.current:
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
    """Return the table of one cell: best score first, equal scores by name, undefined ones last.

    Runs with too few exams for a rank have none, and no other is ranked against them.
    """
    rows = sorted(rows, key=_standing_key)
    terms = [mean_terms(run.exam_ids, run.exam_clusters, run.scores) for _, run in rows]
    large = [i for i, (_, run) in enumerate(rows) if not is_small(run.exams, run.clusters)]
    found = rank_many([terms[i] for i in large])
    ranks, tiers = dict(zip(large, found.ranks, strict=True)), dict(zip(large, found.tiers, strict=True))
    # A cost of 0 would beat whatever was paid for, so it is as good as unknown.
    efficient = on_front([(run.usd_per_exam or None, run.numbers["score"].value) for _, run in rows])
    standings = tuple(
        Standing(entry, run, ranks.get(i), tiers.get(i), efficient[i]) for i, (entry, run) in enumerate(rows)
    )
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, min(a + 1 + NEIGHBOURS, len(rows)))]
    neighbours = tuple(pair for pair in paired_lines(terms, pairs) if pair.difference.value is not None)
    return CellTable(cell, standings, neighbours, reported_rows(cell))


def _standing_key(row: tuple[Entry, GradedRun]) -> tuple[float, str, str, str]:
    entry, run = row
    score = run.numbers["score"].value
    return -score if score is not None else float("inf"), entry.graded.submission.metadata.model, run.prompt, entry.id


def on_front(points: Sequence[tuple[float | None, float | None]]) -> list[bool | None]:
    """Return for each ``(at, score)`` whether no other has a score as high for less, or a higher one for the same.

    None where one of the two is unknown.
    """
    known = [(at, -score, index) for index, (at, score) in enumerate(points) if at is not None and score is not None]
    found: list[bool | None] = [None] * len(points)
    # By rising price, and of one price the best score first: a run is efficient if it beats all cheaper ones, or ties
    # with the one that last did so in both price and score.
    frontier = (0.0, float("inf"))
    for at, negative_score, index in sorted(known):
        if negative_score < frontier[1]:
            frontier = at, negative_score
        found[index] = (at, negative_score) == frontier
    return found
