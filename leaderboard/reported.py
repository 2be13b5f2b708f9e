"""Numbers of the literature, read from ``reported.json``: reported, not reproduced here (SPEC section 10)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.board import Reported

REPORTED_FILE = Path(__file__).with_name("reported.json")
"""The rows, each with its source and whether we have it from the source itself."""

SECOND_HAND = "second-hand: as quoted by its readers"
"""Stands behind a source that we have a number from only through others."""


@lru_cache(maxsize=1)
def load_reported() -> tuple[Reported, ...]:
    """Return all rows in file order: on their authors' own exams of the same pools, order and budget, not on ours."""
    return tuple(
        Reported(
            model=row["model"],
            method=row["method"],
            cell=Cell(row["exam_set"], None, row["order"], row["budget"]),
            score=row["score"],
            regret=row["regret"],
            source=f"{row['source']} ({SECOND_HAND})" if row["second_hand"] else row["source"],
        )
        for row in json.loads(REPORTED_FILE.read_text(encoding="utf-8"))
    )


def reported_rows(cell: Cell) -> tuple[Reported, ...]:
    """Return what the literature reports for a cell."""
    return tuple(row for row in load_reported() if row.cell == cell)
