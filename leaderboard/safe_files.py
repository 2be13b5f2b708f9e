"""Reading a folder that a stranger filled: no links, no devices, nothing outside it, no more bytes than allowed."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from roi_bench.errors import RecordError
from roi_bench.leaderboard.limits import (
    FILE_BYTES,
    FILES,
    FOLDER_BYTES,
    FREE_BYTES,
    LARGEST_RATIO,
    LINE_BYTES,
    METADATA_BYTES,
    UNPACKED_BYTES,
)
from roi_bench.leaderboard.strict_json import shown

METADATA_FILE = "submission.json"
"""Name of the file that says what a submission is."""

_PIECE = 1 << 18
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a submission's folder by name, sorted.

    Raises:
        RecordError: It is no folder, or holds a link, a folder, a device, too many files or too many bytes.
    """
    try:
        handle = os.open(folder, _FLAGS | os.O_DIRECTORY)
    except OSError as error:
        what = "is a link, and links are not followed" if folder.is_symlink() else error.strerror or str(error)
        raise RecordError(f"{folder}: no folder of a submission ({what})") from None
    try:
        names = _names(folder, handle)
        found, left = {}, FOLDER_BYTES
        for name in names:
            found[name] = _read(
                folder, handle, name, min(left, METADATA_BYTES if name == METADATA_FILE else FILE_BYTES)
            )
            left -= len(found[name])
    finally:
        os.close(handle)
    return found


def content_of(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 over all files: their names, sizes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + f"\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()


def unpacked_lines(packed: bytes, most: int = UNPACKED_BYTES) -> Iterator[bytes]:
    """Yield the lines of a gzip file as they unpack, line ends left out; never more than a line is held.

    Args:
        packed: Content of the file.
        most: Bytes to which it may unpack at most.

    Raises:
        ValueError: It is no gzip file, is cut off, holds more than one, or unpacks to more than is allowed.
    """
    by_size = FREE_BYTES + LARGEST_RATIO * len(packed)
    waiting, total = bytearray(), 0
    for piece in _unpacked(packed):
        total += len(piece)
        if total > by_size:
            raise ValueError(f"unpacks to more than {by_size} bytes from {len(packed)}: an archive bomb")
        if total > most:
            raise ValueError(f"unpacks to more than the {most} bytes that are left for it")
        waiting += piece
        *lines, last = waiting.split(b"\n")
        if max(map(len, (last, *lines))) > LINE_BYTES:
            raise ValueError(f"a line of more than {LINE_BYTES} bytes")
        waiting = bytearray(last)
        yield from map(bytes, lines)
    if waiting:
        yield bytes(waiting)


def _unpacked(packed: bytes) -> Iterator[bytes]:
    """Yield what a gzip file unpacks to, in small pieces."""
    unpacker = zlib.decompressobj(wbits=31)
    for start in range(0, len(packed), _PIECE):
        rest = packed[start : start + _PIECE]
        while rest and not unpacker.eof:
            try:
                yield unpacker.decompress(rest, _PIECE)
            except zlib.error:
                raise ValueError("no gzip file, or a damaged one") from None
            rest = unpacker.unconsumed_tail
        if unpacker.eof and (unpacker.unused_data or start + _PIECE < len(packed)):
            raise ValueError("something stands behind the end of the gzip file")
    if not unpacker.eof:
        yield unpacker.flush()
    if not unpacker.eof:
        raise ValueError("a gzip file that is cut off")


def _names(folder: Path, handle: int) -> list[str]:
    names = []
    with os.scandir(handle) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > FILES:
                raise RecordError(f"{folder}: holds more than {FILES} files; a submission has one a task and one more")
    return sorted(names)


def _read(folder: Path, handle: int, name: str, most: int) -> bytes:
    where = f"{folder}: {shown(name)}"
    try:
        file = os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=handle)
    except OSError as error:
        raise RecordError(f"{where} cannot be read as a plain file ({error.strerror or error})") from None
    try:
        kind = os.fstat(file)
        if not stat.S_ISREG(kind.st_mode):
            raise RecordError(f"{where} is no plain file; a submission holds nothing else")
        with os.fdopen(file, "rb", closefd=False) as stream:
            content = b"" if kind.st_size > most else stream.read(most + 1)
    finally:
        os.close(file)
    if kind.st_size > most or len(content) > most:
        raise RecordError(f"{where} is larger than the {most} bytes that are left for it")
    return content
