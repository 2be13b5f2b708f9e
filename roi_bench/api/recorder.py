"""Group commit: outcomes that finish while the disk is busy are written together, and nobody goes on before his is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Recorder(Generic[Item]):
    """Hands items to ``write`` in a thread, one call at a time, so that the event loop never waits for the disk.

    Args:
        write: Records items; when it returns they are safe.
        on_failure: Told of the first error of ``write``.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None], on_failure: Callable[[Exception], None]) -> None:
        self._write, self._on_failure = write, on_failure
        self._waiting: list[Item] = []
        self._put = self._written = 0
        self._writing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def put(self, item: Item) -> None:
        """Return when ``item`` is safe, or could not be made so (see :meth:`raise_failure`)."""
        self._waiting.append(item)
        self._put += 1
        number = self._put
        while self._written < number:
            await self._flush()

    async def close(self) -> None:
        """Return when everything is written, also what was put by somebody who did not wait for it."""
        while self._written < self._put:
            await self._flush()

    def raise_failure(self) -> None:
        """Raise the first error of ``write``, if there was one."""
        if self._failure is not None:
            raise self._failure

    async def _flush(self) -> None:
        """Begin to write what is waiting unless a write is under way, and wait for its end."""
        if self._writing is None:
            batch, self._waiting = self._waiting, []
            self._writing = asyncio.create_task(self._write_batch(batch))
        await asyncio.shield(self._writing)  # who is cancelled here does not take the write along

    async def _write_batch(self, batch: Sequence[Item]) -> None:
        try:
            await asyncio.to_thread(self._write, batch)
        except Exception as error:  # noqa: BLE001 - kept, and raised at the end: what is in flight must be offered too
            if self._failure is None:
                self._failure = error
                self._on_failure(error)
        finally:
            self._written += len(batch)
            self._writing = None
