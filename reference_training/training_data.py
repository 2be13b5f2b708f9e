"""Labels and examples as ``datasets`` on disk, each with a card; reading them back, whoever changed them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError, UsageError, first_line, nearest
from roi_bench.exams.exam import TIERS
from roi_bench.reference_training.labels import LabelledProblem
from roi_bench.reference_training.mft_examples import Example
from roi_bench.reference_training.recipe import Recipe, recipe_text

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
