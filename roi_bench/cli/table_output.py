"""Shared by commands that print tables: their options, a folder for files, printing, progress."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from roi_bench.analysis.reports.tables import Table

Item = TypeVar("Item")
Command = TypeVar("Command", bound=Callable[..., Any])

NARROWEST, LOG_WIDTH = 100, 160
"""Columns of text tables where the terminal is narrower, and where there is none."""


def output_options(command: Command) -> Command:
    """Add the options of commands that end in tables and pictures."""
    return table_options(
        click.option("--no-figures", is_flag=True, help="Draw no pictures (they need matplotlib).")(command)
    )


def check_pictures() -> None:
    """Check that pictures can be drawn; the error names the option that leaves them out.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    from roi_bench.analysis.reports.figures import check_figures
    from roi_bench.errors import DependencyError

    try:
        check_figures()
    except DependencyError as error:
        raise DependencyError(f"{error}, or leave them out with --no-figures") from error


def table_options(command: Command) -> Command:
    """Add the options of commands that end in tables."""
    for option in (
        click.option(
            "--target",
            type=click.Choice(["general", "fixed"]),
            default="general",
            show_default=True,
            help="Target of intervals and tests: new problems (general), or these exams alone (fixed).",
        ),
        click.option(
            "--format",
            "style",
            type=click.Choice(["text", "markdown"]),
            default="text",
            show_default=True,
            help="Format of the printed tables.",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder for the tables as text, Markdown and CSV, and for pictures.",
        ),
        click.option("--tokenizer", help="Tokenizer to count with in place of the recorded one."),
        click.option("--trust-remote-code", is_flag=True, help="Allow a tokenizer that brings its own code."),
        click.option(
            "--workers", type=click.IntRange(min=1), help="Processes for symbolic checks (default: one per core)."
        ),
    )[::-1]:
        command = option(command)
    return command


def notify(line: str) -> None:
    """Print a remark to stderr, on a line of its own even where a progress bar stands."""
    if (bars := sys.modules.get("tqdm")) is not None:
        # Not tqdm.write: it draws a bar that still waits out its delay, and close() then leaves that one standing.
        for bar in list(bars.tqdm._instances):
            bar.clear()
    click.echo(f"roi-bench: {line}", err=True)


def make_folder(folder: Path) -> None:
    """Make ``folder`` before anything is computed for it.

    Raises:
        UsageError: It cannot be made or written.
    """
    from roi_bench.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".roi-bench-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from error


def print_tables(tables: Sequence[Table], style: str) -> None:
    """Print ``tables`` to stdout as ``text`` or ``markdown``."""
    from roi_bench.analysis.reports.tables import to_markdown, to_text

    width = max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else LOG_WIDTH
    for table in tables:
        click.echo(to_text(table, width) if style == "text" else to_markdown(table))


def with_progress(what: str, unit: str = "task") -> Callable[[Iterable[Item]], Iterable[Item]]:
    """Return a function that goes through items, ``unit`` by unit, under a progress bar on stderr."""

    def show(items: Iterable[Item]) -> Iterable[Item]:
        from tqdm import tqdm

        from roi_bench.machine import BarFile

        file = BarFile()
        bar: Iterable[Item] = tqdm(
            items, desc=what, unit=unit, leave=False, delay=2, file=file, mininterval=file.interval
        )
        return bar

    return show
