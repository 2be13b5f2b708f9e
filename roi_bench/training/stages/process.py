"""Running stages in separate processes: memory is free again when one ends, and its exit code says what went wrong.

A stage is a command line of ``roi-bench``. A new interpreter runs it, and imports torch, transformers and TRL anew: of
a stage of the ``test`` recipe that is half the time. Where no accelerator is in use, a process that has done nothing
but import them is started once, and every stage is forked from it (:func:`stage_runner`); with one that would not do,
since what drives a GPU does not survive a fork.
"""

from __future__ import annotations

import atexit
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, get_context

from roi_bench.errors import DataError, DependencyError, ModelError, RecordError, RoiBenchError, UsageError

StageRunner = Callable[[Sequence[str]], int]
"""Runs ``roi-bench`` with these arguments and returns its exit code."""

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

GRACE = 20.0
"""Seconds that an interrupted process has to write down what it was about to."""

_FAILURES: dict[int, type[RoiBenchError]] = {
    kind.exit_code: kind for kind in (UsageError, DataError, ModelError, RecordError, DependencyError)
}


def stage_runner() -> StageRunner:
    """Return how to run stages on this machine: :func:`run_forked` on the CPU of Linux, else :func:`run_stage`.

    The process that stages are forked from begins its imports now, beside whatever the caller still has to do.
    """
    if sys.platform != "linux" or _has_accelerator():
        return run_stage
    get_context("forkserver").set_forkserver_preload(["roi_bench.training.stages.imports"])
    forkserver.ensure_running()
    return run_forked


def _has_accelerator() -> bool:
    """Return whether torch finds an accelerator; true without torch, whose absence the stage itself will report."""
    try:
        import torch
    except ImportError:
        return True
    return bool(torch.accelerator.is_available())


def run_stage(arguments: Sequence[str]) -> int:
    """Run ``roi-bench`` with ``arguments`` in a new interpreter, with this process's output; return its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C. The command got it as well, and had :data:`GRACE` seconds to end by itself.
    """
    with subprocess.Popen([sys.executable, "-m", "roi_bench", *arguments]) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise


def run_forked(arguments: Sequence[str]) -> int:
    """Run ``roi-bench`` as :func:`run_stage` does, in a fork of the process that :func:`stage_runner` started.

    As always with ``multiprocessing``, a script that calls this does so below ``if __name__ == "__main__"``.

    Raises:
        KeyboardInterrupt: Ctrl-C. The command got it as well, and had :data:`GRACE` seconds to end by itself.
    """
    process = get_context("forkserver").Process(target=_roi_bench, args=(list(arguments),))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join(GRACE)
        process.terminate()
        raise
    return 1 if process.exitcode is None else process.exitcode


def _roi_bench(arguments: list[str]) -> None:
    """Act as ``python -m roi_bench`` with ``arguments``; ends in SystemExit with the exit code."""
    sys.argv = ["roi-bench", *arguments]
    try:
        runpy.run_module("roi_bench", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # loggers send their last lines there; processes of multiprocessing leave it out


def check_exit(code: int, what: str) -> None:
    """Raise the error that the exit code of a stage's process stands for; nothing if it succeeded.

    Args:
        code: The exit code.
        what: Name of the process's work, for the message.

    Raises:
        RoiBenchError: It failed; of the type that its exit code says.
        KeyboardInterrupt: It was interrupted.
    """
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        raise _FAILURES.get(code, ModelError)(
            f"{what} failed (exit code {code}); see its message above. Fix the cause and run the same command again; "
            "finished work is kept"
        )
