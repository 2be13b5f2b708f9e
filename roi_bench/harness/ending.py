"""How a run ends: with results, early on purpose, by a signal, or with one line for an error that we expect."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import NoReturn

from roi_bench.errors import RoiBenchError

# One clear line instead of a traceback when plain ``lm_eval`` meets one of our expected failures.


def install_one_line_errors() -> None:
    """Make an uncaught :class:`RoiBenchError` end the process with its message as one line (exit code 1).

    Every other exception goes to the hook that was there before. Installing twice changes nothing.
    """
    previous = sys.excepthook
    if getattr(previous, "__module__", None) == __name__:
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, RoiBenchError):
            sys.stderr.write(f"roi-bench: {error}\n")
        else:
            previous(kind, error, trace)

    sys.excepthook = hook


# How a run ends before it has results: on purpose (a dry run, a batch not waited for), or by a signal.


class EndedEarlyError(Exception):
    """Raised to end a run early on purpose; the message says what was done and how to go on."""


class TerminatedError(KeyboardInterrupt):
    """Raised when the system or a job scheduler asks this process to end (SIGTERM); it ends as after Ctrl-C."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the block at SIGTERM as at Ctrl-C, so that the last message can say what is kept; main thread only.

    Raises:
        TerminatedError: SIGTERM came.
    """

    def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TerminatedError("terminated")

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
