"""Which batches were submitted, on disk before anything else: a batch whose number is lost would be paid twice.

An open batch may hold requests of several commands (tasks, limits): each fetches its own responses, and it is done when
all of them are in the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError


def open_batches(journal: Path) -> list[BatchLine]:
    """Return the batches of the run of ``journal`` whose results are still to be fetched.

    Raises:
        RecordError: The record of batches cannot be read.
    """
    path = record_path(journal)
    return BatchRecord(path).open if path.exists() else []


def record_path(journal: Path) -> Path:
    """Return where the batches of the run of ``journal`` are noted; no run takes that for a journal."""
    return journal.with_name(journal.name.replace("journal-", "batches-", 1))


@dataclass(frozen=True, slots=True)
class BatchLine:
    """What is known of one batch.

    Attributes:
        chunk: Our own name of it, also kept with the provider.
        requests: ``custom_id`` of each request.
        batch_id: The provider's number; None between the intention and the provider's answer.
        done: Whether its results are in the journal.
    """

    chunk: str
    requests: tuple[str, ...]
    batch_id: str | None = None
    done: bool = False


class BatchRecord:
    """An append-only file beside the journal: ``intend``, then ``submitted``, then ``done`` for each batch.

    Args:
        path: The file.

    Raises:
        RecordError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batches: dict[str, BatchLine] = {}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = _mended(data)
            if whole != data:
                path.write_bytes(whole)
        except OSError as error:
            raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
        for number, line in enumerate(whole.splitlines(), start=1):
            if line:
                self._read(line, number)

    def _read(self, line: bytes, number: int) -> None:
        try:
            value = json.loads(line)
            chunk, event = value["chunk"], value["event"]
            if event == "intend":
                self._batches[chunk] = BatchLine(chunk, tuple(value["requests"]))
            else:
                known = self._batches[chunk]
                batch_id = value.get("batch_id", known.batch_id)
                self._batches[chunk] = BatchLine(chunk, known.requests, batch_id, done=event == "done")
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{self.path}, line {number} is damaged ({error}); restore the file") from error

    @property
    def open(self) -> list[BatchLine]:
        """Batches whose results are not in the journal yet, in the order of their submission."""
        return [batch for batch in self._batches.values() if not batch.done]

    def intend(self, chunk: str, requests: Iterable[str]) -> BatchLine:
        """Note that a batch is about to be submitted."""
        line = BatchLine(chunk, tuple(requests))
        self._append({"event": "intend", "chunk": chunk, "requests": list(line.requests)})
        self._batches[chunk] = line
        return line

    def submitted(self, chunk: str, batch_id: str) -> BatchLine:
        """Note the provider's number of a batch."""
        self._append({"event": "submitted", "chunk": chunk, "batch_id": batch_id})
        self._batches[chunk] = BatchLine(chunk, self._batches[chunk].requests, batch_id)
        return self._batches[chunk]

    def done(self, chunk: str) -> None:
        """Note that the results of a batch are in the journal, or that there will be none."""
        self._append({"event": "done", "chunk": chunk})
        known = self._batches[chunk]
        self._batches[chunk] = BatchLine(chunk, known.requests, known.batch_id, done=True)

    def _append(self, value: dict[str, Any]) -> None:
        self._append_bytes((json.dumps(value) + "\n").encode("utf-8"))

    def _append_bytes(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RecordError(
                f"cannot write {self.path}: {error.strerror or error}; make room and run the same command again"
            ) from error


def _mended(data: bytes) -> bytes:
    """Return ``data`` without a last line torn by a kill or a power loss, which is found out anew."""
    intact = data[: data.rstrip(b"\0").rfind(b"\n") + 1]
    tail = data[len(intact) :].rstrip(b"\0")
    try:
        json.loads(tail)
    except ValueError:
        return intact
    return intact + tail + b"\n"  # only its line end is missing
