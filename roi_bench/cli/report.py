"""``roi-bench report``: one or several runs, looked at from every side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from roi_bench.cli.table_output import output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roi_bench.analysis.profile import Profile
    from roi_bench.analysis.report import ProfiledRuns
    from roi_bench.analysis.runs import ScoredRun

MAIN_TABLES = ("scores", "allocation", "comparisons", "ranking")
"""What is printed of a report without ``--all``."""


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--profile",
    "profile_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Solo profile of a model (made by roi-bench profile); solo tasks among RESULTS are taken by themselves.",
)
@click.option("--all", "print_all", is_flag=True, help="Print every table, not only the main ones.")
@output_options
def report(
    results: tuple[Path, ...],
    profile_files: tuple[Path, ...],
    print_all: bool,
    target: str,
    style: str,
    out: Path | None,
    no_figures: bool,
    tokenizer: str | None,
    trust_remote_code: bool,
    workers: int | None,
) -> None:
    """Report on RESULTS (results_*.json files or folders), every number from raw responses.

    Scores with intervals, accuracy by position and tier, tokens, level forecasts, effort, skips; for several runs
    paired comparisons, ranks and tiers; with a solo profile, allocation apart from solving.
    """
    from roi_bench.analysis.report import allocations, match_profiles, report_tables
    from roi_bench.cli.table_output import print_tables, with_progress, write_tables
    from roi_bench.harness.recorded_runs import Means, load_profile, profile_of, read_all, score_runs

    if out is not None and not no_figures:
        from roi_bench.analysis.figures import check_figures

        check_figures()
    means = Means(tokenizer, trust_remote_code, workers)
    profiles = [load_profile(path) for path in profile_files]
    profiles += [profile_of(task, means) for task in read_all(results) if task.record.form == "solo"]
    runs = score_runs(results, means, show=with_progress("grading"))
    matched = match_profiles(runs, profiles)
    _tell_unmatched(runs, profiles, matched)
    allocated = allocations(matched, with_progress("allocating"))
    tables = report_tables(runs, matched, allocated, target)
    shown = [table for table in tables if print_all or table.name in MAIN_TABLES]
    print_tables(shown, style)
    if left := [table.name for table in tables if table not in shown]:
        click.echo(f"roi-bench: --all also prints {', '.join(left)}", err=True)
    if out is not None:
        figures = {}
        if not no_figures:
            from roi_bench.analysis.report_figures import report_figures

            figures = report_figures(runs, matched, allocated, target)
        write_tables(tables, out, "report", figures)


def _tell_unmatched(runs: Sequence[ScoredRun], profiles: Sequence[Profile], matched: Sequence[ProfiledRuns]) -> None:
    """Say which profiles serve no run, and why."""
    used = {id(item.profile) for item in matched}
    for profile in profiles:
        if id(profile) not in used:
            models = ", ".join(sorted({f"{run.task.model} ({run.cell.exam_set})" for run in runs}))
            click.echo(
                f"roi-bench: the profile of {profile.model} ({profile.exam_set}, cap {profile.cap}) fits none of the "
                f"runs ({models}) or none whose budget is within its cap, and is left out",
                err=True,
            )
