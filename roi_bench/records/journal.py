"""The journal: an append-only record of responses, so that a finished one is never lost or asked for again.

A journal is a file of JSON lines. The first line identifies the run; every other line is one response::

    {"format": "roi-bench-journal", "version": 1, "run": {…}, "about": {…}}
    {"prompt_sha256": "…", "generation": {…}, "sample": 0, "response": "…", "usage": {…}, …}

``run`` identifies the run (model, model arguments, seed, exam version, reading rule): a journal is only ever continued
by the same run. ``about`` (engine, versions, batch size) is for human readers and not compared. A later start that adds
responses can write a header line of its own before them, which shows which start generated what. With ``run``, the key
of a line (prompt, generation arguments, sample index) says exactly what was asked. Further fields of a line (exam,
cost, latency, …) are kept as they are.

Every batch is written and synced before anything else happens. A process that dies in the middle of a write leaves a
torn last line: it is moved to ``<name>.torn`` and its request is asked again. A damaged line anywhere else is an
error, because a crash cannot explain it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from roi_bench.errors import RecordError
from roi_bench.exams.exam import sha256_text
from roi_bench.scoring.tokens import Usage

# A file lock that the operating system releases when its process dies, however it dies.

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> None:
        file.seek(1 << 30)  # far behind the pid, which stays readable for the others
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock on the file ``path``, which contains the holder's process id.

    The file remains, empty, when the lock is released: removing it would let two processes lock two files of one name.

    Attributes:
        was_abandoned: The last holder died without releasing it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self.was_abandoned = False
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RecordError: Another process holds it.
            OSError: The lock file cannot be opened or written.
        """
        file = self.path.open("a+b", buffering=0)
        try:
            _try_lock(file)
        except OSError as error:
            # The id is only for the message; the lock itself says whether the holder still runs.
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip() or "unknown"
            file.close()
            raise RecordError(
                f"{self.what} is in use by process {holder}; wait until it ends, stop it, or give another output folder"
            ) from error
        # A holder that ends in order empties the file, so content without a lock means that it was killed.
        self.was_abandoned = file.seek(0, os.SEEK_END) > 0
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode("ascii"))
        self._file = file

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


FORMAT = "roi-bench-journal"
VERSION = 1
HEADER_BEGIN = b'{"format": '
"""The beginning of every header line and of no other line."""

_ENTRY_FIELDS = ("prompt_sha256", "generation", "sample", "response", "usage")


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True, order=True)
class RequestKey:
    """The identity of a request within a run.

    Attributes:
        prompt_sha256: SHA-256 of the prompt as sent (chat template applied).
        generation: Generation arguments as canonical JSON.
        sample: 0 for the first response to this request, 1 for the second, …
    """

    prompt_sha256: str
    generation: str
    sample: int


def request_key(prompt: str, generation: Mapping[str, Any], sample: int) -> RequestKey:
    """Return the key of the ``sample``-th response to ``prompt`` under the ``generation`` arguments."""
    return RequestKey(sha256_text(prompt), canonical_json(generation), sample)


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded response.

    Attributes:
        key: The request.
        response: The text, or None if there was no response (it is asked for again on resume).
        usage: Its tokens, or None if unknown.
        extra: Further fields: exam, order, cost, latency, …
    """

    key: RequestKey
    response: str | None
    usage: Usage | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a journal and of each later start: ``run`` is compared, ``about`` is for human readers."""

    run: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    def differences(self, other: Header) -> list[str]:
        """Return ``name: this value, not other value`` for every differing ``run`` field (nested ones dotted)."""
        mine, theirs = (dict(_flatten(json.loads(canonical_json(header.run)))) for header in (self, other))
        names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        return [f"{name}: {_shown(mine.get(name))}, not {_shown(theirs.get(name))}" for name in names]


def header_line(header: Header) -> bytes:
    """Return the first line of a journal, line end included."""
    return _json_line({"format": FORMAT, "version": VERSION, "run": dict(header.run), "about": dict(header.about)})


def entry_line(entry: Entry) -> bytes:
    """Return the line of a recorded response, line end included."""
    line = {
        "prompt_sha256": entry.key.prompt_sha256,
        "generation": json.loads(entry.key.generation),
        "sample": entry.key.sample,
        "response": entry.response,
        "usage": None if entry.usage is None else asdict(entry.usage),
        **entry.extra,
    }
    return _json_line(line)


def is_header(value: object) -> bool:
    """Whether ``value``, read from JSON, is the header of a journal of this or another version."""
    return isinstance(value, dict) and value.get("format") == FORMAT


def parse_header(line: bytes) -> Header:
    """Return the header that ``line`` holds.

    Raises:
        ValueError: It has none that this version can read.
    """
    value = parse_object(line)
    if not is_header(value):
        raise ValueError(f"not a roi-bench journal: no format {FORMAT!r}")
    if value.get("version") != VERSION:
        raise ValueError(f"format version {value.get('version')!r}; this roi-bench reads version {VERSION}")
    run, about = value.get("run"), value.get("about", {})
    if not isinstance(run, dict) or not isinstance(about, dict):
        raise ValueError("run and about of the header must be objects")
    return Header(run, about)


