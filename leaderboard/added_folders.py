"""What a change adds to a folder of submissions, read from git: new submissions may come, nothing else may change.

The change is a stranger's. Nothing of it is checked out: paths, modes and sizes are looked at first, and only plain
files are then written, to a folder of their own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.limits import FILE_BYTES, FILES, FOLDER_BYTES
from roi_bench.leaderboard.strict_json import shown

MOST_FOLDERS = 20
"""Submissions that one change may add; more are looked at in several."""

_PLAIN, _NAME = "100644", re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_CHANGE = re.compile(r":\d{6} (\d{6}) [0-9a-f]+ ([0-9a-f]+) ([A-Z])\d*")
_LIST_BYTES = 1 << 20
_APART = "change nothing else in a pull request with a submission"


@dataclass(frozen=True, slots=True)
class AddedFolder:
    """A submission that a change adds.

    Attributes:
        name: Name of its folder.
        files: Names of its files with git's hashes of their contents.
    """

    name: str
    files: tuple[tuple[str, str], ...]


def added_folders(repository: Path, submissions: str, base: str, head: str) -> tuple[AddedFolder, ...]:
    """Return the submissions that ``head`` adds to what it branched off from ``base``.

    Args:
        repository: A clone that has both.
        submissions: Folder of the submissions in the repository, with slashes.
        base: What is changed: a branch or commit.
        head: The change.

    Raises:
        UsageError: There is no such repository, branch or commit.
        RecordError: The change does anything but add plain files in new folders; the message says what.
    """
    old, new = commit(repository, base), commit(repository, head)
    start = _git(repository, "merge-base", old, new).decode().strip()
    known = set(_names(repository, old, submissions))
    found: dict[str, list[tuple[str, str]]] = {}
    for mode, blob, status, path in _changes(repository, start, new):
        folder, name = _place(path, submissions)
        if status != "A":
            what = {"D": "removes", "M": "alters", "T": "alters"}.get(status, "changes")
            raise RecordError(f"{what} {shown(path)}: submissions are only ever added; a correction is a new one")
        if folder in known:
            raise RecordError(f"adds {shown(path)} to a submission that is there; a correction is a new one")
        if mode != _PLAIN:
            raise RecordError(f"adds {shown(path)} with mode {mode}; a submission holds plain files only")
        found.setdefault(folder, []).append((name, blob))
        if len(found) > MOST_FOLDERS or len(found[folder]) > FILES:
            raise RecordError(f"adds more than {MOST_FOLDERS} submissions, or one of more than {FILES} files")
    return tuple(AddedFolder(name, tuple(files)) for name, files in sorted(found.items()))


def write_folder(repository: Path, added: AddedFolder, out: Path) -> Path:
    """Write the files of an added submission to a folder of its name in ``out``, and return that.

    Raises:
        RecordError: They are larger than a submission may be; nothing is written then.
    """
    sizes = [int(_git(repository, "cat-file", "-s", blob)) for _, blob in added.files]
    if max(sizes) > FILE_BYTES or sum(sizes) > FOLDER_BYTES:
        raise RecordError(f"{added.name}: {sum(sizes)} bytes; a submission has at most {FOLDER_BYTES}")
    folder = out / added.name
    folder.mkdir(parents=True)
    for name, blob in added.files:
        (folder / name).write_bytes(_git(repository, "cat-file", "blob", blob, most=FILE_BYTES))
    return folder


def commit(repository: Path, name: str) -> str:
    """Return the hash of the commit that ``name`` means.

    Raises:
        UsageError: It means none, or ``repository`` is none.
    """
    try:
        return _git(repository, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except RecordError as error:
        raise UsageError(f"{repository}: {shown(name)!r} is no branch or commit there; fetch it first") from error


def _changes(repository: Path, start: str, new: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield mode, hash, status and path of every changed file."""
    options = ("--raw", "-z", "-r", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv")
    parts = _git(repository, "diff-tree", *options, start, new, most=_LIST_BYTES).split(b"\0")
    for what, path in zip(parts[:-1:2], parts[1::2], strict=True):
        if (found := _CHANGE.fullmatch(what.decode("ascii"))) is None:
            raise RecordError(f"{repository}: git tells {shown(what)} of a change, which is not understood")
        yield found[1], found[2], found[3], path.decode("utf-8", "replace")


def _place(path: str, submissions: str) -> tuple[str, str]:
    """Return the folder and the name of a file of a submission.

    Raises:
        RecordError: It is none.
    """
    inside = path.removeprefix(f"{submissions}/")
    parts = inside.split("/")
    if inside == path:
        raise RecordError(f"changes {shown(path)}, which is not in {submissions}; {_APART}")
    if len(parts) == 1:
        raise RecordError(f"changes {shown(path)}, a file of the board's maintainers; {_APART}")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise RecordError(f"adds {shown(path)}, which is no file of a submission; see docs/leaderboard.md")
    return parts[0], parts[1]


def _names(repository: Path, tree: str, submissions: str) -> Iterator[str]:
    """Yield what lies in the folder of submissions."""
    for path in _git(repository, "ls-tree", "--name-only", "-z", tree, f"{submissions}/").split(b"\0")[:-1]:
        yield path.decode("utf-8", "replace").rpartition("/")[2]


def known_submissions(repository: Path, submissions: str, base: str) -> frozenset[str]:
    """Return the names of what lies in the folder of submissions of ``base``.

    Raises:
        UsageError: There is no such repository, branch or commit.
    """
    return frozenset(_names(repository, commit(repository, base), submissions))


def file_of(repository: Path, tree: str, path: str, most: int) -> bytes:
    """Return the content of the file at ``path``, from the repository's root, in the commit with the hash ``tree``.

    Raises:
        RecordError: There is no such file, or it is larger than ``most`` bytes.
    """
    return _git(repository, "cat-file", "blob", f"{tree}:{path}", most=most)


def check_place(repository: Path, submissions: str, base: str, head: str) -> None:
    """Check that there is a folder of submissions, on either side of the change.

    Raises:
        UsageError: There is none, or no such repository, branch or commit.
    """
    if not any(any(_names(repository, commit(repository, one), submissions)) for one in (base, head)):
        raise UsageError(
            f"{repository}: no folder {shown(submissions)!r} there in {shown(base)} or {shown(head)}; name the folder "
            "of submissions as it is called from the root of the repository"
        )


def _git(repository: Path, *arguments: str, most: int = 1 << 26) -> bytes:
    """Return what git says.

    Raises:
        UsageError: git is not installed.
        RecordError: git fails, or says more than ``most`` bytes.
    """
    command: Sequence[str] = ["git", "-C", str(repository), "--no-pager", *arguments]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            output = process.stdout.read(most + 1) if process.stdout else b""
            if len(output) > most:
                process.kill()
                raise RecordError(f"git {arguments[0]} says more than {most} bytes; the change is too large")
    except OSError as error:
        raise UsageError(f"git cannot be run ({error.strerror or error}); install it") from error
    if process.returncode != 0:
        raise RecordError(f"{repository}: git {arguments[0]} failed; is the whole history there (fetch-depth: 0)?")
    return output
