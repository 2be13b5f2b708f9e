"""The dry run: each finding is reached, and the numbers are those of a computation by hand."""

import importlib.util
import json
import re
import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from transformers import AutoConfig, AutoModelForCausalLM

from roi_bench.errors import DependencyError, UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.training.plan.checks import (
    check_arguments,
    check_batches,
    check_curriculum,
    check_data,
    check_versions,
    check_visible_gpus,
    device_batch_sizes,
    require_arguments,
    trl_requirements,
)
from roi_bench.training.plan.dry_run import (
    ModelFacts,
    Rates,
    look_at_model,
    make_plan,
    memory_findings,
    plan_text,
    probe,
    workload,
)
from roi_bench.training.plan.memory_estimate import Shape, Workload, estimate, shape_of
from roi_bench.training.plan.recipe import Lora, TierCounts, load_recipe, recipe_names
from roi_bench.training.plan.rules import FIXED_GRPO, FIXED_SFT, check_trainer_arguments
from roi_bench.training.stages.evaluation import STAGES, stage_calls
from tests.support.messages import missing

ALL = frozenset({"mft", "rarl", "evaluate"})
SIZES = ["mft.batch_size=32", "mft.device_batch_size=32", "rarl.steps=150", "rarl.evaluate_every=50"]
SIZES += ["rarl.prompts=8", "rarl.generations=8", "rarl.device_batch_size=64"]


def tiny(changes=()):
    """The tiny recipe with sizes of our own, so that tuning it changes no test."""
    return load_recipe("tiny", [*SIZES, *changes])


TINY = tiny()
VERSIONS = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "accelerate": "1.15.0",
    "datasets": "5.2.0",
    "peft": "0.21.2",
    "vllm": "0.24.0",
    "bitsandbytes": "0.48",
    "deepspeed": "0.18",
}
SHAPE = Shape(
    parameters=1000, linear_parameters=600, linear_widths=40, layers=2, hidden=10, intermediate=20,
    heads=5, kv_heads=1, head_size=2, vocabulary=30, context=64,
)  # fmt: skip
"""Small round numbers; the layers hold 1000 - 30 × 10 = 700 parameters."""


def kinds(findings):
    return {finding.what: finding.kind for finding in findings}


def detail(findings, what):
    """Return kind and detail of the one finding about ``what``."""
    (found,) = [finding for finding in findings if finding.what == what]
    return found.kind, found.detail


