"""``roi-bench run``: sit exams with a model."""

from __future__ import annotations

import click

from roi_bench.cli.main import INTERRUPTED, TERMINATED


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Sit exams with a model: lm_eval's flags, exact token counts, resumable."""
    if not arguments or {"-h", "--help"} & set(arguments):
        from roi_bench.harness.run_arguments import build_parser

        click.echo(build_parser().format_help())
        return
    from roi_bench.harness.run import run as run_evaluation
    from roi_bench.harness.stopping import TerminatedError

    try:
        run_evaluation(arguments)
    except KeyboardInterrupt as error:
        click.echo(f"roi-bench: {str(error) or 'interrupted'}", err=True)
        raise click.exceptions.Exit(TERMINATED if isinstance(error, TerminatedError) else INTERRUPTED) from error
