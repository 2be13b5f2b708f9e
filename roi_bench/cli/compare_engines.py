"""``roi-bench compare-engines``: one model on several engines, response by response."""

from __future__ import annotations

from pathlib import Path

import click

from roi_bench.cli.table_output import notify, table_options


@click.command("compare-engines")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--all-pairs", is_flag=True, help="Compare every run with every other, not only with the first.")
@click.option("--per-exam", is_flag=True, help="Also print every response: where it diverges, tokens, outcomes.")
@click.option("--allow-sampled", is_flag=True, help="Accept sampled runs; their texts differ by chance.")
@click.option(
    "--logits",
    "model",
    metavar="MODEL",
    help="Folder or hub name of the model: show how close the two best tokens were where texts diverge "
    "(needs roi-bench[hf]).",
)
@table_options
def compare_engines(
    runs: tuple[Path, ...],
    all_pairs: bool,
    per_exam: bool,
    allow_sampled: bool,
    model: str | None,
    target: str,
    style: str,
    out: Path | None,
    tokenizer: str | None,
    trust_remote_code: bool,
    workers: int | None,
) -> None:
    """Compare RUNS (results_*.json files or folders) of one model on several engines; the first is the reference.

    Whether texts, token counts, finish reasons and outcomes are the same and where texts part, whether token counts
    are those of the tokenizer, and whether scores differ by more than the noise. Two runs of one engine with different
    batch sizes among RUNS show how far an engine repeats itself. No text is printed.
    """
    from roi_bench.analysis.engines import agreement
    from roi_bench.analysis.engines.tables import PER_EXAM, engine_tables
    from roi_bench.analysis.load import ScoringOptions, engine_groups
    from roi_bench.analysis.reports.report import write_tables
    from roi_bench.cli.table_output import make_folder, print_tables, with_progress

    if out is not None:
        make_folder(out)
    options = ScoringOptions(tokenizer, trust_remote_code, workers)
    groups = engine_groups(runs, options, allow_sampled=allow_sampled, show=with_progress("grading"), notify=notify)
    wanted = [pair for group in groups for pair in agreement.pairs_to_compare(group, all_pairs=all_pairs)]
    pairs = [agreement.compare_engines(a, b) for a, b in with_progress("comparing", "pair")(wanted)]
    gaps = None
    if model is not None:
        from roi_bench.harness.token_gaps import token_gaps

        every = [run for group in groups for run in group]
        show = with_progress("computing logits", "response")
        gaps = token_gaps(model, pairs, every, trust_remote_code=trust_remote_code, show=show)
    tables = engine_tables(groups, pairs, gaps, target)
    print_tables([table for table in tables if per_exam or table.name != PER_EXAM], style)
    if not per_exam:
        notify("--per-exam also prints every response")
    if out is not None:
        write_tables(tables, out, "engines")
        notify(f"written to {out}")