@pytest.fixture
def weightless(tmp_path):
    """The tiny model's folder without its weights; with changes of the configuration, and without the chat template."""
    folder = tmp_path / "model"

    def make(template=True, **changes):
        shutil.copytree(model_path(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")
        if not template:
            (folder / "chat_template.jinja").unlink()
        return str(folder)

    return make


# The whole


def test_the_tiny_recipe_can_be_run_here():
    plan = make_plan(TINY, "run", processes=1)
    assert plan.problems == ()
    assert {finding.kind for finding in plan.findings} == {"ok"}
    text = plan_text(plan)
    assert missing(["'tiny'", "run", "1 process"], text.splitlines()[0]) == []
    assert not re.search(r"\d+ problem", text.splitlines()[-1])
    assert all(finding.detail in text for finding in plan.findings)


def test_no_weights_are_needed(weightless):
    recipe = replace(TINY, model=weightless())
    assert make_plan(recipe, "run", processes=1, installed=VERSIONS.get).problems == ()


def test_problems_are_counted_in_the_verdict():
    broken = tiny(["mft.trainer.beta=1", "rarl.trainer.beta=1"])
    plan = make_plan(broken, "run", processes=3, installed=VERSIONS.get)
    assert {finding.what for finding in plan.problems} == {"mft.trainer", "rarl.trainer", "mft batches", "rarl batches"}
    assert missing(["4 problems"], plan_text(plan).splitlines()[-1]) == []


def test_a_stage_is_planned_without_the_others():
    mft, rarl = (make_plan(TINY, stage, processes=1, installed=VERSIONS.get) for stage in ("mft", "rarl"))
    assert {"mft batches", "mft memory", "mft.trainer"} <= set(kinds(mft.findings))
    assert not any(what.startswith("rarl") for what in kinds(mft.findings))
    assert not any(what.startswith("mft") for what in kinds(rarl.findings))
    assert [what for what, _ in mft.work] == [
        "samples",
        "MFT examples",
        "MFT orders",
        "MFT steps",
        "tokens to generate",
    ]


def test_an_unknown_stage_gets_the_nearest():
    with pytest.raises(UsageError, match=r"'rurl'.*'rarl'"):
        make_plan(TINY, "rurl")


@pytest.mark.parametrize("processes", [0, -1])
def test_there_is_at_least_one_process(processes):
    with pytest.raises(UsageError, match=f"{processes} processes"):
        make_plan(TINY, "mft", processes=processes)


def test_the_number_of_processes_is_that_of_the_launcher(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert make_plan(TINY, "mft", installed=VERSIONS.get).processes == 2
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match=r"WORLD_SIZE.*'two'"):
        make_plan(TINY, "mft")


# Versions


def test_versions_that_fit_are_one_finding():
    (finding,) = check_versions(TINY, ALL, VERSIONS.get)
    assert (finding.kind, finding.what) == ("ok", "packages")
    assert "trl 1.16.0" in finding.detail
    assert "peft" not in finding.detail


def test_a_missing_package_and_an_old_one_are_problems_with_the_command():
    findings = list(check_versions(TINY, ALL, {**VERSIONS, "trl": None, "accelerate": "0.1"}.get))
    kind, text = detail(findings, "package trl")
    assert kind == "problem"
    assert "pip install 'trl" in text
    kind, text = detail(findings, "package accelerate")
    assert kind == "problem"
    assert re.search(r"0\.1.*>=", text)


@pytest.mark.parametrize(
    ("changes", "package", "reason"),
    [
        (["lora.rank=4"], "peft", "lora"),
        (["lora.quantised=true"], "bitsandbytes", "lora.quantised"),
        (["sampling.backend=vllm"], "vllm", "sampling.backend"),
        (["sampling.backend=api", "sampling.model_args.model=a"], "litellm", "sampling.backend"),
        (["rarl.rollouts=vllm"], "vllm", "rarl.rollouts"),
        (["rarl.rollouts=vllm-server"], "vllm", "rarl.rollouts"),
        (["evaluation.backend=vllm"], "vllm", "evaluation.backend"),
    ],
)
def test_a_package_is_asked_for_by_the_setting_that_needs_it(changes, package, reason):
    without = {**VERSIONS, package: None}.get
    assert f"package {package}" not in kinds(check_versions(TINY, ALL, without))
    kind, text = detail(check_versions(tiny(changes), ALL, without), f"package {package}")
    assert (kind, missing([reason, "pip install"], text)) == ("problem", [])


def test_rollouts_of_vllm_are_held_to_the_versions_that_trl_itself_names():
    _, (bound,) = trl_requirements()
    assert bound.specifier
    assert not bound.specifier.contains("99.0")
    asked = tiny(["rarl.rollouts=vllm"])
    kind, text = detail(check_versions(asked, ALL, {**VERSIONS, "vllm": "99.0"}.get), "package vllm")
    assert (kind, missing(["99.0", str(bound.specifier)], text)) == ("problem", [])
    sampled = tiny(["sampling.backend=vllm"])
    assert "package vllm" not in kinds(check_versions(sampled, ALL, {**VERSIONS, "vllm": "99.0"}.get))


def test_the_extra_for_training_beside_vllm_takes_trls_bounds():
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    names = [Requirement(line) for line in extras["optional-dependencies"]["train-vllm"]]
    assert {(item.name, *item.extras) for item in names} == {("roi-bench", "train"), ("trl", "vllm")}


def test_problems_that_stand_in_many_exams_are_a_warning(data_dir, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    kind, text = detail(check_data(load_recipe("qwen2.5-1.5b"), ALL), "repeated problems")
    assert (kind, missing(["78 hard problems", "82 of 6,400 exams", "family: fresh"], text)) == ("warning", [])
    short = load_recipe("qwen2.5-1.5b", ["rarl.steps=40"])
    assert "repeated problems" not in kinds(check_data(short, ALL))


def test_a_curriculum_that_starts_again_is_a_warning():
    assert kinds(check_curriculum(tiny(["mft.epochs=2"]), ALL)) == {"mft.epochs": "warning"}
    assert kinds(check_curriculum(TINY, ALL)) == kinds(check_curriculum(tiny(["mft.epochs=2"]), frozenset())) == {}


def test_fsdp_on_a_cpu_is_said_to_be_ddp(monkeypatch):
    assert kinds(check_visible_gpus(ALL, 2)) == {}
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert kinds(check_visible_gpus(ALL, 2)) == {"FSDP": "warning"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert kinds(check_visible_gpus(ALL, 2)) == {}


def test_deepspeed_is_needed_where_accelerate_launched_with_it(monkeypatch):
    without = {**VERSIONS, "deepspeed": None}.get
    assert "package deepspeed" not in kinds(check_versions(TINY, ALL, without))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert kinds(check_versions(TINY, ALL, without))["package deepspeed"] == "problem"


def test_sampling_a_real_model_by_transformers_is_a_warning():
    real = load_recipe("qwen2.5-1.5b")
    stages = frozenset({"mft"})
    assert kinds(check_versions(real, stages, {**VERSIONS, "vllm": None}.get))["sampling"] == "warning"
    assert "sampling" not in kinds(check_versions(real, stages, VERSIONS.get))


# Arguments of the trainers


@pytest.mark.parametrize(
    ("change", "where", "facts"),
    [
        ("mft.trainer.warmup_step=1", "mft.trainer", ("warmup_step", "'warmup_steps'")),
        ("rarl.trainer.scale_rewards=group", "rarl.trainer", ("scale_rewards", "Dr. GRPO")),
        ("rarl.trainer.learning_rate=1", "rarl.trainer", ("rarl.trainer.learning_rate", "set rarl.learning_rate")),
        ("mft.trainer.seed=1", "mft.trainer", ("mft.trainer.seed", "set seed")),
        ("mft.trainer.zzzzqqqq=1", "mft.trainer", ("zzzzqqqq", "TRL")),
    ],
)
def test_an_argument_that_cannot_be_set_is_a_problem(change, where, facts):
    kind, text = detail(check_arguments(tiny([change]), ALL), where)
    assert (kind, missing(facts, text)) == ("problem", [])


def test_the_nearest_argument_is_named():
    with pytest.raises(UsageError, match=r"here\.warmup_step .*'warmup_steps'"):
        check_trainer_arguments(["warmup_steps", "beta"], {"warmup_step": 1}, {"beta": "fixed"}, "here")


REFUSED = [
    ("rarl", "{lr_scheduler_type: cosin}", ("lr_scheduler_type", "'cosin'")),
    ("mft", "{optim: adamwx}", ("optim", "'adamwx'")),
    ("rarl", "{logging_steps: 5, optim: adamwx}", ("optim", "'adamwx'")),
    ("mft", "{warmup_steps: abc}", ("warmup_steps", "'abc'")),
    ("mft", "{warmup_steps: -1}", ("warmup_steps", "-1")),
    ("rarl", "{report_to: [tensorbord]}", ("report_to", "'tensorbord'")),
    ("mft", "{report_to: tensorbord}", ("report_to", "'tensorbord'")),
    ("mft", "{bf16: true, fp16: true}", ("fp16", "bf16")),
    # TRL takes these and fails while it trains.
    ("rarl", "{adam_epsilon: 1e-8}", ("adam_epsilon", "'1e-8'", "1.0e-8")),
    ("rarl", "{weight_decay: true}", ("weight_decay", "True")),
    ("rarl", "{save_total_limit: 1.5}", ("save_total_limit", "1.5")),
    ("mft", "{gradient_checkpointing: 1}", ("gradient_checkpointing", "1")),
    ("mft", "{loss_type: nnl}", ("loss_type", "'nnl'", "nll, dft")),
    (
        "rarl",
        "{gradient_checkpointing: true, activation_checkpointing: true}",
        ("gradient_checkpointing", "activation_checkpointing"),
    ),
]


@pytest.mark.parametrize(("stage", "given", "facts"), REFUSED)
def test_a_value_that_a_trainer_would_refuse_is_a_problem_and_stops_before_the_stage(
    stage, given, facts, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    recipe = tiny([f"{stage}.trainer={given}"])
    kind, text = detail(check_arguments(recipe, ALL), f"{stage}.trainer")
    assert (kind, missing(facts, text)) == ("problem", [])
    other = {"mft": "rarl", "rarl": "mft"}[stage]
    assert detail(check_arguments(recipe, ALL), f"{other}.trainer")[0] == "ok"
    with pytest.raises(UsageError) as caught:
        require_arguments(recipe, ["mft", "rarl"])
    assert f"{stage}.trainer" in str(caught.value)
    assert missing(facts, str(caught.value)) == []
    require_arguments(recipe, [other])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        "{report_to: none}",
        "{report_to: all}",
        "{bf16: true}",
        "{warmup_steps: 0.1, save_total_limit: null, weight_decay: 0}",
        "{gradient_checkpointing: true, gradient_checkpointing_kwargs: {use_reentrant: false}}",
        "{activation_checkpointing: null}",
    ],
)
def test_values_that_can_be_meant_are_taken_without_a_gpu(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_arguments(tiny([f"mft.trainer={given}", f"rarl.trainer={given}"]), ["mft", "rarl"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", recipe_names())
def test_the_trainers_take_the_arguments_of_the_shipped_recipes(name):
    require_arguments(load_recipe(name), ["mft", "rarl"])


@pytest.mark.parametrize(
    ("given", "package", "facts"),
    [
        ("{report_to: [swanlab]}", "swanlab", "report_to.*'swanlab'.*pip install swanlab"),
        ("{optim: paged_adamw_8bit}", "bitsandbytes", "optim.*'paged_adamw_8bit'.*pip install -U bitsandbytes"),
    ],
)
def test_a_package_that_a_value_needs_is_asked_for(given, package, facts, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))
    recipe = tiny([f"rarl.trainer={given}"])
    with pytest.raises(DependencyError, match=f"tiny.*rarl.trainer.{facts}"):
        require_arguments(recipe, ["rarl"])
    assert detail(check_arguments(recipe, ALL), "rarl.trainer")[0] == "problem"


def test_a_step_that_the_launched_processes_cannot_divide_is_refused_before_the_stage(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match=r"32.*3 processes"):
        require_arguments(TINY, ["mft"])
    plan = make_plan(TINY, "mft", installed=VERSIONS.get)
    assert [finding.what for finding in plan.problems] == ["mft batches"]


@pytest.mark.parametrize(("dtype", "fact"), [("bfloat16", "dtype: bfloat16"), ("float32", "GPU")])
def test_half_precision_that_cannot_be_is_refused(dtype, fact):
    recipe = tiny([f"dtype={dtype}", "mft.trainer={fp16: true, bf16: false, use_cpu: true}"])
    with pytest.raises(UsageError, match=f"mft.trainer.fp16.*{fact}"):
        require_arguments(recipe, ["mft"])


# Several GPUs


@pytest.fixture
def eight_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("stage", ["mft", "rarl"])
def test_several_gpus_without_a_launcher_are_refused(stage, eight_gpus):
    with pytest.raises(UsageError, match=r"8 GPUs.*accelerate launch.*CUDA_VISIBLE_DEVICES=0"):
        require_arguments(TINY, [stage])
    (problem,) = make_plan(TINY, stage, installed=VERSIONS.get, device_bytes=10**12).problems
    assert problem.what == "GPUs"


def test_several_gpus_are_well_with_a_launcher_and_where_nothing_is_trained(eight_gpus, monkeypatch):
    assert make_plan(TINY, "evaluate", installed=VERSIONS.get).problems == ()
    divided = tiny(["mft.device_batch_size=4"])
    assert make_plan(divided, "mft", processes=8, installed=VERSIONS.get, device_bytes=10**12).problems == ()
    require_arguments(TINY, [])
    monkeypatch.setenv("WORLD_SIZE", "8")
    require_arguments(divided, ["mft"])
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UsageError, match="8 GPUs"):
        require_arguments(TINY, ["mft"])


FIXED = [
    *("loss_type", "scale_rewards", "beta", "mask_truncated_completions", "num_generations", "max_completion_length"),
    *("max_steps", "output_dir", "learning_rate", "temperature", "use_vllm", "vllm_mode", "seed"),
    *("per_device_train_batch_size", "shuffle_dataset", "num_train_epochs", "remove_unused_columns"),
    *("importance_sampling_level", "top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs"),
    *("metric_for_best_model", "greater_is_better", "reward_weights", "sync_ref_model", "model_init_kwargs"),
]


@pytest.mark.parametrize("name", FIXED)
def test_what_makes_dr_grpo_is_fixed(name):
    with pytest.raises(UsageError, match=f"rarl.trainer.{name} "):
        check_trainer_arguments([name], {name: 1}, FIXED_GRPO, "rarl.trainer")


def test_what_makes_mft_is_fixed():
    names = {"completion_only_loss", "output_dir", "learning_rate", "per_device_train_batch_size"}
    assert names | {"num_train_epochs", "max_steps", "seed", "packing", "max_length", "eval_strategy"} <= set(FIXED_SFT)


@pytest.mark.parametrize("name", ["save_steps", "load_best_model_at_end"])
def test_patience_decides_when_a_checkpoint_is_written(name):
    change = f"rarl.trainer.{name}={50 if name == 'save_steps' else 'true'}"
    patient = tiny(["rarl.patience=2", change])
    kind, text = detail(check_arguments(patient, ALL), "rarl.trainer")
    assert (kind, missing([name, "rarl.patience"], text)) == ("problem", [])
    assert detail(check_arguments(tiny(["rarl.patience=0", change]), ALL), "rarl.trainer")[0] == "ok"


# Data

REAL = replace(TINY, family="v1")


def test_the_tiny_family_is_always_there():
    assert kinds(check_data(TINY, ALL)) == {"training problems": "ok"}


def test_a_missing_pool_is_a_problem_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(tmp_path))
    findings = list(check_data(REAL, ALL))
    assert kinds(findings) == {"pool gsm8k": "problem", "pool math": "problem", "pool aime": "problem"}
    assert all("ROI_BENCH_DATA_DIR" in finding.detail for finding in findings)
    assert detail(look_at_model(REAL)[0], "prompts")[0] == "warning"


def test_pools_that_are_there_are_counted_and_too_few_are_said(invented_pools, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(invented_pools))
    recipe = replace(REAL, sampling=replace(REAL.sampling, problems=TierCounts(1, 1, 10_000)))
    findings = list(check_data(recipe, ALL))
    kind, text = detail(findings, "pool aime")
    assert (kind, missing([90, invented_pools], text)) == ("ok", [])
    kind, text = detail(findings, "sampling.problems.hard")
    assert (kind, missing([10000], text)) == ("warning", [])
    assert "sampling.problems.easy" not in kinds(findings)
    assert "sampling.problems.hard" not in kinds(check_data(recipe, frozenset({"rarl"})))


# Batches


def test_a_step_that_divides_says_how():
    findings = list(check_batches(tiny(["mft.device_batch_size=8"]), ALL, 2))
    kind, text = detail(findings, "mft batches")
    assert (kind, missing(["32", "2 × 8", "2 passes"], text)) == ("ok", [])


def test_a_step_that_does_not_divide_says_what_would():
    findings = list(check_batches(TINY, ALL, 2))
    kind, text = detail(findings, "mft batches")
    assert (kind, missing(["mft.device_batch_size: 8 or 16", "mft.batch_size: 64"], text)) == ("problem", [])
    text = detail(findings, "rarl batches")[1]
    assert missing(["rarl.device_batch_size: 16 or 32", "rarl.prompts: 16"], text) == []
    text = detail(check_batches(tiny(["rarl.device_batch_size=8"]), ALL, 3), "rarl batches")[1]
    assert text.endswith("rarl.prompts: 6 or 9")  # 3 × 8 divides 48 and 72, and 64 is not a multiple of 3


@given(st.integers(1, 400), st.integers(1, 16), st.integers(1, 64))
def test_the_sizes_advised_divide_and_none_is_nearer(total, processes, wanted):
    sizes = device_batch_sizes(total, processes, wanted)
    fitting = [size for size in range(1, total + 1) if total % (processes * size) == 0]
    assert set(sizes) <= set(fitting)
    assert len(sizes) == min(2, len(fitting))
    if fitting:
        assert min(abs(size - wanted) for size in sizes) == min(abs(size - wanted) for size in fitting)


# Model


def test_the_shape_of_the_tiny_model_is_that_of_its_weights():
    facts = look_at_model(TINY)[1]
    model = AutoModelForCausalLM.from_pretrained(model_path())
    assert facts.shape.parameters == model.num_parameters()
    assert (facts.shape.context, facts.shape.vocabulary) == (8192, model.get_input_embeddings().num_embeddings)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_adapters_are_counted_as_peft_makes_them():
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(model_path())
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert 4 * look_at_model(TINY)[1].shape.linear_widths == adapted.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder", "not a name!"])
def test_a_model_that_cannot_be_had_is_a_problem_in_one_line(name):
    findings, facts = look_at_model(replace(TINY, model=name))
    assert kinds(findings) == {"model": "problem", "tokenizer": "problem"}
    assert not any("\n" in finding.detail for finding in findings)
    assert facts == ModelFacts(None, None)
    assert list(memory_findings(TINY, ALL, facts, 1, None)) == []


def test_a_configuration_of_no_language_model_is_a_problem(weightless):
    folder = weightless(model_type="vit")
    kind, text = detail(look_at_model(replace(TINY, model=folder))[0], "model")
    assert (kind, missing([folder], text)) == ("problem", [])


def test_a_context_that_cannot_hold_prompt_and_budget_is_a_problem(weightless):
    recipe = replace(TINY, model=weightless(max_position_embeddings=260), budgets=(128, 256))
    findings, facts = look_at_model(recipe)
    kind, text = detail(findings, "context")
    assert facts.prompt_tokens is not None
    assert (kind, missing([facts.prompt_tokens, 256, facts.prompt_tokens + 256, 260], text)) == ("problem", [])


def test_a_context_that_holds_just_that_is_well(weightless):
    longest = look_at_model(TINY)[1].prompt_tokens
    recipe = replace(TINY, model=weightless(max_position_embeddings=longest + 256), budgets=(128, 256))
    assert detail(look_at_model(recipe)[0], "context")[0] == "ok"


def test_chat_needs_a_template(weightless):
    recipe = replace(TINY, model=weightless(template=False), chat=True)
    assert detail(look_at_model(recipe)[0], "chat template")[0] == "problem"


def test_a_template_that_is_not_used_is_a_warning(weightless):
    recipe = replace(TINY, model=weightless())
    assert detail(look_at_model(recipe)[0], "chat template")[0] == "warning"
    assert "chat template" not in kinds(look_at_model(replace(recipe, chat=True))[0])


def test_the_chat_template_counts_in_the_prompt():
    assert look_at_model(replace(TINY, chat=True))[1].prompt_tokens > look_at_model(TINY)[1].prompt_tokens


def test_a_tokenizer_larger_than_the_model_is_a_problem(weightless):
    assert detail(look_at_model(replace(TINY, model=weightless(vocab_size=100)))[0], "tokenizer")[0] == "problem"


# Memory


def test_full_fine_tuning_by_hand():
    memory = estimate(SHAPE, Workload(sequences=3, tokens=7, scored=5, weights="bfloat16", fused_head=False))
    assert (memory.weights, memory.gradients, memory.optimizer, memory.copies) == (2000, 2000, 4000, 0)
    # 21 tokens × (2 bytes × (4·10 + 2·10 + 2·2 + 4·20) + 8 bytes × 10 of the norms); plus the inputs of two layers
    assert memory.activations == 21 * (2 * 144 + 80) + 21 * 10 * 2 * 2
    assert memory.logits == 3 * 5 * 30 * (2 + 4 + 4)
    assert memory.cache == 0
    assert memory.peak == 8000 + memory.activations + memory.logits


def test_float32_without_checkpointing_by_hand():
    memory = estimate(SHAPE, Workload(3, 7, 5, weights="float32", checkpointing=False))
    assert memory.states == 16_000
    assert memory.activations == 2 * 21 * (4 * 144 + 80)


def test_mixed_precision_by_hand():
    memory = estimate(SHAPE, Workload(3, 7, 5, weights="float32", autocast=True))
    assert memory.states == 16_000 + 600 * 2  # the linear layers once more, in bfloat16
    assert memory.activations == estimate(SHAPE, Workload(3, 7, 5, weights="bfloat16")).activations


def test_states_shared_out_by_hand():
    memory = estimate(SHAPE, Workload(3, 7, 5, weights="bfloat16", processes=4))
    assert (memory.weights, memory.gradients, memory.optimizer) == (1000, 1000, 2000)
    assert memory.copies == 2 * (2 * 350 + 300)


def test_adapters_by_hand():
    full = estimate(SHAPE, Workload(3, 7, 5, adapter_rank=8))
    assert (full.weights, full.gradients, full.optimizer) == (2000 + 4 * 320, 4 * 320, 8 * 320)
    quantised = estimate(SHAPE, Workload(3, 7, 5, adapter_rank=8, quantised=True))
    assert quantised.weights == 300 + 400 * 2 + 4 * 320


def test_logits_in_tiles_by_hand():
    assert estimate(SHAPE, Workload(3, 7, 5)).logits == 15 * 30 * 4 + 30 * 10 * 4
    large = replace(SHAPE, vocabulary=150_000)
    assert estimate(large, Workload(90, 70, 50, adapter_rank=1)).logits == 4096 * 32768 * 4
    assert estimate(large, Workload(9, 70, 50, fused_head=False)).logits == 9 * 50 * 150_000 * 10


def test_rollouts_by_hand():
    memory = estimate(SHAPE, Workload(1, 7, 5, rollouts=1000))
    # keys and values of 2 layers with one head of 2, two bytes each, for 7 tokens; and one row of logits
    assert memory.cache == 1000 * (7 * 2 * 2 * 2 * 2 + 30 * 4)
    assert memory.peak == memory.states + memory.cache
    assert estimate(SHAPE, Workload(1, 7, 5, rollouts=1000, processes=2)).cache == memory.cache + 2000


@pytest.mark.parametrize(
    "config",
    [
        AutoConfig.from_pretrained(model_path()),
        AutoConfig.for_model(
            "qwen2", hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8,
            num_key_value_heads=2, vocab_size=500,
        ),
        AutoConfig.for_model(
            "llama", hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, vocab_size=500,
        ),
    ],
    ids=["tiny", "qwen2", "llama"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_near_what_a_model_really_keeps(config, dtype):
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).train()
    weights = {item.untyped_storage().data_ptr() for item in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model.base_model(input_ids=torch.randint(0, 400, (3, 150)))
    measured = sum(kept.values())
    assert output is not None  # keeps what was saved alive until here
    estimated = estimate(shape_of(config), Workload(3, 150, 0, weights=dtype, checkpointing=False)).activations
    assert 0.7 * measured < estimated < 1.3 * measured


def test_data_are_planned_without_the_trainer(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    broken = tiny(["mft.trainer.beta=1"])
    plan = make_plan(broken, "data", processes=1, installed=VERSIONS.get)
    assert plan.problems == ()
    assert not {"mft batches", "mft memory", "mft.trainer", "GPUs"} & set(kinds(plan.findings))
    assert [what for what, _ in plan.work] == ["samples", "MFT examples", "tokens to generate"]


def test_the_workload_follows_the_recipe():
    recipe = tiny(["rarl.trainer={bf16: true, gradient_checkpointing: false}", "lora.rank=4"])
    work = workload(recipe, "rarl", 50, processes=2, shared=1)
    assert workload(tiny(["rarl.trainer={fp16: true}"]), "rarl", 50, processes=1, shared=1).autocast
    assert (work.sequences, work.tokens, work.scored, work.rollouts) == (64, 306, 256, 32)
    assert (work.weights, work.autocast, work.checkpointing, work.adapter_rank) == ("float32", True, False, 4)
    renamed = tiny(["rarl.trainer={activation_checkpointing: false}"])
    assert not workload(renamed, "rarl", 50, processes=1, shared=1).checkpointing
    mft = workload(recipe, "mft", 50, processes=2, shared=2)
    assert (mft.sequences, mft.rollouts, mft.checkpointing, mft.processes) == (32, 0, True, 2)


FACTS = ModelFacts(SHAPE, 50)


def test_memory_that_is_there_is_well_and_printed_against_the_device():
    kind, text = detail(memory_findings(TINY, ALL, FACTS, 1, 10**12), "mft memory")
    assert (kind, missing(["900.0", "1000.0 GB"], text)) == ("ok", [])


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ([], ["rarl.device_batch_size"]),
        (["rarl.trainer.activation_checkpointing=false"], ["gradient checkpointing", "rarl.trainer"]),
        (["rarl.device_batch_size=1", "rarl.prompts=4000"], ["rarl.prompts", "rarl.generations", "rarl.rollouts"]),
    ],
)
def test_too_little_memory_is_a_warning_about_the_largest_part(changes, advice):
    recipe = tiny(changes)
    kind, text = detail(memory_findings(recipe, frozenset({"rarl"}), FACTS, 1, 1000), "rarl memory")
    assert (kind, missing(["GB", *advice], text)) == ("warning", [])


def test_too_little_memory_for_the_states_is_a_warning_about_them():
    facts = ModelFacts(replace(SHAPE, parameters=10**12), 50)
    kind, text = detail(memory_findings(TINY, frozenset({"mft"}), facts, 1, 80 * 10**9), "mft memory")
    assert (kind, missing(["lora: {rank: 32}, quantised: true"], text)) == ("warning", [])


def test_vllm_beside_the_trainer_takes_its_share_unless_it_sleeps():
    recipe = tiny(["rarl.rollouts=vllm", "vllm.beside_training=0.4"])
    text = detail(memory_findings(recipe, ALL, FACTS, 1, 10**12), "rarl memory")[1]
    assert missing(["40%", "vLLM", "600.0", "1000.0 GB"], text) == []
    asleep = replace(recipe, rarl=replace(recipe.rarl, trainer={"vllm_enable_sleep_mode": True}))
    assert missing(["900.0"], detail(memory_findings(asleep, ALL, FACTS, 1, 10**12), "rarl memory")[1]) == []


def test_several_processes_are_estimated_both_ways_unless_the_launcher_says_which(monkeypatch):
    stages = frozenset({"mft"})
    shared = "mft memory, states shared out over 4 processes"
    assert list(kinds(memory_findings(TINY, stages, FACTS, 4, None))) == ["mft memory", shared]
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert list(kinds(memory_findings(TINY, stages, FACTS, 4, None))) == [shared]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [(["lora.quantised=true"], "lora.quantised"), (["rarl.rollouts=vllm"], "rarl.rollouts: vllm")],
)
def test_what_needs_a_gpu_is_a_problem_without_one(changes, setting):
    recipe = tiny(changes)
    kind, text = detail(memory_findings(recipe, ALL, FACTS, 1, None), "device")
    assert (kind, missing([setting, "GPU"], text)) == ("problem", [])
    assert "device" not in kinds(memory_findings(recipe, ALL, FACTS, 1, 10**12))


def test_steps_too_small_for_bfloat16_weights_are_a_warning(monkeypatch):
    recipe = tiny(["dtype=bfloat16", "rarl.learning_rate=1.0e-6"])

    def warned(recipe):
        return [what for what, kind in kinds(memory_findings(recipe, ALL, FACTS, 1, None)).items() if kind == "warning"]

    assert warned(recipe) == ["rarl.learning_rate"]
    assert warned(replace(recipe, dtype="float32")) == []
    assert warned(replace(recipe, lora=Lora())) == []  # adapters are float32
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert warned(recipe) == []


def test_such_steps_are_really_lost():
    weights = torch.full((1000,), 0.02, dtype=torch.bfloat16, requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=1e-6, weight_decay=0.0)
    before = weights.detach().clone()
    for _ in range(20):
        weights.grad = torch.ones_like(weights)
        optimizer.step()
    assert torch.equal(weights.detach(), before)


# Work


def test_the_work_of_the_tiny_recipe_by_hand():
    changes = ["sampling.problems={easy: 10, middle: 20, hard: 30}", "sampling.samples=3", "mft.epochs=1.5"]
    changes += ["mft.singles=10", "mft.exams=60", "mft.solo=5", "rarl.evaluate_every=40", "evaluation.limit=30"]
    changes += ["evaluation.samples=2", "rarl.evaluation_exams=60"]
    work = dict(make_plan(tiny(changes), "run", processes=1, installed=VERSIONS.get).work)
    assert missing(["60 problems", "3", "180 solutions", "128 tokens"], work["samples"]) == []
    assert missing(["5", "32 examples"], work["MFT steps"]) == []  # 75 examples: 3 steps, times 1.5
    assert work["MFT orders"] == "easy 17%, medium 67%, hard 17%"
    assert work["RARL orders"] == "easy 25%, medium 25%, hard 50%"
    assert missing(["150", "8 exams", "64 responses"], work["RARL steps"]) == []
    assert missing(["9,600", "256 tokens"], work["RARL responses"]) == []
    assert missing(["3", "60 exams", "3 orders", "2 budgets", "360 responses"], work["RARL evaluations"]) == []
    assert missing(["1,800 responses", "540 solo samples"], work["evaluation"]) == []
    tokens = 180 * 128 + 9600 * 256 + 3 * 60 * 3 * (128 + 256) + 900 * (128 + 256) + 540 * 256
    assert missing([f"{tokens:,}"], work["tokens to generate"]) == []


def test_the_time_is_the_tokens_at_the_rates_of_a_probe():
    changes = ["sampling.problems={easy: 10, middle: 20, hard: 30}", "sampling.samples=3", "rarl.evaluate_every=0"]
    changes += ["rarl.patience=0"]
    changes += ["mft.singles=10", "mft.exams=60", "mft.solo=2", "evaluation.limit=30", "evaluation.samples=2"]
    recipe = tiny([*changes, "rarl.steps=10"])
    plan = make_plan(recipe, "run", processes=1, installed=VERSIONS.get, rates=Rates(generated=128.0, trained=321.0))
    hours = dict(plan.hours)
    assert missing(["128", "321"], hours["measured"]) == []
    assert hours["time for samples"] == "3.0 minutes at most"  # 180 solutions of 128 tokens
    assert hours["time for MFT"] == "1.2 minutes at most"  # 72 examples of 65 + 256 tokens
    assert hours["time for RARL"] == "32.0 minutes at most"  # 640 responses of 256 tokens, 640 sequences of 321
    assert hours["time for the evaluation"].endswith("minutes at most")
    assert all(f"  {what}: {how_long}" in plan_text(plan) for what, how_long in hours.items())
    assert make_plan(recipe, "run", processes=1, installed=VERSIONS.get).hours == ()


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # peft's doing
def test_a_probe_measures_the_recipes_own_model():
    for changes in ([], ["lora.rank=4"]):
        rates = probe(load_recipe("test", changes), seconds=0.2)
        assert min(rates.generated, rates.trained) > 10


@pytest.mark.parametrize("baselines", ["true", "false"])
def test_the_work_of_the_evaluation_is_that_of_its_calls(baselines):
    changed = tiny(["evaluation.limit=30", f"evaluation.baselines={baselines}"])
    calls = [call for stage in STAGES for call in stage_calls(changed, stage)]
    requests = 0
    for call in calls:
        for task in call.tasks:
            each = 3 if task.endswith("greedy_knapsack") else 2
            requests += 0 if "solo" in task else each * call.limit
    solo = sum(call.limit * call.metadata["repeats"] for call in calls if "solo" in call.tasks[0])
    plan = make_plan(changed, "evaluate", processes=1, installed=VERSIONS.get)
    assert f"at most {requests:,} responses and {solo:,} solo samples" in dict(plan.work)["evaluation"]
