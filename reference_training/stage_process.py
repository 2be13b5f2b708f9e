"""Stages as processes of their own: memory is free again when one ends, and its exit code says what went wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from roi_bench.errors import DataError, DependencyError, ModelError, RecordError, RoiBenchError, UsageError

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

GRACE = 20.0
"""Seconds that an interrupted process has to write down what it was about to."""

_FAILURES: dict[int, type[RoiBenchError]] = {
    kind.exit_code: kind for kind in (UsageError, DataError, ModelError, RecordError, DependencyError)
}


def run_stage(command: Sequence[str]) -> int:
    """Run ``command`` with this process's output and return its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C. The command got it as well, and had :data:`GRACE` seconds to end by itself.
    """
    with subprocess.Popen(list(command)) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise


def check_exit(code: int, what: str) -> None:
    """Raise what the exit code of a stage's process says; nothing where it succeeded.

    Args:
        code: The exit code.
        what: What the process did, for the message.

    Raises:
        RoiBenchError: It failed; of the type that its exit code says.
        KeyboardInterrupt: It was interrupted.
    """
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        raise _FAILURES.get(code, ModelError)(
            f"{what} failed (exit code {code}); its own message stands above. Give the same command again once that is "
            "settled: what is finished is kept"
        )
