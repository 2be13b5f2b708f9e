"""The site: built from a board, its files on disk, and a small server to look at it on this machine."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import Board, Refused, Review, confirmed_by, withdrawn_by
from roi_bench.leaderboard.board.build import Show, make_board, no_progress, read_sources, settle_corrections
from roi_bench.leaderboard.board.cache import load_pages, pages_key, store_pages
from roi_bench.leaderboard.board.gather import GradedFolder, GradingOptions, grade_many, look_up
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.exporters.tables import board_tables
from roi_bench.leaderboard.site.page import CONTENT_SECURITY_POLICY, PageFile, PageOptions
from roi_bench.leaderboard.site.pages import board_pages, static_files
from roi_bench.leaderboard.submission.untrusted_files import shown
from roi_bench.machine import write_atomically

# The folder of a site: which files are ours, written only where their bytes differ, removed when no longer part of it.
#
# The file :data:`MARKER` lists every file that a build has written, one path per line. Only these are ever overwritten
# or removed; whatever else is in the folder stays as it is.

MARKER = ".roi-bench-site"
"""File that says that a folder is a site of ours, and which files in it are."""

HEADER = "roi-bench site 1: files written by `roi-bench leaderboard build`, which may overwrite and remove them"

_PATH = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*", re.ASCII)


class SiteFolder:
    """The folder ``folder`` as the place of a site.

    Raises:
        UsageError: It cannot be made, is no folder, or holds something and no site of ours.
        RecordError: The marker is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: set[str] = set()
        self._linked: dict[str, bool] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            marker = folder / MARKER
            if marker.is_file() and not marker.is_symlink():
                self._ours = _read_marker(marker)
            elif any(folder.iterdir()):
                raise UsageError(
                    f"--out {folder}: contains something that is not a site of roi-bench; name an empty or a new folder"
                )
            else:
                self._ours = set()
                marker.write_text(f"{HEADER}\n", encoding="ascii")
        except OSError as error:
            raise UsageError(
                f"--out {folder}: cannot be written ({error.strerror or error}); name another folder"
            ) from error

    def holds(self, files: Mapping[str, str]) -> bool:
        """Return whether all ``files`` are there as a build wrote them.

        Args:
            files: SHA-256 of each file by path.
        """
        return all(path in self._ours and self._digest(path) == digest for path, digest in files.items())

    def keep(self, paths: Iterable[str]) -> None:
        """Let files of an earlier build be part of this one."""
        self._written |= set(paths)

    def give_up(self, paths: Iterable[str]) -> None:
        """Let files be no part of this build after all."""
        self._written -= set(paths)

    @property
    def files(self) -> int:
        """Number of files of this build, so far."""
        return len(self._written)

    def write(self, pages: Iterable[PageFile]) -> int:
        """Write files whose bytes differ from what is there, and return how many those were.

        Raises:
            UsageError: A path leads out of the site, occurs twice, or is taken by something that is not ours.
        """
        pages = list(pages)
        for page in pages:
            if not _PATH.fullmatch(page.path):
                raise UsageError(f"page {page.path!r}: not a path that a site may hold")
            if page.path in self._written:
                raise UsageError(f"page {page.path!r}: made twice in one build")
            self._written.add(page.path)
        changed = [page for page in pages if self._content(page.path) != page.content]
        self._claim(pages)
        for page in changed:
            target = self.folder / page.path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, page.content)
        return len(changed)

    def finish(self) -> int:
        """Remove files of earlier builds that are no part of this one, and return how many those were."""
        stale = sorted(path for path in self._ours - self._written if not self._behind_link(path))
        for path in stale:
            (self.folder / path).unlink(missing_ok=True)
        for parent in sorted({parent for path in stale for parent in _parents(path)}, key=len, reverse=True):
            try:
                (self.folder / parent).rmdir()
            except OSError:
                continue  # something else lies there, or it is gone
        self._ours = set(self._written)
        lines = "".join(f"{path}\n" for path in sorted(self._ours))
        content = f"{HEADER}\n{lines}".encode("ascii")
        if self._content(MARKER) != content:
            write_atomically(self.folder / MARKER, content)
        return len(stale)

    def _claim(self, pages: list[PageFile]) -> None:
        """Note ``pages`` as ours before they are written, so that an interrupted build can be continued."""
        new = [page.path for page in pages if page.path not in self._ours]
        for path in new:
            target = self.folder / path
            if self._behind_link(path):
                raise UsageError(f"{target}: is behind a link; a site has folders of its own, remove the link")
            if target.is_symlink() or target.exists():
                raise UsageError(f"{target}: was not written by a build but is where one would write; move it away")
        if new:
            with (self.folder / MARKER).open("a", encoding="ascii") as stream:
                stream.write("".join(f"\n{path}" for path in new) + "\n")  # behind half a line of a killed build too
            self._ours |= set(new)

    def _behind_link(self, path: str) -> bool:
        """Return whether the way from the site's folder to ``path`` leads through a link."""
        for parent in _parents(path):
            if parent not in self._linked:
                self._linked[parent] = (self.folder / parent).is_symlink()
        return any(self._linked[parent] for parent in _parents(path))

    def _content(self, path: str) -> bytes | None:
        """Return the bytes of a file of ours; None where there is none, or a link."""
        target = self.folder / path
        if (path not in self._ours and path != MARKER) or self._behind_link(path):
            return None
        try:
            with os.fdopen(os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as stream:
                return stream.read()
        except OSError:
            return None

    def _digest(self, path: str) -> str | None:
        content = self._content(path)
        return None if content is None else hashlib.sha256(content).hexdigest()


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _read_marker(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0] != HEADER:
        raise RecordError(f"{path}: not a list of files that a build wrote; name a new folder, or remove that file")
    # A build that was killed may have left half a line; such a file is not ours then, which is the safe side.
    return {line for line in lines[1:] if _PATH.fullmatch(line)}


# Building the site: every submission graded and shown once, everything between submissions anew each time.


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
    grading = GradingOptions(options.cache, options.drafts, options.recount, archive=True, pages=options.pages)
    made = _Made(site, options, tell)
    _, waiting, refused = look_up(sources.folders, grading, made.keep)
    made.refuse([*sources.refused, *refused])
    # First those of which nothing is known; then it is clear which of the known ones stand and need their pages.
    while todo := _unknown(waiting, made.graded) or _without_pages(waiting, made.graded, made.pages, sources.reviews):
        waiting = [folder for folder in waiting if folder not in todo]
        with closing(grade_many(todo, grading, options.workers)) as arriving:
            for done in show(arriving, len(todo)):
                made.take(done)
    board = make_board(
        list(made.graded.values()),
        made.refused,
        sources.reviews,
        sources.settings,
        drafts=options.drafts,
        accepted=sources.accepted,
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

    def take(self, done: GradedFolder) -> None:
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
    waiting: Sequence[Path],
    graded: Mapping[str, GradedSubmission],
    pages: Mapping[str, Sequence[str]],
    reviews: Sequence[Review],
) -> list[Path]:
    """Return the folders of submissions that stand beside the others and whose pages have to be made."""
    if not waiting:
        return []
    submissions = [one.submission for one in graded.values()]
    standing = settle_corrections(submissions, confirmed_by(reviews), withdrawn_by(reviews)).standing
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


# Looking at a site on this machine: a small server of its files, with the headers that a site should be sent with.

HEADERS = {
    "Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
"""Headers of every answer."""

COMPRESSED = ("text/", "application/json", "application/xml", "image/svg+xml")
"""What the types of files begin with that are compressed on the way; the others are small or packed already."""


def takes_gzip(accepted: str) -> bool:
    """Return whether a client takes gzip, by its header ``Accept-Encoding`` (RFC 9110, section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, weight = (text.strip() for text in part.partition(";"))
        try:
            weights[name] = float(weight.removeprefix("q=")) if weight else 1.0
        except ValueError:
            weights[name] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def make_server(site: Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the files in ``site``, bound and not yet running.

    Args:
        site: The site's folder, as written by ``roi-bench leaderboard build``.
        host: Address to listen at.
        port: Port; 0 for any free one.

    Raises:
        UsageError: The folder is no site, or the address is in use.
    """
    if not (site / MARKER).is_file():
        raise UsageError(f"{site}: not a site; build one first: roi-bench leaderboard build SUBMISSIONS --out {site}")
    try:
        server = _Server6 if ":" in host else _Server
        return server((host, port), partial(_Handler, directory=str(site.resolve())))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen at {host}:{port} ({reason}); name another --port or --host") from error


def address(server: ThreadingHTTPServer) -> str:
    """Return the address under which ``server`` can be reached."""
    host, port = str(server.server_address[0]), server.server_port
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(site: Path, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve ``site`` until Ctrl-C.

    Raises:
        UsageError: See :func:`make_server`.
    """
    try:
        with make_server(site, host, port) as server:
            tell(f"{site} is at {address(server)} (Ctrl-C ends it)")
            server.serve_forever()
    except KeyboardInterrupt:
        return


class _Server(ThreadingHTTPServer):
    """Says nothing about readers that went away in the middle of a page."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what is no lost connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    """The same at an IPv6 address."""

    address_family = socket.AF_INET6


class _Handler(SimpleHTTPRequestHandler):
    """Sends files of one folder, lists nothing, follows no link out of it, and logs nothing."""

    server_version, sys_version = "roi-bench", ""
    _packed: bytes | None = None  # what is sent compressed
    extensions_map = {  # noqa: RUF012 - the base class has it this way
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".csv": "text/csv; charset=utf-8",
        ".xml": "application/xml; charset=utf-8",
        ".parquet": "application/octet-stream",
    }

    def translate_path(self, path: str) -> str:
        """Return the file that ``path`` asks for; one that does not exist if it is hidden or lies outside the site."""
        site, asked = Path(self.directory), super().translate_path(path)
        nothing = str(site / MARKER / "none")
        if any(part.startswith(".") for part in Path(asked).relative_to(site).parts) or "\0" in asked:
            return nothing
        wanted = Path(asked, "index.html") if asked.endswith("/") else Path(asked)
        try:
            inside = wanted.resolve(strict=True).is_relative_to(site)
        except (OSError, RuntimeError):  # a circle of links is the latter before Python 3.13
            return nothing
        return str(wanted) if inside else nothing

    def send_head(self) -> Any:
        """Send the headers of a file, and return it; compressed where its type and the client allow."""
        self._packed = self._pack(Path(self.translate_path(self.path)))
        file: Any = super().send_head()
        if file is None or self._packed is None:
            return file
        file.close()
        return BytesIO(self._packed)

    def _pack(self, path: Path) -> bytes | None:
        if not self.guess_type(str(path)).startswith(COMPRESSED) or not path.is_file():
            return None
        if not takes_gzip(",".join(self.headers.get_all("Accept-Encoding", []))):
            return None
        try:
            return gzip.compress(path.read_bytes(), mtime=0)
        except OSError:
            return None  # opening it again will tell

    def send_header(self, keyword: str, value: str) -> None:
        """Send a header; the length of what is compressed is that of what is sent."""
        if keyword == "Content-Length" and self._packed is not None:
            super().send_header("Content-Encoding", "gzip")
            value = str(len(self._packed))
        super().send_header(keyword, value)

    def list_directory(self, path: Any) -> None:
        """List nothing."""
        self.send_error(HTTPStatus.NOT_FOUND, "no such page")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the site's own page where there is no such page."""
        page = Path(self.directory) / "404.html"
        self._packed = None
        if code != HTTPStatus.NOT_FOUND or not page.is_file():
            super().send_error(code, message, explain)
            return
        self._packed = self._pack(page)
        content = page.read_bytes() if self._packed is None else self._packed
        self.send_response(code, message)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Send the headers of every answer too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the base class
        """Log nothing: the address is all there is to say."""
