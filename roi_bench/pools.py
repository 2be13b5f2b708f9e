"""Pools: the problems of one tier, read from a folder of JSONL files or from the Hugging Face hub (SPEC section 2).

Both routes give the same ids, canonical questions and answers. The folder is named by ``ROI_BENCH_DATA_DIR``::

    gsm8k/test.jsonl   math/test.jsonl   aime/aime_2025.jsonl
    gsm8k/train.jsonl  math/train.jsonl  aime/aime_2022_2024.jsonl

with one JSON object a line: ``id, question, answer`` and optionally ``solution, level, also_accepted``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from roi_bench.errors import DataError, UsageError, nearest
from roi_bench.problems import Problem, canonical_text, sha256_text

DATA_DIR_VARIABLE = "ROI_BENCH_DATA_DIR"
"""Environment variable that names the folder; where it is unset, the hub is read."""

HUB = "hub"
"""The ``source`` that means the Hugging Face hub."""

SPLITS = ("evaluation", "training")

POOL_FILES = {
    ("gsm8k", "evaluation"): "gsm8k/test.jsonl",
    ("gsm8k", "training"): "gsm8k/train.jsonl",
    ("math", "evaluation"): "math/test.jsonl",
    ("math", "training"): "math/train.jsonl",
    ("aime", "evaluation"): "aime/aime_2025.jsonl",
    ("aime", "training"): "aime/aime_2022_2024.jsonl",
}
"""Pool file of each pool and split, relative to the data folder."""

UNANSWERED = frozenset({"math/train/number_theory/7115", "math/train/number_theory/7117"})
"""Problems whose reference solution ends in an empty box: without a checkable answer, they are left out."""

Row = tuple[str, Mapping[str, object]]
"""Where a row stands (for messages), and its fields as in a line of a pool file."""


def resolve_source(source: str | Path | None = None) -> str:
    """Return :data:`HUB` or the path of a data folder: ``source`` itself, else ``ROI_BENCH_DATA_DIR``, else the hub."""
    if source is not None:
        return str(source)
    return os.environ.get(DATA_DIR_VARIABLE) or HUB


def load_pool(pool: str, split: str, source: str | Path | None = None) -> dict[str, Problem]:
    """Return the problems of ``pool`` by id, in the order of the source.

    Args:
        pool: ``gsm8k``, ``math`` or ``aime``.
        split: ``evaluation`` or ``training``.
        source: ``hub`` or a data folder; by default ``ROI_BENCH_DATA_DIR``, else the hub.

    Raises:
        UsageError: unknown pool or split.
        DataError: a file or the hub cannot be read, or a row is damaged.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    if (pool, split) not in POOL_FILES:
        raise UsageError(f"unknown pool {pool!r}; {nearest(pool, sorted({name for name, _ in POOL_FILES}))}")
    return dict(_load_cached(pool, split, resolve_source(source)))


@lru_cache(maxsize=24)
def _load_cached(pool: str, split: str, source: str) -> dict[str, Problem]:
    if source == HUB:
        from roi_bench.pools_hub import hub_rows

        return problems_from_rows(pool, hub_rows(pool, split))
    return problems_from_rows(pool, folder_rows(pool, split, Path(source)))


def problems_from_rows(pool: str, rows: Iterable[Row]) -> dict[str, Problem]:
    """Return the problems of ``rows`` by id, without those known to have no answer.

    Raises:
        DataError: a missing or ill-typed field, an id that stands twice, or no rows at all.
    """
    problems: dict[str, Problem] = {}
    for where, row in rows:
        identifier = _text(row, "id", where)
        if identifier in problems:
            raise DataError(f"{where}: duplicate id {identifier!r}; every problem may stand in a pool only once")
        if identifier not in UNANSWERED:
            problems[identifier] = _problem(pool, identifier, row, where)
    if not problems:
        raise DataError(f"the {pool} pool is empty; fetch its file again")
    return problems


def pool_fingerprint(problems: Mapping[str, Problem]) -> str:
    """Return one SHA-256 over the ids, questions and accepted answers of a pool, whatever its order."""
    lines = (json.dumps([key, item.sha256, *item.answers], ensure_ascii=True) for key, item in sorted(problems.items()))
    return sha256_text("\n".join(lines))


def folder_rows(pool: str, split: str, folder: Path) -> Iterator[Row]:
    """Yield the rows of one pool file of ``folder``.

    Raises:
        DataError: the file is missing, unreadable, or holds a line that is no JSON object.
    """
    path = folder / POOL_FILES[pool, split]
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}:{number}", _json_object(line, f"{path}:{number}")
    except FileNotFoundError:
        raise DataError(
            f"pool file {path} not found: {DATA_DIR_VARIABLE} (or --source) must name a folder with "
            f"{POOL_FILES[pool, split]}; unset it to read the Hugging Face hub"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"pool file {path} is not UTF-8 ({error.reason} at byte {error.start}); fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"pool file {path} cannot be read: {error.strerror or error}") from None


def _json_object(line: str, where: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a JSON line ({error}); the file is cut off or altered, fetch it again") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: a JSON object was expected, found {type(value).__name__}; fetch the file again")
    return value


def _problem(pool: str, identifier: str, row: Mapping[str, object], where: str) -> Problem:
    level = row.get("level")
    if level is not None and (not isinstance(level, int) or isinstance(level, bool)):
        raise DataError(f"{where}: field 'level' must be an integer or null, is {level!r:.80}")
    accepted = row.get("also_accepted") or ()
    if not isinstance(accepted, (list, tuple)) or not all(isinstance(item, str) for item in accepted):
        raise DataError(f"{where}: field 'also_accepted' must be a list of strings, is {accepted!r:.80}")
    solution = row.get("solution")
    return Problem(
        id=identifier,
        pool=pool,
        question=canonical_text(_text(row, "question", where)),
        answer=_text(row, "answer", where).strip(),
        also_accepted=tuple(accepted),
        level=level,
        solution=_text(row, "solution", where) if solution is not None else None,
    )


def _text(row: Mapping[str, object], field: str, where: str) -> str:
    if field not in row:
        raise DataError(f"{where}: field {field!r} is missing; a row needs id, question and answer")
    value = row[field]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: field {field!r} must be a non-empty string, is {value!r:.80}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: field {field!r} holds half a surrogate pair; fetch the file again") from None
    return value
