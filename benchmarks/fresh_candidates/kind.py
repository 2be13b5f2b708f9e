"""What a kind of candidate problem consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Facts = dict[str, Any]
Size = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of generated problem with one integer answer.

    Attributes:
        area: What it is about.
        draw: Draws what a problem of a size says.
        ask: Its question.
        answer: Its answer, found by trying or by a formula other than the one a solver would use.
    """

    area: str
    draw: Callable[[Random, Size], Facts]
    ask: Callable[[Facts], str]
    answer: Callable[[Facts], int]


def listed(parts: Sequence[object], word: str = "and") -> str:
    """Return ``a, b and c``; with another word ``a, b, then c``."""
    *first, last = map(str, parts)
    joint = " and " if word == "and" else f", {word} "
    return f"{', '.join(first)}{joint}{last}" if first else last
