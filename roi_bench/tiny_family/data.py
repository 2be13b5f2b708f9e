"""Training texts of the tiny model: prompts in the benchmark's own words, completed by worked solutions.

Everything is a pure function of (seed, number of the text), so that a resumed run sees what an uninterrupted one sees.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roi_bench.exams.exam import TIERS, Problem
from roi_bench.exams.tiny import TINY_BUDGETS, tiny_problem
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import PROMPTS, Message, as_text, exam_messages, exam_prompt, worked_response
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING
from roi_bench.tiny_family.model import END, WORDS
from roi_bench.training.mft.labels import labelled_segment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHUNK_TEXTS = 1024
"""Texts made, sorted by length and cut into batches at a time."""

SINGLE_SHARE, SHORT_SHARE = 0.30, 0.25
"""Shares of prompts with one problem, and with three short ones; the rest are exams, in any order."""

FIRST_SINGLE_SHARE = 0.6
"""Share of single problems in the curriculum at the start; the rest are three short ones."""

SINGLE_WEIGHTS = (0.2, 0.3, 0.5)
"""How often a single problem is easy, middle, hard."""

FIRST_WEIGHTS = (0.4, 0.6, 0.0)
"""The same in the curriculum at the start."""

SHORT_WEIGHTS = (0.8, 0.2, 0.0)
"""The same for each of three short problems, which teach the model to distinguish the problems of a prompt."""

MULTIPLYING_KEPT = 0.01
"""Share of drawn problems with a multiplication that are kept (another is drawn instead): some 6 % of the hard training
problems then multiply, enough to learn how such a walk is written, too few to learn the products. This makes the
hard tier hard; measured in docs/tiny-family.md."""

SKIP_SHARE = 0.02
"""Share of problems skipped for no reason: the model knows the form of a skip and hardly ever uses it."""

FIRST_PART_SHARE, TAGGED_SHARE = 0.35, 0.8
"""Shares in the second part (:func:`form_text`): texts of the first part; among the others, texts with levels."""

TAGGED_PROMPTS = ("metacognitive", "metacognitive", "metacognitive", "greedy_knapsack")
"""Prompts that ask for levels, by weight."""

CHAT_SHARE, FOREIGN_SHARE = 0.25, 0.10
"""Shares of prompts wrapped as a chat message, and of prompts whose instructions are random words."""


@dataclass(frozen=True, slots=True)
class Text:
    """One training text: loss is taken on the completion only."""

    prompt: str
    completion: str


def _budget(rng: random.Random) -> int:
    """Return a budget; any number can be read, the family's own are the most frequent."""
    return rng.choice(TINY_BUDGETS) if rng.random() < 0.3 else rng.randint(16, 2048)


def _problems(rng: random.Random, seed: int, number: int, curriculum: int) -> list[Problem]:
    shape, early = rng.random(), number < curriculum
    if shape < (FIRST_SINGLE_SHARE if early else SINGLE_SHARE):
        tiers = rng.choices(TIERS, weights=FIRST_WEIGHTS if early else SINGLE_WEIGHTS)
    elif early or shape < SINGLE_SHARE + SHORT_SHARE:
        tiers = rng.choices(TIERS, weights=SHORT_WEIGHTS, k=3)
    else:
        tiers = rng.sample(TIERS, k=3)
    return [_problem(rng, seed, tier) for tier in tiers]


def _problem(rng: random.Random, seed: int, tier: str) -> Problem:
    while True:
        problem = tiny_problem(seed, tier, rng.getrandbits(48), "training")
        if "*" not in problem.question or rng.random() < MULTIPLYING_KEPT:
            return problem


def _response(problems: list[Problem], rng: random.Random, tagged: bool = False) -> str:
    skip = {position for position in range(1, len(problems) + 1) if rng.random() < SKIP_SHARE}
    if tagged:
        levels = [
            NOT_WORTH_ATTEMPTING if position in skip else rng.randrange(3) for position in range(1, len(problems) + 1)
        ]
        works = [
            "\\boxed{NA}" if level == NOT_WORTH_ATTEMPTING else p.solution or ""
            for p, level in zip(problems, levels, strict=True)
        ]
        segments = [labelled_segment(k, levels[k - 1], works[k - 1]) for k in range(1, len(problems) + 1)]
        return "".join(segments).rstrip("\n")
    return worked_response(problems, skip)


