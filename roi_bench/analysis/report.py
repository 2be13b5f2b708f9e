"""All that is to be said of one or several runs, as tables: the paper's views, allocation, comparisons, tiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from roi_bench.analysis.allocation_tables import efficiency_table, value_table
from roi_bench.analysis.efficiency import Efficiency, ValueCurves, efficiencies, value_curves
from roi_bench.analysis.effort import effort_table
from roi_bench.analysis.level_views import confusion_table, level_forecast, level_table
from roi_bench.analysis.position_views import position_table, tier_position_table
from roi_bench.analysis.profile import Profile
from roi_bench.analysis.profiled_runs import ProfiledRuns, match_notes, match_profiles
from roi_bench.analysis.prompt_groups import PromptGroup, group_prompts, prompt_noise_table
from roi_bench.analysis.runs import RunKey, ScoredRun
from roi_bench.analysis.score_tables import (
    budget_table,
    comparison_table,
    outcome_table,
    ranking_table,
    runs_table,
    score_table,
)
from roi_bench.analysis.skipping import skip_table
from roi_bench.analysis.solo_skill import SoloWithin
from roi_bench.analysis.tables import Cell, Column, Table, to_frame, to_markdown
from roi_bench.analysis.token_views import token_table
from roi_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Show = Callable[[Iterable[ProfiledRuns]], Iterable[ProfiledRuns]]


@dataclass(frozen=True, slots=True)
class Allocation:
    """How the runs of one model used its skill.

    Attributes:
        profile: The model's profile.
        curves: Values of the profile by order.
        found: Efficiency of each run, with its name.
    """

    profile: Profile
    curves: Mapping[str, ValueCurves]
    found: tuple[tuple[str, Efficiency], ...]


def allocations(
    matched: Sequence[ProfiledRuns], show: Show = iter, tell: Callable[[str], None] | None = None
) -> list[Allocation]:
    """Return how runs used their model's skill; values are those of the exams that some run sat.

    ``tell`` is told of runs that cannot be replayed, which are then left out; without it they are an error.
    """
    found = []
    for item in show(matched):
        sat = {name for run in item.runs for name in run.scored}
        exams = [e for e in item.runs[0].exams.values() if e.id in sat and item.profile.covers(e)]
        budget = max(run.cell.budget for run in item.runs)
        orders = dict.fromkeys([*(run.cell.order for run in item.runs), "easy"])
        curves = {order: value_curves(item.profile, exams, order, budget) for order in orders}
        found.append(Allocation(item.profile, curves, tuple(efficiencies(item.profile, item.runs, curves, tell))))
    return found


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
        target: What intervals and tests are about, ``general`` or ``fixed``.
        groups: Runs that were asked in other words as well; the paraphrase runs are not among ``runs``.
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
    """All that is to be said of some runs.

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
        from roi_bench.analysis.figures import check_figures
        from roi_bench.analysis.report_figures import report_figures

        check_figures()
        return report_figures(self.runs, self.matched, self.allocated, self.target)

    def write(self, folder: Path, *, figures: bool = True) -> None:
        """Write all tables as text, Markdown and CSV, and the pictures as SVG and PNG, into ``folder``."""
        from roi_bench.analysis.table_files import write_tables

        write_tables(self.tables, folder, "report", self.figures() if figures else None)

    def _repr_markdown_(self) -> str:
        return "\n".join(map(to_markdown, self.tables))


def make_report(
    runs: Sequence[ScoredRun],
    profiles: Sequence[Profile] = (),
    *,
    target: str = "general",
    show: Show = iter,
    tell: Callable[[str], None] | None = None,
) -> Report:
    """Return the report of ``runs``.

    Args:
        runs: The runs, those with paraphrased prompts among them.
        profiles: Solo profiles of their models, where there are any.
        target: What intervals and tests are about.
        show: Goes through the profiled runs and shows progress.
        tell: Is told what a reader has to know, and what is left out.

    Raises:
        UsageError: There are only runs with paraphrased prompts.
    """
    canonical, groups = group_prompts(runs, tell)
    if not canonical:
        raise UsageError("there are only runs with paraphrases of a prompt; add the run with the canonical one")
    matched = match_profiles(canonical, profiles)
    if tell is not None:
        for note in match_notes(canonical, profiles, matched):
            tell(note)
    allocated = allocations(matched, show, tell)
    tables = report_tables(canonical, matched, allocated, target, groups)
    return Report(tuple(tables), tuple(canonical), tuple(matched), tuple(allocated), target)


def solo_within(matched: Sequence[ProfiledRuns]) -> dict[RunKey, SoloWithin]:
    """Return what each run's model can do alone within the run's budget, by the run's key."""
    return {run.key: SoloWithin(item.profile.skills, run.cell.budget) for item in matched for run in item.runs}


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
    """Return one view of several runs as one table: the run, what it sat, then the columns of the view.

    Where runs differ in columns (some have a profile), what a run has not is left undefined. The note is the longest,
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
