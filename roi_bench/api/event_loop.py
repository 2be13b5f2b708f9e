"""Running a coroutine to its end: from anywhere, a notebook included, and with a Ctrl-C that lets it finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any


class CtrlC:
    """What Ctrl-C does to workers: the first press is announced, the second one cancels them.

    Args:
        on_first: Called in the event loop at the first press.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._presses = 0
        self._workers: Sequence[asyncio.Task[None]] = ()

    def press(self) -> None:
        """Note a press; called in the event loop."""
        self._presses += 1
        if self._presses == 1:
            self._on_first()
            return
        for worker in self._workers:
            worker.cancel()

    @contextlib.contextmanager
    def over(self, workers: Sequence[asyncio.Task[None]]) -> Iterator[None]:
        """Watch over ``workers``; SIGTERM is a press as well.

        Where signals cannot be had (Windows, a thread), presses come from outside.

        Raises:
            KeyboardInterrupt: The workers were cancelled.
        """
        self._workers = workers
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in before:
                loop.add_signal_handler(number, self.press)
        try:
            yield
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                for number, handler in before.items():
                    if loop.remove_signal_handler(number):
                        signal.signal(number, handler)


def run_to_end(begin: Callable[[], Coroutine[Any, Any, None]], ctrl_c: CtrlC | None = None) -> None:
    """Run the coroutine that ``begin`` makes; inside a running event loop (a notebook), in a thread of its own.

    Args:
        begin: Makes the coroutine.
        ctrl_c: What Ctrl-C does to a coroutine in a thread; by default it is cancelled.

    Raises:
        KeyboardInterrupt: It was cancelled.
        Exception: What the coroutine raised.
    """
    try:
        asyncio.get_running_loop()
        inside = True
    except RuntimeError:
        inside = False
    if inside:
        _run_in_thread(begin, ctrl_c)
    else:  # not in the handler above: every error of the coroutine would name that one as its cause
        asyncio.run(begin())


def _run_in_thread(begin: Callable[[], Coroutine[Any, Any, None]], ctrl_c: CtrlC | None) -> None:
    failed: list[BaseException] = []
    ended = threading.Event()
    presses: list[Callable[[], object]] = []

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        on_press: Callable[[], object] = ctrl_c.press if ctrl_c is not None else task.cancel if task else loop.stop
        presses.append(lambda: loop.call_soon_threadsafe(on_press))
        await begin()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not ended.is_set():
        try:
            ended.wait()  # and not join(): interrupted, Python 3.11 takes the thread for finished
        except KeyboardInterrupt:
            for press in presses:
                with contextlib.suppress(RuntimeError):  # it has just ended
                    press()
    thread.join()
    if failed and isinstance(failed[0], asyncio.CancelledError):
        raise KeyboardInterrupt from failed[0]
    if failed:
        raise failed[0]
