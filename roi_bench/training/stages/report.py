"""The report and the summary of a training run's evaluation, from the results of all stages, written as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roi_bench.analysis.efficiency import Allocation, Efficiency, allocations
from roi_bench.analysis.load import load_runs
from roi_bench.analysis.paired import compare_paired
from roi_bench.analysis.profile import ProfiledRuns, SoloWithin, match_notes, match_profiles, solo_within
from roi_bench.analysis.reports.figure_style import check_figures
from roi_bench.analysis.reports.forecasts import level_forecast, skip_skills
from roi_bench.analysis.reports.report import (
    report_figures,
    report_tables,
    write_tables,
)
from roi_bench.analysis.reports.score_tables import TARGET_NOTES, cells_of, interval_of
from roi_bench.analysis.reports.tables import Cell as TableCell
from roi_bench.analysis.reports.tables import Column, Interval, Table, interval_around, to_csv
from roi_bench.analysis.reports.views import accuracies_by_position
from roi_bench.analysis.runs import Cell, ScoredRun
from roi_bench.errors import DependencyError
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.statistics import Estimate
from roi_bench.training.plan.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# The summary of a training run's evaluation: every measure of every stage, and the comparisons that matter.
#
# The numbers are those of :mod:`roi_bench.analysis`; this module only puts them side by side.

Asked = tuple[str, str]
"""A stage and the prompt with which it was asked."""

AIMS: tuple[tuple[Asked, Asked, str], ...] = (
    (("rarl", "metacognitive"), ("mft", "metacognitive"), "score"),
    (("rarl", "metacognitive"), ("base", "direct"), "score"),
    (("mft", "metacognitive"), ("base", "direct"), "score"),
    (("mft", "metacognitive"), ("base", "plan_and_solve"), "score"),
    (("mft", "metacognitive"), ("base", "least_to_most"), "score"),
    (("mft", "metacognitive"), ("base", "metacognitive"), "score"),
    (("mft", "metacognitive"), ("mft", "greedy_knapsack"), "score"),
    (("mft", "metacognitive"), ("base", "direct"), "score_easy"),
    (("rarl", "metacognitive"), ("base", "direct"), "score_easy"),
)
"""What training has to show: the first, the second, and the metric in which they are compared."""

METRIC_NAMES = {"score": "score", "score_easy": "score in easy order"}

_NOTHING = Interval(None, None, None)


@dataclass(frozen=True, slots=True)
class StageRun:
    """One task of one stage, scored.

    Attributes:
        stage: ``base``, ``mft`` or ``rarl``.
        run: Its scored samples.
        solo: The model's skill on single problems within the budget; None without solo samples.
        efficiency: How the run used that skill; None without solo samples, or where it cannot be replayed.
    """

    stage: str
    run: ScoredRun
    solo: SoloWithin | None = None
    efficiency: Efficiency | None = None

    @property
    def prompt(self) -> str:
        """Name of the prompt."""
        return self.run.task.record.prompt


TARGET = "general"
"""What intervals and tests are about: new problems, not these exams alone."""


def summary_table(items: Sequence[StageRun]) -> Table:
    """Return every measure of every run, one row each, by budget, order, stage and prompt in the order given."""
    cells = list(cells_of([item.run for item in items]))
    rows = [_summary_row(item) for cell in cells for item in items if item.run.cell == cell]
    return Table(
        name="stages",
        title="Stages of training",
        columns=(
            *(Column("exams"), Column("mode"), Column("budget", 0), Column("stage"), Column("prompt"), Column("n", 0)),
            *map(Column, _SCORES),
            *(Column(f"skipped {tier}") for tier in TIERS),
            *(Column("skip precision"), Column("plain precision"), Column("skip recall"), Column("level accuracy")),
            *(Column("V_DP"), Column("AE"), Column("SR"), Column("AE · SR"), Column("agreement"), Column("tokens", 0)),
        ),
        rows=tuple(rows),
        note=f"Every measure of the tables of this folder. {TARGET_NOTES[TARGET]}",
    )


def _summary_row(item: StageRun) -> tuple[TableCell, ...]:
    run = item.run
    clusters = run.clusters
    found, order = run.estimates(), run.cell.order
    positions = {
        p.position: p.accuracy for p in accuracies_by_position(run.scored, order, clusters) if p.order == order
    }
    skips = {s.tier: s for s in skip_skills(run.scored, order, clusters, item.solo) if s.order == order}
    used = item.efficiency

    def shown(estimate: Estimate | None, name: str) -> Interval:
        return _NOTHING if estimate is None else interval_of(estimate, name, TARGET)

    return (
        *(run.cell.title, order, run.cell.budget, item.stage, item.prompt, found["score"].exams),
        *(shown(found[name], name) for name in ("score", "score_easy", "regret")),
        *(positions.get(position, _NOTHING) for position in (1, 2, 3)),
        *(skips[tier].skip_rate for tier in TIERS),
        *(skips[None].precision, skips[None].plain_precision, skips[None].recall),
        level_forecast(run.scored, clusters).accuracy,
        shown(used.optimal if used else None, "v_dp"),
        shown(used.allocation_efficiency if used else None, "ae"),
        shown(used.solve_retention if used else None, "sr"),
        shown(used.together if used else None, "ae_sr"),
        shown(used.agreement if used else None, "agreement"),
        shown(found["tokens"], "tokens"),
    )


_SCORES_NOTE = (
    "Score: correct answers per exam, 0–3. Regret: share of the easy order's correct answers lost. Right at k: share "
    "of problems answered right at position k, in the task's own order."
)
_CHOICES_NOTE = (
    "In the task's own order. Skipped: share of the tier's problems answered NA. Skip precision: mean of 1 − p over "
    "skipped problems, p the share of the same stage's solo samples right within the budget; plain: share of skipped "
    "problems with p below 0.5. Level accuracy: share of attempted problems with a forecast whose level was right."
)
_ALLOCATION_NOTE = (
    "V_DP: what the best policy makes of the same stage's skill with one problem alone; it falls where training lost "
    "some of that skill. AE: share of it that the run's own decisions reach. SR: share of that which it really scored. "
    "AE · SR: score / V_DP; AE alone is blind to what one answer does to the next. Agreement: share of the decisions "
    "to attempt or skip that the best policy could have taken too, with the tokens left at that problem. Tokens: per "
    "exam."
)
_SCORES = ("score", "score in easy order", "regret", "right at 1", "right at 2", "right at 3")
_CHOICES = (*(f"skipped {tier}" for tier in TIERS), "skip precision", "plain precision", "level accuracy")
_ALLOCATION = ("score", "V_DP", "AE", "SR", "AE · SR", "agreement", "tokens")

_VIEWS = (
    ("stage_scores", "Scores of the stages", _SCORES, _SCORES_NOTE),
    ("stage_choices", "What the stages skip and forecast", _CHOICES, _CHOICES_NOTE),
    (
        *("stage_allocation", "How the stages use their skill: score = V_DP · AE · SR"),
        *(_ALLOCATION, _ALLOCATION_NOTE),
    ),
)
"""Name, title, measures and note of each table for people; the whole summary is too wide to read."""


def summary_views(summary: Table) -> list[Table]:
    """Return the summary in tables that fit a page."""
    places = {column.name: index for index, column in enumerate(summary.columns)}
    views = []
    for name, title, measures, note in _VIEWS:
        shown = [places[column] for column in ("exams", "stage", "prompt", "n", *measures)]
        rows = tuple(tuple(row[place] for place in shown) for row in summary.rows)
        columns = tuple(summary.columns[place] for place in shown)
        views.append(Table(name, title, columns, rows, f"{note} {TARGET_NOTES[TARGET]}"))
    return views


def aims_table(items: Sequence[StageRun]) -> Table:
    """Return the comparisons of :data:`AIMS` for every cell; those that lack a stage are left out."""
    cells: dict[Cell, dict[Asked, StageRun]] = {}
    for item in items:
        cells.setdefault(item.run.cell, {})[item.stage, item.prompt] = item
    rows: list[tuple[TableCell, ...]] = []
    for cell, members in cells.items():
        for first, second, metric in AIMS:
            if first in members and second in members:
                rows.append(_aim_row(cell, members, first, second, metric))
    return Table(
        name="aims",
        title="What training changed",
        columns=(
            *(Column("exams"), Column("A"), Column("B"), Column("compared in"), Column("n", 0)),
            *(Column("A's", 3), Column("B's", 3), Column("A − B", 3), Column("p", 4), Column("detectable", 3)),
        ),
        rows=tuple(rows),
        note="Exam by exam, on the exams that both sat. p: permutation test, not corrected for the number of "
        "comparisons. Detectable: true difference found with 80 % power by so many exams. Score: correct answers per "
        f"exam, 0–3. {TARGET_NOTES[TARGET]}",
    )


def _aim_row(
    cell: Cell, members: Mapping[Asked, StageRun], first: Asked, second: Asked, metric: str
) -> tuple[TableCell, ...]:
    terms_a, terms_b = (members[asked].run.terms(metric) for asked in (first, second))
    named = (cell.title, " · ".join(first), " · ".join(second), METRIC_NAMES[metric])
    if not terms_a.keys() & terms_b.keys():  # one of the two had no response at all
        return (*named, 0, None, None, _NOTHING, None, None)
    found = compare_paired(terms_a, terms_b, target=TARGET)
    difference = interval_around(found.difference, found.interval)
    return (
        *(*named, found.exams, found.value_a, found.value_b, difference),
        *(found.p_value, found.minimum_detectable_effect),
    )


def table_records(table: Table) -> list[dict[str, object]]:
    """Return the rows of ``table`` for JSON: by column name, an interval as ``{value, low, high}``."""
    heads = [column.name for column in table.columns]
    return [
        {
            head: {"value": cell.value, "low": cell.low, "high": cell.high} if isinstance(cell, Interval) else cell
            for head, cell in zip(heads, row, strict=True)
        }
        for row in table.rows
    ]


SUMMARY = "stages.json"
"""The summary for machines, in the folder of an evaluation."""


def write_stage_report(
    recipe: Recipe,
    files: Mapping[str, Sequence[Path]],
    evaluation: Path,
    notify: Callable[[str], None],
) -> None:
    """Write ``report/`` and the summary of an evaluation into its folder.

    Args:
        recipe: The recipe of the training run.
        files: Results files by stage.
        evaluation: The folder.
        notify: Called with a line on anything that a reader has to know.

    Raises:
        UsageError: There is no exam task among the results.
        RecordError: A results file is damaged.
    """
    paths = [path for of_stage in files.values() for path in of_stage]
    loaded = load_runs(paths, notify=notify)
    runs, profiles = loaded.scored, loaded.profiles
    matched = match_profiles(runs, profiles)
    for note in dict.fromkeys(match_notes(runs, profiles, matched)):
        notify(note)
    allocated = allocations(matched, notify=notify)
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
    figures = _figures(runs, matched, allocated, notify) if recipe.evaluation.pictures else {}
    write_tables(report_tables(runs, matched, allocated), evaluation / "report", "report", figures)


def stage_runs(
    files: Mapping[str, Sequence[Path]],
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns],
    allocated: Sequence[Allocation],
) -> list[StageRun]:
    """Return each run with its stage and its model's skill; stages in the order of ``files``."""
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
    notify: Callable[[str], None],
) -> dict[str, Figure]:
    try:
        check_figures()
    except DependencyError as error:
        notify(f"the report has no pictures: {error}")
        return {}
    return report_figures(runs, matched, allocated)
