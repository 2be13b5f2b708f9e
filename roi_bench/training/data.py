"""Training data: which problems may be trained on, prompts as training sends them, labels and examples on disk."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from roi_bench.errors import DataError, RecordError, UsageError, first_line, nearest
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, TIERS, Exam, Problem, sha256_text
from roi_bench.harness.sending import rendered, templated
from roi_bench.scoring.prompts import PROBLEMS, PROMPTS, Message, as_text
from roi_bench.training.mft.labels import Example, LabelledProblem
from roi_bench.training.plan.recipe import Family, Recipe, TierCounts, recipe_text

# Prompts as training sends them: the same as in the evaluation, with or without a chat template.


def chat_wrapper(recipe: Recipe, tokenizer: Any) -> Callable[[Sequence[Message]], str]:
    """Return a function that turns messages into the text to send: with the chat template, or without.

    Raises:
        UsageError: The recipe asks for a chat template and the tokenizer has none.
    """
    if not recipe.chat:
        return lambda messages: as_text(instructed(messages, recipe.system_prompt))
    if not tokenizer.chat_template:
        raise UsageError(
            f"recipe {recipe.name}: chat is true, but the tokenizer of {recipe.model!r} has no chat template"
        )
    render = template_of(tokenizer, recipe.chat_template_kwargs)
    return lambda messages: rendered(instructed(messages, recipe.system_prompt), render)


def instructed(messages: Sequence[Message], system_prompt: str | None) -> list[Message]:
    """Return messages with the recipe's system prompt before their own instructions, as lm_eval puts it."""
    if not system_prompt:
        return list(messages)
    own = [message["content"] for message in messages[:1] if message["role"] == "system"]
    system: Message = {"role": "system", "content": "\n\n".join([system_prompt, *own])}
    return [system, *messages[len(own) :]]


def template_of(tokenizer: Any, arguments: Mapping[str, Any]) -> Callable[[list[Message]], str]:
    """Return a function that applies the tokenizer's chat template to messages, up to the start of the response."""
    render: Callable[[list[Message]], str] = partial(
        tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True, **arguments
    )
    return render


def trl_prompt(messages: Sequence[Message], recipe: Recipe, tokenizer: Any) -> str | list[Message]:
    """Return a prompt in TRL's form: messages, to which TRL applies the chat template, or bare text."""
    asked = instructed(messages, recipe.system_prompt)
    return templated(asked, template_of(tokenizer, recipe.chat_template_kwargs)) if recipe.chat else as_text(asked)


# What may be trained on: problems, exams, and exams held out to monitor training; never an evaluation problem.

HELD_OUT_SHARE = 10
"""One training question in so many, by hash, is never trained on: held-out exams are made of these."""

MFT_STREAM, RARL_STREAM, HELD_OUT_STREAM = 1, 2, 3
"""Three seeds out of one, so that stages of one run draw different problems (where a pool is large enough)."""


def stream_seed(seed: int, stream: int) -> int:
    """Return the seed of one stream of a run."""
    return 10 * seed + stream


def is_held_out(question: str) -> bool:
    """Return whether a training question is reserved for held-out exams."""
    return int(sha256_text(question)[8:16], 16) % HELD_OUT_SHARE == 0


def sampled_problems(family: Family, counts: TierCounts, seed: int) -> dict[str, list[Problem]]:
    """Return distinct problems to sample solutions of, by tier; a pool with fewer gives all it has.

    Raises:
        DataError: A training pool is missing or damaged, or the installed reasoning-gym generates other problems.
    """
    if family in GENERATED:
        return {tier: list(islice(GENERATED[family](seed, tier, False), counts[tier])) for tier in TIERS}
    from roi_bench.exams.manifest import shuffled

    pools = _real_pools(held_out=False)
    found = {}
    for tier, pool in zip(TIERS, pools.values(), strict=True):
        order = shuffled(pool, "roi-bench mft", seed, tier)
        found[tier] = [pool[key] for key in order[: counts[tier]]]
    return found


