"""``roi-bench train inspect``: the training data of a run, in numbers and in rows to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.reference_training.training_data import load_rows


def inspection_text(out: Path, name: str, number: int | None, limit: int) -> str:
    """Return the card's table of a data set and some of its rows, spread over all kinds.

    Args:
        out: Folder of the run.
        name: ``labels`` or ``examples``.
        number: Row to show alone, or None.
        limit: Rows to show.

    Raises:
        UsageError: No such data set or row.
        RecordError: The data set is damaged.
    """
    rows = load_rows(out, name)
    if number is not None:
        if number >= len(rows):
            raise UsageError(f"row {number} of {name} does not exist; there are {len(rows)}, from 0")
        return _row_text(name, number, rows[number])
    card = (out / "data" / name / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in card.splitlines() if line.startswith("|"))
    chosen = sorted({round(k * (len(rows) - 1) / max(1, limit - 1)) for k in range(min(limit, len(rows)))})
    return "\n\n".join([table, *(_row_text(name, index, rows[index]) for index in chosen)])


def _row_text(name: str, number: int, row: dict[str, Any]) -> str:
    if name == "labels":
        head = (
            f"labels {number}: {row['problem_id']} ({row['tier']}), Level-{row['level']}, {row['cost']} tokens, "
            f"{row['correct']} of {row['samples']} samples correct, answer {' or '.join(row['answers'])}"
        )
        return f"== {head}\n{row['question']}\n--\n{row['work']}"
    levels = ", ".join(f"Level-{level}" for level in row["levels"]) or "no levels"
    order = f", {row['order']} order" if row["order"] else ""
    head = f"examples {number}: {row['kind']}{order}, budget {row['budget']}, {levels}, {row['tokens']} tokens"
    return f"== {head}\n{row['prompt']}{row['completion']}"
