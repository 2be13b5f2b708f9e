"""Running a coroutine to its end: from anywhere, a notebook included, and with a Ctrl-C that lets it finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any


def run_to_end(begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the coroutine that ``begin`` makes; inside a running event loop (a notebook), in a thread of its own.

    Raises:
        Exception: What the coroutine raised.
    """
    try:
        asyncio.get_running_loop()
        inside = True
    except RuntimeError:
        inside = False
    if not inside:  # not in the handler above: every error of the coroutine would name that one as its cause
        asyncio.run(begin())
        return
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(begin())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def finishing_on_ctrl_c(workers: Sequence[asyncio.Task[None]], on_first: Callable[[], None]) -> Iterator[None]:
    """Call ``on_first`` at the first Ctrl-C, and cancel the ``workers`` at the second.

    Raises:
        KeyboardInterrupt: The workers were cancelled.
    """
    loop = asyncio.get_running_loop()
    presses = 0

    def interrupt() -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            on_first()
        else:
            for worker in workers:
                worker.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupt)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error
    finally:
        loop.remove_signal_handler(signal.SIGINT)