def exam_stream(family: Family, seed: int, *, held_out: bool = False) -> Iterator[Exam]:
    """Yield training exams without end, all of held-out problems or none.

    Raises:
        DataError: A training pool is missing or damaged.
    """
    kind = "held-out" if held_out else "train"
    if family in GENERATED:
        streams = [GENERATED[family](seed, tier, held_out) for tier in TIERS]
        for index, (easy, middle, hard) in enumerate(zip(*streams, strict=True)):
            name = f"{kind}/{family}/{seed}/{index:05d}"
            yield Exam(name, (easy, middle, hard), MEDIUM_PERMUTATIONS[index % len(MEDIUM_PERMUTATIONS)], name)
    from roi_bench.exams.manifest import exam_of, load_manifest, training_triples

    pools = _real_pools(held_out)
    frozen = [problem.question_sha256 for problem in load_manifest().problems.values()]
    start, made = 0, 480
    while True:  # a smaller count gives a prefix of a larger one
        triples = training_triples(pools, frozen, seed=seed, count=made)
        for index in range(start, made):
            yield exam_of(f"{kind}/{seed}/{index:05d}", triples[index], pools)
        start, made = made, 2 * made


def held_out_exams(recipe: Recipe, count: int) -> tuple[Exam, ...]:
    """Return ``count`` exams of held-out training problems."""
    seed = stream_seed(recipe.seed, HELD_OUT_STREAM)
    return tuple(islice(exam_stream(recipe.family, seed, held_out=True), count))


def refuse_evaluation_questions(questions: Iterable[str], family: Family) -> None:
    """Raise an error if one of ``questions`` belongs to an evaluation set.

    Raises:
        DataError: One does; the message names it by hash.
    """
    for question in questions:
        if family == "tiny":
            from roi_bench.exams.tiny import is_evaluation_question

            evaluated = is_evaluation_question(question)
        else:
            evaluated = sha256_text(question) in (_fresh_hashes() if family == "fresh" else _frozen_hashes())
        if evaluated:
            raise DataError(
                f"the training data hold an evaluation problem (question SHA-256 {sha256_text(question)[:16]}…); a "
                "model trained on it could not be judged. Take it out, or build the data again with roi-bench train mft"
            )


def questions_of(messages: Sequence[Message]) -> list[str]:
    """Return the questions in a prompt of the benchmark; none of other messages."""
    asked = messages[-1]["content"] if messages else ""
    for form in PROMPTS.values():
        before, after = (_pattern(part) for part in form.user.split(PROBLEMS))
        header = re.escape(form.header).replace(re.escape("{k}"), "[1-9]")
        found = re.fullmatch(rf"{before}({header}\n.*){after}", asked, re.DOTALL)
        if found is not None:
            starts = [(match.start(), match.end()) for match in re.finditer(rf"(?:\A|\n\n){header}\n", found[1])]
            ends = [*(start for start, _ in starts[1:]), len(found[1])]
            return [found[1][start:end] for (_, start), end in zip(starts, ends, strict=True)]
    return []


@lru_cache(maxsize=32)
def _pattern(template: str) -> str:
    """Return the regular expression of a part of a template; any number stands for its numbers."""
    pieces = re.split(r"\{(?:budget|level_\d)\}", template)
    return "[0-9]+".join(re.escape(piece.format()) for piece in pieces)


def _frozen_hashes() -> frozenset[str]:
    from roi_bench.exams.manifest import load_manifest

    return frozenset(problem.question_sha256 for problem in load_manifest().problems.values())


def _tiny_stream(seed: int, tier: str, held_out: bool) -> Iterator[Problem]:
    from roi_bench.exams.tiny import tiny_problem

    taken: set[str] = set()
    index = 0
    while True:
        problem = tiny_problem(seed, tier, index, "training", taken)
        index += 1
        taken.add(problem.question)
        if is_held_out(problem.question) == held_out:
            yield problem


@lru_cache(maxsize=1)
def _fresh_hashes() -> frozenset[str]:
    """Return the hashes of the questions of fresh exams as the tasks ask them: seed 0."""
    from roi_bench.exams.fresh import fresh_exams

    return frozenset(problem.sha256 for exam in fresh_exams(0) for problem in exam.problems)


def _fresh_stream(seed: int, tier: str, held_out: bool) -> Iterator[Problem]:
    """Yield problems drawn as those of fresh exams are, under names of their own, hence others; families in turn."""
    from roi_bench.exams.fresh import FAMILIES, checked_problem, generate

    taken = set(_fresh_hashes())
    for index in count():
        chosen, name = FAMILIES[tier][index % len(FAMILIES[tier])], f"train/fresh/{seed}/{tier}/{index}"
        problem = checked_problem(name, tier, chosen, generate(chosen, name))
        if problem.sha256 not in taken and is_held_out(problem.question) == held_out:
            taken.add(problem.sha256)
            yield problem


