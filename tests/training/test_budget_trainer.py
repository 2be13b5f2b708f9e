"""What our trainer adds to TRL's: responses that end at their budget, a lean step, greedy held-out exams."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from roi_bench.exams.tiny import model_path, tiny_training_exams
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.rarl import budget_trainer
from roi_bench.training.rarl.budget_trainer import (
    ExamJudge,
    Rollouts,
    budget_trainer_class,
    generate,
    share_corrected,
    with_advantage,
)
from roi_bench.training.rarl.rarl import exam_rows, exam_schedule, grpo_arguments, held_out_schedule
from roi_bench.training.stages.model import load_model
from tests.training.tiny_labels import tokenizer

# TRL 1.16 itself uses these names, of which transformers 5.23 warns.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

STEPS = 6
RECIPE = load_recipe(
    "tiny", [f"rarl.steps={STEPS}", "rarl.evaluate_every=0", "rarl.patience=0", "rarl.trainer.save_strategy='no'"]
)
EXAMS = tiny_training_exams(seed=5, count=RECIPE.rarl.prompts * STEPS)


@pytest.fixture(scope="module")
def model():
    return load_model(str(model_path("mft")), RECIPE).eval()


def rows(budgets=(128, 256), orders=("hard", "easy"), count=3):
    recipe = replace(RECIPE, budgets=budgets)
    return list(exam_rows(EXAMS, held_out_schedule(count, recipe.budgets), recipe, tokenizer()))


def test_rows_that_leave_the_batch_early_write_the_same_texts_as_transformers(model):
    """Greedy, on prompts of several lengths, with budgets of their own, some of them twice."""
    asked = [row for row in rows(budgets=(40, 256)) for _ in range(1 + (row["order"] == "easy"))]
    ids = [tokenizer()(row["prompt"])["input_ids"][index % 5 :] for index, row in enumerate(asked)]
    assert len(set(map(len, ids))) > 3
    end, pad = tokenizer().eos_token_id, tokenizer().pad_token_id
    with torch.no_grad():
        found = generate(model, ids, [row["budget"] for row in asked], [end], pad, None)
        for one, row, response in zip(ids, asked, found, strict=True):
            alone = model.generate(
                input_ids=torch.tensor([one]), do_sample=False, max_new_tokens=row["budget"], pad_token_id=pad
            )
            assert alone[0, len(one) :].tolist() == response
    lengths = [len(response) for response in found]
    assert len(set(lengths)) > 3
    assert {response[-1] == end for response in found} == {True, False}


def test_a_cache_that_rows_cannot_leave_is_left_to_transformers(model, monkeypatch):
    ids = [tokenizer()(row["prompt"])["input_ids"] for row in rows(count=1)]
    end, pad = [tokenizer().eos_token_id], tokenizer().pad_token_id
    limits = [40, 90, 130, 200, 60, 256][: len(ids)]
    with torch.no_grad():
        found = generate(model, ids, limits, end, pad, None)
        monkeypatch.setattr(budget_trainer, "_with_room", lambda cache: None)
        monkeypatch.setattr(model.generation_config, "repetition_penalty", 5.0)  # the model's own, not asked for
        assert generate(model, ids, limits, end, pad, None) == found
    assert model.generation_config.repetition_penalty == 5.0


def test_samples_are_drawn_at_the_temperature(model):
    """At a low one all responses are the greedy one; at a high one hardly any are."""
    (row, *_) = rows()
    ids = [tokenizer()(row["prompt"])["input_ids"]] * 8
    end, pad = [tokenizer().eos_token_id], tokenizer().pad_token_id
    with torch.no_grad():
        (greedy,) = generate(model, ids[:1], [40], end, pad, None)
        torch.manual_seed(0)
        assert generate(model, ids, [40] * 8, end, pad, 1e-4) == [greedy] * 8
        assert len({tuple(one) for one in generate(model, ids, [40] * 8, end, pad, 5.0)}) > 6


def trained(tmp_path, monkeypatch, lean, recorded):
    """Train six steps, on the responses that were ``recorded`` where there are some, and return the weights."""
    waiting = iter(list(recorded))

    def replayed(*asked):
        response = next(waiting, None) or generate(*asked)
        recorded.append(response)
        return response

    monkeypatch.setattr(budget_trainer, "generate", replayed)
    counts = []

    def noted(inputs):
        batch, share = with_advantage(inputs) if lean else (dict(inputs), 1.0)
        counts.append((len(batch["advantages"]), len(inputs["advantages"])))
        return batch, share

    monkeypatch.setattr(budget_trainer, "with_advantage", noted)
    torch.manual_seed(0)
    trainer = budget_trainer_class()(
        model=load_model(str(model_path("mft")), RECIPE),
        reward_funcs=ExamJudge(EXAMS, RECIPE.rarl.reward, tokenizer()).reward,
        args=grpo_arguments(RECIPE, tmp_path),
        train_dataset=exam_rows(EXAMS, exam_schedule(RECIPE.rarl, RECIPE.budgets, 0), RECIPE, tokenizer()),
        processing_class=tokenizer(),
        judge=None,
    )
    trainer.train()
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}, counts


def test_leaving_out_rows_without_an_advantage_changes_no_weight(tmp_path, monkeypatch):
    """Six steps of the tiny recipe."""
    responses = []
    whole, all_rows = trained(tmp_path, monkeypatch, False, responses)
    assert len(responses) == STEPS
    lean, kept_rows = trained(tmp_path, monkeypatch, True, responses)
    assert sum(kept for kept, _ in kept_rows) < 0.75 * sum(count for count, _ in all_rows)
    start = load_model(str(model_path("mft")), RECIPE).state_dict()
    moved = max((whole[name] - start[name]).abs().max().item() for name in whole)
    differ = max((whole[name] - lean[name]).abs().max().item() for name in whole)
    assert moved > 1e-4
    assert differ <= 1e-6


def test_a_batch_without_advantages_keeps_one_row_and_its_padding_is_trimmed():
    inputs = {
        "prompt_ids": torch.tensor([[0, 5, 6], [0, 0, 7]]),
        "prompt_mask": torch.tensor([[0, 1, 1], [0, 0, 1]]),
        "completion_ids": torch.tensor([[8, 9, 0, 0], [8, 0, 0, 0]]),
        "completion_mask": torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]),
        "old_per_token_logps": torch.zeros(2, 4),
        "importance_sampling_ratio": torch.ones(2, 1),
        "num_items_in_batch": torch.tensor(3),
        "advantages": torch.tensor([0.0, 0.0]),
    }
    batch, share = with_advantage(inputs)
    assert share == 0.5
    assert batch["prompt_ids"].tolist() == [[5, 6]]
    assert batch["completion_ids"].tolist() == [[8, 9]]
    assert batch["old_per_token_logps"].shape == (1, 2)
    assert batch["importance_sampling_ratio"].shape == (1, 1)
    second, share = with_advantage({**inputs, "advantages": torch.tensor([0.0, 1.0])})
    assert (second["prompt_ids"].tolist(), second["completion_ids"].tolist(), share) == ([[7]], [[8]], 0.5)


def test_the_correction_of_vllms_probabilities_is_by_token_and_says_how_often_it_is_at_its_bound():
    arguments = grpo_arguments(load_recipe("test", ["rarl.rollouts=vllm", "context=900"]), "unused")
    chosen = (arguments.vllm_importance_sampling_mode, arguments.vllm_importance_sampling_clip_max)
    assert (arguments.vllm_importance_sampling_correction, *chosen) == (True, "token_truncate", 3.0)
    assert (arguments.vllm_max_model_length, arguments.vllm_gpu_memory_utilization) == (900, 0.3)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    ratios = torch.tensor([[1.0, 3.0, 0.5, 3.0], [3.0, 0.0, 1.0, 1.0]])
    assert share_corrected({"importance_sampling_ratio": ratios, "completion_mask": mask}, arguments) == pytest.approx(
        2 / 5
    )
    other = load_recipe("test", ["rarl.rollouts=vllm", "rarl.trainer.vllm_importance_sampling_mode=sequence_mask"])
    masked = grpo_arguments(other, "unused")
    whole = {"importance_sampling_ratio": torch.tensor([[0.0], [2.0]]), "completion_mask": mask}
    assert share_corrected(whole, masked) == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_vllm_is_asked_for_the_budget_of_a_step_and_for_greedy_held_out_responses(training):
    asked = {}

    def answer(**given):
        asked.update(given)
        return None, [[5, 6], [7]], [[[-0.1], [-0.2]], [[-0.3]]], None

    engine = SimpleNamespace(generate=answer)
    trainer = SimpleNamespace(
        use_vllm=True,
        vllm_generation=engine,
        model=SimpleNamespace(training=training),
        args=SimpleNamespace(max_completion_length=256, temperature=0.9),
        num_generations=2,
        num_generations_eval=1,
        processing_class=tokenizer(),
    )
    made = Rollouts([{"prompt": "9 1", "budget": 128}])(["9 1", "9 1"], trainer)
    assert made["completion_ids"] == [[5, 6], [7]]
    assert made["logprobs"] == [[-0.1, -0.2], [-0.3]]
    assert made["prompt_ids"] == asked["prompts"] == [tokenizer().encode("9 1")] * 2
    expected = (128, 0.9, 2) if training else (256, 0.0, 1)
    assert (engine.max_completion_length, engine.temperature, asked["num_generations"]) == expected


def test_trl_has_what_we_use_of_it():
    """``rollout_func`` is experimental, and vLLM's part of TRL is not documented: these are the names that we use."""
    from trl import GRPOTrainer
    from trl.generation.vllm_generation import VLLMGeneration
    from trl.models import unwrap_model_for_generation

    assert "rollout_func" in inspect.signature(GRPOTrainer).parameters
    assert {"prompts", "images", "num_generations", "profiler"} <= set(
        inspect.signature(VLLMGeneration.generate).parameters
    )
    assert {"max_completion_length", "temperature"} <= set(inspect.signature(VLLMGeneration).parameters)
    needed = {"gather_deepspeed3_params", "gradient_checkpointing_kwargs"}
    assert needed <= set(inspect.signature(unwrap_model_for_generation).parameters)
    private = GRPOTrainer._load_best_model  # the only private method that is called (docs/architecture.md)
    assert list(inspect.signature(private).parameters) == ["self"]


def test_the_trainer_calls_one_private_method_of_its_libraries_in_one_place():
    folder = Path(__file__).resolve().parents[2] / "roi_bench" / "training"
    found = [
        (path.relative_to(folder).as_posix(), name)
        for path in sorted(folder.rglob("*.py"))
        for name in re.findall(r"(?:trainer|super\(\))\.(_[a-z]\w*)", path.read_text("utf-8"))
    ]
    assert found == [("stages/model.py", "_load_best_model")]
