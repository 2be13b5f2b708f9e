"""Tables of scores: runs side by side with intervals, outcomes of their problems, comparisons and tiers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from roi_bench.analysis.paired import PairedDifference, compare_paired
from roi_bench.analysis.ranking import rank_runs
from roi_bench.analysis.reports.tables import Cell as TableCell
from roi_bench.analysis.reports.tables import Column, Interval, Table, interval_around
from roi_bench.analysis.runs import Cell, ScoredRun, common_name
from roi_bench.exams.exam import TIERS, pools_of
from roi_bench.scoring.metrics import tier_names
from roi_bench.scoring.statistics import Estimate, confidence_interval

TARGET_NOTES = {
    "general": "Intervals: 95 %, for such problems in general (clustered by re-used problem), where anything varied.",
    "fixed": "Intervals: 95 %, on these very exams (exams independent), where anything varied.",
}
"""What intervals are about, by target."""


def interval_of(estimate: Estimate, target: str = "general") -> Interval:
    """Return an estimate with its 95 % interval, as tables show it."""
    return interval_around(estimate.value, confidence_interval(estimate, target=target))


def score_table(runs: Sequence[ScoredRun], target: str = "general") -> Table:
    """Return score, easy-order score and regret of each run, with intervals."""
    common = common_name([run.task for run in runs])
    rows: list[tuple[TableCell, ...]] = []
    for run in runs:
        found = run.estimates()
        main = [interval_of(found[name], target) for name in ("score", "score_easy", "regret")]
        rows.append((run.name, run.cell.title, found["error"].exams, *main, found["error"].value))
    return Table(
        name="scores",
        title=f"Scores of {common}" if common else "Scores",
        columns=(
            *(Column("run"), Column("exams"), Column("n", 0), Column("score"), Column("score in easy order")),
            *(Column("regret"), Column("error")),
        ),
        rows=tuple(rows),
        note="Score: correct answers per exam, 0–3. Regret: share of the easy order's correct answers lost. "
        f"{TARGET_NOTES[target]}",
    )


def runs_table(runs: Sequence[ScoredRun]) -> Table:
    """Return the legend of the run names in the other tables."""
    rows: list[tuple[TableCell, ...]] = []
    for run in runs:
        decoding = ", ".join(f"{name}={value}" for name, value in sorted(run.task.decoding.items()))
        file = run.task.results_path
        rows.append(
            (
                *(run.name, run.cell.title, run.task.model, run.task.name, run.task.record.repeats, decoding),
                f"{file.parent.name}/{file.name}",
            )
        )
    heads = ("run", "exams", "model", "task", "samples", "decoding", "results file")
    return Table("runs", "Runs", tuple(map(Column, heads)), tuple(rows), "What each name in these tables stands for.")


def outcome_table(runs: Sequence[ScoredRun]) -> Table:
    """Return the outcomes of each run's problems: accuracy by position and tier, outcomes, tokens."""
    shares = ("skip_rate", "wrong", "truncated", "unanswered", "empty", "unboxed")
    rows: list[tuple[TableCell, ...]] = []
    for run in runs:
        found = run.estimates()
        named = tier_names(pools_of(run.exams))
        names = [*(f"p{k}_acc" for k in (1, 2, 3)), *(f"{named[tier]}_acc" for tier in TIERS), *shares]
        rows.append(
            (
                run.name,
                run.cell.title,
                *(found[name].value for name in (*names, "tokens", "budget_use", "planning_tokens")),
            )
        )
    heads = ("right at 1", "right at 2", "right at 3", "easy", "middle", "hard")
    return Table(
        name="outcomes",
        title="Accuracy and outcomes",
        columns=(
            *(Column("run"), Column("exams"), *map(Column, heads)),
            *(Column("skipped"), Column("wrong"), Column("cut off"), Column("unanswered"), Column("empty")),
            *(Column("unboxed"), Column("tokens", 0), Column("budget used"), Column("planning", 0)),
        ),
        rows=tuple(rows),
        note="Shares of problems, in the task's own order: accuracy by position and by tier, outcomes; unboxed is a "
        "share of graded answers, those read without a box. Tokens and planning tokens per exam.",
    )


