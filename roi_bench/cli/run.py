"""``roi-bench run``: run exams with a model."""

from __future__ import annotations

import atexit
import os
import sys

import click

from roi_bench.cli.main import INTERRUPTED, TERMINATED


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Run exams with a model: lm_eval's flags, exact token counts, resumable."""
    if not arguments or {"-h", "--help"} & set(arguments):
        from roi_bench.harness.run_arguments import build_parser

        click.echo(build_parser().format_help())
        return
    atexit.register(_hear_no_more)
    from roi_bench.harness.ending import TerminatedError
    from roi_bench.harness.run import run as run_evaluation

    try:
        run_evaluation(arguments)
    except KeyboardInterrupt as error:
        click.echo(f"roi-bench: {str(error) or 'interrupted'}", err=True)
        raise click.exceptions.Exit(TERMINATED if isinstance(error, TerminatedError) else INTERRUPTED) from error


def _hear_no_more() -> None:
    """Silence stderr after the run's last line: triton's bindings write a page about leaks at exit.

    Registered before anything heavy is imported, hence called after all other exit handlers.
    """
    if "triton" in sys.modules:
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
