"""``roi-bench leaderboard``: a board of submissions as static pages, or as files for other boards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roi_bench.cli.table_output import notify
from roi_bench.errors import RecordError, UsageError

if TYPE_CHECKING:
    from roi_bench.leaderboard.board.board import Board
    from roi_bench.leaderboard.board.gather import GradedFolder
    from roi_bench.leaderboard.submission.schema import Metadata, Submission


# ``roi-bench leaderboard review`` and ``comment``: what a pull request adds to a board.


@click.command()
@click.argument("submissions")
@click.option("--base", required=True, metavar="REF", help="What is changed: a branch or commit.")
@click.option("--head", default="HEAD", show_default=True, metavar="REF", help="The change.")
@click.option(
    "--repository",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Clone of git that has both.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the outcome, as JSON.")
@click.option("--recount", is_flag=True, help="Count tokens again with tokenizers of the hub too.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Cache of the board's build, so that what stands on it is not read again.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes that grade (default: one per core).")
def review(
    submissions: str,
    base: str,
    head: str,
    repository: Path,
    out: Path | None,
    recount: bool,
    cache: Path | None,
    workers: int | None,
) -> int:
    """Check what REF adds to the folder SUBMISSIONS of a repository: new submissions, and nothing else.

    Nothing of the change is checked out. Prints what would be commented; exit code 5 if anything is refused.
    """
    import json

    from roi_bench.errors import RecordError
    from roi_bench.leaderboard.review import check_place, is_accepted, review_change
    from roi_bench.leaderboard.review_comment import comment_text

    check_place(repository, submissions.strip("/"), base, head)
    place = submissions.strip("/")
    found = review_change(repository, place, base, head, recount=recount, cache=cache, workers=workers)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    click.echo(comment_text(found), nl=False)
    return 0 if is_accepted(found) else RecordError.exit_code


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def comment(file: Path) -> None:
    """Print the comment on a pull request that the review in FILE gives, whoever wrote that file."""
    from roi_bench.leaderboard.review_comment import LARGEST_BYTES, comment_text, read_review

    with file.open("rb") as stream:
        content = stream.read(LARGEST_BYTES + 1)
    click.echo(comment_text(read_review(content, str(file))), nl=False)


@click.command()
@click.argument("submission", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--by", metavar="NAME", help="Who ran it again; writes the entry for the badge `reproduced`.")
@click.option("--date", "day", metavar="DAY", help="When, 2026-11-24 (default: today).")
@click.option(
    "--reviews",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the entry.  [default: reviews.json beside SUBMISSION]",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core).")
def reproduce(
    submission: Path,
    results: tuple[Path, ...],
    by: str | None,
    day: str | None,
    reviews: Path | None,
    workers: int | None,
) -> None:
    """Compare a re-run with the submission in the folder SUBMISSION, response by response.

    RESULTS are results_*.json files or folders of the re-run, or a submission of it; some exams of a set are enough.
    With --by an entry for the badge `reproduced` is written, unless fewer than half of the exams came out alike.
    """
    from datetime import date

    from roi_bench.cli.table_output import print_tables
    from roi_bench.leaderboard.board.board import REVIEWS_FILE, write_review
    from roi_bench.leaderboard.board.same_responses import compare_rerun, rerun_record, rerun_table
    from roi_bench.leaderboard.submission.metadata import parse_day

    if by is None and (day is not None or reviews is not None):
        raise UsageError("--date and --reviews are those of an entry; give --by NAME to have it written")
    today = date.today()
    written = today.isoformat() if day is None else parse_day(day, today)
    found = compare_rerun(submission, results, workers=workers)
    print_tables([rerun_table(found)], "text")
    if by is not None:
        folder = submission.resolve()
        place = folder.parent / REVIEWS_FILE if reviews is None else reviews
        write_review(place, rerun_record(folder.name, found, by, written), folder)
        notify(f"written to {place}: an entry for the badge `reproduced`")


@click.command()
@click.argument("submission", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--withdraw", metavar="REASON", help="SUBMISSION is no correction: its contact withdraws it, and why.")
@click.option("--contact", metavar="TEXT", help="Whose word it is: the contact that the old submission names.")
@click.option("--by", metavar="NAME", help="Who asked the contact; writes the entry.")
@click.option("--note", metavar="TEXT", help="How the contact agreed.")
@click.option("--date", "day", metavar="DAY", help="When, 2026-11-24 (default: today).")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that grade (default: one per core).")
def confirm(
    submission: Path,
    withdraw: str | None,
    contact: str | None,
    by: str | None,
    note: str | None,
    day: str | None,
    workers: int | None,
) -> None:
    """Show what the correction in the folder SUBMISSION changes, and record that the old contact agrees.

    What it corrects lies beside it. With --withdraw: show what leaves the board when SUBMISSION itself is withdrawn,
    and record its contact's word. Without --by and --note nothing is written.
    """
    from datetime import date

    from roi_bench.leaderboard.board.board import CONFIRMED, REVIEWS_FILE, WITHDRAWN, write_review
    from roi_bench.leaderboard.submission.metadata import parse_day
    from roi_bench.leaderboard.submission.schema import parse_submission
    from roi_bench.leaderboard.submission.untrusted_files import METADATA_FILE, read_folder

    if (by is None) != (note is None):
        raise UsageError("--by and --note come together: say who asked the old contact, and how the contact agreed")
    folder, today = submission.resolve(), date.today()
    written = today.isoformat() if day is None else parse_day(day, today)
    found = parse_submission(read_folder(folder).get(METADATA_FILE, b""), str(submission))
    if withdraw is None:
        _show_correction(folder, found, contact, workers)
    else:
        _show_withdrawal(folder, found, contact)
    if by is not None:
        badge, more = (CONFIRMED, {}) if withdraw is None else (WITHDRAWN, {"reason": withdraw})
        entry = {"submission": folder.name, "badge": badge, "by": by, "date": written, "note": note, **more}
        write_review(folder.parent / REVIEWS_FILE, entry, folder)
        done = "the correction takes the row" if withdraw is None else f"{folder.name} is withdrawn"
        notify(f"written to {folder.parent / REVIEWS_FILE}: {done}")


def _show_correction(folder: Path, new: Submission, contact: str | None, workers: int | None) -> None:
    """Print what a correction changes, and whose word it needs.

    Raises:
        UsageError: It corrects nothing, or ``contact`` is another one.
        RecordError: One of the two is refused.
    """
    from roi_bench.leaderboard.board.gather import GradingOptions, grade_many
    from roi_bench.leaderboard.board.graded import correction_changes

    if new.replaces is None:
        raise UsageError(f"{folder.name}: corrects no other submission, so there is nothing to confirm")
    graded = {}
    for done in grade_many([folder, folder.parent / new.replaces], GradingOptions(drafts=True, archive=True), workers):
        if done.graded is None:
            raise RecordError(f"{done.folder.name}: {done.refused}")
        graded[done.folder.name] = done.graded
    old = graded[new.replaces].submission.metadata
    _check_contact(contact, old)
    click.echo(f"{folder.name} corrects {new.replaces}, whose contact is {old.contact!r}; old → new:")
    for change in correction_changes(graded[folder.name], graded[new.replaces]):
        click.echo(f"  {change}")


def _show_withdrawal(folder: Path, submission: Submission, contact: str | None) -> None:
    """Print which runs leave the board with a submission.

    Raises:
        UsageError: No contact, or another one than the submission names.
    """
    from roi_bench.leaderboard.submission.untrusted_files import shown

    if contact is None:
        raise UsageError("--withdraw needs --contact: whose word it is")
    _check_contact(contact, submission.metadata)
    click.echo(f"{folder.name} of {shown(submission.metadata.model)!r} leaves all tables and keeps its page; its runs:")
    for task in submission.tasks:
        click.echo(f"  {task.name}")


def _check_contact(contact: str | None, said: Metadata) -> None:
    from roi_bench.leaderboard.board.same_responses import is_same_contact

    if contact is not None and not is_same_contact(contact, said.contact):
        raise UsageError(
            f"--contact {contact!r}: the submission names {said.contact!r}, and only that contact can agree; ask there"
        )


SUBMISSIONS = click.argument("submissions", type=click.Path(path_type=Path))
CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps what was graded, by content.  [default: OUT.cache, beside OUT]",
)
NO_CACHE = click.option("--no-cache", is_flag=True, help="Grade everything again and keep nothing.")
DRAFTS = click.option("--drafts", is_flag=True, help="Show drafts too; such a board must not be published.")
RECOUNT = click.option("--recount", is_flag=True, help="Count tokens again with the recorded tokenizers, from the hub.")
BASE_URL = click.option("--base-url", metavar="URL", help="Address at which the board is published.")
WORKERS = click.option("--workers", type=click.IntRange(min=1), help="Processes that grade (default: one per core).")
ALLOW_REFUSED = click.option("--allow-refused", is_flag=True, help="Exit with 0 even if submissions were refused.")


class ExamPages(click.ParamType):  # type: ignore[type-arg] # click before 8.4 takes no argument here
    """A number of exams, ``all`` or ``none``."""

    name = "N|all|none"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number, None for all."""
        text = str(value)
        if text in ("all", "none"):
            return None if text == "all" else 0
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            self.fail(f"{text!r} is not a number of exams; give one, or all, or none", param, ctx)
        return int(text)


