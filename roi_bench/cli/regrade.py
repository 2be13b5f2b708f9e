"""``roi-bench regrade``: every number from the raw responses, and where it differs from the recorded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from roi_bench.records.regrade import Comparison
    from roi_bench.records.results import RecordedTask
    from roi_bench.scoring.kinds import GraderLike


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tokenizer", help="Tokenizer to count with in place of the recorded one.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a tokenizer that brings its own code.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core).")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def regrade(
    results: tuple[Path, ...], tokenizer: str | None, trust_remote_code: bool, workers: int | None, as_json: bool
) -> None:
    """Re-compute every number of RESULTS (a results_*.json or a folder) from its raw responses alone.

    Works for runs of `roi-bench run` and of plain `lm_eval --log_samples`. Exits with 1 if a recorded number differs. A
    run of an older reading rule is read by today's, and its numbers differ where the rule changed.
    """
    from roi_bench.grading.grader import Grader
    from roi_bench.records.results import find_results, read_results

    tasks = [task for path in results for found in find_results(path) for task in read_results(found)]
    comparisons: list[tuple[RecordedTask, list[Comparison]]] = []
    with Grader(workers=workers) as grader:
        comparisons += [(task, _compare(task, grader, tokenizer, trust_remote_code)) for task in tasks]
    if as_json:
        click.echo(json.dumps([_as_dict(task, rows) for task, rows in comparisons], indent=2))
    else:
        _print(comparisons)
    if any(not row.equal for _, rows in comparisons for row in rows):
        raise click.exceptions.Exit(1)


def _compare(task: RecordedTask, grader: GraderLike, tokenizer: str | None, trust: bool) -> list[Comparison]:
    from roi_bench.exams.sets import load_exams
    from roi_bench.records.regrade import compare, estimate_task, flat_values
    from roi_bench.records.tokenizer import recorded_token_counter

    exams = {exam.id: exam for exam in load_exams(task.record.exam_set, seed=task.record.exam_seed or 0)}
    estimates = estimate_task(task, exams, grader, recorded_token_counter(task.record, tokenizer, trust))
    return compare(task, flat_values(estimates))


def _as_dict(task: RecordedTask, rows: list[Comparison]) -> dict[str, object]:
    from roi_bench.reading.responses import READING_RULE

    return {
        "task": task.name,
        "results": str(task.results_path),
        "exams": len(task.documents),
        "reading_rule": {"recorded": task.record.reading_rule, "applied": READING_RULE},
        "numbers": {
            row.name: {"recorded": row.recorded, "recomputed": row.recomputed, "equal": row.equal} for row in rows
        },
    }


def _print(comparisons: list[tuple[RecordedTask, list[Comparison]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from roi_bench.records.regrade import rule_note

    console = Console()
    several = len({task.results_path for task, _ in comparisons}) > 1
    for task, rows in comparisons:
        different = [row for row in rows if not row.equal]
        asked = f"{task.record.kind.noun}s"
        source = f"{task.results_path}: " if several else ""
        title = f"{source}{task.name}: {len(task.documents)} {asked}, {len(rows)} numbers, {len(different)} differ"
        console.print(f"{title}; {rule_note(task)}", soft_wrap=True, markup=False)
        table = Table("number", "recorded", "re-computed", "")
        for row in rows:
            if not row.name.endswith("_stderr") or not row.equal:
                mark = "" if row.equal else "DIFFERS"
                table.add_row(row.name, _shown(row.recorded), _shown(row.recomputed), mark)
        console.print(table)


def _shown(value: float | str | None) -> str:
    if value is None:
        return "not recorded"
    return value if isinstance(value, str) else f"{value:.6g}"
