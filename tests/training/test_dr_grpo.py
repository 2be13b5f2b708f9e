"""Dr. GRPO as TRL computes it under our settings: loss, gradient, advantages, truncated responses, budgets by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roi_bench.errors import UsageError
from roi_bench.exams.tiny import tiny_training_exams
from roi_bench.training.plan.recipe import Rarl, load_recipe
from roi_bench.training.rarl.budget_trainer import Rollouts
from roi_bench.training.rarl.rarl import ScheduledExam, exam_schedule, held_out_schedule
from tests.training.tiny_labels import tokenizer

# TRL 1.16 itself uses these names, of which transformers 5.23 warns.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

BUDGETS = (128, 256)
EXAMS = tiny_training_exams(seed=5, count=4)
RECIPE = replace(
    load_recipe("test"),
    budgets=BUDGETS,
    rarl=Rarl(
        steps=2,
        prompts=2,
        generations=4,
        device_batch_size=4,
        learning_rate=1e-3,
        evaluate_every=2,
        evaluation_exams=2,
        trainer={"logging_steps": 1, "save_strategy": "no"},
    ),
)


def make_trainer(folder, recipe=RECIPE):
    from roi_bench.training.rarl.budget_trainer import ExamJudge, budget_trainer_class
    from roi_bench.training.rarl.rarl import exam_rows, grpo_arguments
    from roi_bench.training.stages.model import base_model_name, load_model

    judge = ExamJudge([*EXAMS, *EXAMS[:2]], recipe.rarl.reward, tokenizer())
    turns = exam_schedule(recipe.rarl, recipe.budgets, recipe.seed)
    return budget_trainer_class()(
        model=load_model(base_model_name(recipe), recipe),
        reward_funcs=judge.reward,
        args=grpo_arguments(recipe, folder),
        train_dataset=exam_rows(EXAMS, turns, RECIPE, tokenizer()),
        eval_dataset=exam_rows(EXAMS[:2], held_out_schedule(2, recipe.budgets), recipe, tokenizer(), len(EXAMS)),
        processing_class=tokenizer(),
        judge=judge,
    )


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return make_trainer(tmp_path_factory.mktemp("checkpoints"))


# ----------------------------------------------------------------- loss and gradient

PROMPTS = ("### Problem 1\n1 2 +3\n", "9 ")
COMPLETIONS = (" 5 6", " 7 1 +4 2 8 9", " 3", " 7 7 7")
ADVANTAGES = (1.5, -0.5, -1.0, 0.25)


def batch(advantages=ADVANTAGES):
    """Four responses of different lengths to two prompts of different lengths, padded as TRL pads them."""
    import torch

    prompts = [tokenizer().encode(PROMPTS[index % 2]) for index in range(4)]
    completions = [tokenizer().encode(text) for text in COMPLETIONS]
    width, length = max(map(len, prompts)), max(map(len, completions))
    pad = tokenizer().pad_token_id
    return {
        "prompt_ids": torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts]),
        "prompt_mask": torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]),
        "completion_ids": torch.tensor([ids + [pad] * (length - len(ids)) for ids in completions]),
        "completion_mask": torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in completions]),
        "advantages": torch.tensor(advantages),
        "num_items_in_batch": torch.tensor(sum(map(len, completions))),
    }


def hand_objective(model, advantages=ADVANTAGES):
    """-Σᵢ Aᵢ Σₜ log p(oᵢₜ) / (B · L): each response by itself, without padding; L is the largest budget."""
    import torch

    total = 0.0
    for index, text in enumerate(COMPLETIONS):
        prompt, completion = tokenizer().encode(PROMPTS[index % 2]), tokenizer().encode(text)
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0]
        for place, token in enumerate(completion):
            before = logits[len(prompt) + place - 1]
            total = total + advantages[index] * (before[token] - torch.logsumexp(before, dim=0))
    return -total / (len(COMPLETIONS) * max(BUDGETS))


def gradient(model, loss):
    import torch

    model.zero_grad()
    loss.backward()
    found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    model.zero_grad()
    return found


def trl_loss(trainer, accumulated=1, **changes):
    trainer.current_gradient_accumulation_steps = accumulated
    trainer.model.train()
    return trainer.compute_loss(trainer.model, {**batch(), **changes})


def test_the_loss_is_minus_the_sum_of_advantages_over_tokens_by_responses_times_the_largest_budget(trainer):
    lengths = [len(tokenizer().encode(text)) for text in COMPLETIONS]
    assert len(set(lengths)) == 4
    by_hand = -sum(a * n for a, n in zip(ADVANTAGES, lengths, strict=True)) / (4 * 256)  # ratios are 1
    assert trl_loss(trainer).item() == pytest.approx(by_hand, rel=1e-6)


def test_the_gradient_is_that_of_the_policy_gradient_by_hand(trainer):
    import torch

    found = gradient(trainer.model, trl_loss(trainer))
    by_hand = gradient(trainer.model, hand_objective(trainer.model))
    assert by_hand.norm() > 1e-3
    assert torch.allclose(found, by_hand, rtol=1e-3, atol=1e-5 * by_hand.abs().max().item())
    other = gradient(trainer.model, hand_objective(trainer.model, (1.5, -0.5, -1.0, 0.3)))
    assert not torch.allclose(found, other, rtol=1e-3, atol=1e-5 * by_hand.abs().max().item())


def test_the_log_says_how_often_the_correction_of_vllm_was_at_its_bound(trainer, monkeypatch):
    monkeypatch.setattr(trainer.args, "vllm_importance_sampling_mode", "token_truncate")
    trl_loss(trainer, importance_sampling_ratio=batch()["completion_mask"] * 3.0)
    logs = {}
    trainer.log(logs)
    assert logs["importance_ratio_at_bound"] == 1.0
    trainer.log(again := {})
    assert "importance_ratio_at_bound" not in again


def test_a_step_in_several_passes_is_the_mean_of_them(trainer):
    assert trl_loss(trainer, accumulated=2).item() == pytest.approx(trl_loss(trainer).item() / 2)


def test_a_longer_response_is_not_weighed_down_by_its_length(trainer):
    """GRPO divides by each response's own length, Dr. GRPO does not: the longest one here moves the loss most."""
    import torch

    losses = [trl_loss(trainer, advantages=torch.eye(4)[index]).item() for index in range(4)]
    lengths = [len(tokenizer().encode(text)) for text in COMPLETIONS]
    assert [round(-loss * 4 * 256) for loss in losses] == lengths


