"""Model cards: how a trained model was made, what it is for, its measured table, its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table, to_markdown
from roi_bench.errors import RecordError, UsageError, nearest
from roi_bench.training.plan.recipe import Recipe

# The model card of an MFT or RARL model: how it was made, what it is for, its measured table, its limits.

METHODS = {
    "mft": (
        "Meta-Cognitive Fine-Tuning (MFT): supervised fine-tuning on solutions of the base model's own. Before each "
        "problem stands the level of what it will cost (`Level-0` to `Level-2` by tokens); what the base model could "
        "not solve is `Level-3` and answered `\\boxed{NA}`. Single problems first, then exams of three problems that "
        "share a budget, in mixed orders."
    ),
    "rarl": (
        "Rationality-Aware RL (RARL): Dr. GRPO on training exams, on top of the MFT model (or the one that the command "
        "names). Generation is cut at the budget; the reward is the benchmark's own grading{reward}. Exams come in "
        "mixed orders, with the budget in the prompt."
    ),
}
"""How the models of each stage are made, in a few sentences."""

_CARD = """---
{front}---

# {title}

A model of the reference trainer of [roi-bench](https://arxiv.org/abs/2601.03822): it answers three problems in one
generation under one hard token budget, and should know which of them its tokens are worth.

## How it was made

    {command}

{method}

- Recipe `{recipe}`, seed {seed}, exams of family `{family}`, budgets {budgets} tokens. Every setting stands in
  `training.json` and, for the whole run, in `recipe.yaml`.
- Base model: {base}.
- Data: {data}. No evaluation problem is among them (checked by hash of the question).
- {minutes:.1f} minutes on {device}; {versions}.

## What it is for

To show and to study the method on this benchmark, and as a reference for others' training runs. Ask it with the
`metacognitive` prompt of roi-bench, in which each problem gets a level before it gets an answer; other prompts are not
what it was trained on.

## Measured

{measured}

## Limits

{limits}
"""

_NOT_MEASURED = "Not yet: `roi-bench train evaluate` runs the benchmark's own tasks and writes the table."

_LIMITS = {
    "tiny": (
        "A demonstration: the problems are procedural arithmetic, and the model can do nothing else. Its levels have "
        "an eighth of the paper's token bounds. What holds here need not hold for a large model."
    ),
    "fresh": (
        "Trained on problems that programs generate (reasoning-gym): levels and skips are about such problems and this "
        "model's own token counts. A skipped problem is one that the base model did not solve in a few samples, not "
        "one that cannot be solved."
    ),
    "v1": (
        "Trained on GSM8K, MATH and AIME problems: levels and skips are about such problems and this model's own token "
        "counts. A skipped problem is one that the base model did not solve in a few samples, not one that cannot be "
        "solved. Answers are not checked by anyone."
    ),
}

_MEASURES = (
    *("score", "score in easy order", "regret", "skipped easy", "skipped middle", "skipped hard", "skip precision"),
    *("level accuracy", "V_DP", "AE · SR", "agreement"),
)
_DECIMALS = {"A − B": 3, "A's": 3, "B's": 3, "p": 4}


@dataclass(frozen=True, slots=True)
class Making:
    """How a model was made, apart from its recipe.

    Attributes:
        command: The command line.
        data: Counts of what it was trained on, by name, such as ``{"labelled problems": 4000}``.
        minutes: Duration of the training in minutes.
        device: What it ran on, in words.
        versions: Versions of the packages that matter, by name.
        license: Licence of the weights, as the hub spells it; None where only the base model's is known.
    """

    command: str
    data: Mapping[str, int]
    minutes: float
    device: str
    versions: Mapping[str, str]
    license: str | None = None


def stage_card(stage: str, recipe: Recipe, making: Making, measured: str | None = None) -> str:
    """Return the model card (README.md with front matter) of the model of a stage.

    Args:
        stage: ``mft`` or ``rarl``.
        recipe: The recipe of the training run.
        making: How it was made.
        measured: Markdown of its measured numbers (:func:`measured_tables`); None where it was not evaluated yet.

    Raises:
        UsageError: An unknown stage.
    """
    if stage not in METHODS:
        raise UsageError(f"no model card for stage {stage!r}; {nearest(stage, tuple(METHODS))}")
    paid = ", counting a correct answer only where its level was right" if recipe.rarl.reward.level else ""
    return _CARD.format(
        front=_front_matter(stage, recipe, making),
        title=f"roi-bench {recipe.name}, {stage.upper()}",
        command=making.command,
        method=METHODS[stage].replace("{reward}", paid),
        recipe=recipe.name,
        seed=recipe.seed,
        family=recipe.family,
        budgets=" and ".join(map(str, recipe.budgets)),
        base=_base_name(recipe),
        data=", ".join(f"{count:,} {name}" for name, count in making.data.items()) or "none recorded",
        minutes=making.minutes,
        device=making.device,
        versions=", ".join(f"{name} {version}" for name, version in making.versions.items()) or "versions not recorded",
        measured=measured or _NOT_MEASURED,
        limits=_LIMITS[recipe.family],
    )


def measured_tables(summary: Path, stage: str) -> str:
    """Return the results of a stage's evaluation as Markdown: its rows of the summary, and its comparisons.

    Args:
        summary: ``stages.json`` of the evaluation.
        stage: The stage.

    Raises:
        RecordError: The file cannot be read, is damaged, or has no row of the stage.
    """
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
        rows = [row for row in content["stages"] if row["stage"] == stage]
        aims = [row for row in content["aims"] if row["A"].split(" · ")[0] == stage]
        tables = [
            _table("measured", "On the benchmark's evaluation exams", ("exams", "prompt", "n", *_MEASURES), rows),
            _table("compared", "Against the other stages and prompts", tuple(aims[0]) if aims else ("A",), aims),
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{summary}: not the summary of an evaluation, or a damaged one ({type(error).__name__}: {error}); "
            "make it with roi-bench train evaluate"
        ) from error
    if not rows:
        raise RecordError(f"{summary}: has nothing on stage {stage!r}; evaluate it first")
    notes = (
        "Score: correct answers per exam, 0–3. Regret: share of the easy order's correct answers lost. Skip precision "
        "and V_DP are of what this very model solves alone; V_DP is what the best policy makes of that, AE · SR the "
        "score as a share of it, agreement the share of decisions that this policy could have taken too. p: "
        "permutation test over exams, not corrected for the number of comparisons. In brackets: 95 % intervals, for "
        "new problems."
    )
    return "\n".join([*(to_markdown(table) for table in tables if table.rows), notes])


def _table(name: str, title: str, heads: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    columns = tuple(Column(head, _DECIMALS.get(head, 2)) for head in heads)
    return Table(name, title, columns, tuple(tuple(_cell(row[head]) for head in heads) for row in rows), "")


def _cell(value: Any) -> Cell:
    if isinstance(value, dict):
        return Interval(value["value"], value["low"], value["high"])
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} is no cell")


def _front_matter(stage: str, recipe: Recipe, making: Making) -> str:
    import yaml

    license_name = making.license or ("apache-2.0" if recipe.model == "tiny" else None)
    facts: dict[str, Any] = {"license": license_name} if license_name else {}
    if _is_on_hub(recipe.model):
        facts |= {"base_model": recipe.model, "base_model_relation": "finetune"}
    facts |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["roi-bench", stage, "trl", "token-budget", "metacognition"],
    }
    text: str = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return text


def _is_on_hub(model: str) -> bool:
    return model != "tiny" and not model.startswith((".", "/", "~")) and not Path(model).exists()


def _base_name(recipe: Recipe) -> str:
    """Return the name of the base model; of a folder only the last part, as the path means nothing elsewhere."""
    if recipe.model == "tiny":
        return "the tiny model that comes with roi-bench"
    return f"`{recipe.model}`" if _is_on_hub(recipe.model) else f"`{Path(recipe.model).name}` (a local folder)"
