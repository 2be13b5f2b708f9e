"""Graded submissions kept on disk, by content and by the code that graded them; what is damaged counts as missing.

An entry is two lines: the SHA-256 of the second, and the submission as JSON (:mod:`roi_bench.leaderboard.graded_json`).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from roi_bench.errors import UsageError
from roi_bench.journal_format import parse_object
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.graded_json import graded_of, graded_text
from roi_bench.leaderboard.site_files import write_atomically
from roi_bench.problems import sha256_text

PACKAGE = Path(str(files("roi_bench")))

CODE = ("*.py", "data/*.json", "analysis/*.py", "harness/*.py", "leaderboard/*.py", "leaderboard/*.json")
"""What a grade may depend on, below the package: what grades, what it grades with, and the rules that let it in."""

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
    digest = hashlib.sha256(" ".join(f"{name}={_version(name)}" for name in PACKAGES).encode("ascii"))
    for pattern in CODE:
        for path in sorted(PACKAGE.glob(pattern)):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _place(cache: Path, content: str, recount: bool) -> Path:
    return cache / "graded" / f"{sha256_text(f'{content} {recount} {grading_code()}')}.json"
