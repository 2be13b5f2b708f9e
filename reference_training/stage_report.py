"""From the results of all stages to the report and the summary of a training run's evaluation, written as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from roi_bench.analysis.figure_style import check_figures
from roi_bench.analysis.profiled_runs import ProfiledRuns, match_notes, match_profiles
from roi_bench.analysis.report import Allocation, allocations, report_tables, solo_within
from roi_bench.analysis.report_figures import report_figures
from roi_bench.analysis.runs import ScoredRun
from roi_bench.analysis.table_files import write_tables
from roi_bench.analysis.tables import to_csv
from roi_bench.errors import DependencyError
from roi_bench.harness.recorded_runs import load_runs
from roi_bench.reference_training.recipe import Recipe
from roi_bench.reference_training.stage_table import (
    StageRun,
    aims_table,
    summary_table,
    summary_views,
    table_records,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "stages.json"
"""The summary for machines, in the folder of an evaluation."""


def write_stage_report(
    recipe: Recipe,
    files: Mapping[str, Sequence[Path]],
    evaluation: Path,
    tell: Callable[[str], None],
) -> None:
    """Write ``report/`` and the summary of an evaluation into its folder.

    Args:
        recipe: The recipe of the training run.
        files: Results files by stage.
        evaluation: The folder.
        tell: Is told what a reader has to know.

    Raises:
        UsageError: There is no exam task among the results.
        RecordError: A results file is damaged.
    """
    paths = [path for of_stage in files.values() for path in of_stage]
    loaded = load_runs(paths, tell=tell)
    runs, profiles = loaded.scored, loaded.profiles
    matched = match_profiles(runs, profiles)
    for note in dict.fromkeys(match_notes(runs, profiles, matched)):
        tell(note)
    allocated = allocations(matched, tell=tell)
    items = stage_runs(files, runs, matched, allocated)
    summary, aims = summary_table(items), aims_table(items)
    scores, *views = summary_views(summary)
    readable = [scores, *([aims] if aims.rows else []), *views]
    write_tables(readable, evaluation, "stages")
    (evaluation / f"{summary.name}.csv").write_bytes(to_csv(summary).encode("utf-8"))
    content = {
        "recipe": recipe.name,
        "family": recipe.family,
        "seed": recipe.seed,
        "stages": table_records(summary),
        "aims": table_records(aims),
        "results": {
            stage: [path.resolve().relative_to(evaluation.resolve()).as_posix() for path in paths]
            for stage, paths in files.items()
        },
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (evaluation / SUMMARY).write_text(text, encoding="utf-8")
    figures = _figures(runs, matched, allocated, tell) if recipe.evaluation.pictures else {}
    write_tables(report_tables(runs, matched, allocated), evaluation / "report", "report", figures)


def stage_runs(
    files: Mapping[str, Sequence[Path]],
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns],
    allocated: Sequence[Allocation],
) -> list[StageRun]:
    """Return each run with its stage and what the profile of its model says; stages in the order of ``files``."""
    stage_of = {path.resolve(): stage for stage, paths in files.items() for path in paths}
    solo = solo_within(matched)
    # Names are unique among runs of one order and budget; the easy order is beside each and not of this table.
    used = {(name, item.order, item.budget): item for each in allocated for name, item in each.found}
    items = [
        StageRun(
            stage=stage_of[run.task.results_path.resolve()],
            run=run,
            solo=solo.get(run.key),
            efficiency=used.get((run.name, run.cell.order, run.cell.budget)),
        )
        for run in runs
    ]
    stages = list(files)
    return sorted(items, key=lambda item: (item.run.cell.budget, stages.index(item.stage)))


def _figures(
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns],
    allocated: Sequence[Allocation],
    tell: Callable[[str], None],
) -> dict[str, Figure]:
    try:
        check_figures()
    except DependencyError as error:
        tell(f"the report has no pictures: {error}")
        return {}
    return report_figures(runs, matched, allocated)
