"""One clear line instead of a traceback when plain ``lm_eval`` meets an expected failure of ours."""

from __future__ import annotations

import sys
from types import TracebackType

from roi_bench.errors import RoiBenchError


def install() -> None:
    """Let an uncaught :class:`RoiBenchError` end the process with its message as one line (exit code 1).

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
