"""Submissions, graded: from the cache where nothing changed, else anew, several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import Refused
from roi_bench.leaderboard.board.cache import load_graded, store_graded
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.checks.rules import check_submission, content_hash
from roi_bench.leaderboard.site.page import PageFile, PageOptions
from roi_bench.leaderboard.site.response_pages import submission_pages
from roi_bench.leaderboard.submission.untrusted_files import shown
from roi_bench.machine import usable_cores


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be had of each submission.

    Attributes:
        cache: Folder of graded summaries, or None.
        drafts: Grade drafts too.
        recount: Count tokens again with the tokenizers of the hub.
        pages: What its own pages show; None: no pages.
    """

    cache: Path | None = None
    drafts: bool = False
    recount: bool = False
    pages: PageOptions | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of one folder.

    Attributes:
        folder: The folder.
        graded: The submission; None for one that was refused, or a draft that nobody asked for.
        refused: Why it was refused, or None.
        pages: Its own pages; empty where none were asked for.
    """

    folder: Path
    graded: GradedSubmission | None
    refused: str | None = None
    pages: tuple[PageFile, ...] = ()


def look_up(
    folders: Sequence[Path], wish: Wish, still_good: Callable[[GradedSubmission], bool]
) -> tuple[list[GradedSubmission], list[Path], list[Refused]]:
    """Return what the cache knows of ``folders``, which of them have to be graded, and which cannot even be read.

    Args:
        folders: The folders.
        wish: What is to be had of each.
        still_good: Tells whether nothing else is to be done for a submission in the cache.
    """
    known: list[GradedSubmission] = []
    if wish.cache is None:
        return known, list(folders), []
    waiting, refused = [], []
    with ThreadPoolExecutor(len(usable_cores())) as threads:
        for folder, found in zip(folders, threads.map(_content, folders), strict=True):
            if isinstance(found, RecordError):
                refused.append(Refused(shown(folder.name), without_place(str(found), folder)))
                continue
            graded = load_graded(wish.cache, found, recount=wish.recount)
            if graded is None or graded.submission.id != folder.name:
                waiting.append(folder)
            elif graded.submission.draft and not wish.drafts:
                continue
            elif still_good(graded):
                known.append(graded)
            else:
                waiting.append(folder)
    return known, waiting, refused


def _content(folder: Path) -> str | RecordError:
    try:
        return content_hash(folder)
    except RecordError as error:
        return error


def grade_one(folder: Path, wish: Wish) -> Gathered:
    """Check and grade the submission in ``folder``, keep the summary in the cache, and make its pages.

    Raises:
        DataError: A problem of its exams is missing.
    """
    try:
        checked = check_submission(folder, recount=wish.recount)
        if checked.submission.draft and not wish.drafts:
            return Gathered(folder, None)
        graded, runs = grade_submission(checked, workers=1)
    except RecordError as error:
        return Gathered(folder, None, without_place(str(error), folder))
    if wish.cache is not None:
        store_graded(wish.cache, graded, recount=wish.recount)
    pages = () if wish.pages is None else tuple(submission_pages(graded, runs, wish.pages, usd=checked.usd))
    return Gathered(folder, graded, None, pages)


def scored_runs(folder: Path, *, recount: bool = False) -> Mapping[str, ScoredRun]:
    """Return the scored runs of the submission in ``folder`` by slug.

    Raises:
        RecordError: It is refused.
    """
    return grade_submission(check_submission(folder, recount=recount))[1]


def grade_many(folders: Sequence[Path], wish: Wish, workers: int | None = None) -> Generator[Gathered, None, None]:
    """Yield :func:`grade_one` of each folder as it is done, in no particular order; closed, it ends its processes.

    Args:
        folders: The folders.
        wish: What is to be had of each.
        workers: Processes; by default one per core.

    Raises:
        UsageError: A process was killed.
        DataError: See :func:`grade_one`.
    """
    count = min(workers or len(usable_cores()), len(folders))
    if count <= 1:
        for folder in folders:
            yield grade_one(folder, wish)
        return
    # spawned, since a fork would copy the threads and locks of whoever calls this
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _die_at_once)
    try:
        yield from _through(pool, folders, wish, 2 * count)
    except BrokenProcessPool as error:
        raise UsageError(
            f"one of {count} grading processes was killed (out of memory?); what was graded is in the cache, run again "
            "with fewer --workers"
        ) from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def without_place(reason: str, folder: Path) -> str:
    """Return ``reason`` without the way to ``folder``, which is no reader's business."""
    return reason.removeprefix(f"{folder}: ").replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)


def _through(pool: ProcessPoolExecutor, folders: Sequence[Path], wish: Wish, at_once: int) -> Iterator[Gathered]:
    """Yield what is done; no more than ``at_once`` are under way or waiting to be taken, pages being large."""
    waiting = list(reversed(folders))
    pending: set[Future[Gathered]] = set()
    while waiting or pending:
        while waiting and len(pending) < at_once:
            pending.add(pool.submit(grade_one, waiting.pop(), wish))
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        while done:
            yield done.pop().result()


def _die_at_once() -> None:
    """Let Ctrl-C end a worker without a traceback; the summaries that it has finished are in the cache."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
