"""What a build keeps for the next one: graded submissions by content and by code that graded them, and their pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from roi_bench.errors import UsageError
from roi_bench.exams.exam import sha256_text
from roi_bench.leaderboard.board.graded import GradedSubmission, graded_of, graded_text
from roi_bench.leaderboard.site.page import TEMPLATES, PageFile, PageOptions
from roi_bench.machine import write_atomically
from roi_bench.records.journal import canonical_json, parse_object

# A hash over the code that a result rests on: modules and all that they import of this package, wherever it lies.

_IMPORT = re.compile(
    r"^[ \t]*(?:from (roi_bench[.\w]*) import (\([^)]*\)|[^\n]*)|import (roi_bench[.\w]*))", re.MULTILINE
)
_NAME = re.compile(r"\w+")


def code_hash(package: Path, roots: Sequence[str], data: Sequence[str] = ()) -> str:
    """Return the SHA-256 over the modules that ``roots`` need, and over data.

    Imports are read from the text, those inside functions too, so that a module counts wherever it lies.

    Args:
        package: Folder of the package ``roi_bench``.
        roots: Names of modules, ``roi_bench.grading.grader``.
        data: Patterns of further files below ``package``.
    """
    paths = {_file(package, name) for name in modules_of(package, roots)}
    paths |= {path for pattern in data for path in package.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def modules_of(package: Path, roots: Sequence[str]) -> set[str]:
    """Return the names of ``roots`` and of all modules of the package that they import, directly or not."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.count(".") > 1:  # its package is executed too; the package of all only names what it offers
            waiting.append(name.rpartition(".")[0])
        for origin, names, plain in _IMPORT.findall(_file(package, name).read_text(encoding="utf-8")):
            imported = [origin or plain, *(f"{origin}.{each}" for each in _NAME.findall(names))]
            waiting += [each for each in imported if _file(package, each).is_file()]
    return found


def _file(package: Path, name: str) -> Path:
    """Return the file of a module or sub-package; where there is none, that of a module of this name."""
    path = package.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if (path / "__init__.py").is_file() else path.parent / f"{path.name}.py"


# Graded submissions kept on disk, by content and by the code that graded them; what is damaged counts as missing.
#
# An entry is two lines: the SHA-256 of the second, and the submission as JSON
# (:mod:`roi_bench.leaderboard.board.graded`).

PACKAGE = Path(str(files("roi_bench")))

ROOTS = ("leaderboard.checks.rules", "leaderboard.board.grade", "leaderboard.board.graded", "grading.symbolic_worker")
"""Modules that a grade rests on, with all that they import: what lets a submission in, what grades it, how it is kept,
and the process of symbolic checks, which is started by name."""

DATA = ("data/*.json", "data/reference_tokenizers/*.xz", "leaderboard/submission/*.json")
"""Files that a grade rests on."""

PACKAGES = (
    *("math-verify", "latex2sympy2_extended", "sympy", "numpy", "scipy"),
    *("tokenizers", "transformers", "jsonschema"),
)
"""Packages whose versions verdicts, numbers, token counts and refusals may depend on; not all need be installed."""


def load_graded(cache: Path, content: str, *, recount: bool = False) -> GradedSubmission | None:
    """Return the submission with this content from the folder ``cache``; None where it has to be graded.

    Args:
        cache: The cache.
        content: SHA-256 over all files of the submission's folder.
        recount: Whether tokens were to be counted again with tokenizers from the hub; graded with and without that is
            kept apart.
    """
    try:
        digest, line = _place(cache, content, recount).read_bytes().split(b"\n")
        if hashlib.sha256(line).hexdigest() != digest.decode("ascii"):
            return None
        graded = graded_of(parse_object(line))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return graded if graded.content == content else None


def store_graded(cache: Path, graded: GradedSubmission, *, recount: bool = False) -> None:
    """Keep ``graded`` in the folder ``cache``, which is made if need be.

    Args:
        cache: The cache.
        graded: The submission.
        recount: As for :func:`load_graded`.

    Raises:
        UsageError: It cannot be written.
    """
    line = graded_text(graded).encode("ascii")
    place = _place(cache, graded.content, recount)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, hashlib.sha256(line).hexdigest().encode("ascii") + b"\n" + line)
    except OSError as error:
        raise UsageError(
            f"--cache {cache}: cannot be written ({error.strerror or error}); name another folder, or --no-cache"
        ) from error


@lru_cache(maxsize=1)
def grading_code() -> str:
    """Return the SHA-256 over everything that a grade may depend on besides the submission."""
    packages = " ".join(f"{name}={_version(name)}" for name in PACKAGES)
    return sha256_text(f"{packages} {code_hash(PACKAGE, [f'roi_bench.{name}' for name in ROOTS], DATA)}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _place(cache: Path, content: str, recount: bool) -> Path:
    return cache / "graded" / f"{sha256_text(f'{content} {recount} {grading_code()}')}.json"


# The hashes of the pages that a submission gives, so that pages that lie unaltered in the site are not made again.

_SHA256 = re.compile(r"[0-9a-f]{64}")


@lru_cache(maxsize=1)
def rendering_code() -> str:
    """Return the SHA-256 over everything that makes pages of a submission: code, templates, Jinja's version."""
    code = code_hash(PACKAGE, ["roi_bench.leaderboard.site.response_pages"])
    digest = hashlib.sha256(f"{grading_code()} {code} {version('jinja2')}".encode("ascii"))
    for path in sorted(TEMPLATES.iterdir()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def pages_key(graded: GradedSubmission, options: PageOptions) -> str:
    """Return what the pages of ``graded`` depend on, as one hash."""
    parts = [rendering_code(), graded.content, graded.recounted, options.with_problems, options.exam_pages]
    return sha256_text(canonical_json(parts))


def load_pages(cache: Path, key: str) -> dict[str, str] | None:
    """Return the SHA-256 of each page by path; None where there is no such note, or it is damaged."""
    try:
        found = parse_object(_pages_place(cache, key).read_bytes())
    except (OSError, ValueError):
        return None
    whole = all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in found.values())
    return {str(path): digest for path, digest in found.items()} if whole else None


def store_pages(cache: Path, key: str, pages: Iterable[PageFile]) -> None:
    """Note which pages the content behind ``key`` gives."""
    note: Mapping[str, str] = {page.path: hashlib.sha256(page.content).hexdigest() for page in pages}
    place = _pages_place(cache, key)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, canonical_json(note).encode("utf-8"))


def _pages_place(cache: Path, key: str) -> Path:
    return cache / "pages" / f"{key}.json"
