"""Group commit: what finishes during a write is written together, and nobody goes on before his item is safe."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from roi_bench.api.client import Recorder


class Disk:
    """A disk that can be told to be busy, and to fail; notes what it was given."""

    def __init__(self, fails: Sequence[Exception | None] = ()) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self._fails = list(fails)
        self._free = threading.Event()
        self._free.set()
        self._one = threading.Lock()
        self.is_writing = threading.Event()

    def busy(self) -> None:
        self._free.clear()

    def free(self) -> None:
        self._free.set()

    def write(self, items: Sequence[int]) -> None:
        assert self._one.acquire(blocking=False), "two writes at once"
        try:
            self.is_writing.set()
            assert self._free.wait(10)
            self.threads.add(threading.get_ident())
            self.batches.append(list(items))
            if self._fails and (error := self._fails.pop(0)):
                raise error
        finally:
            self.is_writing.clear()
            self._one.release()

    @property
    def written(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


async def until_writing(disk: Disk) -> None:
    async with asyncio.timeout(10):
        while not disk.is_writing.is_set():
            await asyncio.sleep(0.001)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def refuse(error: Exception) -> None:
    raise AssertionError(f"no failure was expected: {error}")


def test_what_is_put_while_a_write_runs_is_written_together_and_awaited() -> None:
    disk = Disk()

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        disk.busy()
        first = asyncio.create_task(recorder.put(0))
        await until_writing(disk)
        others = [asyncio.create_task(recorder.put(number)) for number in (1, 2, 3)]
        await settle()
        assert not any(task.done() for task in (first, *others))
        assert disk.batches == []
        disk.free()
        await asyncio.gather(first, *others)
        recorder.raise_failure()

    asyncio.run(run())
    assert disk.batches == [[0], [1, 2, 3]]


def test_the_event_loop_goes_on_while_the_disk_is_busy() -> None:
    disk = Disk()

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        disk.busy()
        task = asyncio.create_task(recorder.put(0))
        await until_writing(disk)
        await asyncio.sleep(0.01)  # would hang if the write ran in this thread
        disk.free()
        await task

    asyncio.run(run())
    assert threading.get_ident() not in disk.threads
    assert disk.written == [0]


def test_whoever_comes_back_from_put_finds_his_item_written() -> None:
    disk = Disk()

    async def work(recorder: Recorder[int], numbers: Sequence[int]) -> None:
        for number in numbers:
            await recorder.put(number)
            assert number in disk.written
            await asyncio.sleep(0.0001 * (number % 3))

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        await asyncio.gather(*(work(recorder, range(worker, 80, 8)) for worker in range(8)))

    asyncio.run(run())
    assert sorted(disk.written) == list(range(80))  # each once
    assert len(disk.batches) < 80
    assert all(disk.batches)


def test_items_are_written_in_the_order_in_which_they_were_put() -> None:
    disk = Disk()

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        await asyncio.gather(*(recorder.put(number) for number in range(50)))

    asyncio.run(run())
    assert disk.written == list(range(50))


def test_closing_waits_for_the_write_that_runs_and_writes_what_waits() -> None:
    disk = Disk()

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        disk.busy()
        tasks = [asyncio.create_task(recorder.put(0))]
        await until_writing(disk)
        tasks.append(asyncio.create_task(recorder.put(1)))
        await settle()
        closing = asyncio.create_task(recorder.close())
        await settle()
        assert not closing.done()
        disk.free()
        await closing
        assert disk.written == [0, 1]
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_closing_writes_what_was_put_by_somebody_who_gave_up_waiting() -> None:
    disk = Disk()

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, refuse)
        disk.busy()
        first = asyncio.create_task(recorder.put(0))
        await until_writing(disk)
        second = asyncio.create_task(recorder.put(1))
        await settle()
        second.cancel()  # as the second Ctrl-C does; it was paid for all the same
        disk.free()
        await asyncio.gather(first, second, return_exceptions=True)
        assert disk.written == [0]
        await recorder.close()

    asyncio.run(run())
    assert disk.written == [0, 1]


def test_closing_with_nothing_to_write_writes_nothing() -> None:
    disk = Disk()
    asyncio.run(Recorder(disk.write, refuse).close())
    assert disk.batches == []


def test_a_failure_is_kept_and_told_once_and_later_items_are_still_offered() -> None:
    full, later = OSError("disk full"), OSError("disk still full")
    disk = Disk([None, full, later, None])
    told: list[Exception] = []

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, told.append)
        await recorder.put(0)
        recorder.raise_failure()
        assert told == []
        await recorder.put(1)  # returns: the worker that put it has to see that the run stops
        assert told == [full]
        await recorder.put(2)
        await recorder.put(3)
        await recorder.close()
        with pytest.raises(OSError, match="disk full") as caught:
            recorder.raise_failure()
        assert caught.value is full

    asyncio.run(run())
    assert told == [full]
    assert disk.batches == [[0], [1], [2], [3]]


def test_a_failure_is_known_to_all_whose_items_were_in_the_write() -> None:
    disk = Disk([None, OSError("disk full")])
    told: list[Exception] = []
    known: list[int] = []

    async def run() -> None:
        recorder: Recorder[int] = Recorder(disk.write, told.append)
        disk.busy()
        first = asyncio.create_task(recorder.put(0))
        await until_writing(disk)

        async def put(number: int) -> None:
            await recorder.put(number)
            known.append(len(told))

        others = [asyncio.create_task(put(number)) for number in (1, 2)]
        await settle()
        disk.free()
        await asyncio.gather(first, *others)

    asyncio.run(run())
    assert disk.batches == [[0], [1, 2]]
    assert known == [1, 1]


def test_who_gives_up_during_a_write_does_not_let_another_begin_and_closing_waits() -> None:
    running, most, written = 0, 0, []

    def write(items: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.1)
        written.extend(items)
        running -= 1

    async def run() -> None:
        recorder: Recorder[int] = Recorder(write, lambda error: None)
        task = asyncio.create_task(recorder.put(1))
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        other = asyncio.create_task(recorder.put(2))
        await recorder.close()
        assert sorted(written) == [1, 2]
        await other

    asyncio.run(run())
    assert most == 1
