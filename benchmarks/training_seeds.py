"""Several training runs of one recipe side by side: ``python benchmarks/training_seeds.py OUT…``.

Each OUT is the folder of ``roi-bench train run RECIPE --out OUT --set seed=…``, evaluated. Prints, as Markdown,
every number of every stage as the mean over the runs with the smallest and the largest, and for each comparison the
mean difference, how many runs have it significantly above 0 (p < 0.05, permutation test), and how many below.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

MEASURES = (
    *("score", "score in easy order", "regret", "right at 1", "right at 2", "right at 3"),
    *(
        "skipped easy",
        "skipped middle",
        "skipped hard",
        "skip precision",
        "level accuracy",
        "V_DP",
        "AE",
        "SR",
        "tokens",
    ),
)


def spread(values: list[float], decimals: int) -> str:
    """Return mean, smallest and largest value."""
    if not values:
        return "n/a"
    mean, low, high = sum(values) / len(values), min(values), max(values)
    shown = f"{mean:.{decimals}f}"
    return shown if low == high else f"{shown} ({low:.{decimals}f}–{high:.{decimals}f})"


def stage_lines(runs: list[dict[str, Any]]) -> list[str]:
    """Return the table of stages."""
    cells: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        for row in run["stages"]:
            cells[row["exams"], row["stage"], row["prompt"]].append(row)
    lines = [f"| exams | stage | prompt | {' | '.join(MEASURES)} |", "|---" * (3 + len(MEASURES)) + "|"]
    for (exams, stage, prompt), rows in cells.items():
        shown = [
            spread([row[name]["value"] for row in rows if row[name]["value"] is not None], 0 if name == "tokens" else 2)
            for name in MEASURES
        ]
        lines.append(f"| {exams} | {stage} | {prompt} | {' | '.join(shown)} |")
    return lines


def comparison_lines(runs: list[dict[str, Any]]) -> list[str]:
    """Return the table of comparisons."""
    cells: dict[tuple[str, str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        for row in run["aims"]:
            cells[row["exams"], row["A"], row["B"], row["compared in"]].append(row)
    lines = ["| exams | A | B | in | A − B | runs above 0 | below 0 | not significant |", "|---" * 8 + "|"]
    for (exams, first, second, measure), rows in cells.items():
        differences = [row["A − B"]["value"] for row in rows]
        clear = [row["A − B"]["value"] for row in rows if row["p"] is not None and row["p"] < 0.05]
        above, below = sum(value > 0 for value in clear), sum(value < 0 for value in clear)
        shown = f"{spread(differences, 3)} | {above} | {below} | {len(rows) - above - below}"
        lines.append(f"| {exams} | {first} | {second} | {measure} | {shown} |")
    return lines


def main() -> None:
    """Print both tables for the runs that the command line names."""
    files = [Path(name) / "evaluation" / "stages.json" for name in sys.argv[1:]]
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    print(f"{len(runs)} runs of recipe {runs[0]['recipe']}, seeds {', '.join(str(run['seed']) for run in runs)}\n")
    print("\n".join([*stage_lines(runs), "", *comparison_lines(runs)]))


if __name__ == "__main__":
    main()
