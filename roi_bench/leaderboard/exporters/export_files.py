"""What all exporters share: which submissions leave the board, names that are safe as paths, and writing files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import Board, Entry
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.shown_text import visible_line

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


def published(board: Board) -> list[Entry]:
    """Return the entries to publish: neither drafts nor those that were corrected or withdrawn."""
    return [e for e in board.entries if e.has_rows and not e.graded.submission.draft]


def safe_name(name: str) -> str:
    """Return ``name`` if it is safe as one part of a path.

    Raises:
        RecordError: It is not.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise RecordError(f"{name!r:.80}: cannot be the name of an exported file; check the submission it belongs to")
    return name


def model_page_url(board: Board, entry: Entry) -> str | None:
    """Return the address of a submission's page; None where the address of the board is unknown."""
    if not board.base_url:
        return None
    return f"{board.base_url.rstrip('/')}/models/{safe_name(entry.id)}/index.html"


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return what is known of ``values`` as text on one line, every hidden character written out."""
    return {visible_line(name): visible_line(str(value)) for name, value in values.items() if value is not None}


def write_pages(pages: Iterable[PageFile], out: Path) -> list[Path]:
    """Write ``pages`` below ``out`` and return where.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    written = []
    for page in pages:
        path = out / page.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(page.content)
        except OSError as error:
            raise _unwritable(out, error) from error
        written.append(path)
    return written


def write_json_lines(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write one JSON object per line, in ASCII, so that no character of a text can be mistaken for the end of a line.

    The file is there as a whole or not at all; without rows there is none.

    Raises:
        UsageError: The file cannot be written.
    """
    count = 0
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as stream:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n")
                count += 1
        if count:
            half.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        half.unlink(missing_ok=True)


def move_lines(source: Path, target: Path) -> tuple[str, int]:
    """Move a file of lines to another place on the same disk; return its SHA-256 and the number of lines.

    Raises:
        UsageError: The file cannot be moved.
    """
    digest, count = hashlib.sha256(), 0
    try:
        with source.open("rb") as stream:
            for line in stream:
                digest.update(line)
                count += 1
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return digest.hexdigest(), count


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: cannot be written ({error.strerror or error}); name another folder")