GENERATED: dict[str, Callable[[int, str, bool], Iterator[Problem]]] = {"tiny": _tiny_stream, "fresh": _fresh_stream}
"""Families whose problems are generated, without end: each gives a stream by seed and tier, held out or not."""


def _real_pools(held_out: bool) -> dict[str, dict[str, Problem]]:
    """Return the training pools of GSM8K, MATH and AIME without problems that cannot be used or were frozen."""
    from roi_bench.exams.exam import POOL_TIERS
    from roi_bench.exams.manifest import usable
    from roi_bench.exams.pools import load_pool, resolve_source

    frozen, source = _frozen_hashes(), resolve_source()
    pools = {}
    for pool in POOL_TIERS:
        problems = load_pool(pool, "training", source)
        pools[pool] = {
            key: problem
            for key, problem in problems.items()
            if problem.sha256 not in frozen
            and is_held_out(problem.question) == held_out
            and (pool != "math" or usable(problem))
        }
        if not pools[pool]:
            raise DataError(f"no training problem of pool {pool!r} is left; check the pool files")
    return pools


# Labels and examples as ``datasets`` on disk, each with a card; reading them back, possibly edited.

LEVELS = ("Level-0", "Level-1", "Level-2", "Level-3")

_CARD = """---
license: other
language: en
task_categories: [text-generation]
tags: [roi-bench, {name}]
---

# {title}

{text}

Made with roi-bench by the recipe below; no problem of an evaluation set is among them (checked by hash). The texts of
GSM8K, MATH and AIME problems have licences of their own: mind them before you publish this folder.

{table}

```yaml
{recipe}```
"""

_ABOUT = {
    "labels": (
        "Labels of meta-cognitive fine-tuning",
        (
            "One row a training problem: the level that the base model's own sampled solutions give it, and the "
            "solution that was kept. Level-3: fewer of them were correct than `labels.minimum_correct` asks for."
        ),
    ),
    "examples": (
        "Examples of meta-cognitive fine-tuning",
        (
            "One row an example, in the order of training: `single` (one problem), `solo` (one problem, no level), "
            "`exam` (three problems under a shared budget). The loss is taken on `completion` only."
        ),
    ),
}

NAMES = tuple(_ABOUT)
"""Data sets of a run, in the order in which they are made."""


def save_data(recipe: Recipe, labels: Sequence[LabelledProblem], examples: Sequence[Example], out: Path) -> None:
    """Write both data sets and their cards under ``out / "data"``."""
    rows = {
        "labels": [
            {
                "problem_id": item.problem.id,
                "tier": item.tier,
                "question": item.problem.question,
                "answers": list(item.problem.answers),
                "level": item.level,
                "work": item.work,
                "cost": item.cost,
                "samples": item.samples,
                "correct": item.correct,
            }
            for item in labels
        ],
        "examples": [{**asdict(item), "levels": list(item.levels)} for item in examples],
    }
    tables = {"labels": label_table(labels), "examples": example_table(examples)}
    for name in NAMES:
        _save(rows[name], out / "data" / name, _card(name, tables[name], recipe))


def _save(rows: list[dict[str, Any]], folder: Path, card: str) -> None:
    from datasets import Dataset

    Dataset.from_list(rows).save_to_disk(str(folder))
    (folder / "README.md").write_text(card, encoding="utf-8")


def _card(name: str, table: str, recipe: Recipe) -> str:
    title, text = _ABOUT[name]
    return _CARD.format(name=name, title=title, text=text, table=table, recipe=recipe_text(recipe))


def label_table(labels: Sequence[LabelledProblem]) -> str:
    """Return how many labels of each level each tier has, as Markdown, with the mean cost of a kept solution."""
    lines = [f"| tier | problems | {' | '.join(LEVELS)} | tokens of a kept solution (mean) |", "|---" * 7 + "|"]
    for tier in TIERS:
        items = [item for item in labels if item.tier == tier]
        counts = Counter(item.level for item in items)
        costs = [item.cost for item in items if item.level < 3]
        mean = f"{sum(costs) / len(costs):.0f}" if costs else "–"
        lines.append(f"| {tier} | {len(items)} | {' | '.join(str(counts[k]) for k in range(4))} | {mean} |")
    return "\n".join(lines)


