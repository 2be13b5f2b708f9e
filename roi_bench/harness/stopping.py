"""How a run ends before it has results: as asked for (a dry run, a batch not waited for), or by a signal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


class EndedEarlyError(Exception):
    """Not a failure: what was asked for is done. The message says what, and how to go on."""


class TerminatedError(KeyboardInterrupt):
    """The system, or a scheduler of jobs, asked this process to end (SIGTERM); it ends as after Ctrl-C."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the block at SIGTERM as Ctrl-C ends it, so that what is kept is said; nothing changes in other threads.

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
