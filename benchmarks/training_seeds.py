"""Several training runs of one recipe side by side: ``python -m benchmarks.training_seeds OUT… [--csv FILE]``.

Each OUT is the folder of ``roi-bench train run RECIPE --out OUT --set seed=…``, evaluated. Prints as Markdown, for
every stage and prompt: the mean over the runs with its 95 % interval and the smallest and largest of the runs; how
often the easy problem is answered wrongly, by permutation of medium order; then each comparison's mean difference, and
how many runs have it significantly above 0 (p < 0.05, permutation test) or below. ``--csv`` writes the first table
with more numbers.

The interval is that of an exam's mean over the runs, clustered by re-used problem: it generalises to new problems for
the models of these runs. What another seed of the training would change is seen in smallest and largest alone.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

from roi_bench.analysis.load import load_runs
from roi_bench.analysis.reports.score_tables import interval_of
from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS
from roi_bench.scoring.statistics import ExamTerm, estimate_ratio

POOLED = {"score": "score", "regret": "regret", "score in easy order": "score_easy"}
"""Measures with an interval over all runs, and the metrics that they are."""

SPREAD = ("AE · SR", "agreement")
"""Measures shown with the smallest and the largest of the runs."""

MORE = (
    *("right at 1", "right at 2", "right at 3", "skipped easy", "skipped middle", "skipped hard", "skip precision"),
    *("level accuracy", "V_DP", "AE", "SR", "tokens"),
)
"""Measures of the file alone."""

SHOWN = ("score", "regret")
"""Measures with an interval in the table for people."""

Asked = tuple[str, str, str]
"""Exams (order and budget), stage, prompt."""


def pooled(terms: Sequence[dict[str, ExamTerm]]) -> list[ExamTerm]:
    """Return the mean term of each exam over the runs; exams that a run lacks are left out."""
    shared = set.intersection(*(set(one) for one in terms))
    found = []
    for exam in sorted(shared):
        same = [one[exam] for one in terms]
        numerator, denominator = (fsum(values) / len(same) for values in zip(*map(_parts, same), strict=True))
        found.append(ExamTerm(numerator, denominator, same[0].cluster))
    return found


def _parts(term: ExamTerm) -> tuple[float, float]:
    return term.numerator, term.denominator


def spread(values: Sequence[float], decimals: int = 2) -> str:
    """Return mean, smallest and largest value."""
    if not values:
        return "n/a"
    mean, low, high = sum(values) / len(values), min(values), max(values)
    shown = f"{mean:.{decimals}f}"
    return shown if low == high else f"{shown} ({low:.{decimals}f}–{high:.{decimals}f})"


def scored_runs(folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> dict[Asked, list[ScoredRun]]:
    """Return the scored runs of every folder by what was asked."""
    found: dict[Asked, list[ScoredRun]] = defaultdict(list)
    for folder, summary in zip(folders, summaries, strict=True):
        for stage, names in summary["results"].items():
            for run in load_runs([folder / "evaluation" / name for name in names]).scored:
                found[run.cell.title, stage, run.task.record.prompt].append(run)
    return found


def measured(summaries: Sequence[dict[str, Any]]) -> dict[Asked, dict[str, list[float]]]:
    """Return every measure of the runs' own tables by what was asked, a value a run."""
    found: dict[Asked, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for summary in summaries:
        for row in summary["stages"]:
            for name in (*POOLED, *SPREAD, *MORE):
                if row[name]["value"] is not None:
                    found[row["exams"], row["stage"], row["prompt"]][name].append(row[name]["value"])
    return found


def stage_rows(
    scored: dict[Asked, list[ScoredRun]], values: dict[Asked, dict[str, list[float]]]
) -> Iterator[dict[str, str | float]]:
    """Yield a row for everything that was asked: name of the column to cell."""
    for asked, of_run in values.items():
        exams, stage, prompt = asked
        row: dict[str, str | float] = {"exams": exams, "stage": stage, "prompt": prompt}
        for name, metric in POOLED.items():
            found = interval_of(estimate_ratio(pooled([run.terms(metric) for run in scored[asked]])), metric)
            ends = {name: found.value, f"{name} low": found.low, f"{name} high": found.high}
            row |= {column: value for column, value in ends.items() if value is not None}
        for name in (*POOLED, *SPREAD, *MORE):
            if values_of_runs := of_run[name]:
                mean = sum(values_of_runs) / len(values_of_runs)
                row |= {f"{name} mean": mean, f"{name} min": min(values_of_runs), f"{name} max": max(values_of_runs)}
        yield row


def stage_lines(rows: Sequence[Mapping[str, str | float]]) -> Iterator[str]:
    """Yield the table of stages."""
    heads = ["exams", "stage", "prompt", *SHOWN, *SPREAD]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        cells = [str(row[head]) for head in heads[:3]]
        cells += [_interval(row, name) + _ends(row, name) for name in SHOWN]
        cells += [
            f"{row[f'{name} mean']:.2f}" + _ends(row, name) if f"{name} mean" in row else "n/a" for name in SPREAD
        ]
        yield f"| {' | '.join(cells)} |"


def _interval(row: Mapping[str, str | float], name: str) -> str:
    if name not in row:
        return "n/a"
    ends = f" [{row[f'{name} low']:.2f}, {row[f'{name} high']:.2f}]" if f"{name} low" in row else ""  # nothing varied
    return f"{row[name]:.2f}{ends}"


def _ends(row: Mapping[str, str | float], name: str) -> str:
    """Return smallest and largest of the runs, nothing where all are alike to two decimals."""
    low, high = (f"{row[f'{name} {end}']:.2f}" if f"{name} {end}" in row else "" for end in ("min", "max"))
    return "" if low == high else f" ({low}–{high})"


def easy_lines(scored: dict[Asked, list[ScoredRun]]) -> Iterator[str]:
    """Yield how often the easy problem is answered wrongly where it stands, by permutation of medium order."""
    yield f"| exams | stage | prompt | {' | '.join(MEDIUM_PERMUTATIONS)} |"
    yield "|---" * (3 + len(MEDIUM_PERMUTATIONS)) + "|"
    for asked, runs in scored.items():
        if runs[0].cell.order == "medium":
            wrong = [spread([wrong_easy(run, permutation) for run in runs]) for permutation in MEDIUM_PERMUTATIONS]
            yield f"| {' | '.join([*asked, *wrong])} |"


def wrong_easy(run: ScoredRun, permutation: str) -> float:
    """Return the share of a run's exams of a permutation whose easy problem is answered wrongly."""
    found = [
        outcome.outcome == "wrong"
        for name, samples in run.scored.items()
        if run.exams[name].medium == permutation
        for sample in samples
        for outcome in sample.main.problems
        if outcome.tier == "easy"
    ]
    return sum(found) / len(found)


def comparison_lines(runs: Sequence[dict[str, Any]]) -> list[str]:
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+", type=Path)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    files = [folder / "evaluation" / "stages.json" for folder in options.out]
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    values = measured(runs)
    scored = scored_runs(options.out, runs)
    rows = list(stage_rows(scored, values))
    print(f"{len(runs)} runs of recipe {runs[0]['recipe']}, seeds {', '.join(str(run['seed']) for run in runs)}\n")
    print("\n".join([*stage_lines(rows), "", *easy_lines(scored), "", *comparison_lines(runs)]))
    if options.csv:
        with options.csv.open("w", encoding="utf-8", newline="") as file:
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({key: f"{cell:.4f}" if isinstance(cell, float) else cell for key, cell in row.items()})


if __name__ == "__main__":
    main()
