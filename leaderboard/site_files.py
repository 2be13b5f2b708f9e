"""The folder of a site: which files are ours, written only where their bytes differ, removed when nobody wants them.

The file :data:`MARKER` lists every file that a build has written, one path a line. Only those are ever overwritten or
removed; whatever else lies in the folder stays as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.page import PageFile
from roi_bench.machine import write_atomically

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
                    f"--out {folder}: holds something that is no site of roi-bench; name an empty or a new folder"
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
        """Note ``pages`` as ours before they are written, so that an interrupted build can be taken up."""
        new = [page.path for page in pages if page.path not in self._ours]
        for path in new:
            target = self.folder / path
            if self._behind_link(path):
                raise UsageError(f"{target}: lies behind a link; a site has folders of its own, remove the link")
            if target.is_symlink() or target.exists():
                raise UsageError(f"{target}: was not written by a build and stands where one would write; move it away")
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
