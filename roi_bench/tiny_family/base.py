"""Train the tiny model from scratch: ``python -m roi_bench.tiny_family.base --out DIR --seed 0``.

A run writes ``DIR/checkpoint.pt`` now and then and continues from it when started again; an interrupted and resumed run
ends with the same weights as an uninterrupted one on the same machine. At the end DIR holds a Hugging Face model folder
(weights, tokenizer, ``training.json`` with every setting, and a model card with the measured table).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roi_bench.errors import RoiBenchError, UsageError
from roi_bench.exams.exam import TIERS, Exam, Problem
from roi_bench.exams.tiny import TINY_BUDGETS, tiny_exams
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import exam_prompt
from roi_bench.tiny_family import data as tiny_data
from roi_bench.tiny_family.data import Encoded, batches
from roi_bench.tiny_family.model import (
    Shape,
    build_tokenizer,
    extend_vocabulary,
    new_model,
    new_optimizers,
    step_in_float32,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM


# Greedy evaluation of a tiny model through plain ``generate``: accuracy by tier, score by order and budget.

Condition = tuple[str, int]
"""Order and budget."""

CONDITIONS: tuple[Condition, ...] = tuple(
    (order, budget) for budget in reversed(TINY_BUDGETS) for order in ("easy", "medium", "hard")
)


@dataclass(frozen=True, slots=True)
class Row:
    """Correct answers in ``exams`` exams under one condition; ``correct`` by tier easy, middle, hard."""

    name: str
    budget: int
    exams: int
    correct: tuple[int, int, int]

    def accuracy(self, tier: int) -> float:
        """Share of right answers in a tier (0 easy, 1 middle, 2 hard)."""
        return self.correct[tier] / self.exams

    @property
    def score(self) -> float:
        """Correct answers per exam, 0–3."""
        return sum(self.correct) / self.exams


AT_ONCE = 64
"""Prompts generated from in one batch."""


def generate_texts(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], budget: int
) -> list[str]:
    """Return greedy responses of at most ``budget`` tokens, special tokens left out."""
    import torch

    texts: list[str] = []
    for start in range(0, len(prompts), AT_ONCE):
        inputs = tokenizer(
            list(prompts[start : start + AT_ONCE]), return_tensors="pt", padding=True, add_special_tokens=False
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=budget, do_sample=False)
        texts += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def is_right(problem: Problem, answer: str | None) -> bool:
    """Return whether ``answer`` is the problem's own numeral (the tiny model writes no other form)."""
    return answer is not None and answer.strip() == problem.answer


