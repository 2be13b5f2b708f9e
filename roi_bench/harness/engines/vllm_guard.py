"""Ending a vLLM engine when this process was killed outright (kill -9): it would run on, and keep the memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

GUARD = """
import os, signal, sys
for pid in [int(line) for line in sys.stdin]:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""
"""It reads until the other end of its input is closed, which the system does for a process that is gone."""


class Guard:
    """A small process that kills others when this one is gone.

    Args:
        pids: Whom to kill.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run, which ends its engine itself
        )
        if self._process.stdin is not None:
            self._process.stdin.write("".join(f"{pid}\n" for pid in pids))
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """End the guard; nobody is killed."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def processes_of_engine(core: Any) -> list[int]:
    """Return the ids of the processes that vLLM's ``LLMEngine`` started; their workers end with them."""
    resources = getattr(getattr(core, "engine_core", None), "resources", None)
    started = getattr(getattr(resources, "engine_manager", None), "processes", None) or ()
    return [process.pid for process in started if isinstance(getattr(process, "pid", None), int)]
