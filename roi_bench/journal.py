"""An append-only record of responses: what was finished is never asked again and never lost.

A journal is a file of JSON lines. The first line says whose responses follow; every other line is one response::

    {"format": "roi-bench-journal", "version": 1, "run": {…}, "about": {…}}
    {"prompt_sha256": "…", "generation": {…}, "sample": 0, "response": "…", "usage": {…}, …}

``run`` identifies the run (model, model arguments, seed, exam version, reading rule): a journal is only ever continued
by the same run. ``about`` (engine, versions, batch size) is kept for the reader and not compared. A later start that
asks for more can write a header line of its own before its responses: it is seen which start generated what. With
``run``, the key of a line (prompt, generation arguments, sample index) says exactly what was asked. Further fields of a
line (exam, cost, latency, …) are kept as they are.

Every batch is written and synced before anything else happens. A process that dies in the middle of a write leaves a
torn last line: it is moved to ``<name>.torn`` and its request is asked again. A damaged line anywhere else is an
error, because a crash cannot explain it.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from roi_bench.errors import RecordError
from roi_bench.file_lock import FileLock
from roi_bench.journal_format import (
    HEADER_BEGIN,
    Entry,
    Header,
    RequestKey,
    entry_line,
    header_line,
    parse_entry,
    parse_header,
)


class Journal:
    """A journal open for appending by this process alone. Use it as a context manager.

    Args:
        path: The file; it and its folder are created if missing.
        header: Whose responses these are; must agree with the header of an existing file.
        marks_starts: Write it again before the first response of a later start; else the file of a run that was stopped
            and resumed is byte for byte that of an uninterrupted one.

    Raises:
        RecordError: Another process has the file open; it belongs to another run; it is damaged; it cannot be written.
    """

    def __init__(self, path: Path, header: Header, *, marks_starts: bool = False) -> None:
        self.path, self._marks_starts = path, marks_starts
        self._lock = FileLock(path.with_name(path.name + ".lock"), what=f"journal {path}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            self._lock.release()
            raise RecordError(f"cannot open journal {path}: {error.strerror or error}") from error
        try:
            self.header, self._entries = self._recover(header)
            self._own_header = header
        except BaseException:
            self.close()
            raise

    def _recover(self, header: Header) -> tuple[Header, dict[RequestKey, Entry]]:
        """Read what is there, set a torn tail aside, and return the header in force with the entries."""
        self._file.seek(0)
        data = self._file.read()
        content = _parse(data, self.path)
        self._size = content.intact
        if content.header is not None and (differences := content.header.differences(header)):
            raise RecordError(
                f"journal {self.path} belongs to another run ({'; '.join(differences)}); "
                "give another output folder, or the arguments it was begun with"
            )
        if content.intact < len(data):
            self._set_aside(data[content.intact :])
        self._is_begun = content.header is None
        self._starts = max(1, len(content.starts))
        if content.header is None:
            self._write(header_line(header))
            return header, {}
        if not data[: content.intact].endswith(b"\n"):
            self._write(b"\n")
        return content.header, content.entries

    def _set_aside(self, tail: bytes) -> None:
        with self.path.with_name(self.path.name + ".torn").open("ab") as torn:
            torn.write(tail.rstrip(b"\n") + b"\n")
            torn.flush()
            os.fsync(torn.fileno())
        self._file.truncate(self._size)

    @property
    def starts(self) -> int:
        """How many starts of the run recorded something here, at least 1."""
        return self._starts

    @property
    def was_abandoned(self) -> bool:
        """Whether the process that wrote here last was killed, or went down with its machine."""
        return self._lock.was_abandoned

    @property
    def entries(self) -> Mapping[RequestKey, Entry]:
        """The responses recorded so far, by key."""
        return self._entries

    def append(self, entries: Iterable[Entry]) -> None:
        """Write a batch and return when it is on the disk.

        Raises:
            RecordError: The disk is full or cannot be written, or an entry contradicts a recorded one; what was
                recorded before is untouched.
        """
        batch = list(entries)
        added: dict[RequestKey, Entry] = {}
        for entry in batch:
            _add(ChainMap(added, self._entries), entry, f"journal {self.path}")
        if not batch:
            return
        begin = b"" if self._is_begun or not self._marks_starts else header_line(self._own_header)
        self._write(begin + b"".join(entry_line(entry) for entry in batch))
        self._starts += not self._is_begun
        self._is_begun = True
        self._entries.update(added)

    def _write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(self._size)
            raise RecordError(
                f"cannot write journal {self.path}: {error.strerror or error}; the responses recorded before are safe "
                "in it; make room and run the same command again to resume"
            ) from error
        self._size += len(data)

    def close(self) -> None:
        """Close the file and let other processes have it."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> tuple[Header | None, dict[RequestKey, Entry]]:
    """Return header (None if not even that was finished) and entries of a journal without locking or changing it.

    A torn last line is left out: another process may be writing it.

    Raises:
        RecordError: The file cannot be read or is damaged.
    """
    try:
        content = _parse(path.read_bytes(), path)
    except OSError as error:
        raise RecordError(f"cannot read journal {path}: {error.strerror or error}") from error
    return content.header, content.entries


def read_starts(path: Path) -> list[Header]:
    """Return a header for each start of the run that recorded something in this journal, none for an empty file.

    Raises:
        RecordError: The file cannot be read or is damaged.
    """
    try:
        return _parse(path.read_bytes(), path).starts
    except OSError as error:
        raise RecordError(f"cannot read journal {path}: {error.strerror or error}") from error


@dataclass(slots=True)
class _Content:
    header: Header | None = None
    starts: list[Header] = field(default_factory=list)
    entries: dict[RequestKey, Entry] = field(default_factory=dict)
    intact: int = 0
    """Bytes before a torn tail; the length of the file if there is none."""


def _parse(data: bytes, path: Path) -> _Content:
    """Return what ``data`` holds, up to a torn tail.

    Raises:
        RecordError: A line that no crash can have damaged is damaged.
    """
    content = _Content()
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        last = number == len(lines)
        if last and not line:
            break  # the usual end: the last byte is a line end
        try:
            if content.header is None or line.startswith(HEADER_BEGIN):
                content.starts.append(parse_header(line))
                content.header = content.starts[0]
            else:
                _add(content.entries, parse_entry(line), f"journal {path}, line {number}")
        except ValueError as error:
            # A kill leaves a last line without its end, a power loss possibly blocks of zeros.
            if last or (number == len(lines) - 1 and not lines[-1] and b"\0" in line):
                break
            raise RecordError(
                f"journal {path}, line {number} is damaged ({error}); restore the file or begin a new one "
                "in another output folder"
            ) from error
        content.intact += len(line) + (not last)
    return content


def _add(entries: MutableMapping[RequestKey, Entry], entry: Entry, where: str) -> None:
    """Add ``entry``; a response replaces a missing one, and two different responses to one request are an error."""
    known = entries.get(entry.key)
    if known is None or known.response is None:
        entries[entry.key] = entry
    elif entry.response not in (None, known.response):
        raise RecordError(
            f"{where}: a second, different response to prompt {entry.key.prompt_sha256[:12]}…, "
            f"sample {entry.key.sample}; journals of different runs were mixed"
        )