def evaluate(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    exams: Sequence[Exam],
    conditions: Sequence[Condition] = CONDITIONS,
    done: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Return a row for the problems alone (loose budget) and one for each condition; ``done`` is called after each."""
    model.eval()
    loose = max(TINY_BUDGETS)
    alone = []
    for tier in range(len(TIERS)):
        problems = [exam.problems[tier] for exam in exams]
        texts = generate_texts(model, tokenizer, [exam_prompt([p.question], loose) for p in problems], loose)
        answers = [read_response(text, count=1).problems[0].answer for text in texts]
        alone.append(sum(map(is_right, problems, answers)))
        done()
    rows = [Row("alone", loose, len(exams), (alone[0], alone[1], alone[2]))]
    for order, budget in conditions:
        prompts = [exam_prompt([problem.question for problem in exam.ordered(order)], budget) for exam in exams]
        texts = generate_texts(model, tokenizer, prompts, budget)
        correct = [0, 0, 0]
        for exam, text in zip(exams, texts, strict=True):
            segments = read_response(text).problems
            for tier, segment in zip(exam.permutation(order), segments, strict=True):
                correct[tier] += is_right(exam.problems[tier], segment.answer)
        rows.append(Row(order, budget, len(exams), (correct[0], correct[1], correct[2])))
        done()
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, each accuracy with its 95 % interval (Wilson)."""
    from scipy.stats import binomtest

    lines = ["| order | budget | exams | easy | middle | hard | score |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = []
        for correct in row.correct:
            low, high = binomtest(correct, row.exams).proportion_ci(method="wilson")
            cells.append(f"{correct / row.exams:.3f} ({low:.3f}–{high:.3f})")
        score = "" if row.name == "alone" else f"{row.score:.3f}"
        lines.append(f"| {row.name} | {row.budget} | {row.exams} | {' | '.join(cells)} | {score} |")
    return "\n".join(lines)


FORM_RATE = 0.4
"""Learning rates of the second part, as a share of those of the first."""

WARM_UP_STEPS = 50
DECAY_SHARE = 0.4
FINAL_RATE = 0.02
TEXT_SETTINGS = tuple(name for name in vars(tiny_data) if name.endswith(("_SHARE", "_WEIGHTS", "_KEPT", "_TEXTS")))
"""Names of the constants that shape the training texts, recorded with every run."""

EVALUATION_SEED = 11
"""Seed of the exams of the printed table; the benchmark's default exams have seed 0."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings that affect a run's outcome.

    Attributes:
        seed: Seed of weights and data.
        steps: Optimizer steps of the first part: solving.
        form_steps: Steps of the second part: the response formats of the other prompts, levels at random.
        batch_tokens: Padded tokens of a batch.
        curriculum_texts: Texts at the start that are short: the curriculum.
        shape: Size of the model.
    """

    seed: int = 0
    steps: int = 9_000
    form_steps: int = 2_000
    batch_tokens: int = 1280
    curriculum_texts: int = 40_000
    shape: Shape = field(default_factory=Shape)


def rate_factor(step: int, steps: int) -> float:
    """Return the factor on the learning rates: linear warm-up, constant, linear decay over the last third."""
    left = (steps - step) / (DECAY_SHARE * steps)
    return min(1.0, (step + 1) / WARM_UP_STEPS, max(FINAL_RATE, left))


@dataclass
class Run:
    """A part of a training run in memory; ``losses`` holds the loss of every step done, ``steps`` counts all."""

    settings: Settings
    tokenizer: PreTrainedTokenizerFast
    model: Qwen3ForCausalLM
    optimizers: list[torch.optim.Optimizer]
    optimizer_names: str
    losses: list[float] = field(default_factory=list)
    forms: bool = False

    @property
    def steps(self) -> int:
        """Steps of this part."""
        return self.settings.form_steps if self.forms else self.settings.steps


def start(settings: Settings) -> Run:
    """Return a run at step 0."""
    tokenizer = build_tokenizer(extended=False)
    model = new_model(tokenizer, settings.shape, settings.seed)
    optimizers, names = _optimizers(model)
    return Run(settings, tokenizer, model, optimizers, names)


def _optimizers(model: Qwen3ForCausalLM, muon: bool = True) -> tuple[list[torch.optim.Optimizer], str]:
    optimizers, names = new_optimizers(model, muon)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers, names


def train_step(run: Run, batch: list[Encoded]) -> float:
    """Take one step on a batch (mean cross-entropy of the completions' tokens) and return its loss."""
    import torch

    length = max(len(ids) for ids, _ in batch)
    inputs = torch.full((len(batch), length), run.model.config.pad_token_id)
    targets = torch.full((len(batch), length), -100)
    for row, (ids, prompt) in enumerate(batch):
        inputs[row, : len(ids)] = torch.tensor(ids)
        targets[row, prompt - 1 : len(ids) - 1] = torch.tensor(ids[prompt:])
    factor = rate_factor(len(run.losses), run.steps) * (FORM_RATE if run.forms else 1.0)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
    # Padding stands on the right, so causal attention alone hides it, and logits are needed at the targets only.
    hidden = run.model.model(input_ids=inputs).last_hidden_state[targets >= 0]
    loss = torch.nn.functional.cross_entropy(run.model.lm_head(hidden), targets[targets >= 0])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.get_input_embeddings().parameters(), 1.0)
    for optimizer in run.optimizers:
        step_in_float32(optimizer)
        optimizer.zero_grad()
    run.losses.append(loss.item())
    return run.losses[-1]


def save_checkpoint(run: Run, path: Path) -> None:
    """Write the run's state; a kill while writing leaves the file of before."""
    import torch

    state = {
        "settings": asdict(run.settings),
        "losses": run.losses,
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
    }
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def resume(run: Run, path: Path) -> None:
    """Bring ``run`` to the state in a checkpoint.

    Raises:
        UsageError: the checkpoint belongs to a run with other settings.
    """
    import torch

    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["settings"] != asdict(run.settings):
        raise UsageError(f"{path} was written with {state['settings']}; repeat those settings or give another --out")
    run.model.load_state_dict(state["model"])
    for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run.losses = list(state["losses"])


def train(run: Run, checkpoint: Path, every: int = 500, until: int | None = None) -> None:
    """Train to the last step (or to step ``until``), from ``checkpoint`` if it exists, saving there as it goes."""
    from tqdm import tqdm

    if checkpoint.exists():
        resume(run, checkpoint)
    steps = run.steps if until is None else until
    stream = batches(run.tokenizer, run.settings.seed, run.settings.batch_tokens, run.settings.curriculum_texts,
                     skip=len(run.losses), forms=run.forms)  # fmt: skip
    run.model.train()
    with tqdm(total=run.steps, initial=len(run.losses), unit="step", desc="training", mininterval=1) as bar:
        while len(run.losses) < steps:
            train_step(run, next(stream))
            bar.update()
            if len(run.losses) % 50 == 0:
                bar.set_postfix(loss=f"{sum(run.losses[-50:]) / 50:.4f}")
            if len(run.losses) % every == 0:
                save_checkpoint(run, checkpoint)
    save_checkpoint(run, checkpoint)


def second_part(run: Run) -> Run:
    """Return the second part of a run whose first part is done: the pieces of the other prompts are tokens now."""
    extended = build_tokenizer()
    extend_vocabulary(run.model, run.tokenizer, extended)
    optimizers, names = _optimizers(run.model, muon=False)
    return Run(run.settings, extended, run.model, optimizers, names, forms=True)


# The model folder: weights, tokenizer, settings, model card.

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


def name_tokenizer_for_transformers_4(folder: Path) -> None:
    """Give the tokenizer in ``folder`` the class name that transformers 4 and 5 both know; version 5 writes its own."""
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text("utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
    config.pop("backend", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def export(run: Run, folder: Path, rows: list[Row], command: str) -> None:
    """Write the model folder: weights (float32 safetensors), tokenizer, settings, model card."""
    import torch
    import transformers

    run.model.save_pretrained(folder)
    run.tokenizer.save_pretrained(folder)
    name_tokenizer_for_transformers_4(folder)
    record = {
        "command": command,
        "settings": asdict(run.settings),
        "texts": {name.lower(): getattr(tiny_data, name) for name in TEXT_SETTINGS},
        "optimizers": run.optimizer_names,
        "parameters": run.model.num_parameters(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "loss_by_500_steps": [round(loss, 5) for loss in run.losses[::500]] + [round(run.losses[-1], 5)],
    }
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    (folder / "README.md").write_text(model_card(record, table(rows), EVALUATION_SEED), "utf-8")


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the model.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=Settings().steps, show_default=True)
@click.option("--form-steps", type=click.IntRange(min=1), default=Settings().form_steps, show_default=True)
@click.option("--exams", type=click.IntRange(min=1), default=240, show_default=True, help="Exams of the final table.")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=500, show_default=True, help="In steps.")
def main(out: Path, seed: int, steps: int, form_steps: int, exams: int, checkpoint_every: int) -> None:
    """Train the tiny model from scratch into OUT, or continue a run that was interrupted there."""
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)  # two threads are slower than one at this size
    out.mkdir(parents=True, exist_ok=True)
    try:
        run = start(Settings(seed=seed, steps=steps, form_steps=form_steps))
        train(run, out / "checkpoint.pt", checkpoint_every)
        solved = run
        run = second_part(solved)
        train(run, out / "forms.pt", checkpoint_every)
        run.losses, run.optimizer_names = solved.losses + run.losses, solved.optimizer_names
        with tqdm(total=1 + len(CONDITIONS) + 2, unit="condition", desc="evaluating") as bar:
            rows = evaluate(run.model, run.tokenizer, tiny_exams(EVALUATION_SEED, exams), done=bar.update)
    except RoiBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    command = f"python -m roi_bench.tiny_family.base --out DIR --seed {seed}"
    export(run, out, rows, command)
    print(table(rows))


if __name__ == "__main__":
    main()