@click.group()
def leaderboard() -> None:
    """A board of submissions: every number computed again from raw responses, shown on static pages."""


leaderboard.add_command(review)
leaderboard.add_command(comment)
leaderboard.add_command(reproduce)
leaderboard.add_command(confirm)


@leaderboard.command()
@SUBMISSIONS
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the site.")
@CACHE
@NO_CACHE
@DRAFTS
@click.option("--with-problems", is_flag=True, help="Show licensed problem texts too; for private use only.")
@click.option(
    "--exam-pages",
    type=ExamPages(),
    default="30",
    show_default=True,
    help="How many exams of each run get a page with the responses.",
)
@BASE_URL
@RECOUNT
@WORKERS
@ALLOW_REFUSED
def build(
    submissions: Path,
    out: Path,
    cache: Path | None,
    no_cache: bool,
    drafts: bool,
    with_problems: bool,
    exam_pages: int | None,
    base_url: str | None,
    recount: bool,
    workers: int | None,
    allow_refused: bool,
) -> int:
    """Build the site of the submissions in the folder SUBMISSIONS.

    Each is checked and graded; rejected ones are listed and do not affect the rest (exit code 5). Anything unchanged
    since the last build is neither graded nor rendered again.
    """
    from roi_bench.leaderboard.site.page import PageOptions
    from roi_bench.leaderboard.site.site import BuildOptions, build_site

    options = BuildOptions(
        cache=_cache(out, cache, no_cache),
        drafts=drafts,
        recount=recount,
        base_url=base_url,
        workers=workers,
        pages=PageOptions(with_problems, exam_pages),
    )
    built = build_site(submissions, out, options, show=_progress, tell=notify)
    notify(
        f"{_count(len(built.board.entries), 'submission')}, {built.graded} of them graded now; "
        f"{_count(built.files, 'file')}, {built.written} written, {built.removed} removed"
    )
    if not built.board.project_url:
        notify("board.json has no project_url: pages have no links to the project")
    for note in built.board.notes:
        notify(note)
    if built.board.archive:
        notify(f"{_count(len(built.board.archive), 'run')} of older prompts or reading rules: see archive.html")
    for entry in built.board.entries:
        if entry.awaits:
            how = f"roi-bench leaderboard confirm {submissions / entry.id}"
            notify(f"{entry.id} corrects another one and has no row until that is confirmed: {how}")
    if with_problems:
        notify("this site shows licensed problem texts; do not publish it")
    if built.board.drafts:
        notify("this site shows drafts; do not publish it")
    click.echo(f"the board is at {out / 'index.html'}; look at it: roi-bench leaderboard serve {out}")
    return _end(built.board, allow_refused)


