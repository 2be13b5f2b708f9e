"""Reading an untrusted folder: no links, no devices, bounded size and depth, strict JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError

# How large a submission may be: bounds on what hostile files can cost in time and memory.

METADATA_BYTES = 1 << 20
"""Largest ``submission.json``."""

FILES = 65
"""Most files in a folder: ``submission.json`` and one per task."""

FILE_BYTES = 32 << 20
"""Largest compressed file of responses."""

FOLDER_BYTES = 96 << 20
"""Largest folder."""

UNPACKED_BYTES, FOLDER_UNPACKED_BYTES = 384 << 20, 512 << 20
"""Most bytes that one file of responses unpacks to, and all of a folder together: 990 problems × 16 samples × 2,048
tokens take 200 MB, 64 tasks of 480 exams in two orders × 1,024 tokens 400 MB."""

RESPONSES = 250_000
"""Most responses of all tasks together: 64 tasks of 480 exams in two orders are 61,440."""

LARGEST_RATIO, FREE_BYTES = 250, 1 << 20
"""Unpacked bytes per compressed byte, beyond the first MiB; deflate ends at 1,032, real responses at about 30."""

LINE_BYTES = 8 << 20
"""Longest line of a file of responses: one document with all its samples."""

TEXT_CHARACTERS = 1_000_000
"""Longest response, whatever its budget."""

BUDGET_CHARACTERS, FREE_CHARACTERS = 64, 4096
"""Longest response: so many characters per token of the budget, and so many more. Real text has 3 to 5 a token; the
rest is room for long runs of spaces or dashes, of which one token can be up to :data:`TOKEN_CHARACTERS`."""

METADATA_DEPTH, LINE_DEPTH = 8, 8
"""Deepest nesting of ``submission.json`` and of a line of responses."""

MOST_BRACKETS = 20_000
"""Most lists and objects in ``submission.json`` or a line: 256 samples of three requests take 2,300."""

NUMBER_DIGITS = 18
"""Most digits of a whole number."""

TOKEN_CHARACTERS = 256
"""Longest token, in characters."""

MEAN_TOKEN_CHARACTERS = 16
"""Longest mean token of a text whose tokens were not counted again, beyond one token of :data:`TOKEN_CHARACTERS`; runs
of one character count as eight, since models have tokens for long runs of spaces or dashes."""

UNUSUAL_MEAN, UNUSUAL_OF_ONE, UNUSUAL_FREE = 8, 10, 64
"""Mean characters per token above which a remark is made: of a whole task, and of a single response beyond its first
64 characters, runs counted as above."""

LIMIT_VERDICTS, ANSWERS_AT_ONCE = 200, 100
"""Most answers of a submission whose symbolic check may run into its limit, three seconds of processor time each; so
many answers are graded before they are counted again. Of real answers hardly any does."""


# Reading untrusted JSON: bounded size and depth, no duplicate key, no NaN, no broken text. Pure.

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]|(?<![0-9.])[0-9]{%d}' % (NUMBER_DIGITS + 1), re.DOTALL)
"""A string (skipped as a whole, so that no bracket in it counts), a bracket, or too many digits before a decimal point.

A string that is never closed is taken as far as it goes, once: were it no string, each quote in it would be tried anew.
"""

_QUOTE = ord(b'"')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[^\x20-\x7e\xa1-\xac\xae-\u05ff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff]")

SHOWN, SHOWN_OF_MESSAGE = 80, 300
"""Characters of a hostile value, and of a library's message about one, that our messages show."""


