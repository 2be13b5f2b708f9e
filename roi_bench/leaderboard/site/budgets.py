"""Pages on budgets: whether runs change places between them, and at which budget each first reaches a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.interaction import Interaction, budget_interactions
from roi_bench.analysis.ranking import RunTerms, mean_terms
from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.board import Board, CellTable, Standing
from roi_bench.leaderboard.site.page import UNDEFINED, PageFile, interval, number, render
from roi_bench.leaderboard.site.table_page import chart_slug

MOST_RUNS = 40
"""Runs that are compared, those with the best scores: pairs grow with their square, and with them the correction."""

MOST_ROWS = 100
"""Comparisons that a page lists, the most certain first."""

SCORES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75)
"""Scores of which a page tells who reaches them when; those that nobody reaches are left out."""

Run = Mapping[int, Standing]
"""A run's rows, by budget."""


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """One comparison in text, the run that is ahead under the smaller budget first."""

    a: Standing
    b: Standing
    low: int
    high: int
    at_low: tuple[str, str]
    at_high: tuple[str, str]
    change: tuple[str, str]
    p_value: str
    verdict: str


@dataclass(frozen=True, slots=True)
class ReachRow:
    """The budgets at which a run first reaches scores: by its estimate, and by the lower end of its interval."""

    standing: Standing
    reached: tuple[tuple[str, str], ...]


def runs_by_budget(board: Board) -> dict[str, list[Run]]:
    """Return the runs with several budgets by exam set and order (a slug as charts have it), the best first."""
    found: dict[str, dict[tuple[str, str], dict[int, Standing]]] = {}
    for table in board.cells:
        runs = found.setdefault(chart_slug(table), {})
        for standing in table.standings:
            runs.setdefault((standing.entry.id, standing.run.prompt), {})[table.cell.budget] = standing
    several = {slug: [run for run in runs.values() if len(run) > 1] for slug, runs in found.items()}
    return {slug: sorted(runs, key=_best_first) for slug, runs in several.items() if runs}


def budget_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``budgets/<set>_<order>.html`` wherever a run sat several budgets."""
    tables: dict[str, CellTable] = {}
    for table in board.cells:
        tables.setdefault(chart_slug(table), table)
    for slug, runs in runs_by_budget(board).items():
        chosen = runs[:MOST_RUNS]
        found = budget_interactions([_terms(run) for run in chosen])
        cell = tables[slug].cell
        yield render(
            "budgets.html",
            f"budgets/{slug}.html",
            {
                "board": board,
                "title": f"{cell.set_title} {cell.order}",
                "slug": slug,
                "runs": len(chosen),
                "all_runs": len(runs),
                "compared": len(found),
                "changed": sum(one.changes for one in found),
                "reversed": sum(one.reverses for one in found),
                "sure": sum(one.is_sure for one in found),
                "rows": [_place_row(one, chosen) for one in found if one.changes][:MOST_ROWS],
                "scores": _scores(runs),
                "reach": [_reach_row(run, _scores(runs)) for run in runs],
            },
        )


def _terms(run: Run) -> dict[int, RunTerms]:
    return {budget: mean_terms(one.run.exam_ids, one.run.exam_clusters, one.run.scores) for budget, one in run.items()}


def _score(standing: Standing) -> Interval:
    return standing.run.number("score")


def _best_first(run: Run) -> tuple[float, str, str]:
    first = next(iter(run.values()))
    return -max(_score(one).value or 0.0 for one in run.values()), first.entry.id, first.run.prompt


def _place_row(found: Interaction, runs: Sequence[Run]) -> PlaceRow:
    p_value = found.adjusted_p
    return PlaceRow(
        a=runs[found.a][found.low],
        b=runs[found.b][found.low],
        low=found.low,
        high=found.high,
        at_low=_signed(found.at_low),
        at_high=_signed(found.at_high),
        change=_signed(found.change),
        p_value=UNDEFINED if p_value is None else "< 0.001" if p_value < 0.001 else number(p_value, 3),
        verdict=_verdict(found),
    )


def _signed(found: Interval) -> tuple[str, str]:
    text = number(found.value)
    plus = "+" if found.value is not None and found.value > 0 and text.strip("0.") else ""
    return plus + text, interval(found)


def _verdict(found: Interaction) -> str:
    if found.is_sure:
        return "they change places"
    if found.reverses:
        open_at = [
            str(budget)
            for budget, sure in ((found.low, found.sure_at_low), (found.high, found.sure_at_high))
            if not sure
        ]
        return f"the lead changes hands, but is within noise at {' and '.join(open_at)}"
    grows = abs(found.at_high.value or 0.0) > abs(found.at_low.value or 0.0)
    return "the lead grows" if grows else "the lead shrinks"


def _scores(runs: Sequence[Run]) -> list[float]:
    """Return the scores that some run reaches, the lowest ones that all reach everywhere left out but for the last."""
    values = [[_score(one).value or 0.0 for one in run.values()] for run in runs]
    highest = max(max(of_run) for of_run in values)
    lowest = min(min(of_run) for of_run in values)
    reached = [score for score in SCORES if score <= highest]
    return [score for score in reached if score > lowest] or reached[-1:]


def _reach_row(run: Run, scores: Sequence[float]) -> ReachRow:
    reached = []
    for score in scores:
        by_value = [budget for budget in sorted(run) if (_score(run[budget]).value or 0.0) >= score]
        surely = [budget for budget in sorted(run) if (low := _score(run[budget]).low) is not None and low >= score]
        first, sure = (str(found[0]) if found else "" for found in (by_value, surely))
        reached.append((first, sure))
    return ReachRow(next(iter(run.values())), tuple(reached))