@leaderboard.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: any free one.")
def serve(site: Path, host: str, port: int) -> None:
    """Show the site in the folder SITE to a browser on this machine, until Ctrl-C."""
    from roi_bench.leaderboard.site.site import serve as serve_site

    serve_site(site, host, port, click.echo)


@leaderboard.command()
@click.argument("form", metavar="FORM", type=click.Choice(["hugging-face", "every-eval-ever", "tables"]))
@SUBMISSIONS
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option(
    "--dataset-id", metavar="NAME", help="hugging-face: data set in whose name results are given.  [default: ours]"
)
@CACHE
@NO_CACHE
@DRAFTS
@BASE_URL
@RECOUNT
@WORKERS
@ALLOW_REFUSED
def export(
    form: str,
    submissions: Path,
    out: Path,
    dataset_id: str | None,
    cache: Path | None,
    no_cache: bool,
    drafts: bool,
    base_url: str | None,
    recount: bool,
    workers: int | None,
    allow_refused: bool,
) -> int:
    """Write the board of SUBMISSIONS as files of another form.

    \b
    FORM is one of
      hugging-face     results of models and the data set's side of them
      every-eval-ever  JSON and sample rows; every submission is graded, whatever the cache holds
      tables           CSV, JSON and Parquet
    """
    from roi_bench.leaderboard.board.build import load_board
    from roi_bench.leaderboard.board.gather import GradingOptions

    if dataset_id is not None and form != "hugging-face":
        raise UsageError(f"--dataset-id {dataset_id} does not apply to {form}; leave it out")

    samples = out / f".samples-{os.getpid()}" if form == "every-eval-ever" else None
    options = GradingOptions(_cache(out, cache, no_cache), drafts, recount, archive=True, samples=samples)
    try:
        board = load_board(submissions, options, workers=workers, base_url=base_url, show=_progress)
        for one in board.refused:
            notify(f"refused {one.folder}: {one.reason}")
        files = _export(form, board, samples, out, dataset_id)
    finally:
        if samples is not None:
            shutil.rmtree(samples, ignore_errors=True)
    click.echo(f"{_count(len(files), 'file')} written to {out}")
    return _end(board, allow_refused)


