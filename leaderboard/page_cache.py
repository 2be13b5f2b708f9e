"""Which pages a submission's content gives, so that they are not made again while they lie in the site unaltered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from roi_bench.exams.exam import sha256_text
from roi_bench.leaderboard.code_hash import code_hash
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.graded_cache import PACKAGE, grading_code
from roi_bench.leaderboard.page import TEMPLATES, PageFile, PageOptions
from roi_bench.machine import write_atomically
from roi_bench.records.journal import canonical_json, parse_object

_SHA256 = re.compile(r"[0-9a-f]{64}")


@lru_cache(maxsize=1)
def rendering_code() -> str:
    """Return the SHA-256 over everything that makes pages of a submission: code, templates, Jinja's version."""
    code = code_hash(PACKAGE, ["roi_bench.leaderboard.response_pages"])
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
    """Return the SHA-256 of each page by path; None where nobody noted it, or the note is damaged."""
    try:
        found = parse_object(_place(cache, key).read_bytes())
    except (OSError, ValueError):
        return None
    whole = all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in found.values())
    return {str(path): digest for path, digest in found.items()} if whole else None


def store_pages(cache: Path, key: str, pages: Iterable[PageFile]) -> None:
    """Note which pages the content behind ``key`` gives."""
    note: Mapping[str, str] = {page.path: hashlib.sha256(page.content).hexdigest() for page in pages}
    place = _place(cache, key)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, canonical_json(note).encode("utf-8"))


def _place(cache: Path, key: str) -> Path:
    return cache / "pages" / f"{key}.json"
