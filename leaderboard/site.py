"""Building the site: every submission graded and shown once, everything between submissions anew each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from roi_bench.errors import UsageError
from roi_bench.leaderboard.board import Board, Refused
from roi_bench.leaderboard.board_build import Show, make_board, no_progress, read_sources
from roi_bench.leaderboard.corrections import settle_corrections
from roi_bench.leaderboard.exporters.tables import board_tables
from roi_bench.leaderboard.gather import Gathered, Wish, grade_many, look_up
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.page import PageFile, PageOptions
from roi_bench.leaderboard.page_cache import load_pages, pages_key, store_pages
from roi_bench.leaderboard.pages import board_pages, static_files
from roi_bench.leaderboard.site_files import SiteFolder
from roi_bench.leaderboard.strict_json import shown


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a site is built.

    Attributes:
        cache: Folder that keeps what was graded for the next build; None: nothing is kept.
        drafts: Show drafts too.
        recount: Count tokens again with the tokenizers of the hub.
        base_url: Address of the site, in place of what ``board.json`` says.
        workers: Processes that grade; by default one per core.
        pages: What the pages show.
    """

    cache: Path | None = None
    drafts: bool = False
    recount: bool = False
    base_url: str | None = None
    workers: int | None = None
    pages: PageOptions = field(default_factory=PageOptions)


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did.

    Attributes:
        board: What the site shows.
        graded: Number of submissions that were graded anew, without those that were refused.
        files: Number of files of the site.
        written: Number of those whose bytes changed.
        removed: Number of files of earlier builds that nothing asked for any more.
    """

    board: Board
    graded: int
    files: int
    written: int
    removed: int


def build_site(
    submissions: Path,
    out: Path,
    options: BuildOptions,
    *,
    show: Show = no_progress,
    tell: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build the site of the submissions in a folder: same submissions, same bytes.

    What the cache knows and the site shows already is neither graded nor rendered again. Interrupted, the site is part
    old and part new, the cache whole; another build goes on from there.

    Args:
        submissions: Folder of submissions.
        out: Folder of the site, empty or written by an earlier build.
        options: How.
        show: Shows progress of grading.
        tell: Takes a line about each submission that is refused, as soon as that is known.

    Raises:
        UsageError: A folder is none, lies in another one, or holds what no build wrote.
        RecordError: A file of the board's own is damaged.
        DataError: A problem of an exam set is missing.
    """
    _check_places(submissions, out, options.cache)
    sources = read_sources(submissions, options.base_url)
    site = SiteFolder(out)
    wish = Wish(options.cache, options.drafts, options.recount, options.pages)
    made = _Made(site, options, tell)
    _, waiting, refused = look_up(sources.folders, wish, made.keep)
    made.refuse([*sources.refused, *refused])
    # First those of which nothing is known; then it is clear which of the known ones stand and need their pages.
    while todo := _unknown(waiting, made.graded) or _without_pages(waiting, made.graded, made.pages):
        waiting = [folder for folder in waiting if folder not in todo]
        with closing(grade_many(todo, wish, options.workers)) as arriving:
            for done in show(arriving, len(todo)):
                made.take(done)
    board = make_board(
        list(made.graded.values()), made.refused, sources.reviews, sources.settings, drafts=options.drafts
    )
    made.refuse([one for one in board.refused if one not in made.refused])
    for name in made.pages.keys() - {entry.id for entry in board.entries}:
        site.give_up(made.pages[name])
    written = made.written + _write_board(site, board, options.pages)
    return Built(board, made.fresh, site.files, written, removed=site.finish())


@dataclass(slots=True)
class _Made:
    """What a build has of single submissions so far.

    Attributes:
        site: The site.
        options: How it is built.
        tell: Takes a line about each submission that is refused.
        graded: Summaries by id.
        pages: Paths of the pages that are in the site as they should be, by id.
        refused: What was refused.
        fresh: Number of submissions that were graded anew.
        written: Number of files whose bytes changed.
    """

    site: SiteFolder
    options: BuildOptions
    tell: Callable[[str], None]
    graded: dict[str, GradedSubmission] = field(default_factory=dict)
    pages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    fresh: int = 0
    written: int = 0

    def keep(self, found: GradedSubmission) -> bool:
        """Take a submission that the cache knows, and return whether its pages are in the site."""
        self.graded[found.submission.id] = found
        there = _pages_there(self.site, found, self.options)
        if there is not None:
            self.pages[found.submission.id] = there
            self.site.keep(there)
        return there is not None

    def take(self, done: Gathered) -> None:
        """Take what came of a folder that was graded, and write its pages."""
        self.graded.pop(done.folder.name, None)
        if done.refused is not None:
            self.refuse([Refused(shown(done.folder.name), done.refused)])
        if done.graded is not None:
            self.fresh += 1
            self.graded[done.graded.submission.id] = done.graded
            self.written += _write_own(self.site, done.graded, done.pages, self.options)
            self.pages[done.graded.submission.id] = tuple(page.path for page in done.pages)

    def refuse(self, refused: Sequence[Refused]) -> None:
        """Note what is refused, and tell it."""
        self.refused += refused
        for one in refused:
            self.tell(f"refused {one.folder}: {one.reason}")


def _unknown(waiting: Sequence[Path], graded: Mapping[str, GradedSubmission]) -> list[Path]:
    """Return the folders of which no summary is at hand."""
    return [folder for folder in waiting if folder.name not in graded]


def _without_pages(
    waiting: Sequence[Path], graded: Mapping[str, GradedSubmission], pages: Mapping[str, Sequence[str]]
) -> list[Path]:
    """Return the folders of submissions that stand beside the others and whose pages have to be made."""
    if not waiting:
        return []
    standing = settle_corrections([one.submission for one in graded.values()]).standing
    return [folder for folder in waiting if folder.name in standing and folder.name not in pages]


def _pages_there(site: SiteFolder, graded: GradedSubmission, options: BuildOptions) -> tuple[str, ...] | None:
    """Return the paths of a submission's own pages if all of them are in the site as they should be."""
    found = load_pages(options.cache, pages_key(graded, options.pages)) if options.cache is not None else None
    return tuple(found) if found is not None and site.holds(found) else None


def _write_own(site: SiteFolder, graded: GradedSubmission, pages: Sequence[PageFile], options: BuildOptions) -> int:
    """Write a submission's own pages, note in the cache which they are, and return how many files changed."""
    changed = site.write(pages)
    if options.cache is not None:
        store_pages(options.cache, pages_key(graded, options.pages), pages)
    return changed


def _write_board(site: SiteFolder, board: Board, options: PageOptions) -> int:
    """Write everything that depends on more than one submission, and return how many files changed."""
    return sum(site.write(made) for made in (board_pages(board, options), board_tables(board), static_files()))


def _check_places(submissions: Path, out: Path, cache: Path | None) -> None:
    """Check that site, submissions and cache do not lie in one another.

    Raises:
        UsageError: Two of them do.
    """
    places = {"SUBMISSIONS": submissions, "--out": out} | ({} if cache is None else {"--cache": cache})
    for outer, outer_path in places.items():
        for inner, inner_path in places.items():
            hidden = (outer, inner) == ("SUBMISSIONS", "--cache") and inner_path.name.startswith(".")
            if outer != inner and not hidden and inner_path.resolve().is_relative_to(outer_path.resolve()):
                raise UsageError(f"{inner} {inner_path} lies in {outer} {outer_path}; name a folder outside of it")
