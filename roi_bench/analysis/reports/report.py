"""The report on one or several runs, as tables: the paper's views, allocation, comparisons, tiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from roi_bench.analysis.efficiency import (
    Allocation,
    Efficiency,
    Show,
    ValueCurves,
    allocations,
    curve_bands,
    curve_means,
    efficiency_table,
    profile_title,
    value_table,
)
from roi_bench.analysis.profile import Profile, ProfiledRuns, match_notes, match_profiles, solo_within
from roi_bench.analysis.prompt_noise import PromptGroup, group_prompts, prompt_noise_table
from roi_bench.analysis.reports.effort import effort_table
from roi_bench.analysis.reports.figures import (
    Curve,
    Point,
    PositionBars,
    RunScores,
    accuracy_by_position,
    budget_sweep,
    level_confusion,
    scores_of_runs,
    tokens_by_position_and_tier,
)
from roi_bench.analysis.reports.forecasts import confusion_table, level_forecast, level_table, skip_table
from roi_bench.analysis.reports.score_tables import (
    budget_table,
    cells_of,
    comparison_table,
    interval_of,
    is_for_trying,
    outcome_table,
    ranking_table,
    runs_table,
    score_table,
)
from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table, to_csv, to_frame, to_markdown, to_text
from roi_bench.analysis.reports.views import accuracies_by_position, position_table, tier_position_table, token_table
from roi_bench.analysis.reports.views import tokens_by_position_and_tier as token_summaries
from roi_bench.analysis.runs import ScoredRun, short_name
from roi_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


# Tables and their pictures as files: text, Markdown, CSV, SVG, PNG; the same tables give the same bytes.

TEXT_WIDTH = 200
"""Columns of a text table in a file."""

FIGURE_SUFFIXES = (".svg", ".png")


def write_tables(tables: Sequence[Table], folder: Path, name: str, figures: Mapping[str, Figure] | None = None) -> None:
    """Write ``tables`` into ``folder``: ``NAME.txt``, ``NAME.md``, one CSV each; and ``figures`` as SVG and PNG.

    Files of earlier calls with the same names are replaced; nothing else in the folder is touched.
    """
    figures = figures or {}
    folder.mkdir(parents=True, exist_ok=True)
    pictures = "".join(f"\n![{figure}]({figure}.svg)\n" for figure in figures)
    (folder / f"{name}.txt").write_text("\n".join(to_text(table, TEXT_WIDTH) for table in tables), encoding="utf-8")
    (folder / f"{name}.md").write_text("\n".join(map(to_markdown, tables)) + pictures, encoding="utf-8")
    for table in tables:
        (folder / f"{table.name}.csv").write_bytes(to_csv(table).encode("utf-8"))
    if figures:
        from roi_bench.analysis.reports.figures import save_figure

        for figure, drawn in figures.items():
            for suffix in FIGURE_SUFFIXES:
                save_figure(drawn, folder / f"{figure}{suffix}")


def report_tables(
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns] = (),
    allocated: Sequence[Allocation] = (),
    target: str = "general",
    groups: Sequence[PromptGroup] = (),
) -> list[Table]:
    """Return every table of a report; those that would be empty are left out.

    Args:
        runs: The runs.
        matched: Profiles of their models, where there are any.
        allocated: :func:`allocations` of these.
        target: Target of intervals and tests, ``general`` or ``fixed``.
        groups: Runs that also have paraphrase runs, which are not among ``runs``.
    """
    tables = [score_table(runs, target), prompt_noise_table(groups, target)]
    tables += [outcome_table(runs), budget_table(runs, target)]
    if efficient := [item for allocation in allocated for item in allocation.found]:
        tables.append(efficiency_table(efficient, target))
    allocated = [allocation for allocation in allocated if allocation.found]
    for number, allocation in enumerate(allocated, start=1):
        budgets = sorted({item.budget for _, item in allocation.found})
        table = value_table(allocation.profile, list(allocation.curves.values()), budgets, target)
        tables.append(replace(table, name=f"{table.name}_{number}") if len(allocated) > 1 else table)
    tables += [comparison_table(runs, target), ranking_table(runs, target)]
    tables += [*_views(runs, matched, target)]
    tables.append(runs_table([*runs, *(run for group in groups for run in group.paraphrases)]))
    return [table for table in tables if table is not None]


@dataclass(frozen=True, slots=True)
class Report:
    """A report on runs: its tables and pictures.

    Attributes:
        tables: Every table, in order.
        runs: The runs with canonical prompts.
        matched: Their models' profiles, where there are any.
        allocated: How they used their models' skill.
        target: What intervals and tests are about, ``general`` or ``fixed``.
    """

    tables: tuple[Table, ...]
    runs: tuple[ScoredRun, ...]
    matched: tuple[ProfiledRuns, ...]
    allocated: tuple[Allocation, ...]
    target: str

    def table(self, name: str = "scores") -> Table:
        """Return the table called ``name``.

        Raises:
            UsageError: There is none.
        """
        found = {table.name: table for table in self.tables}
        if name not in found:
            raise UsageError(f"the report has no table {name!r}; {nearest(name, list(found))}")
        return found[name]

    def frame(self, name: str = "scores") -> pd.DataFrame:
        """Return the table called ``name`` as a pandas frame, intervals as columns ``…_low`` and ``…_high``."""
        return to_frame(self.table(name))

    def figures(self) -> dict[str, Figure]:
        """Return the pictures by name; needs matplotlib.

        Raises:
            DependencyError: matplotlib is not installed.
        """
        from roi_bench.analysis.reports.figures import check_figures

        check_figures()
        return report_figures(self.runs, self.matched, self.allocated, self.target)

    def write(self, folder: Path, *, figures: bool = True) -> None:
        """Write all tables as text, Markdown and CSV, and the pictures as SVG and PNG, into ``folder``."""

        write_tables(self.tables, folder, "report", self.figures() if figures else None)

    def _repr_markdown_(self) -> str:
        return "\n".join(map(to_markdown, self.tables))


def make_report(
    runs: Sequence[ScoredRun],
    profiles: Sequence[Profile] = (),
    *,
    target: str = "general",
    show: Show = iter,
    notify: Callable[[str], None] | None = None,
) -> Report:
    """Return the report of ``runs``.

    Args:
        runs: The runs, those with paraphrased prompts among them.
        profiles: Solo profiles of their models, where there are any.
        target: Target of intervals and tests.
        show: Goes through the profiled runs and shows progress.
        notify: Called with a line on anything that a reader has to know, or that is left out.

    Raises:
        UsageError: There are only runs with paraphrased prompts.
    """
    canonical, groups = group_prompts(runs, notify)
    if not canonical:
        raise UsageError("there are only runs with paraphrases of a prompt; add the run with the canonical one")
    matched = match_profiles(canonical, profiles)
    if notify is not None:
        for note in match_notes(canonical, profiles, matched):
            notify(note)
    allocated = allocations(matched, show, notify)
    tables = report_tables(canonical, matched, allocated, target, groups)
    return Report(tuple(tables), tuple(canonical), tuple(matched), tuple(allocated), target)


def _views(runs: Sequence[ScoredRun], matched: Sequence[ProfiledRuns], target: str) -> list[Table | None]:
    """Return the views of each run, all runs of one view in one table."""
    skills = solo_within(matched)
    parts: dict[str, list[tuple[ScoredRun, Table]]] = {}
    for run in runs:
        order, clusters = run.cell.order, run.clusters if target == "general" else None
        solo = skills.get(run.key)
        made = [
            position_table(run.scored, order, clusters),
            tier_position_table(run.scored, order, clusters),
            token_table(run.scored, order),
            effort_table(run.scored, order, clusters),
            skip_table(run.scored, order, clusters, solo),
        ]
        if any(map(sum, level_forecast(run.scored, clusters, solo).counts)):
            made += [level_table(run.scored, order, clusters, solo), confusion_table(run.scored, order, solo)]
        for table in made:
            parts.setdefault(table.name, []).append((run, table))
    return [stacked(members) for members in parts.values()]


def stacked(parts: Sequence[tuple[ScoredRun, Table]]) -> Table:
    """Return one view of several runs as one table: the run, its exams, then the columns of the view.

    Where runs differ in columns (some have a profile), missing values are undefined. The note is the longest one,
    as more columns need more words.
    """
    columns = dict.fromkeys(column for _, table in parts for column in table.columns)
    rows: list[tuple[Cell, ...]] = []
    for run, table in parts:
        places = {column: index for index, column in enumerate(table.columns)}
        for row in table.rows:
            cells = (row[places[column]] if column in places else None for column in columns)
            rows.append((run.name, run.cell.title, *cells))
    first = parts[0][1]
    note = max((table.note for _, table in parts), key=len)
    return Table(first.name, first.title, (Column("run"), Column("exams sat"), *columns), tuple(rows), note)


# The pictures of a report and of an allocation, made of what their tables show.

INTERVALS = {
    "general": "95 % intervals, for new problems",
    "fixed": "95 % intervals, on these very exams",
}
"""What error bars are about, by target."""

SWEEP_POINTS = 65
"""Budgets at which the curves of a sweep are drawn."""

BANDED = "best policy (V_DP)"
"""The curve that gets a band."""


def sweep_figure(
    profile: Profile, curves: ValueCurves, found: Sequence[tuple[str, Efficiency]], target: str = "general"
) -> Figure:
    """Return score against budget in one order: the value of the profile, and the actual scores of runs.

    Args:
        profile: The solo profile.
        curves: Its values in the order.
        found: Runs with their names; those in another order are left out.
        target: What intervals are about.
    """
    budgets = np.unique(np.linspace(0, curves.budget, SWEEP_POINTS).round().astype(int))
    bands = curve_bands(curves, [int(budget) for budget in budgets], target)
    drawn = []
    for name, values in curve_means(curves).items():
        x, y = [float(budget) for budget in budgets], [float(values[budget]) for budget in budgets]
        if name == BANDED:
            low = [_end(bands[int(budget)].low, level) for budget, level in zip(budgets, y, strict=True)]
            high = [_end(bands[int(budget)].high, level) for budget, level in zip(budgets, y, strict=True)]
            drawn.append(Curve(name, x, y, low, high))
        else:
            drawn.append(Curve(name, x, y))
    points = [
        Point(f"scored: {name}", float(item.budget), interval_of(item.score, "score", target))
        for name, item in found
        if item.order == curves.order
    ]
    return budget_sweep(
        drawn,
        points,
        f"Score against budget, {curves.order} order: {profile_title(profile, len(curves.exams))}",
        INTERVALS[target],
    )


def _end(bound: float | None, value: float) -> float:
    """Return an end of a band, within the possible scores; the curve itself where there is none."""
    return value if bound is None else min(3.0, max(0.0, bound))


def report_figures(
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns] = (),
    allocated: Sequence[Allocation] = (),
    target: str = "general",
) -> dict[str, Figure]:
    """Return the pictures of a report by name (of their files).

    For each cell: scores and regrets, accuracy by position; for each run: tokens, and forecasts where there
    are any; for each profile and order: the sweep over budgets.
    """
    figures: dict[str, Figure] = {}
    solo = solo_within(matched)
    for cell, members in cells_of(runs).items():
        what = f"{_models(members)}{cell.title}"
        figures[f"scores_{_slug(cell.slug)}"] = scores_of_runs(
            [_scores(run, target) for run in members], f"Score and regret: {what}", INTERVALS[target]
        )
        figures[f"accuracy_by_position_{_slug(cell.slug)}"] = accuracy_by_position(
            [_positions(run, target) for run in members], f"Accuracy by position: {what}", INTERVALS[target]
        )
    taken: set[str] = set()
    for run in runs:
        name = _unused(f"{_slug(run.cell.slug)}_{_slug(run.name)}", taken)
        title = f"{_models(runs)}{run.name}, {run.cell.title}, n = {run.estimates()['score'].exams}"
        summaries = token_summaries(run.scored, run.cell.order)
        if any(summary.quantiles for summary in summaries):
            figures[f"tokens_{name}"] = tokens_by_position_and_tier(
                summaries, f"Tokens spent on attempted problems: {title}"
            )
        counts = level_forecast(run.scored, solo=solo.get(run.key)).counts
        if any(map(sum, counts)):
            figures[f"levels_{name}"] = level_confusion(counts, f"Forecast and actual levels: {title}")
    for number, allocation in enumerate(allocated, start=1):
        which = f"_{number}" if len(allocated) > 1 else ""
        for order, curves in allocation.curves.items():
            figures[f"budget_sweep{which}_{order}"] = sweep_figure(allocation.profile, curves, allocation.found, target)
    return figures


def _models(runs: Sequence[ScoredRun]) -> str:
    """Return the model of ``runs`` for a title, a comma behind it; nothing for several, whose rows name them."""
    models = {run.task.model for run in runs}
    return f"{short_name(models.pop())}, " if len(models) == 1 else ""


def _row(run: ScoredRun) -> str:
    """Return what a picture calls a run: its name and number of exams."""
    exams = run.estimates()["score"].exams
    return f"{run.name} (n = {exams}{', for trying only' if is_for_trying(run) else ''})"


def _scores(run: ScoredRun, target: str) -> RunScores:
    found = run.estimates()
    return RunScores(_row(run), *(interval_of(found[name], name, target) for name in ("score", "regret")))


def _positions(run: ScoredRun, target: str) -> PositionBars:
    order, clusters = run.cell.order, run.clusters if target == "general" else None
    found: list[Interval] = [
        item.accuracy for item in accuracies_by_position(run.scored, order, clusters) if item.order == order
    ]
    return PositionBars(_row(run), found)


def _unused(name: str, taken: set[str]) -> str:
    """Return ``name``, numbered if it is taken: names of models may differ only in letters that files leave out."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found


def _slug(text: str) -> str:
    """Return ``text`` as part of a file's name: letters, digits and single underscores."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower())
    return "_".join(part for part in kept.split("_") if part)
