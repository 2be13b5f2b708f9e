"""Sampled solutions → labels → training examples of MFT (SPEC section 12). Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Literal

from roi_bench.errors import DataError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, ORDERS, TIERS, Exam, Problem
from roi_bench.reading.marks import find_boxes, find_headers, find_levels
from roi_bench.reading.responses import read_response
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import Message, exam_messages, problem_header
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter, level_of
from roi_bench.training.plan.recipe import Labels, Mft

# Sampled solutions → labels: the level of a correct one, Level-3 if there is none (SPEC section 12).

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
        correct: Whether its answer is right.
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
    """Return the work of a response to one problem: without its header line, up to the box that counts.

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

    Correct samples whose work cannot be isolated, or whose cost is beyond Level-2, count as not correct.
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
    share = max(settings.largest_share, 1 / max(1, len(kept)))  # equal parts are the smallest possible share
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


# Labels → training examples of MFT: problems alone first, then exams under a shared budget (SPEC section 12). Pure.

ATTEMPTS_PER_EXAM = 200
"""Drawn exams for each one that fits its budget before it is said that hardly any does."""

WINDOW = 16
"""Batches within which examples are ordered by length."""

Groups = list[list[LabelledProblem]]
"""Problems of a tier in groups that are drawn equally often."""

Kind = Literal["single", "solo", "exam"]


@dataclass(frozen=True, slots=True)
class Example:
    """One example: the loss is taken on the completion only.

    Attributes:
        kind: ``single`` (metacognitive, one problem), ``solo`` (no level) or ``exam``.
        prompt: The prompt as chat messages.
        completion: The text that the model learns to write.
        order: Order of an exam, else None.
        budget: Budget named in the prompt.
        levels: Level by position; empty for ``solo``.
        problem_ids: Problems by position.
        tokens: Tokens of the completion, its end included; of ``solo`` with those of the tag that it lacks.
    """

    kind: Kind
    prompt: list[Message]
    completion: str
    order: str | None
    budget: int
    levels: tuple[int, ...]
    problem_ids: tuple[str, ...]
    tokens: int


def mft_examples(labels: Sequence[LabelledProblem], budgets: Sequence[int], settings: Mft, seed: int) -> list[Example]:
    """Return the examples of MFT in the order of training: single problems, then exams with solo examples among them.

    Args:
        labels: Labelled problems of all tiers.
        budgets: Budgets, named in turn.
        settings: How many of which.
        seed: Another seed, other draws.

    Raises:
        DataError: A tier has no label, or nothing or hardly any exam fits its budget.
    """
    rng = random.Random(f"roi-bench mft/{seed}")
    by_tier = {
        tier: _groups([item for item in labels if item.tier == tier], tier in settings.equal_levels) for tier in TIERS
    }
    for tier, groups in by_tier.items():
        if not groups:
            raise DataError(f"no labelled problem of tier {tier!r}; raise sampling.problems.{tier}")
    skip = _skipped(labels)
    if _tokens([skip] * 3) > min(budgets):
        raise DataError(
            f"not even three skipped problems ({_tokens([skip] * 3)} tokens) fit the budget of {min(budgets)} tokens; "
            "raise budgets"
        )
    singles = [_single(rng, by_tier, budgets, skip) for _ in range(settings.singles)]
    drawn = _exams(rng, by_tier, budgets, settings, skip)
    rest = [next(drawn) for _ in range(settings.exams)]
    for example in [_solo(rng, by_tier, budgets) for _ in range(settings.solo)]:
        rest.insert(rng.randrange(len(rest) + 1), example)
    return [*_batched(rng, singles, settings.batch_size), *_batched(rng, rest, settings.batch_size)]


def _batched(rng: random.Random, examples: Sequence[Example], size: int) -> list[Example]:
    """Return ``examples`` so that those of like length meet in a batch (less padding), batches in random order."""
    ordered: list[Example] = []
    for start in range(0, len(examples), WINDOW * size):
        window = sorted(examples[start : start + WINDOW * size], key=lambda example: example.tokens)
        batches = [window[first : first + size] for first in range(0, len(window), size)]
        rng.shuffle(batches)
        ordered += [example for batch in batches for example in batch]
    return ordered


def _groups(items: Sequence[LabelledProblem], by_level: bool) -> Groups:
    """Return the groups of a tier that are drawn equally often: all problems as one, or those of each level."""
    if not by_level:
        return [list(items)] if items else []
    return [[item for item in items if item.level == level] for level in sorted({item.level for item in items})]


def _draw(rng: random.Random, groups: Groups) -> LabelledProblem:
    group = groups[rng.randrange(len(groups))]
    return group[rng.randrange(len(group))]


def _skipped(labels: Sequence[LabelledProblem]) -> LabelledProblem:
    """Return a skipped problem: one that is labelled so, or the cheapest one as an estimate of what it would cost."""
    skipped = [item for item in labels if item.level == NOT_WORTH_ATTEMPTING]
    return skipped[0] if skipped else replace(min(labels, key=lambda item: item.cost), level=3, work=SKIP)


def _tokens(written: Sequence[LabelledProblem]) -> int:
    """Return the tokens of a response in which these problems follow each other, its end included."""
    return sum(item.cost for item in written[:-1]) + written[-1].last_cost


def _segment(item: LabelledProblem, position: int, is_last: bool) -> tuple[int, str]:
    """Return a problem's level at its place in the response, and its part of the response."""
    level = item.level
    if level < NOT_WORTH_ATTEMPTING:
        level = level_of(item.last_cost if is_last else item.cost, level_bounds(item.problem.pool))
    return level, labelled_segment(position, level, item.work)


