"""``roi-bench allocate``: the value of perfect allocation for a model's skill, and the share that it achieved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roi_bench.cli.table_output import notify, output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roi_bench.analysis.efficiency import Efficiency, ValueCurves
    from roi_bench.analysis.profile import Profile
    from roi_bench.analysis.runs import ScoredRun
    from roi_bench.exams.exam import Exam


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Exam results of the same model (a results_*.json or a folder); can be repeated.",
)
@click.option(
    "--order",
    "orders",
    multiple=True,
    type=click.Choice(["easy", "medium", "hard"]),
    help="Order whose values and picture are shown (default: all three); runs are shown in their own.",
)
@click.option("--budgets", help="Budgets of the table, comma-separated (default: five up to the profile's cap).")
@click.option("--any-model", is_flag=True, help="Allow a profile whose model is not that of the results.")
@output_options
def allocate(
    profile: Path,
    results: tuple[Path, ...],
    orders: tuple[str, ...],
    budgets: str | None,
    any_model: bool,
    target: str,
    style: str,
    out: Path | None,
    no_figures: bool,
    tokenizer: str | None,
    trust_remote_code: bool,
    workers: int | None,
) -> None:
    """Say what a solo PROFILE (made by roi-bench profile) is worth in exams, at every budget, without any model call.

    With --results it says how a model used its skill: score = V_DP · AE · SR.
    """
    from roi_bench.analysis.efficiency import efficiencies, efficiency_table, value_curves, value_table
    from roi_bench.analysis.load import ScoringOptions, load_profile, score_runs
    from roi_bench.analysis.reports.report import write_tables
    from roi_bench.cli.table_output import check_pictures, make_folder, print_tables, with_progress
    from roi_bench.exams.sets import load_exams

    loaded = load_profile(profile)
    if out is not None and not no_figures:
        check_pictures()
    chosen = _budgets(budgets, loaded.cap)
    if out is not None:
        make_folder(out)
    runs: list[ScoredRun] = []
    if results:
        options = ScoringOptions(tokenizer, trust_remote_code, workers)
        runs = score_runs(results, options, show=with_progress("grading"), notify=notify)
        runs = _served(loaded, runs, any_model)
    exams = _covered(loaded, load_exams(loaded.exam_set, seed=loaded.exam_seed or 0), runs)
    needed = dict.fromkeys([*(orders or ("easy", "medium", "hard")), *(run.cell.order for run in runs)])
    needed |= {"easy": None} if runs else {}
    curves = {
        order: value_curves(loaded, exams, order, loaded.cap) for order in with_progress("allocating")(list(needed))
    }
    tables = [value_table(loaded, [curves[order] for order in orders or needed], chosen, target)]
    found = efficiencies(loaded, runs, curves)
    if found:
        tables.insert(0, efficiency_table(found, target))
    print_tables(tables, style)
    if out is not None:
        figures = {} if no_figures else _figures(loaded, [curves[order] for order in orders or needed], found, target)
        write_tables(tables, out, "allocation", figures)
        notify(f"written to {out}")


def _budgets(given: str | None, cap: int) -> list[int]:
    """Return the budgets of the table.

    Raises:
        click.UsageError: One is not a number of tokens up to ``cap``.
    """
    if given is None:
        return sorted({max(1, cap * part // 8) for part in (1, 2, 4, 6, 8)})
    found = []
    for part in given.split(","):
        if not (part.strip().isascii() and part.strip().isdecimal()) or not 0 < int(part) <= cap:
            raise click.UsageError(
                f"--budgets {given}: {part.strip()!r} is not a number of tokens from 1 to the profile's cap of {cap}"
            )
        found.append(int(part))
    return sorted(set(found))


def _served(profile: Profile, runs: list[ScoredRun], any_model: bool) -> list[ScoredRun]:
    """Return the runs that ``profile`` applies to; print which are left out, and if prompts or decoding differ.

    Raises:
        UsageError: A run is of another model than the profile, or none is left.
    """
    from roi_bench.analysis.profile import difference_notes, why_not_served
    from roi_bench.errors import UsageError

    served = []
    for run in runs:
        if run.task.model != profile.model and not any_model:
            raise UsageError(
                f"{run.name} is a run of {run.task.model!r}, and the profile is of {profile.model!r}; skill "
                "belongs to one model. If both are one model under two names, add --any-model"
            )
        if reason := why_not_served(run, profile):
            notify(f"{run.name}, {run.cell.title}, is left out: {reason}")
        else:
            served.append(run)
    if not served:
        raise UsageError(f"the profile applies to none of the runs ({len(runs)}), for the reasons above")
    for note in difference_notes(profile, served):
        notify(note)
    return served


def _covered(profile: Profile, exams: Sequence[Exam], runs: Sequence[ScoredRun]) -> list[Exam]:
    """Return the exams whose problems are all in the profile; where there are runs, only exams of some run.

    Raises:
        UsageError: There are none.
    """
    from roi_bench.errors import UsageError

    attempted = {name for run in runs for name in run.scored}
    wanted = [exam for exam in exams if not runs or exam.id in attempted]
    covered = [exam for exam in wanted if profile.covers(exam)]
    if not covered:
        raise UsageError("the profile covers no exam in full; run the solo task with a higher --limit, or with none")
    if len(covered) < len(exams):
        those = "those in the runs" if runs else "those"
        notify(f"values are for {len(covered)} of {len(exams)} exams: {those} whose problems are all in the profile")
    return covered


def _figures(
    profile: Profile, curves: list[ValueCurves], found: list[tuple[str, Efficiency]], target: str
) -> dict[str, Any]:
    from roi_bench.analysis.reports.report import sweep_figure

    return {f"budget_sweep_{c.order}": sweep_figure(profile, c, found, target) for c in curves}