# ----------------------------------------------------------------- advantages, truncated responses


def rows(budget, count=2, order="hard"):
    """A generation batch: each exam as often as there are responses to it."""
    from roi_bench.training.rarl.rarl import exam_rows

    turns = [ScheduledExam(number, order, budget) for number in range(count)]
    return [row for row in exam_rows(EXAMS, turns, RECIPE, tokenizer()) for _ in range(4)]


def generated(trainer, budget, rewards=None, monkeypatch=None):
    import torch

    if rewards is not None:
        monkeypatch.setattr(trainer, "reward_funcs", [lambda **unused: rewards])
        monkeypatch.setattr(trainer, "rollout_func", Rollouts(rows(budget)))
    torch.manual_seed(0)
    trainer.model.train()
    return trainer._generate_and_score_completions(rows(budget))


def test_advantages_are_rewards_less_the_mean_of_their_group_and_no_more(trainer, monkeypatch):
    found = generated(trainer, 16, [3.0, 0.0, 1.0, 0.0, 2.0, 2.0, 2.0, 1.0], monkeypatch)
    assert found["advantages"].tolist() == pytest.approx([2.0, -1.0, 0.0, -1.0, 0.25, 0.25, 0.25, -0.75])


def test_a_group_without_variance_teaches_nothing(trainer, monkeypatch):
    found = generated(trainer, 16, [2.0] * 4 + [0.0] * 4, monkeypatch)
    assert found["advantages"].tolist() == [0.0] * 8


def test_truncated_responses_stay_in_the_loss(trainer, monkeypatch):
    rewards = [1.0, 0.0, 0.0, 0.0] * 2
    found = generated(trainer, 16, rewards, monkeypatch)
    assert (found["completion_ids"] != tokenizer().eos_token_id).all()  # a hard problem first: none has ended
    assert found["completion_mask"].tolist() == [[1] * 16] * 8
    assert (found["advantages"] != 0).all()
    monkeypatch.setattr(trainer, "mask_truncated_completions", True)  # what our settings keep off
    assert generated(trainer, 16, rewards, monkeypatch)["completion_mask"].sum() == 0


# ----------------------------------------------------------------- the budget of a step


@pytest.mark.parametrize("budget", [40, 128, 256])
def test_generation_is_cut_at_the_budget_of_the_exams_while_the_normaliser_stays(trainer, budget, monkeypatch):
    monkeypatch.setattr(trainer, "rollout_func", Rollouts(rows(budget)))
    found = generated(trainer, budget)
    longest = found["completion_mask"].sum(dim=1).max().item()
    assert longest == budget if budget < 256 else 128 < longest <= 256  # three problems take 162 to 198 tokens
    assert found["completion_ids"].shape == (8, longest)
    counted = trainer.judge.take_judged()
    assert [item.budget for item in counted] == [budget] * 8
    assert trainer._metrics["train"]["completions/max_length"][-1] == longest
    assert trainer.max_completion_length == trainer.args.max_completion_length == 256


