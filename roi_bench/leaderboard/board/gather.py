"""A folder of submissions: what lies in it, since when, and each of them graded, from the cache or anew.

Several are graded at a time, in processes of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import ACCEPTED_FILE, REVIEWS_FILE, SETTINGS_FILE, Refused
from roi_bench.leaderboard.board.cache import load_graded, store_graded
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.checks.rules import check_submission, content_hash
from roi_bench.leaderboard.exporters.every_eval_ever import write_samples
from roi_bench.leaderboard.site.page import PageFile, PageOptions
from roi_bench.leaderboard.site.response_pages import response_files, submission_pages
from roi_bench.leaderboard.submission.untrusted_files import METADATA_FILE, content_of, read_folder, shown
from roi_bench.machine import usable_cores

# What lies in the folder, and since when.


def submission_folders(submissions: Path) -> tuple[list[Path], list[Refused]]:
    """Return the folders in ``submissions`` by name, and everything else in it, which is refused.

    Names that begin with a dot are ignored.

    Raises:
        UsageError: ``submissions`` is no folder, cannot be read, or is a submission itself.
    """
    try:
        entries = sorted(submissions.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise UsageError(
            f"{submissions}: no folder of submissions ({error.strerror or error}); name the one that holds them"
        ) from error
    if any(entry.name == METADATA_FILE for entry in entries):
        above = submissions.parent if submissions.name else submissions.resolve().parent
        raise UsageError(f"{submissions}: is one submission, it has {METADATA_FILE}; name the folder above, {above}")
    folders, refused = [], []
    for entry in entries:
        if entry.name.startswith(".") or entry.name in (REVIEWS_FILE, SETTINGS_FILE, ACCEPTED_FILE):
            continue
        if entry.is_symlink():
            refused.append(Refused(shown(entry.name), "is a link; links are not followed"))
        elif entry.is_dir():
            folders.append(entry)
        else:
            refused.append(Refused(shown(entry.name), "is no folder of a submission; nothing else belongs here"))
    return folders, refused


def holds_submissions(folder: Path) -> bool:
    """Return whether ``folder`` is no submission, and holds folders that look like some."""
    try:
        entries = {entry.name: entry for entry in folder.iterdir()}
        return METADATA_FILE not in entries and any((one / METADATA_FILE).is_file() for one in entries.values())
    except OSError:
        return False


def days_in_history(submissions: Path) -> dict[str, str]:
    """Return the day on which each submission came to the branch that is checked out, by id, as git knows it.

    The branch's own commits count, not those of what was merged: their days are whatever the submitter's clock said.
    Nothing outside of git, nor where the history is cut off (a shallow clone), since its end would seem to be the day.
    """

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(submissions), "-c", "log.showSignature=false", "--no-pager", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(command, capture_output=True, check=False, env=environment)
        except OSError:  # no git here
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    if git("rev-parse", "--is-shallow-repository") != "false\n":
        return {}
    options = ("--first-parent", "-m", "--no-renames", "--diff-filter=A", "--relative", "--name-only", "-z")
    listed = git("log", *options, "--format=%x00%cs", "--", f":(glob)*/{METADATA_FILE}") or ""
    days: dict[str, str] = {}
    day = ""
    for part in listed.split("\0"):
        text = part.strip("\n")
        if _DAY.fullmatch(text):
            day = text
        elif text.endswith(f"/{METADATA_FILE}"):
            days[text.removesuffix(f"/{METADATA_FILE}")] = (
                day  # newest first: of one that left and came again the first
            )
    return days


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


# Its submissions, graded.


@dataclass(frozen=True, slots=True)
class GradingOptions:
    """Options for grading submissions.

    Attributes:
        cache: Folder of graded summaries, or None.
        drafts: Grade drafts too.
        recount: Count tokens again with the tokenizers of the hub.
        pages: What its own pages show; None: no pages.
        samples: Folder for the rows of its samples (:mod:`~roi_bench.leaderboard.exporters.every_eval_ever`), or None.
        archive: Grade runs of older rules and prompts too; what is on a board stays on it.
    """

    cache: Path | None = None
    drafts: bool = False
    recount: bool = False
    pages: PageOptions | None = None
    samples: Path | None = None
    archive: bool = False


@dataclass(frozen=True, slots=True)
class GradedFolder:
    """The result of grading one folder.

    Attributes:
        folder: The folder.
        graded: The submission; None for one that was refused, or a draft while drafts are not wanted.
        refused: Why it was refused, or None.
        pages: Its own pages; empty where none were asked for.
    """

    folder: Path
    graded: GradedSubmission | None
    refused: str | None = None
    pages: tuple[PageFile, ...] = ()


def look_up(
    folders: Sequence[Path], options: GradingOptions, still_good: Callable[[GradedSubmission], bool]
) -> tuple[list[GradedSubmission], list[Path], list[Refused]]:
    """Return the submissions that the cache holds, the folders that still have to be graded, and the unreadable ones.

    Args:
        folders: The folders.
        options: How to grade them.
        still_good: Returns whether a submission in the cache needs no further work.
    """
    known: list[GradedSubmission] = []
    if options.cache is None:
        return known, list(folders), []
    waiting, refused = [], []
    with ThreadPoolExecutor(len(usable_cores())) as threads:
        for folder, found in zip(folders, threads.map(_content, folders), strict=True):
            if isinstance(found, RecordError):
                refused.append(Refused(shown(folder.name), without_place(str(found), folder)))
                continue
            graded = load_graded(options.cache, found, recount=options.recount)
            if graded is None or graded.submission.id != folder.name:
                waiting.append(folder)
            elif graded.submission.draft and not options.drafts:
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


def grade_one(folder: Path, options: GradingOptions) -> GradedFolder:
    """Check and grade the submission in ``folder``, keep the summary in the cache, and make its pages.

    Raises:
        DataError: A problem of its exams is missing.
        UsageError: The cache or the samples cannot be written.
    """
    try:
        checked = check_submission(folder, recount=options.recount, archive=options.archive)
        if checked.submission.draft and not options.drafts:
            return GradedFolder(folder, None)
        graded, runs = grade_submission(checked, workers=1)
    except RecordError as error:
        return GradedFolder(folder, None, without_place(str(error), folder))
    if options.cache is not None:
        store_graded(options.cache, graded, recount=options.recount)
    if options.samples is not None:
        write_samples(graded, runs, options.samples)
    if options.pages is None:
        return GradedFolder(folder, graded)
    files = read_folder(folder)
    if content_of(files) != graded.content:
        return GradedFolder(folder, None, "was changed while it was graded; build again")
    pages = (*submission_pages(graded, runs, options.pages, usd=checked.usd), *response_files(graded, files))
    return GradedFolder(folder, graded, None, pages)


def grade_many(
    folders: Sequence[Path], options: GradingOptions, workers: int | None = None
) -> Generator[GradedFolder, None, None]:
    """Yield :func:`grade_one` of each folder as it is done, in no particular order; closed, it ends its processes.

    Args:
        folders: The folders.
        options: How to grade them.
        workers: Processes; by default one per core.

    Raises:
        UsageError: A process was killed.
        DataError: See :func:`grade_one`.
    """
    count = min(workers or len(usable_cores()), len(folders))
    if count <= 1:
        for folder in folders:
            yield grade_one(folder, options)
        return
    # spawned, since a fork would copy the threads and locks of whoever calls this
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _die_at_once)
    try:
        yield from _through(pool, folders, options, 2 * count)
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
    """Return ``reason`` without the path of ``folder``, which readers need not know."""
    return reason.removeprefix(f"{folder}: ").replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)


def _through(
    pool: ProcessPoolExecutor, folders: Sequence[Path], options: GradingOptions, at_once: int
) -> Iterator[GradedFolder]:
    """Yield results as they finish; at most ``at_once`` are in progress or waiting, since pages are large."""
    waiting = list(reversed(folders))
    pending: set[Future[GradedFolder]] = set()
    while waiting or pending:
        while waiting and len(pending) < at_once:
            pending.add(pool.submit(grade_one, waiting.pop(), options))
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        while done:
            yield done.pop().result()


def _die_at_once() -> None:
    """Let Ctrl-C end a worker without a traceback; the summaries that it has finished are in the cache."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
