"""A graded submission as JSON and back, exactly: every float to the last bit, every mapping in its order. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from sys import intern
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from roi_bench.leaderboard.graded import GradedSubmission

Reader = Callable[[Any], Any]


def graded_text(graded: GradedSubmission) -> str:
    """Return ``graded`` as JSON in ASCII, on one line.

    Dataclasses become arrays of their fields in order, which is compact and leaves nothing to guess: who reads it has
    the same code (:func:`roi_bench.leaderboard.graded_cache.grading_code`).

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps({"graded": _plain(graded)}, separators=(",", ":"), allow_nan=False)


def graded_of(value: Mapping[str, Any]) -> GradedSubmission:
    """Return what :func:`graded_text` wrote, parsed.

    Raises:
        ValueError: It has not the form of one; likewise TypeError, KeyError and AttributeError.
    """
    graded: GradedSubmission = _reader(GradedSubmission)(value["graded"])
    return graded


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        simple = all(isinstance(item, str | int | float | None) for item in value)
        return value if simple else [_plain(item) for item in value]
    return value


@lru_cache(maxsize=128)
def _reader(kind: Any) -> Reader:
    """Return what makes a value of type ``kind`` of its plain form."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_reader(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _reader(arguments[1])
        return lambda value: {key: item(found) for key, found in value.items()}
    if origin is UnionType and (wanted := [one for one in arguments if one is not NoneType]) and len(wanted) == 1:
        known = _reader(wanted[0])
        return lambda value: None if value is None else known(value)
    return lambda value: value


def _dataclass_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = [_reader(hints[field.name]) for field in fields(kind)]
    return lambda value: kind(*(reader(found) for reader, found in zip(readers, value, strict=True)))


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    if arguments == (str, ...):
        return lambda value: tuple(map(intern, value))  # ids of exams are the same in every submission
    if all(one in (int, float, ...) for one in arguments):
        return tuple
    if arguments[1:] == (...,):
        item = _reader(arguments[0])
        return lambda value: tuple(map(item, value))
    readers = [_reader(one) for one in arguments]
    return lambda value: tuple(reader(found) for reader, found in zip(readers, value, strict=True))
