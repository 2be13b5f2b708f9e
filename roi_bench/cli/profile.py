"""``roi-bench profile``: a solo profile from the raw responses of a solo task."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write (default: print the table only)."
)
@click.option("--task", "task_name", help="Solo task to take, where RESULTS holds several.")
@click.option("--skip-cost", type=click.IntRange(min=0), help="Tokens of a skip (default: counted with the tokenizer).")
@click.option("--tokenizer", help="Tokenizer to count with in place of the recorded one.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a tokenizer that brings its own code.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core).")
def profile(
    results: tuple[Path, ...],
    out: Path | None,
    task_name: str | None,
    skip_cost: int | None,
    tokenizer: str | None,
    trust_remote_code: bool,
    workers: int | None,
) -> None:
    """Turn the solo task in RESULTS (a results_*.json or a folder) into a table of costs and successes by problem.

    A capped generation is a prefix of the longer one, so the profile tells the success at every budget up to its cap.
    """
    from roi_bench.analysis.efficiency import profile_table
    from roi_bench.analysis.load import ScoringOptions, choose_solo_task, exams_of, profile_of, read_all
    from roi_bench.analysis.profile import profile_text
    from roi_bench.cli.table_output import make_folder, notify, print_tables
    from roi_bench.machine import write_atomically

    if out is not None:
        make_folder(out.parent)
    task = choose_solo_task(read_all(results, notify), task_name)
    made = profile_of(task, ScoringOptions(tokenizer, trust_remote_code, workers), skip_cost=skip_cost)
    print_tables([profile_table(made, list(exams_of(task).values()))], "text")
    if all(len({*zip(skill.costs, skill.correct, strict=True)}) == 1 for skill in made.skills.values()):
        notify(
            "all samples of every problem are equal (were they decoded greedily?); a distribution needs a sampling "
            "temperature"
        )
    if skip_cost is None and ScoringOptions(tokenizer).name_for(task) is None:
        notify(
            f"no tokenizer is known, so a skip is taken to cost {made.skip_cost} tokens; --tokenizer counts it, "
            "--skip-cost says it"
        )
    if out is not None:
        write_atomically(out, profile_text(made).encode("utf-8"))
        click.echo(f"written to {out}", err=True)