def _export(form: str, board: Board, samples: Path | None, out: Path, dataset_id: str | None) -> Sequence[Path]:
    """Write ``board`` in one of the forms and return the files."""
    if samples is not None:
        from roi_bench.leaderboard.exporters.every_eval_ever import export_every_eval_ever

        return export_every_eval_ever(board, samples, out)
    if form == "tables":
        from roi_bench.leaderboard.exporters.tables import export_tables

        return export_tables(board, out)
    from roi_bench.leaderboard.exporters.hugging_face import DATASET_ID, export_hugging_face

    return export_hugging_face(board, out, dataset_id=DATASET_ID if dataset_id is None else dataset_id)


def _cache(out: Path, cache: Path | None, no_cache: bool) -> Path | None:
    """Return the folder of the cache.

    Raises:
        UsageError: Both a cache and none are asked for.
    """
    if no_cache and cache is not None:
        raise UsageError(f"--no-cache and --cache {cache} contradict each other; leave one out")
    if no_cache:
        return None
    whole = out.resolve()
    return cache if cache is not None else whole.with_name(f"{whole.name}.cache")


def _end(board: Board, allow_refused: bool) -> int:
    """Return the exit code: that of a damaged record where something was refused."""
    return RecordError.exit_code if board.refused and not allow_refused else 0


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _progress(items: Iterable[GradedFolder], total: int) -> Iterable[GradedFolder]:
    from tqdm import tqdm

    from roi_bench.machine import BarFile

    file = BarFile()
    bar: Iterable[GradedFolder] = tqdm(
        items,
        total=total,
        desc="grading",
        unit="submission",
        leave=False,
        delay=2,
        file=file,
        mininterval=file.interval,
    )
    return bar
