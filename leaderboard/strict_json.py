"""Reading JSON that a stranger wrote: bounded size and depth, no duplicate key, no NaN, no broken text. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from roi_bench.leaderboard.limits import MOST_BRACKETS, NUMBER_DIGITS

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]|(?<![0-9.])[0-9]{%d}' % (NUMBER_DIGITS + 1), re.DOTALL)
"""A string (looked over, so that nothing in it counts), a bracket, or too many digits before a decimal point.

A string that is never closed is taken as far as it goes, once: were it no string, each quote in it would be tried anew.
"""

_QUOTE = ord(b'"')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[^\x20-\x7e\xa1-\xac\xae-\u05ff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff]")

SHOWN, SHOWN_OF_MESSAGE = 80, 300
"""Characters of a hostile value, and of somebody else's message about one, that our messages show."""


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
        raise ValueError(f"no UTF-8 at byte {error.start}") from None
    _check_shape(content, deepest)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos}") from None
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
                raise ValueError(f"holds more than {MOST_BRACKETS} lists and objects")
        elif first in b"]}":
            depth -= 1
        elif first != _QUOTE:
            raise ValueError(f"holds a number of more than {NUMBER_DIGITS} digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(twice)!r} occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds a number too large to be meant, {shown(text)}")
    return value


def _check_text(value: Any) -> None:
    """Refuse half characters (lone surrogates), which no UTF-8 file can hold; depth is bounded by now."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"holds half a character (a lone surrogate) at character {error.start} of a text"
            ) from None
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
