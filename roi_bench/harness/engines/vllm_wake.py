"""Waking a run whose vLLM engine was killed: vLLM notes it, and does not tell whoever waits for the next output."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

SECONDS = 1.0
"""Time between two looks at the engine."""


@contextlib.contextmanager
def woken_if_killed(core: Any) -> Iterator[None]:
    """Within the block, end a wait for the engine's next output once its process is gone.

    Where the system kills the engine's process for memory, vLLM's client (seen with 0.32) marks the engine as dead and
    ends the thread that reads its outputs, while ``LLMEngine.step`` waits on in the queue that this thread filled. An
    exception put into that queue is raised there, as vLLM's own ``EngineDeadError``.

    Args:
        core: vLLM's ``LLMEngine``. One without such a client (the engine in this process) is left alone.
    """
    client = getattr(core, "engine_core", None)
    resources, outputs = getattr(client, "resources", None), getattr(client, "outputs_queue", None)
    if outputs is None or resources is None or not hasattr(resources, "engine_dead"):
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            if resources.engine_dead:
                outputs.put_nowait(RuntimeError("the engine's process is gone"))
                return

    watching = threading.Thread(target=watch, name="roi-bench watches vLLM", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
