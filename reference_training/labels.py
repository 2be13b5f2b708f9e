"""Sampled solutions → labels: the level of a correct one, Level-3 where the model has none (SPEC section 12)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from roi_bench.errors import DataError
from roi_bench.exams.exam import Problem
from roi_bench.reading.headers import find_headers, find_levels
from roi_bench.reading.marks import find_boxes
from roi_bench.reading.responses import read_response
from roi_bench.reference_training.recipe import Labels
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import problem_header
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter, level_of

SKIP = "\\boxed{NA}"

_ANY = 999_999_999
"""More than the number of any problem that a header can name."""

_CLOSING = re.compile(
    r"[ \t$.*)\]\\]*(?=\r?\n|\Z)(?:\r?\n[ \t]*(?:\\\]|\$\$|\\end\{[a-z]+\*?\})\.?[ \t]*(?=\r?\n|\Z)){0,3}"
)
"""Behind a box: the end of its formula or sentence, in its line and in lines that hold nothing else."""


@dataclass(frozen=True, slots=True)
class SampledSolution:
    """One sampled response to a problem asked alone, graded.

    Attributes:
        text: The response.
        correct: Its answer is right.
    """

    text: str
    correct: bool


@dataclass(frozen=True, slots=True)
class LabelledProblem:
    """A problem with the level that the model's own solutions give it.

    Attributes:
        problem: The problem.
        tier: Its tier.
        level: 0–2: the level of ``cost``; 3: not worth attempting.
        work: The kept solution without header and tag; ``\\boxed{NA}`` for Level-3.
        cost: Tokens of header, tag, work and line end.
        last_cost: The same where the response ends with it: the end of the response in place of the line end.
        samples: Solutions sampled.
        correct: Solutions that were right.
    """

    problem: Problem
    tier: str
    level: int
    work: str
    cost: int
    last_cost: int
    samples: int
    correct: int


def labelled_segment(position: int, level: int, work: str) -> str:
    """Return a problem's part of a response in the metacognitive format: header, tag, work, line end."""
    return f"{problem_header(position)}\n<predicted_level>Level-{level}</predicted_level>\n{work}\n"


def work_of(text: str) -> str | None:
    """Return the work in a response to one problem: without its header line, up to the box that counts.

    None where there is no box that counts, or where the work could not stand among other problems (it names a
    further problem, or forecasts a level): its box would be read otherwise there.
    """
    boxes = find_boxes(text)
    if not boxes or boxes[-1].content is None:
        return None
    end = boxes[-1].end
    closing = _CLOSING.match(text, end)
    headers = find_headers(text, _ANY)
    start = headers[0].end if headers and not text[: headers[0].start].strip() else 0
    work = text[start : end if closing is None else closing.end()].strip()
    if find_levels(work) or find_headers(work, _ANY):
        return None
    answer = read_response(text, 1).problems[0].answer
    among_others = read_response("".join(labelled_segment(position, 0, work) for position in (1, 2, 3)))
    same = all(segment.answer == answer and segment.level == 0 for segment in among_others.problems)
    return work if answer is not None and same else None


def label(
    problem: Problem, tier: str, samples: Sequence[SampledSolution], counter: TokenCounter, settings: Labels
) -> LabelledProblem:
    """Return ``problem`` labelled by its samples.

    Correct samples whose work cannot be told apart, or whose cost is beyond Level-2, count as not correct.
    """
    bounds = level_bounds(problem.pool)
    right: list[tuple[int, int, str]] = []
    for sample in samples:
        work = work_of(sample.text) if sample.correct else None
        if work is not None:
            costs = _costs(0, work, counter)
            if level_of(max(costs), bounds) < NOT_WORTH_ATTEMPTING:
                right.append((*costs, work))
    if len(right) < settings.minimum_correct:
        costs = _costs(NOT_WORTH_ATTEMPTING, SKIP, counter)
        return LabelledProblem(problem, tier, NOT_WORTH_ATTEMPTING, SKIP, *costs, len(samples), len(right))
    by_cost = sorted(right, key=lambda item: item[0])
    chosen = {"first": right[0], "shortest": by_cost[0], "median": by_cost[(len(by_cost) - 1) // 2]}[settings.keep]
    cost, last_cost, work = chosen
    return LabelledProblem(
        problem, tier, level_of(cost, bounds), work, cost, last_cost, samples=len(samples), correct=len(right)
    )


def _costs(level: int, work: str, counter: TokenCounter) -> tuple[int, int]:
    """Return the tokens of a problem's segment, followed by another one and as the last of a response."""
    segment = labelled_segment(1, level, work)
    return len(counter.token_starts(segment)), len(counter.token_starts(segment.rstrip("\n"))) + 1


def balance(labels: Sequence[LabelledProblem], settings: Labels, seed: int) -> list[LabelledProblem]:
    """Return ``labels`` in their order, with random ones dropped where a level has more than its largest share."""
    by_level: dict[int, list[int]] = {}
    for index, item in enumerate(labels):
        by_level.setdefault(item.level, []).append(index)
    kept = {level: len(indices) for level, indices in by_level.items()}
    share = max(settings.largest_share, 1 / max(1, len(kept)))  # no share below that of equal parts can be had
    while share < 1:
        level, count = max(kept.items(), key=lambda item: item[1])
        others = sum(kept.values()) - count
        most = int(share * others / (1 - share) + 1e-9)
        if count <= most:
            break
        kept[level] = most
    chosen: set[int] = set()
    for level, indices in by_level.items():
        chosen.update(random.Random(f"roi-bench balance/{seed}/{level}").sample(indices, kept[level]))
    return [item for index, item in enumerate(labels) if index in chosen]


def check_labels(labels: Sequence[LabelledProblem]) -> None:
    """Make sure that there is something to learn: solved problems, and problems not worth attempting.

    Raises:
        DataError: One of the two classes is empty.
    """
    solved = sum(item.level < NOT_WORTH_ATTEMPTING for item in labels)
    if not solved:
        raise DataError(
            f"none of {len(labels)} training problems was solved in {sum(item.samples for item in labels)} samples, so "
            "every label is Level-3; take a stronger base model, more samples (sampling.samples) or a larger "
            "sampling.cap, and look at what it wrote in samples.jsonl"
        )
    if solved == len(labels):
        raise DataError(
            f"all {len(labels)} training problems were solved, so no label is Level-3 and there is nothing to skip; "
            "take harder problems, or raise labels.minimum_correct"
        )
