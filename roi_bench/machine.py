"""The machine that this runs on: cores, shipped data, files written whole or not at all, progress bars in logs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TERMINAL_INTERVAL, LOG_INTERVAL = 0.5, 30.0
"""Seconds between two states of a progress bar on a terminal, and in a log file, where each is a line."""


def usable_cores() -> tuple[int, ...]:
    """Return the ids of the cores that this process may use; where the system does not say, 0 to their number − 1."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def data_folder(name: str) -> Path:
    """Return a folder of shipped data, links resolved: ``tasks``, ``baselines/tasks``, ``reference_training/recipes``.

    An installation has them inside the package. So has a checkout, through links; one that was made without symbolic
    links has files in their place, and the folders beside the package.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    return (inside if inside.is_dir() else package.parent / name).resolve()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step: whoever reads it sees the old file or the new one, never a part.

    What is no file (``/dev/null``, a pipe) is written to, not replaced.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class BarFile:
    """The file that a progress bar writes to: stderr, where no terminal is a line for each state and no rest of one.

    A bar moves back to the beginning of its line and overwrites it with blanks; a log file would keep all of that.
    """

    @property
    def encoding(self) -> str:
        """That of stderr; bars look at it for the characters that they may use."""
        return sys.stderr.encoding or "ascii"

    def write(self, text: str) -> None:
        """Write one state of a bar."""
        if sys.stderr.isatty():
            sys.stderr.write(text)
        elif state := text.strip("\r\n "):
            sys.stderr.write(f"{state}\n")

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()

    def fileno(self) -> int:
        """That of stderr, whose width a bar asks for."""
        return sys.stderr.fileno()

    @property
    def interval(self) -> float:
        """Least seconds between two states."""
        return TERMINAL_INTERVAL if sys.stderr.isatty() else LOG_INTERVAL
