"""The ``roi-bench`` command: finds the subcommand, imports only that one, and turns expected failures into one line.

Each subcommand is one module of this package. The table below gives its help line, so that ``roi-bench --help`` need
not import any of them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from roi_bench import __version__
from roi_bench.errors import RoiBenchError, nearest

COMMANDS = {
    "run": ("roi_bench.cli.run:run", "Run exams with a model: lm_eval's flags, exact token counts, resumable."),
    "view": ("roi_bench.cli.view:view", "Show what a model wrote, exam by exam: pages, or one exam in the terminal."),
    "report": ("roi_bench.cli.report:report", "Report on runs: tables, comparisons, tiers, pictures."),
    "compare-engines": (
        "roi_bench.cli.compare_engines:compare_engines",
        "Compare runs of one model on several engines, response by response.",
    ),
    "profile": ("roi_bench.cli.profile:profile", "Make a solo profile: what each problem costs a model alone."),
    "allocate": ("roi_bench.cli.allocate:allocate", "Separate allocation from skill: V_DP, AE, SR at every budget."),
    "regrade": ("roi_bench.cli.regrade:regrade", "Recompute every number of a results folder from its raw responses."),
    "train": ("roi_bench.cli.train:train", "Train a model to know what its thinking is worth: MFT, then RARL."),
    "submit": ("roi_bench.cli.submit:submit", "Pack finished runs for a leaderboard, and check submissions."),
    "leaderboard": ("roi_bench.cli.leaderboard:leaderboard", "Build, show and export a board of submissions."),
    "exams": ("roi_bench.cli.exams:exams", "Build, verify and show exams."),
    "doctor": ("roi_bench.cli.doctor:doctor", "Check this installation and say what to do about each problem."),
}
"""Name of each subcommand: where its click command is, and its help line."""

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, as shells have them (128 + the signal's number)."""


SLOW_PACKAGES = (
    *("accelerate", "datasets", "litellm", "lm_eval", "math_verify", "matplotlib", "numpy", "openai", "pandas", "peft"),
    *("pyarrow", "reasoning_gym", "scipy", "sympy", "tokenizers", "torch", "transformers", "trl", "vllm"),
)
"""Packages that take longer to import than this command line."""


class LoadingNotice:
    """An import finder that finds nothing: says what is being loaded when the first slow package is imported.

    So every command prints its first line before it has anybody wait, wherever its imports stand.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._is_silent = os.environ.get("RANK", "0") != "0"  # one process of a launch says it for all

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Say it once, and not where ``importlib.util.find_spec`` only asks whether there is such a package."""
        if fullname in SLOW_PACKAGES and not self._is_silent and not _is_only_asked():
            self._is_silent = True
            click.echo(f"{self._command}: loading {fullname} …", err=True)


def _is_only_asked() -> bool:
    asker = sys._getframe(3)  # of importlib's own function, which goes through the finders and called ours
    return asker.f_globals.get("__name__") == importlib.util.__name__


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand that ``args`` begins with.

        Raises:
            click.UsageError: There is none of that name; the message gives the nearest names.
        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"unknown command {name!r}; {nearest(name, list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command section from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Plain lm_eval knows the tasks as well: lm_eval --tasks roi_exam_hard_512 …",
)
@click.version_option(__version__, prog_name="roi-bench")
def cli() -> None:
    """Three problems, one generation, one hard token budget: does a model know what its thinking is worth?"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Expected failures end in one line on stderr and the exit code of their kind (see :mod:`roi_bench.errors`); a usage
    error has 2, any failure of the operating system 1, Ctrl-C 130.

    Args:
        arguments: The command line without the program's name; by default that of this process.
    """
    # Python's last collection walks through all that modules hold, which takes a second or two and frees nothing else.
    atexit.register(gc.freeze)
    given = None if arguments is None else list(arguments)
    notice = LoadingNotice("roi-bench")
    sys.meta_path.insert(0, notice)
    try:
        result = cli.main(args=given, prog_name="roi-bench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "roi-bench"
        _fail(f"{error.format_message().rstrip('.')} (see {path} --help)", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except RoiBenchError as error:
        _fail(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", INTERRUPTED)
    except OSError as error:
        _fail(_describe(error), 1)
    finally:
        sys.meta_path.remove(notice)
    sys.exit(result if isinstance(result, int) else 0)


def _describe(error: OSError) -> str:
    """Return what failed and where, without Python's notation."""
    where = f": {error.filename}" if error.filename is not None else ""
    return f"{error.strerror or type(error).__name__}{where}" if error.errno is not None else str(error)


def _fail(message: str, exit_code: int) -> NoReturn:
    """Print ``message`` as one line to stderr and exit."""
    click.echo(f"roi-bench: {' '.join(message.split())}", err=True)
    sys.exit(exit_code)