def test_the_configuration():
    from roi_bench.training.rarl.rarl import grpo_arguments

    found = grpo_arguments(load_recipe("test"), "unused")
    assert found.max_completion_length == 256
    assert (found.loss_type, found.scale_rewards, found.beta) == ("dr_grpo", "none", 0.0)
    assert found.mask_truncated_completions is False
    assert found.shuffle_dataset is False  # else exams of several budgets would meet in a step
    assert found.num_iterations == 1
    assert (found.top_k, found.top_p, found.repetition_penalty) == (0, 1.0, 1.0)
    assert found.steps_per_generation == found.gradient_accumulation_steps  # a step is one generation: ratios are 1


@pytest.mark.parametrize("stage", ["mft", "rarl"])
@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
@pytest.mark.parametrize("wanted", ["true", "false"])
def test_checkpointing_under_either_name_counts_with_and_without_a_gpu(stage, name, wanted, monkeypatch):
    import torch

    from roi_bench.training.mft import mft
    from roi_bench.training.rarl import rarl

    make = {"mft": mft.sft_arguments, "rarl": rarl.grpo_arguments}[stage]
    settings = {"mft": mft, "rarl": rarl}[stage]
    recipe = load_recipe("test", [f"{stage}.trainer.{name}={wanted}", f"{stage}.trainer.use_cpu=true"])
    for cuda in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        default = settings.place_settings(recipe)
        assert default["activation_checkpointing"] is cuda
        found = make(recipe, "unused")  # deprecation warnings are errors here
        assert (found.activation_checkpointing, found.gradient_checkpointing) == ((wanted == "true"),) * 2


def test_the_best_checkpoint_is_the_one_of_the_held_out_score():
    from roi_bench.training.rarl.rarl import grpo_arguments

    patient = grpo_arguments(load_recipe("test", ["rarl.patience=1"]), "unused")
    wanted = grpo_arguments(load_recipe("test", ["rarl.trainer.load_best_model_at_end=true"]), "unused")
    for found in (patient, wanted):
        best = (found.load_best_model_at_end, found.metric_for_best_model, found.greater_is_better, found.save_steps)
        assert best == (True, "eval_held_out", True, 2)
    with pytest.raises(UsageError, match=r"rarl\.trainer\.save_steps.*rarl\.patience"):
        grpo_arguments(load_recipe("test", ["rarl.patience=1", "rarl.trainer.save_steps=4"]), "unused")


def test_a_short_training_takes_the_budgets_in_turn_and_logs_the_numbers_of_the_benchmark(tmp_path):
    trainer = make_trainer(tmp_path)
    seen = []
    pay = trainer.judge.reward

    def reward(**given):
        seen.append((sorted(set(given["budget"])), len(given["budget"]), max(map(len, given["completion_ids"]))))
        return pay(**given)

    reward.__name__ = "reward"
    trainer.reward_funcs = [reward]
    trainer.train()
    assert trainer.state.global_step == 2
    training, evaluation = seen[:2], seen[2:]
    assert [(budgets, count) for budgets, count, _ in training] == [([128], 8), ([256], 8)]
    assert training[0][2] == 128 < training[1][2] <= 256
    assert [(budgets, count) for budgets, count, _ in evaluation] == [([128], 6), ([256], 6)]  # exams × orders
    first, second, held_out, _ = trainer.state.log_history
    for entry in (first, second):
        assert {"score", "truncated", "skip_rate_hard", "frac_reward_zero_std", "completions/clipped_ratio"} <= set(
            entry
        )
    assert first["completions/max_length"] == 128
    assert {"eval_held_out", "eval_score_128", "eval_score_easy_256", "eval_truncated_128"} <= set(held_out)
    easy, hard = held_out["eval_score_easy_256"], held_out["eval_score_256"]
    if easy:
        assert held_out["eval_regret_256"] == pytest.approx((easy - hard) / easy)
    scores = [
        held_out[f"eval_{name}_{budget}"] for name in ("score", "score_medium", "score_easy") for budget in BUDGETS
    ]
    assert held_out["eval_held_out"] == pytest.approx(sum(scores) / 6)
    assert "eval_loss" not in held_out
    assert trainer.judge.take_judged() == []


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        (["rarl.evaluation_exams=40"], 60),  # 120 responses a budget, at most 64 at once
        (["rarl.evaluation_exams=60"], 60),
        (["rarl.evaluation_exams=1"], 3),
        (["rarl.evaluation_exams=67"], 51),  # 201 in four batches
        (["rarl.evaluation_exams=0", "rarl.evaluate_every=0", "rarl.patience=0"], 1),
        (["rarl.evaluation_exams=40", "rarl.rollouts=vllm"], 240),
    ],
)
def test_held_out_exams_of_one_budget_are_divided_evenly(changes, size):
    from roi_bench.training.rarl.rarl import evaluation_batch

    assert evaluation_batch(load_recipe("tiny", changes)) == size


def test_two_processes_share_a_batch_of_held_out_exams(monkeypatch):
    from roi_bench.training.rarl.rarl import evaluation_batch

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert evaluation_batch(load_recipe("tiny", ["rarl.evaluation_exams=40"])) == 30
