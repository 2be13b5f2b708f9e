"""What a kind of candidate problem consists of, and how its worked solutions are put into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Facts = dict[str, Any]
Size = Mapping[str, Any]
Worked = tuple[list[str], int]
"""The sentences of a worked solution, and the answer that they lead to."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of generated problem with one integer answer, which is computed twice.

    Attributes:
        area: What it is about.
        draw: Draws what a problem of a size says.
        ask: Its question.
        solve: Its worked solution: short sentences and equations, and the answer.
        answer: Its answer by other means than those of ``solve``: by trying, by counting, or by the generator itself.
    """

    area: str
    draw: Callable[[Random, Size], Facts]
    ask: Callable[[Facts], str]
    solve: Callable[[Facts], Worked]
    answer: Callable[[Facts], int]


def listed(parts: Sequence[object], word: str = "and") -> str:
    """Return ``a, b and c``; with another word ``a, b, then c``."""
    *first, last = map(str, parts)
    joint = " and " if word == "and" else f", {word} "
    return f"{', '.join(first)}{joint}{last}" if first else last


def added(parts: Sequence[int], steps: list[str]) -> int:
    """Return the sum of ``parts``, which may not be empty, and append a sentence for each addition to ``steps``."""
    total, *rest = parts
    for part in rest:
        sign, size = ("-", -part) if part < 0 else ("+", part)
        steps.append(f"{total} {sign} {size} = {total + part}.")
        total += part
    return total


def multiplied(parts: Sequence[int], steps: list[str]) -> int:
    """Return the product of ``parts``, which may not be empty, and append a sentence for each product to ``steps``."""
    product, *rest = parts
    for part in rest:
        steps.append(f"{product} × {part} = {product * part}.")
        product *= part
    return product
