"""The summary of a training run's evaluation: every measure of every stage, and the comparisons that matter.

The numbers are those of :mod:`roi_bench.analysis`; this module only puts them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.efficiency import Efficiency
from roi_bench.analysis.level_views import level_forecast
from roi_bench.analysis.paired import compare_paired
from roi_bench.analysis.position_views import accuracies_by_position
from roi_bench.analysis.runs import Cell, ScoredRun
from roi_bench.analysis.score_tables import TARGET_NOTES, cells_of, interval_of
from roi_bench.analysis.skipping import skip_skills
from roi_bench.analysis.solo_skill import SoloWithin
from roi_bench.analysis.tables import Cell as TableCell
from roi_bench.analysis.tables import Column, Interval, Table, interval_around
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.statistics import Estimate

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
        solo: What the stage's model can do alone within the budget; None without solo samples.
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


def summary_table(items: Sequence[StageRun], target: str = "general") -> Table:
    """Return every measure of every run, one row each, by budget, order, stage and prompt in the order given."""
    cells = list(cells_of([item.run for item in items]))
    rows = [_summary_row(item, target) for cell in cells for item in items if item.run.cell == cell]
    return Table(
        name="stages",
        title="Stages of training",
        columns=(
            *(Column("exams"), Column("mode"), Column("budget", 0), Column("stage"), Column("prompt"), Column("n", 0)),
            *map(Column, _SCORES),
            *(Column(f"skipped {tier}") for tier in TIERS),
            *(Column("skip precision"), Column("plain precision"), Column("skip recall"), Column("level accuracy")),
            *(Column("V_DP"), Column("AE"), Column("SR"), Column("tokens", 0)),
        ),
        rows=tuple(rows),
        note=f"Every measure of the tables of this folder. {TARGET_NOTES[target]}",
    )


def _summary_row(item: StageRun, target: str) -> tuple[TableCell, ...]:
    run = item.run
    clusters = run.clusters if target == "general" else None
    found, order = run.estimates(), run.cell.order
    positions = {
        p.position: p.accuracy for p in accuracies_by_position(run.scored, order, clusters) if p.order == order
    }
    skips = {s.tier: s for s in skip_skills(run.scored, order, clusters, item.solo) if s.order == order}
    used = item.efficiency

    def shown(estimate: Estimate | None) -> Interval:
        return _NOTHING if estimate is None else interval_of(estimate, target)

    return (
        *(run.cell.title, order, run.cell.budget, item.stage, item.prompt, found["score"].exams),
        *(shown(found[name]) for name in ("score", "score_easy", "regret")),
        *(positions.get(position, _NOTHING) for position in (1, 2, 3)),
        *(skips[tier].skip_rate for tier in TIERS),
        *(skips[None].precision, skips[None].plain_precision, skips[None].recall),
        level_forecast(run.scored, clusters).accuracy,
        *map(shown, (used.optimal, used.allocation_efficiency, used.solve_retention) if used else (None,) * 3),
        shown(found["tokens"]),
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
    "Tokens: per exam."
)
_SCORES = ("score", "score in easy order", "regret", "right at 1", "right at 2", "right at 3")
_CHOICES = (*(f"skipped {tier}" for tier in TIERS), "skip precision", "plain precision", "level accuracy")
_ALLOCATION = ("score", "V_DP", "AE", "SR", "tokens")

_VIEWS = (
    ("stage_scores", "Scores of the stages", _SCORES, _SCORES_NOTE),
    ("stage_choices", "What the stages skip and forecast", _CHOICES, _CHOICES_NOTE),
    (
        *("stage_allocation", "How the stages use their skill: score = V_DP · AE · SR"),
        *(_ALLOCATION, _ALLOCATION_NOTE),
    ),
)
"""Name, title, measures and note of each table for people; the whole summary is too wide to read."""


def summary_views(summary: Table, target: str = "general") -> list[Table]:
    """Return the summary in tables that fit a page."""
    places = {column.name: index for index, column in enumerate(summary.columns)}
    views = []
    for name, title, measures, note in _VIEWS:
        shown = [places[column] for column in ("exams", "stage", "prompt", "n", *measures)]
        rows = tuple(tuple(row[place] for place in shown) for row in summary.rows)
        columns = tuple(summary.columns[place] for place in shown)
        views.append(Table(name, title, columns, rows, f"{note} {TARGET_NOTES[target]}"))
    return views


def aims_table(items: Sequence[StageRun], target: str = "general") -> Table:
    """Return the comparisons of :data:`AIMS` for everything that was sat; those that lack a stage are left out."""
    cells: dict[Cell, dict[Asked, StageRun]] = {}
    for item in items:
        cells.setdefault(item.run.cell, {})[item.stage, item.prompt] = item
    rows: list[tuple[TableCell, ...]] = []
    for cell, members in cells.items():
        for first, second, metric in AIMS:
            if first in members and second in members:
                rows.append(_aim_row(cell, members, first, second, metric, target))
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
        f"exam, 0–3. {TARGET_NOTES[target]}",
    )


def _aim_row(
    cell: Cell, members: Mapping[Asked, StageRun], first: Asked, second: Asked, metric: str, target: str
) -> tuple[TableCell, ...]:
    terms_a, terms_b = (members[asked].run.terms(metric) for asked in (first, second))
    named = (cell.title, " · ".join(first), " · ".join(second), METRIC_NAMES[metric])
    if not terms_a.keys() & terms_b.keys():  # one of the two had no response at all
        return (*named, 0, None, None, _NOTHING, None, None)
    found = compare_paired(terms_a, terms_b, target=target)
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