def example_table(examples: Sequence[Example]) -> str:
    """Return how many examples of each kind, order and budget there are, as Markdown."""
    lines = ["| kind | order | budget | examples | tokens (mean) | problems skipped |", "|---" * 6 + "|"]
    groups: dict[tuple[str, str, int], list[Example]] = {}
    for example in examples:
        groups.setdefault((example.kind, example.order or "–", example.budget), []).append(example)
    for (kind, order, budget), items in sorted(groups.items()):
        tokens = sum(item.tokens for item in items) / len(items)
        problems = sum(len(item.levels) for item in items)
        skipped = f"{sum(item.levels.count(3) for item in items) / problems:.0%}" if problems else "–"
        lines.append(f"| {kind} | {order} | {budget} | {len(items)} | {tokens:.0f} | {skipped} |")
    return "\n".join(lines)


def load_rows(out: Path, name: str) -> Any:
    """Return the data set ``name`` of a run.

    Raises:
        UsageError: There is no such data set, or none yet.
        RecordError: It is damaged.
    """
    if name not in NAMES:
        raise UsageError(f"unknown data set {name!r}; {nearest(name, NAMES)}")
    folder = out / "data" / name
    if not (folder / "dataset_info.json").is_file():
        raise UsageError(f"there are no {name} in {out}; make them with roi-bench train mft RECIPE --out {out}")
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise RecordError(f"cannot read {folder}: {first_line(error)}; remove the folder and build it again") from error


def load_examples(out: Path) -> list[Example]:
    """Return the examples that were saved, possibly edited since.

    Raises:
        UsageError: There are none yet.
        RecordError: They are damaged.
    """
    where = out / "data" / "examples"
    rows = load_rows(out, "examples")
    if any(isinstance(row.get("prompt"), str) for row in rows):
        raise RecordError(
            f"the prompts in {where} are texts, as releases before version 2 of the prompts wrote them, and not "
            "messages; remove the folder and build it again"
        )
    try:
        return [
            Example(**{**row, "levels": tuple(row["levels"] or ()), "problem_ids": tuple(row["problem_ids"])})
            for row in rows
        ]
    except (TypeError, KeyError) as error:
        raise RecordError(f"{where} has other columns than roi-bench writes: {error}") from error


# ``roi-bench train inspect``: the training data of a run, in numbers and in rows to read.


def inspection_text(out: Path, name: str, number: int | None, limit: int) -> str:
    """Return the card's table of a data set and some of its rows, spread over all kinds.

    Args:
        out: Folder of the run.
        name: ``labels`` or ``examples``.
        number: Row to show alone, or None.
        limit: Rows to show.

    Raises:
        UsageError: No such data set or row.
        RecordError: The data set is damaged.
    """
    rows = load_rows(out, name)
    if number is not None:
        if number >= len(rows):
            raise UsageError(f"row {number} of {name} does not exist; there are {len(rows)}, from 0")
        return _row_text(name, number, rows[number])
    card = (out / "data" / name / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in card.splitlines() if line.startswith("|"))
    chosen = sorted({round(k * (len(rows) - 1) / max(1, limit - 1)) for k in range(min(limit, len(rows)))})
    return "\n\n".join([table, *(_row_text(name, index, rows[index]) for index in chosen)])


def _row_text(name: str, number: int, row: dict[str, Any]) -> str:
    if name == "labels":
        head = (
            f"labels {number}: {row['problem_id']} ({row['tier']}), Level-{row['level']}, {row['cost']} tokens, "
            f"{row['correct']} of {row['samples']} samples correct, answer {' or '.join(row['answers'])}"
        )
        return f"== {head}\n{row['question']}\n--\n{row['work']}"
    levels = ", ".join(f"Level-{level}" for level in row["levels"]) or "no levels"
    order = f", {row['order']} order" if row["order"] else ""
    head = f"examples {number}: {row['kind']}{order}, budget {row['budget']}, {levels}, {row['tokens']} tokens"
    return f"== {head}\n{row['prompt']}{row['completion']}"
