"""How a response style is made: three solutions filled into patterns (see ``style_list.py``). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roi_bench.exams.exam import Problem

WRONG = ("1000003", "1000033", "1000037")
"""Wrong values by position, used where a style needs one; no answer of the data is one of them."""

NEUTRAL = "First I look at what is given and what is asked."
"""Work that holds no answer, for styles in which the right value must not stand in the work."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A right solution of one problem.

    Attributes:
        problem: What was asked (its text is not known) and the gold answer.
        work: The solution as its model wrote it, boxes opened.
        answer: The final answer as the model wrote it.
    """

    problem: Problem
    work: str
    answer: str

    @property
    def shown(self) -> str:
        """The answer as it stands in a sentence: a number bare, mathematics between dollar signs."""
        return f"${self.answer}$" if self.problem.pool == "math" else self.answer


Triple = Sequence[Solution]
Writer = Callable[[Triple], str]
Due = tuple[bool | None, bool | None, bool | None]

ALL: Due = (True, True, True)
NONE: Due = (False, False, False)


@dataclass(frozen=True, slots=True)
class Style:
    """One way to write a response; the attributes are described at the top of this file.

    Attributes:
        fits: Exams for which it is false are left out; None: all are taken.
        cut_off: The budget ended the response.
    """

    name: str
    write: Writer
    seen: bool = False
    due: Due = ALL
    loss_expected: bool = False
    fits: Callable[[Triple], bool] | None = None
    cut_off: bool = False


def fill(pattern: str, k: int, solution: Solution | None = None) -> str:
    """Return ``pattern`` with ``<k>``, ``<value>``, ``<shown>``, ``<box>``, ``<work>`` and ``<wrong>`` filled in."""
    text = pattern.replace("<k>", str(k)).replace("<wrong>", WRONG[k - 1])
    if solution is not None:
        text = text.replace("<box>", f"\\boxed{{{solution.answer}}}").replace("<value>", solution.answer)
        text = text.replace("<shown>", solution.shown).replace("<work>", solution.work)
    return text


def each(pattern: str, between: str = "\n\n") -> Writer:
    """Write ``pattern`` for each problem."""
    return lambda triple: between.join(fill(pattern, k, solution) for k, solution in enumerate(triple, 1))


def patterns(*parts: str, between: str = "\n\n") -> Writer:
    """Write the i-th pattern for problem i; each may be written differently."""
    return lambda triple: between.join(
        fill(part, k, solution) for k, (part, solution) in enumerate(zip(parts, triple, strict=True), 1)
    )


def joined(*writers: Writer | str, between: str = "\n\n") -> Writer:
    """Write one after the other; a string stands for itself."""
    return lambda triple: between.join(writer if isinstance(writer, str) else writer(triple) for writer in writers)


def changed(writer: Writer, *pairs: tuple[str, str]) -> Writer:
    """Write, then replace in the whole response."""

    def write(triple: Triple) -> str:
        text = writer(triple)
        for old, new in pairs:
            text = text.replace(old, new)
        return text

    return write


def cut(writer: Writer, end: str) -> Writer:
    """Write, then cut the response behind the last occurrence of ``end``, as a budget would."""

    def write(triple: Triple) -> str:
        text = writer(triple)
        return text[: text.rindex(end) + len(end)]

    return write


def listed(solution: Solution) -> bool:
    """Return whether the answer is a bare list of at least two parts without brackets."""
    return "," in solution.answer and not set(solution.answer) & set("()[]{}") and ",\\!" not in solution.answer


def has_list(triple: Triple) -> bool:
    """Return whether some answer is a bare list."""
    return any(map(listed, triple))


def no_commas(triple: Triple) -> bool:
    """Return whether no answer holds a comma, so that the answers can stand in one list."""
    return not any("," in solution.answer for solution in triple)


def no_words(triple: Triple) -> bool:
    """Return whether each answer is one value without words, so that a list without boxes can hold it."""
    return no_commas(triple) and not any("text" in solution.answer for solution in triple)


def list_in_boxes(between: str) -> Writer:
    """Write each part of an answer that is a list in a box of its own."""

    def write(triple: Triple) -> str:
        texts = []
        for k, solution in enumerate(triple, 1):
            parts = solution.answer.split(",") if listed(solution) else [solution.answer]
            boxes = between.join(f"\\boxed{{{part.strip()}}}" for part in parts)
            texts.append(f"### Problem {k}\n{solution.work}\n\nThe answers are ${boxes}$.")
        return "\n\n".join(texts)

    return write


def one(k: int, pattern: str) -> Writer:
    """Write ``pattern`` for problem ``k``, wherever this stands."""
    return lambda triple: fill(pattern, k, triple[k - 1])
