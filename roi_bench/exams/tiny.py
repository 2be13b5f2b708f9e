r"""The tiny family: exams of procedural arithmetic, scaled down for a model of under a million parameters.

A problem is a walk modulo 100: ``Start at 47. Apply +7 and -12 in turn, 3 times, modulo 100.`` Its worked solution
writes one line a step (value, steps left, operation) and boxes the last value::

    47 3 +7
    54 2 -12
    42 1 +7
    \boxed{49}

The tiers differ in the number of steps, hence in tokens (about 1 : 3 : 8), and in how often one of the two operations
is a multiplication by a two-digit number, for which a model has to know facts, not a rule. Everything here
is a pure function of (seed, split, tier, index); it needs no torch, no download and no random state.

Evaluation and training share no problem: the hash of a question decides to which of the two it belongs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Literal

from roi_bench.errors import UsageError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, Exam, Problem, sha256_text

TINY_BUDGETS = (128, 256)
"""(tight, loose) in tokens of the shipped tokenizer. The tight one holds any easy and middle problem together, or one
hard problem, but never all three; the loose one holds any three."""

MODULUS = 100
STEPS = {"easy": (2, 3), "middle": (8, 12), "hard": (26, 30)}
"""Smallest and largest number of steps by tier."""

MULTIPLYING_EIGHTHS = {"easy": 0, "middle": 1, "hard": 7}
"""How many problems in eight have a multiplication as first operation, by tier."""

LARGEST_SUMMAND = 20
"""Operands of additions and subtractions run from 1 to this."""

MULTIPLIERS = tuple(k for k in range(11, MODULUS) if k % 2 and k % 5)
"""Two-digit multipliers prime to the modulus, so that no step forgets the value before it."""

EVALUATION_SHARE = 8
"""One question in so many, by hash, is for evaluation only."""

Split = Literal["evaluation", "training"]


@dataclass(frozen=True, slots=True)
class Walk:
    """``steps`` operations on ``start`` modulo 100, ``operations`` taken in turn (``+7``, ``-12``, ``*37``)."""

    start: int
    operations: tuple[str, str]
    steps: int

    @property
    def question(self) -> str:
        """The problem's text."""
        first, second = self.operations
        return f"Start at {self.start}. Apply {first} and {second} in turn, {self.steps} times, modulo {MODULUS}."

    def values(self) -> list[int]:
        """Return the value after each step."""
        value, values = self.start, []
        for step in range(self.steps):
            value = _apply(self.operations[step % 2], value)
            values.append(value)
        return values

    def solution(self) -> str:
        """Return the worked solution: one line a step, then the boxed answer."""
        values = [self.start, *self.values()]
        lines = [f"{value} {self.steps - i} {self.operations[i % 2]}" for i, value in enumerate(values[:-1])]
        return "\n".join([*lines, f"\\boxed{{{values[-1]}}}"])


def _apply(operation: str, value: int) -> int:
    sign, operand = operation[0], int(operation[1:])
    if sign == "*":
        return value * operand % MODULUS
    return (value + operand if sign == "+" else value - operand) % MODULUS


def _draw_walk(key: str, tier: str) -> Walk:
    """Return the walk that the hash of ``key`` chooses among those of ``tier``."""
    entropy = int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest(), "big")

    def draw(count: int) -> int:
        nonlocal entropy
        entropy, choice = divmod(entropy, count)
        return choice

    low, high = STEPS[tier]
    steps, start = low + draw(high - low + 1), draw(MODULUS)
    if draw(8) < MULTIPLYING_EIGHTHS[tier]:
        first = f"*{MULTIPLIERS[draw(len(MULTIPLIERS))]}"
    else:
        first = f"+{1 + draw(LARGEST_SUMMAND)}"
    return Walk(start, (first, f"-{1 + draw(LARGEST_SUMMAND)}"), steps)


def is_evaluation_question(question: str) -> bool:
    """Return whether a question is for evaluation only; all others may be trained on."""
    return int(sha256_text(question)[:8], 16) % EVALUATION_SHARE == 0


def tiny_problem(seed: int, tier: str, index: int, split: Split, taken: Collection[str] = ()) -> Problem:
    """Return problem ``index`` of a tier: the first draw that belongs to ``split`` and is not ``taken``.

    Args:
        seed: Any integer; another seed is another set of problems.
        tier: ``easy``, ``middle`` or ``hard``.
        index: Number of the problem within (seed, split, tier), from 0.
        split: ``evaluation`` or ``training``.
        taken: Questions that must not be drawn again.

    Raises:
        UsageError: There is no such tier.
    """
    if tier not in STEPS:
        raise UsageError(f"unknown tier {tier!r} of the tiny family; known: {', '.join(TIERS)}")
    attempt = 0
    while True:
        walk = _draw_walk(f"roi-bench tiny 1/{split}/{seed}/{tier}/{index}/{attempt}", tier)
        question = walk.question
        if is_evaluation_question(question) == (split == "evaluation") and question not in taken:
            break
        attempt += 1
    prefix = "tiny" if split == "evaluation" else "train/tiny"
    return Problem(
        id=f"{prefix}/{seed}/{tier}/{index:03d}",
        pool=f"tiny-{tier}",
        question=question,
        answer=str(walk.values()[-1]),
        solution=walk.solution(),
    )


def _exams(seed: int, split: Split, start: int = 0) -> Iterator[Exam]:
    """Yield exams from number ``start`` on, endlessly; no problem occurs twice in one evaluation set."""
    prefix = "tiny" if split == "evaluation" else "train/tiny"
    taken: set[str] = set()
    index = start
    while True:
        easy, middle, hard = (tiny_problem(seed, tier, index, split, taken) for tier in TIERS)
        if split == "evaluation":
            taken.update(problem.question for problem in (easy, middle, hard))
        exam_id = f"{prefix}/{seed}/{index:03d}"
        yield Exam(exam_id, (easy, middle, hard), MEDIUM_PERMUTATIONS[index % len(MEDIUM_PERMUTATIONS)], exam_id)
        index += 1


def tiny_exams(seed: int = 0, count: int = 480) -> tuple[Exam, ...]:
    """Return the first ``count`` evaluation exams of ``seed``; a smaller count is a prefix of a larger one.

    Raises:
        UsageError: ``count`` is negative.
    """
    _check_count(count)
    return tuple(islice(_exams(seed, "evaluation"), count))


def tiny_training_exams(seed: int = 0, count: int = 480, start: int = 0) -> tuple[Exam, ...]:
    """Return training exams ``start`` … ``start + count - 1`` of ``seed``; none of their problems is ever evaluated.

    Raises:
        UsageError: ``count`` or ``start`` is negative.
    """
    _check_count(count)
    _check_count(start)
    return tuple(islice(_exams(seed, "training", start), count))


def _check_count(count: int) -> None:
    if count < 0:
        raise UsageError(f"{count} tiny exams asked for; give a number of at least 0")


TINY_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
"""Chat template of the tiny models, which are sent bare text all the same: they were trained on it."""

SHIPPED_MODELS = {"base": "tiny_model", "mft": "tiny_mft", "rarl": "tiny_rarl"}
"""Folders of the shipped models by stage of training: as trained from scratch, after MFT, after MFT and RARL."""


def model_path(stage: str = "base") -> Path:
    """Return the folder of a shipped tiny model (a Hugging Face model folder).

    Args:
        stage: A key of :data:`SHIPPED_MODELS`.
    """
    return Path(str(files("roi_bench"))) / "data" / SHIPPED_MODELS[stage]