def budget_table(runs: Sequence[ScoredRun], target: str = "general") -> Table | None:
    """Return the score of each run by budget, one column a budget; None unless something was run at several budgets."""
    budgets = sorted({run.cell.budget for run in runs})
    scores: dict[tuple[str, str], dict[int, Interval]] = {}
    for run in runs:
        row = scores.setdefault((run.name, f"{run.cell.set_title} {run.cell.order}"), {})
        row[run.cell.budget] = interval_of(run.estimates()["score"], target)
    if max(map(len, scores.values()), default=0) < 2:
        return None
    return Table(
        name="score_by_budget",
        title="Score by budget",
        columns=(Column("run"), Column("exams"), *(Column(f"{budget} tokens") for budget in budgets)),
        rows=tuple((*names, *(row.get(budget) for budget in budgets)) for names, row in scores.items()),
        note=f"Correct answers per exam, 0–3, in the task's own order. {TARGET_NOTES[target]}",
    )


def cells_of(runs: Sequence[ScoredRun]) -> dict[Cell, list[ScoredRun]]:
    """Return the runs by cell, in the order given."""
    cells: dict[Cell, list[ScoredRun]] = {}
    for run in runs:
        cells.setdefault(run.cell, []).append(run)
    return cells


def comparison_table(runs: Sequence[ScoredRun], target: str = "general") -> Table | None:
    """Return every pair of runs with the same exams, compared exam by exam; None if there is no such pair."""
    rows: list[tuple[TableCell, ...]] = []
    for cell, members in cells_of(runs).items():
        scores, regrets = ({run.name: run.terms(metric) for run in members} for metric in ("score", "regret"))
        for a, b in combinations(members, 2):
            if not scores[a.name].keys() & scores[b.name].keys():
                rows.append((cell.title, a.name, b.name, 0, *[None] * 7))
                continue
            score, regret = (compare_paired(terms[a.name], terms[b.name], target=target) for terms in (scores, regrets))
            rows.append(
                (
                    *(cell.title, a.name, b.name, score.exams, score.discordant, _difference(score), score.p_value),
                    *(score.minimum_detectable_effect, _difference(regret), regret.p_value),
                    regret.minimum_detectable_effect,
                )
            )
    if not rows:
        return None
    return Table(
        name="comparisons",
        title="Paired comparisons",
        columns=(
            *(Column("exams"), Column("run A"), Column("run B"), Column("n", 0), Column("discordant", 0)),
            *(Column("score A − B", 3), Column("p", 4), Column("detectable", 3)),
            *(Column("regret A − B", 3), Column("p (regret)", 4), Column("detectable (regret)", 3)),
        ),
        rows=tuple(rows),
        note="Exam by exam on the exams that both sat. p: permutation test, not corrected for the number of pairs. "
        "Discordant: exams whose scores differ. Detectable: true difference found with 80 % power by so many exams. "
        f"{TARGET_NOTES[target]}",
    )


def _span(ranks: tuple[int, int] | None) -> str | None:
    """Return a rank interval as tables show it: ``2`` or ``1–3``."""
    if ranks is None:
        return None
    return str(ranks[0]) if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"


def _difference(found: PairedDifference) -> Interval:
    return interval_around(found.difference, found.interval)


def ranking_table(runs: Sequence[ScoredRun], target: str = "general") -> Table | None:
    """Return ranks as intervals and tiers in each cell with several runs; None where there is none."""
    rows: list[tuple[TableCell, ...]] = []
    for cell, members in cells_of(runs).items():
        if len(members) < 2:
            continue
        terms = {run.name: run.terms("score") for run in members}
        if any(not terms[a.name].keys() & terms[b.name].keys() for a, b in combinations(members, 2)):
            # two of them have no exam in common, so they cannot be ranked
            rows += [
                (cell.title, None, None, run.name, interval_of(run.estimates()["score"], target)) for run in members
            ]
            continue
        ranks = rank_runs(terms, higher_is_better=True, target=target).ranks
        rows += [
            (cell.title, rank.tier, _span(rank.ranks), rank.name, interval_of(rank.estimate, target)) for rank in ranks
        ]
    if not rows:
        return None
    return Table(
        name="ranking",
        title="Ranks and tiers by score",
        columns=(Column("exams"), Column("tier", 0), Column("rank"), Column("run"), Column("score")),
        rows=tuple(rows),
        note="Runs whose ranks overlap are not told apart by these exams. All pairs tested exam by exam, p-values "
        "corrected for their number (Holm); a new tier begins with the first run that is worse than the tier's best. "
        f"{TARGET_NOTES[target]}",
    )
