"""``roi-bench report``: tables and pictures of one or several runs."""

from __future__ import annotations

from pathlib import Path

import click

from roi_bench.cli.table_output import notify, output_options

MAIN_TABLES = ("scores", "prompt_noise", "allocation", "comparisons", "ranking")
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
    paired comparisons, ranks and tiers; with a solo profile, allocation apart from solving; with runs of paraphrased
    prompts, their spread.
    """
    from roi_bench.analysis.load import ScoringOptions, load_profile, load_runs
    from roi_bench.analysis.reports.report import make_report
    from roi_bench.cli.table_output import check_pictures, make_folder, print_tables, with_progress

    if out is not None and not no_figures:
        check_pictures()
    if out is not None:
        make_folder(out)
    options = ScoringOptions(tokenizer, trust_remote_code, workers)
    given = [load_profile(path) for path in profile_files]
    loaded = load_runs(results, options, show=with_progress("grading"), notify=notify)
    profiles = [*given, *loaded.profiles]
    made = make_report(loaded, profiles, target=target, show=with_progress("allocating"), notify=notify)
    tables = made.tables
    shown = [table for table in tables if print_all or table.name in MAIN_TABLES]
    print_tables(shown, style)
    if left := [table.name for table in tables if table not in shown]:
        notify(f"--all also prints {', '.join(left)}")
    if out is not None:
        made.write(out, figures=not no_figures)
        notify(f"written to {out}")