def parse_strict(content: bytes, *, largest: int, deepest: int) -> Any:
    """Return the JSON value in ``content``.

    Args:
        content: UTF-8 text.
        largest: Most bytes.
        deepest: Most nesting of arrays and objects; looked at before anything is parsed.

    Raises:
        ValueError: It is none, is too large or too deep, or holds a duplicate key, NaN, infinity, a number too large to
            be meant, or half a character.
    """
    if len(content) > largest:
        raise ValueError(f"larger than {largest} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    _check_shape(content, deepest)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    if _SURROGATE.search(content):
        _check_text(value)
    return value


def shown(value: object, most: int = SHOWN) -> str:
    """Return a hostile value fit for a message: short, on one line, nothing that a terminal would act on."""
    text = _CONTROL.sub("?", str(value)[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"


def _check_shape(content: bytes, deepest: int) -> None:
    """Refuse what would be costly to parse; in malformed text this only ever finds more brackets than there are."""
    depth = opened = 0
    for found in _TOKEN.finditer(content):
        first = content[found.start()]
        if first in b"[{":
            depth, opened = depth + 1, opened + 1
            if depth > deepest:
                raise ValueError(f"nested more than {deepest} deep")
            if opened > MOST_BRACKETS:
                raise ValueError(f"contains more than {MOST_BRACKETS} lists and objects")
        elif first in b"]}":
            depth -= 1
        elif first != _QUOTE:
            raise ValueError(f"contains a number of more than {NUMBER_DIGITS} digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(twice)!r} occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"contains {name}, which is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"contains a number that is too large, {shown(text)}")
    return value


def _check_text(value: Any) -> None:
    """Refuse half characters (lone surrogates), which no UTF-8 file can hold; depth is bounded by now."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"contains half a character (a lone surrogate) at character {error.start} of a text"
            ) from None
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)


# Texts as they are drawn: what names may be made of, how tall and dense a text may be, which names look alike. Pure.

MOST_LINES, MOST_MARKS = 40, 3
"""Most lines of a text that may have several, and most combining marks on one letter."""

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point, and characters that are drawn as nothing or as a space of another width."""

_LETTERS = re.compile(r"[^\W\d_]+")
_MARKS = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_LOOK_LATIN = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
"""Scripts with letters that look like those of another of them."""

_ALIKE = str.maketrans(
    "асеорхуіјѕһԁԛԝѵькмтнвгзпёαβγεηικνορτυχωζμօսհոցզıɑɡ0|1iΗΥΝΡΜ",
    "aceopxyijshdqwvbkmthbr3neabyenlkvoptuxwzuouhngqlagolllHYNPM",
)
"""Characters and what they look like: those of UTS 39 that stand in names for Latin letters, and 0, 1, i and l."""


def unseen(text: str) -> str | None:
    """Return the first character of ``text`` that cannot be seen, ``U+200D``, or None."""
    found = _UNSEEN.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def too_dense(text: str) -> str | None:
    """Return why ``text`` would cover what stands around it, or None."""
    if text.count("\n") >= MOST_LINES:
        return f"has more than {MOST_LINES} lines"
    if any(len(found[0]) > MOST_MARKS for found in _MARKS.finditer(unicodedata.normalize("NFC", text))):
        return f"has more than {MOST_MARKS} marks on one letter"
    return None


def mixed_scripts(text: str) -> str | None:
    """Return a word of ``text`` that mixes letters of scripts that look alike, or None."""
    for found in _LETTERS.finditer(text):
        names = (unicodedata.name(letter, "").partition(" ")[0] for letter in found[0])
        if len({name for name in names if name in _LOOK_LATIN}) > 1:
            return found[0]
    return None


def skeleton(name: str) -> str:
    """Return the same text for all names that look alike: other scripts, capitals, widths, accents or separators."""
    plain = unicodedata.normalize("NFKD", _UNSEEN.sub("", name)).translate(_ALIKE).casefold().translate(_ALIKE)
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", "-", letters).strip("-").replace("rn", "m").replace("vv", "w")


# Reading an untrusted folder: no links, no devices, nothing outside it, no more bytes than allowed.

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
                raise ValueError("not a gzip file, or a damaged one") from None
            rest = unpacker.unconsumed_tail
        if unpacker.eof and (unpacker.unused_data or start + _PIECE < len(packed)):
            raise ValueError("there is data after the end of the gzip file")
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
                raise RecordError(f"{folder}: has more than {FILES} files; a submission has one a task and one more")
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
            raise RecordError(f"{where} is not a plain file; a submission has nothing else")
        with os.fdopen(file, "rb", closefd=False) as stream:
            content = b"" if kind.st_size > most else stream.read(most + 1)
    finally:
        os.close(file)
    if kind.st_size > most or len(content) > most:
        raise RecordError(f"{where} is larger than the {most} bytes that are left for it")
    return content