def parse_entry(line: bytes) -> Entry:
    """Return the recorded response that ``line`` holds.

    Raises:
        ValueError: There is none.
    """
    value = parse_object(line)
    if missing := [name for name in _ENTRY_FIELDS if name not in value]:
        raise ValueError(f"no field {missing[0]!r}")
    sha, generation, sample, response, usage = (value.pop(name) for name in _ENTRY_FIELDS)
    if not (isinstance(sha, str) and isinstance(generation, dict) and type(sample) is int):
        raise ValueError("prompt_sha256, generation and sample must be a string, an object and an integer")
    if not isinstance(response, str | None):
        raise ValueError("response must be a string or null")
    return Entry(RequestKey(sha, canonical_json(generation), sample), response, parse_usage(usage), value)


def parse_usage(value: object) -> Usage | None:
    """Return the :class:`Usage` that ``value``, read from JSON, holds.

    Raises:
        ValueError: It is neither null nor such an object.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"tokens", "finish_reason", "source"}:
        raise ValueError("usage must be null or an object of tokens, finish_reason and source")
    if type(value["tokens"]) is not int or value["tokens"] < 0:
        raise ValueError(f"usage.tokens must be a count, not {value['tokens']!r}")
    if value["finish_reason"] not in ("stop", "length", "error", None):
        raise ValueError(f"usage.finish_reason must be stop, length, error or null, not {value['finish_reason']!r}")
    if value["source"] not in ("generated", "provider", "retokenized"):
        raise ValueError(f"usage.source must be generated, provider or retokenized, not {value['source']!r}")
    return Usage(value["tokens"], value["finish_reason"], value["source"])


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object that ``line`` holds.

    Raises:
        ValueError: It is not one.
    """
    try:
        value = json.loads(line.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _json_line(value: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # A lone surrogate in the text has no UTF-8 form; as an ASCII escape it survives.
        return (json.dumps(value) + "\n").encode("ascii")


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item


def _shown(value: object) -> str:
    return "none" if value is None else repr(value)


class Journal:
    """A journal, open for appending by this process alone; a context manager.

    Args:
        path: The file; it and its folder are created if missing.
        header: The identity of the run; must agree with the header of an existing file.
        slim: Keep of the further fields of new responses only :data:`KEPT_IN_MEMORY` in memory.
        marks_starts: Write the header again before the first response of a later start. Without it, the file of a run
            that was stopped and resumed is byte for byte that of an uninterrupted one.

    Raises:
        RecordError: Another process has the file open; it belongs to another run; it is damaged; it cannot be written.
    """

    def __init__(self, path: Path, header: Header, *, marks_starts: bool = False, slim: bool = False) -> None:
        self.path, self._marks_starts, self._slim = path, marks_starts, slim
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
        """Read the file, move a torn tail aside, and return the header in force with the entries."""
        # Only after the header is known to be this run's may anything in the file be changed.
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
        # A complete last line may lack only its line end: the kill came between the two.
        if not data[: content.intact].endswith(b"\n"):
            self._write(b"\n")
        return content.header, content.entries

    def _set_aside(self, tail: bytes) -> None:
        # Copied and synced before it is cut off here: at every moment the bytes are in at least one of the two files.
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
        """Whether the last process that wrote here was killed, or its machine went down."""
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
        # The whole batch is checked before a byte is written, so a contradiction leaves no half of it in the file.
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
        self._entries.update({key: _slim(entry) for key, entry in added.items()} if self._slim else added)

    def _write(self, data: bytes) -> None:
        try:
            # An unbuffered file may write less than it is given, as on a disk that is just becoming full.
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(self._size)  # no half line stays behind; what was there before is intact
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
    """Return header (None if not even that is complete) and entries of a journal, without locking or changing it.

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
    """Return the content of a journal file, up to a torn tail.

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
            # A kill leaves a last line without its line end; a power loss may leave blocks of zeros. Nothing else is
            # forgiven: a damaged line in the middle was not caused by a crash.
            if last or (number == len(lines) - 1 and not lines[-1] and b"\0" in line):
                break
            raise RecordError(
                f"journal {path}, line {number} is damaged ({error}); restore the file, or begin a new one in another "
                f"output folder{_deleting(number, path, content.header is None)}"
            ) from error
        content.intact += len(line) + (not last)
    return content


def _deleting(number: int, path: Path, is_header: bool) -> str:
    """Return how a damaged line is deleted, and what that means; nothing for the first, which every other needs."""
    if is_header:
        return ""
    return f", or delete line {number} (sed -i {number}d {shlex.quote(str(path))}): its one response is asked for again"


KEPT_IN_MEMORY = ("usd", "maybe_paid_usd", "prompt_tokens")
"""Further fields that a run still needs of a response once it is on the disk; reasoning alone may be pages of text."""


class _Kept(Mapping[str, Any]):
    """The fields :data:`KEPT_IN_MEMORY` of one response, in a third of the memory of a dict: there is one a request."""

    __slots__ = KEPT_IN_MEMORY

    def __init__(self, extra: Mapping[str, Any]) -> None:
        for name in KEPT_IN_MEMORY:
            setattr(self, name, extra.get(name))

    def __getitem__(self, name: str) -> Any:
        value = getattr(self, name) if name in KEPT_IN_MEMORY else None
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in KEPT_IN_MEMORY if getattr(self, name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _slim(entry: Entry) -> Entry:
    if entry.response is None:
        return entry  # why it is missing is shown at the end
    return Entry(entry.key, entry.response, entry.usage, _Kept(entry.extra))


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