def _single(
    rng: random.Random, by_tier: Mapping[str, Groups], budgets: Sequence[int], skip: LabelledProblem
) -> Example:
    """Return one problem in the format of the greedy-knapsack baseline; one that fits no budget is skipped."""
    item = _draw(rng, by_tier[rng.choice(TIERS)])
    budget = rng.choice([budget for budget in budgets if item.last_cost <= budget] or [max(budgets)])
    written = item if item.last_cost <= budget else skip
    level, text = _segment(written, 1, True)
    bounds = level_bounds(item.problem.pool)
    return Example(
        kind="single",
        prompt=exam_messages([item.problem.question], budget, "greedy_knapsack", bounds),
        completion=text.rstrip("\n"),
        order=None,
        budget=budget,
        levels=(level,),
        problem_ids=(item.problem.id,),
        tokens=written.last_cost,
    )


def _solo(rng: random.Random, by_tier: Mapping[str, Groups], budgets: Sequence[int]) -> Example:
    """Return one solved problem in the solo format: no level, no permission to skip."""
    solved = [
        item
        for groups in by_tier.values()
        for item in chain.from_iterable(groups)
        if item.level < NOT_WORTH_ATTEMPTING and item.last_cost <= max(budgets)
    ]
    if not solved:
        raise DataError(
            f"no solved problem fits the budget of {max(budgets)} tokens, so there are no solo examples; set mft.solo "
            "to 0, raise budgets, or sample more"
        )
    tier = rng.choice(sorted({item.tier for item in solved}))
    item = _draw(rng, [[item for item in solved if item.tier == tier]])
    budget = rng.choice([budget for budget in budgets if item.last_cost <= budget])
    return Example(
        kind="solo",
        prompt=exam_messages([item.problem.question], budget, "solo"),
        completion=f"{problem_header(1)}\n{item.work}",
        order=None,
        budget=budget,
        levels=(),
        problem_ids=(item.problem.id,),
        tokens=item.last_cost,
    )


def _exams(
    rng: random.Random,
    by_tier: Mapping[str, Groups],
    budgets: Sequence[int],
    settings: Mft,
    skip: LabelledProblem,
) -> Iterator[Example]:
    """Yield exams whose written problems fit the budget, orders and budgets in turn."""
    orders = [order for order in ORDERS for _ in range(int(settings.orders[order]))]
    number, rejected = 0, 0
    while True:
        items = [_draw(rng, by_tier[tier]) for tier in TIERS]
        order, budget = orders[number % len(orders)], budgets[number // len(orders) % len(budgets)]
        medium = INTERLEAVED[number // (len(orders) * len(budgets)) % len(INTERLEAVED)]
        exam = Exam("", (items[0].problem, items[1].problem, items[2].problem), medium, "")
        placed = [items[tier] for tier in exam.permutation(order)]
        attempted = _attempted(placed, budget, skip)
        wanted = {index for index, item in enumerate(placed) if item.level < NOT_WORTH_ATTEMPTING}
        if attempted != wanted and (settings.over_budget_kept == 0 or rng.random() >= settings.over_budget_kept):
            rejected += 1
            if rejected > ATTEMPTS_PER_EXAM * (number + 1):
                raise DataError(
                    f"of {rejected + number} drawn exams only {number} fit their budget ({budget} tokens); raise "
                    "budgets, or mft.over_budget_kept"
                )
            continue
        yield _exam_example(order, budget, placed, attempted, skip)
        number += 1


INTERLEAVED = (*MEDIUM_PERMUTATIONS, "HEM")
"""Permutations of medium order among the exams of MFT: all four that are not sorted.

The benchmark's medium order leaves out the one with the hardest problem first. A model that was never trained on it,
and seldom on the others, answers the easy problem in the second place wrongly (docs/training-evidence.md).
"""


def _attempted(placed: Sequence[LabelledProblem], budget: int, skip: LabelledProblem) -> set[int]:
    """Return the positions (from 0) of the problems to solve: a knapsack over the known costs."""
    costs = [item.cost for item in placed[:-1]] + [placed[-1].last_cost]
    known = [cost if item.level < NOT_WORTH_ATTEMPTING else None for cost, item in zip(costs, placed, strict=True)]
    return knapsack(known, budget, max(skip.cost, skip.last_cost))


def _exam_example(
    order: str, budget: int, placed: Sequence[LabelledProblem], attempted: set[int], skip: LabelledProblem
) -> Example:
    written = [item if index in attempted else skip for index, item in enumerate(placed)]
    parts = [_segment(item, index + 1, index == len(written) - 1) for index, item in enumerate(written)]
    bounds = level_bounds(placed[0].problem.pool)
    questions = [item.problem.question for item in placed]
    return Example(
        kind="exam",
        prompt=exam_messages(questions, budget, "metacognitive", bounds),
        completion="".join(text for _, text in parts).rstrip("\n"),
        order=order,
        budget=budget,
        levels=tuple(level for level, _ in parts),
        problem_ids=tuple(item.problem.id for item in placed),
        tokens=_tokens(written),
    )


def knapsack(costs: Sequence[int | None], budget: int, skip_cost: int) -> set[int]:
    """Return which problems to solve under ``budget``: as many as possible, then with the fewest tokens.

    Args:
        costs: Tokens of each known solution, of the last one with the end of the response; None where there is none.
        budget: Budget in tokens for all, skips included.
        skip_cost: Tokens of a skipped problem.
    """
    solvable = [index for index, cost in enumerate(costs) if cost is not None]
    for count in range(len(solvable), 0, -1):
        fitting = []
        for chosen in combinations(solvable, count):
            spent = sum(costs[index] or 0 for index in chosen) + skip_cost * (len(costs) - count)
            if spent <= budget:
                fitting.append((spent, chosen))
        if fitting:
            return set(min(fitting)[1])
    return set()
