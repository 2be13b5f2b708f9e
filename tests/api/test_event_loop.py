"""Running a coroutine to its end from anywhere, and a Ctrl-C that lets it finish."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from roi_bench.api.client import CtrlC, run_to_end


class Job:
    """A coroutine that notes where it ran, and may fail."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.threads: list[threading.Thread] = []
        self._error = error

    async def __call__(self) -> None:
        await asyncio.sleep(0.001)
        self.threads.append(threading.current_thread())
        if self._error is not None:
            raise self._error


def test_outside_a_loop_it_runs_here_to_its_end() -> None:
    job = Job()
    run_to_end(job)
    assert job.threads == [threading.current_thread()]


def test_inside_a_running_loop_it_runs_to_its_end_too() -> None:
    job = Job()

    async def notebook() -> None:
        run_to_end(job)
        assert len(job.threads) == 1
        await asyncio.sleep(0)  # the loop that was there goes on
        run_to_end(job)

    asyncio.run(notebook())
    assert len(job.threads) == 2
    assert threading.current_thread() not in job.threads
    assert not any(thread.is_alive() for thread in job.threads)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_what_the_coroutine_raises_is_raised_outside_a_loop(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run_to_end(Job(error))
    assert caught.value is error
    assert caught.value.__context__ is None  # no "during handling of: no running event loop"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_what_the_coroutine_raises_is_raised_inside_a_running_loop(error: BaseException) -> None:
    async def notebook() -> None:
        with pytest.raises(type(error)) as caught:
            run_to_end(Job(error))
        assert caught.value is error

    asyncio.run(notebook())


def test_what_making_the_coroutine_raises_is_raised_too() -> None:
    def begin() -> Job:
        raise LookupError("no such model")

    async def notebook() -> None:
        with pytest.raises(LookupError, match="no such model"):
            run_to_end(begin)  # type: ignore[arg-type]

    asyncio.run(notebook())


# ------------------------------------------------------------------------------------------------------------ Ctrl-C
class Workers:
    """Workers under :class:`CtrlC`, each of which presses Ctrl-C so many times before it finishes."""

    def __init__(self, *presses: int) -> None:
        self.presses = presses
        self.told = 0
        self.finished = 0

    def note(self) -> None:
        self.told += 1

    async def _work(self, presses: int) -> None:
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        self.finished += 1

    async def __call__(self) -> None:
        tasks = [asyncio.create_task(self._work(presses)) for presses in self.presses]
        with CtrlC(self.note).over(tasks):
            await asyncio.gather(*tasks)


@pytest.fixture
def _default_ctrl_c() -> Iterator[None]:
    """Python's own handler, which a process that was started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_default_ctrl_c")
@pytest.mark.parametrize("presses", [(0, 0), (1, 0)])
def test_the_first_ctrl_c_is_told_and_everybody_finishes(presses: tuple[int, ...]) -> None:
    workers = Workers(*presses)
    run_to_end(workers)
    assert (workers.told, workers.finished) == (sum(presses), 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_default_ctrl_c")
def test_the_second_ctrl_c_gives_up_what_is_under_way() -> None:
    workers = Workers(2, 0)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(workers)
    assert workers.told == 1
    assert workers.finished < 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_default_ctrl_c")
def test_afterwards_ctrl_c_is_an_ordinary_one_again() -> None:
    workers = Workers(0)

    async def run() -> None:
        await workers()
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_to_end(run)
    assert (workers.told, workers.finished) == (0, 1)


def test_where_ctrl_c_cannot_be_caught_the_workers_run_all_the_same() -> None:
    workers = Workers(0, 0)

    async def notebook() -> None:
        run_to_end(workers)

    asyncio.run(notebook())
    assert workers.finished == 2


@pytest.mark.usefixtures("_default_ctrl_c")
def test_an_error_of_a_worker_is_no_ctrl_c() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    async def run() -> None:
        task = asyncio.create_task(broken())
        with CtrlC(lambda: None).over([task]):
            await task

    with pytest.raises(ValueError, match="broken"):
        run_to_end(run)


def test_ctrl_c_in_a_notebook_ends_what_runs_before_it_is_raised() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            ended.append("ended")

    async def cell() -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            run_to_end(work)
        assert ended == ["ended"]

    loop = asyncio.new_event_loop()  # as ipykernel runs it: with no handler of its own for Ctrl-C
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()
        signal.signal(signal.SIGINT, before)
