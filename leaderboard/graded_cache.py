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
from roi_bench.exams.exam import sha256_text
from roi_bench.leaderboard.code_hash import code_hash
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.graded_json import graded_of, graded_text
from roi_bench.machine import write_atomically
from roi_bench.records.journal import parse_object

PACKAGE = Path(str(files("roi_bench")))

ROOTS = ("leaderboard.checks", "leaderboard.grade", "leaderboard.graded_json", "grading.symbolic_worker")
"""Modules that a grade rests on, with all that they import: what lets a submission in, what grades it, how it is kept,
and the process of symbolic checks, which is started by name."""

DATA = ("data/*.json", "leaderboard/*.json")
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
