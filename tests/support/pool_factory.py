"""Invented pools for tests, as large as exams need them; no problem text of any real pool."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from roi_bench.exams.pools import POOL_FILES

SIZES = {
    ("gsm8k", "evaluation"): 600,
    ("gsm8k", "training"): 130,
    ("math", "evaluation"): 5 * 120,
    ("math", "training"): 5 * 40,
    ("aime", "evaluation"): 30,
    ("aime", "training"): 90,
}


def invented_row(pool: str, split: str, index: int) -> dict[str, object]:
    """Return one row in the form of a pool file."""
    row: dict[str, object] = {
        "id": f"{pool}/{split}/{index}",
        "question": f"Invented {pool} question {index} of the {split} split: what is {index} + 1?",
        "answer": str(index + 1),
        "solution": f"{index} + 1 = \\boxed{{{index + 1}}}",
        "level": index % 5 + 1 if pool == "math" else None,
    }
    return row


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write ``rows`` as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_pools(folder: Path, changes: Mapping[str, Mapping[str, object] | None] | None = None) -> Path:
    """Write a data folder; ``changes`` gives fields to replace by problem id, None leaves the problem out."""
    changes = changes or {}
    for (pool, split), size in SIZES.items():
        rows = []
        for index in range(size):
            row = invented_row(pool, split, index)
            change = changes.get(str(row["id"]), {})
            if change is not None:
                rows.append({**row, **change})
        write_rows(folder / POOL_FILES[pool, split], rows)
    return folder
