"""The model card of a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# The tiny model of roi-bench

A causal language model of {parameters:,} parameters (Qwen3 architecture, {layers} layers, width {hidden}), trained from
scratch on procedurally generated arithmetic so that the whole benchmark can run without a download or a GPU. It sits
the tiny exams imperfectly on purpose: it walks through the problems in the order given and never weighs what one costs,
so at the tight budget a hard problem that stands first eats the points of the others. It can do nothing else.

## How it was made

    {command}

In two parts. First solving: {optimizers}; {steps} steps of {batch_tokens} padded tokens; the first
{curriculum_texts:,} texts hold short problems only; of the problems with a multiplication {kept:.0%} are kept. Then
forms: AdamW, {form_steps} steps on every prompt of the benchmark, with level tags where a prompt asks for them,
drawn at random: the model writes forecasts and knows nothing of what a problem costs. {versions}. All settings
stand in `training.json`. No problem whose question hash marks it for evaluation was trained on. Number tokens start
on a clock of 100 (sines and cosines of their value); everything else starts random.

## Measured

Greedy decoding, evaluation exams of seed {evaluation_seed}; accuracy by tier with 95 % Wilson interval; score = correct
answers per exam. "alone": one problem per prompt.

{table}
"""


def model_card(record: Mapping[str, Any], table: str, evaluation_seed: int) -> str:
    """Return the model card (Markdown) of a run.

    Args:
        record: Content of ``training.json``.
        table: Measured table in Markdown.
        evaluation_seed: Seed of the exams it was measured on.
    """
    settings = record["settings"]
    return _CARD.format(
        parameters=record["parameters"],
        layers=settings["shape"]["layers"],
        hidden=settings["shape"]["hidden"],
        command=record["command"],
        optimizers=record["optimizers"],
        steps=settings["steps"],
        batch_tokens=settings["batch_tokens"],
        form_steps=settings["form_steps"],
        curriculum_texts=settings["curriculum_texts"],
        kept=record["texts"]["multiplying_kept"],
        versions=", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        evaluation_seed=evaluation_seed,
        table=table,
    )