def _foreign(messages: Sequence[Message], budget: int, rng: random.Random) -> list[Message]:
    """Return the direct prompt with random words, commas and stops in place of its instructions.

    They stand before the problems, in a turn of their own or not, or behind them.
    """
    words = [rng.choice(WORDS) + rng.choice(("", "", "", "", ",", ".", ":")) for _ in range(rng.randint(0, 80))]
    words.insert(rng.randint(0, len(words)), str(budget))
    said, user = " ".join(words), messages[-1]
    placed = rng.choice(("system", "before", "behind"))
    if placed == "system":
        return [{"role": "system", "content": said}, user]
    parts = (said, user["content"]) if placed == "before" else (user["content"], said)
    return [{**user, "content": "\n\n".join(parts)}]


def training_text(seed: int, number: int, curriculum: int = 0) -> Text:
    """Return training text ``number``: one, two or three problems, and their worked solutions in the given order.

    The first ``curriculum`` texts are short.
    """
    rng = random.Random(f"roi-bench tiny text/{seed}/{number}")
    problems = _problems(rng, seed, number, curriculum)
    budget = _budget(rng)
    questions = [problem.question for problem in problems]
    messages = exam_messages(questions, budget)
    if rng.random() < FOREIGN_SHARE:
        messages = _foreign(messages, budget, rng)
    chat = rng.random() < CHAT_SHARE
    turns = "".join(f"<|{message['role']}|>\n{message['content']}{END}\n" for message in messages)
    prompt = f"{turns}<|assistant|>\n" if chat else as_text(messages)
    return Text(prompt, _response(problems, rng) + END)


def form_text(seed: int, number: int) -> Text:
    """Return text ``number`` of the second part of the training: prompts of the benchmark in their response formats.

    Some of the texts are those of the first part. In the others a prompt that asks for levels gets them, at random: the
    model learns to write a forecast, and nothing about what a problem costs.
    """
    rng = random.Random(f"roi-bench tiny form/{seed}/{number}")
    if rng.random() < FIRST_PART_SHARE:
        return training_text(seed, rng.getrandbits(48), 0)
    name = rng.choice(TAGGED_PROMPTS if rng.random() < TAGGED_SHARE else list(PROMPTS))
    problems = _problems(rng, seed, number, 0)
    if not KINDS[PROMPTS[name].kind].together:
        problems = problems[:1]
    budget = _budget(rng)
    prompt = exam_prompt([problem.question for problem in problems], budget, name, level_bounds(problems[0].pool))
    return Text(prompt, _response(problems, rng, name in TAGGED_PROMPTS) + END)


Encoded = tuple[list[int], int]
"""Token ids of a text, and how many of them are its prompt."""


def _encode_chunk(
    tokenizer: PreTrainedTokenizerFast, seed: int, chunk: int, curriculum: int, forms: bool
) -> list[Encoded]:
    numbers = range(chunk * CHUNK_TEXTS, (chunk + 1) * CHUNK_TEXTS)
    texts = [form_text(seed, n) if forms else training_text(seed, n, curriculum) for n in numbers]
    prompts = tokenizer([text.prompt for text in texts], add_special_tokens=False)["input_ids"]
    completions = tokenizer([text.completion for text in texts], add_special_tokens=False)["input_ids"]
    return [(prompt + completion, len(prompt)) for prompt, completion in zip(prompts, completions, strict=True)]


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int, curriculum: int, skip: int = 0, forms: bool = False
) -> Iterator[list[Encoded]]:
    """Yield batches of texts of like length, each of at most ``tokens`` padded tokens, without end.

    Args:
        tokenizer: The tiny tokenizer.
        seed: Seed of the texts and of the batches' order.
        tokens: Padded tokens of a batch.
        curriculum: How many texts at the start are short.
        skip: Leave out so many batches (a resumed run has seen them).
        forms: Texts of the second part of the training (:func:`form_text`).
    """
    chunk = 0
    while True:
        encoded = sorted(_encode_chunk(tokenizer, seed, chunk, curriculum, forms), key=lambda item: len(item[0]))
        cut: list[list[Encoded]] = [[]]
        for item in encoded:
            if (len(cut[-1]) + 1) * len(item[0]) > tokens and cut[-1]:
                cut.append([])
            cut[-1].append(item)
        random.Random(f"roi-bench tiny batches/{seed}/{chunk}").shuffle(cut)
        yield from cut[skip:]
        skip = max(0, skip - len(cut))
        chunk += 1
