"""A run's folder: whose it is, what may differ when it goes on, what is missing, examples that cannot be checked."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import nullcontext
from errno import ENOSPC
from types import SimpleNamespace

import pytest
from safetensors import SafetensorError

from roi_bench.errors import DependencyError, ModelError, RecordError, UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.harness.installation import version
from roi_bench.training.data import NAMES, load_examples, load_rows, save_data
from roi_bench.training.mft.labels import Example, LabelledProblem
from roi_bench.training.plan.recipe import load_recipe, recipe_text, stage_settings
from roi_bench.training.stages import model as training_checkpoints
from roi_bench.training.stages import run
from roi_bench.training.stages.model import (
    IDENTITY,
    adapter_settings,
    last_checkpoint,
    load_model,
    save_stage,
    start_of,
    train_to_the_end,
)
from roi_bench.training.stages.run import open_run, require_packages, run_mft, run_rarl
from tests.support.messages import missing
from tests.training.tiny_labels import problems

TEST = load_recipe("test")


def silent(line):
    pass


# ----------------------------------------------------------------- the folder and its recipe


def test_the_recipe_is_written_whole_and_read_back(tmp_path):
    open_run(TEST, tmp_path)
    assert (tmp_path / "recipe.yaml").read_text("utf-8") == recipe_text(TEST)
    open_run(TEST, tmp_path)


def made(tmp_path, changes=(), stage="mft", **record):
    """A folder with data and a finished stage, made by the test recipe with ``changes``."""
    recipe = load_recipe("test", changes)
    save_data(recipe, [LABEL], [EXAMPLE], tmp_path)
    (tmp_path / run.SETTINGS).write_text(json.dumps(stage_settings(recipe, "data")), "utf-8")
    settings = {"settings": stage_settings(recipe, stage), **record}
    return finished(tmp_path / stage, {}, **settings)


def test_a_change_of_rarl_leaves_the_stages_before_it_alone(tmp_path):
    told = []
    made(tmp_path)
    recipe = load_recipe("test", ["rarl.steps=9", "rarl.learning_rate=1.0e-5", "evaluation.limit=2"])
    assert run_mft(recipe, tmp_path, told.append) == tmp_path / "mft"
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("sampling.samples=3", ("data", "sampling.samples", "2", "3")),
        ("mft.learning_rate=0.5", ("mft", "mft.learning_rate", "0.0003", "0.5")),
        ("mft.trainer.warmup_steps=9", ("mft", "mft.trainer.warmup_steps", "2", "9")),
    ],
)
def test_what_a_stage_was_made_with_may_not_change(tmp_path, change, facts):
    made(tmp_path)
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))) as refused:
        run_mft(load_recipe("test", [change]), tmp_path, silent)
    assert missing(facts, str(refused.value)) == []
    with pytest.raises(UsageError, match=facts[1]) if facts[0] == "mft" else nullcontext():
        run.check_stage(load_recipe("test", [change]), tmp_path, "mft")  # RARL asks this of what it starts from


def test_the_evaluation_asks_with_the_prompts_of_the_training_and_any_other_setting(tmp_path):
    made(tmp_path)
    run.check_prompts(load_recipe("test", ["mft.epochs=3", "seed=4"]), tmp_path)
    with pytest.raises(UsageError, match=r"mft .*system_prompt.*'Be brief\.'"):
        run.check_prompts(load_recipe("test", ["system_prompt=Be brief."]), tmp_path)


def test_a_folder_of_an_older_version_is_named_as_one(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    with pytest.raises(RecordError, match=r"data was made by an older version.*--out"):
        run_mft(TEST, tmp_path, silent)
    finished(tmp_path / "rarl", {})
    with pytest.raises(RecordError, match=r"rarl was made by an older version"):
        run_rarl(TEST, tmp_path, silent)


def test_a_finished_rarl_takes_more_steps_and_no_fewer(tmp_path, monkeypatch):
    rarl, told = made(tmp_path, stage="rarl", steps=4), []
    trained = []
    monkeypatch.setattr("roi_bench.training.rarl.rarl.train_rarl", lambda recipe, *_: trained.append(recipe.rarl.steps))
    monkeypatch.setattr(run, "_write_card", lambda *_: None)
    longer = load_recipe("test", ["rarl.steps=8"])
    with pytest.raises(RecordError, match=r"no checkpoints"):
        run_rarl(longer, tmp_path, silent)
    checkpoint(tmp_path / "rarl-checkpoints", 4, {})
    run_rarl(longer, tmp_path, told.append)
    assert trained == [8]
    assert missing([rarl, "step 4", "8"], told[0]) == []
    with pytest.raises(UsageError, match=r"rarl.steps is 4 there, 3 asked"):
        run_rarl(load_recipe("test", ["rarl.steps=3"]), tmp_path, silent)
    with pytest.raises(UsageError, match=r"rarl.temperature"):
        run_rarl(load_recipe("test", ["rarl.steps=8", "rarl.temperature=0.5"]), tmp_path, silent)


def test_more_steps_do_not_stretch_a_curriculum(tmp_path):
    made(tmp_path, ["rarl.curriculum={128: 0.5}"], stage="rarl")
    with pytest.raises(UsageError, match=r"8 are asked for.*curriculum"):
        run_rarl(load_recipe("test", ["rarl.curriculum={128: 0.5}", "rarl.steps=8"]), tmp_path, silent)


def test_a_saved_stage_ends_where_its_base_does_and_has_no_decoding_of_its_own(tmp_path):
    from transformers import GenerationConfig

    own = {"repetition_penalty": 1.1, "top_k": 20, "top_p": 0.8, "do_sample": True, "min_new_tokens": 3}
    GenerationConfig(eos_token_id=[5, 6], pad_token_id=0, bos_token_id=1, **own).save_pretrained(tmp_path)
    training_checkpoints._write_plain_generation_config(tmp_path)
    found = json.loads((tmp_path / "generation_config.json").read_text("utf-8"))
    found.pop("transformers_version")
    assert found.pop("_from_model_config", False) is False
    assert found == {"eos_token_id": [5, 6], "pad_token_id": 0, "bos_token_id": 1}
    training_checkpoints._write_plain_generation_config(tmp_path / "nothing there")


def test_a_budget_longer_than_the_models_context_is_refused_when_it_is_loaded():
    from roi_bench.exams.tiny import model_path

    with pytest.raises(ModelError, match=r"8192 tokens.*9000"):
        training_checkpoints.load_model(str(model_path()), load_recipe("test", ["budgets=[128, 9000]"]))


# ----------------------------------------------------------------- what is missing


@pytest.mark.parametrize(("stage", "package"), [("mft", "trl"), ("rarl", "accelerate"), ("evaluate", "transformers")])
def test_a_missing_package_is_named_before_anything_is_computed(stage, package):
    def installed(name):
        return None if name == package else version(name)

    with pytest.raises(DependencyError, match=f"{package}.*pip install"):
        require_packages(TEST, stage, installed)
    require_packages(TEST, stage)


def test_a_version_that_will_not_do_is_named():
    with pytest.raises(DependencyError, match=r"trl.*0\.19"):
        require_packages(TEST, "rarl", lambda name: "0.19.0" if name == "trl" else version(name))


def test_rarl_without_an_mft_model_says_how_to_make_it(tmp_path):
    with pytest.raises(UsageError, match=r"roi-bench train mft test --out .* --model"):
        run_rarl(TEST, tmp_path, silent)


# ----------------------------------------------------------------- data on disk

PROBLEM = problems(1)["easy"][0]
LABEL = LabelledProblem(PROBLEM, "easy", 0, PROBLEM.solution or "", 15, 15, 4, 3)
EXAMPLE = Example(
    "single", [{"role": "user", "content": "a prompt"}], "a completion", None, 128, (0,), (PROBLEM.id,), 15
)


def test_data_come_back_as_they_were_saved(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    assert load_examples(tmp_path) == [EXAMPLE]
    row = load_rows(tmp_path, "labels")[0]
    assert (row["problem_id"], row["level"], row["work"], row["correct"]) == (PROBLEM.id, 0, PROBLEM.solution, 3)
    for name in NAMES:
        card = (tmp_path / "data" / name / "README.md").read_text("utf-8")
        assert recipe_text(TEST) in card
        assert "| easy | 1 | 1 | 0 | 0 | 0 | 15 |" in card or name == "examples"


def test_damaged_data_are_said_to_be(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    for file in (tmp_path / "data" / "examples").glob("*.arrow"):
        file.write_bytes(b"not arrow")
    with pytest.raises(RecordError, match=re.escape(str(tmp_path / "data" / "examples"))):
        load_examples(tmp_path)


def test_an_example_whose_problems_cannot_be_told_is_refused(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    (tmp_path / run.SETTINGS).write_text(json.dumps(stage_settings(TEST, "data")), "utf-8")
    with pytest.raises(RecordError, match=r"example 0 in .*examples"):
        run_mft(TEST, tmp_path, silent)


# ----------------------------------------------------------------- interrupted, out of memory


INPUTS = {"model to start from": "a", "set of examples": "b"}
SETTINGS = {"rarl.steps": 4, "seed": 0}


class FailingTrainer:
    """Fails as torch does, and remembers where it was told to go on."""

    def __init__(self, message):
        self.message, self.resumed = message, None

    def train(self, resume_from_checkpoint):
        self.resumed = resume_from_checkpoint
        raise RuntimeError(self.message)


@pytest.mark.parametrize(
    "message", ["CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"]
)
def test_out_of_memory_says_what_to_lower_and_that_nothing_is_lost(tmp_path, message):
    with pytest.raises(ModelError, match=rf"x\.device_batch_size.*{re.escape(str(tmp_path))}"):
        train_to_the_end(FailingTrainer(message), tmp_path, "x.device_batch_size", INPUTS, {})


@pytest.mark.parametrize(
    "error",
    [
        OSError(ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["file", "torch", "safetensors"],
)
def test_a_full_disk_is_named_and_what_is_whole_goes_on(tmp_path, error):
    def train(resume_from_checkpoint):
        raise error

    checkpoint(tmp_path, 5, {})
    (tmp_path / IDENTITY).write_text(json.dumps({"inputs": INPUTS, "settings": SETTINGS, "seconds": 40}), "utf-8")
    checkpoint(tmp_path, 10)  # what was written when the disk filled up
    with pytest.raises(ModelError, match=rf"disk is full.*{re.escape(str(tmp_path))}"):
        train_to_the_end(SimpleNamespace(train=train), tmp_path, "x", INPUTS, SETTINGS)
    assert begin(tmp_path).resumed == str(tmp_path / "checkpoint-5")


def test_checkpoints_of_other_settings_are_refused(tmp_path):
    begin(tmp_path)
    checkpoint(tmp_path, 5, {})
    for asked, facts in (({"seed": 1}, "seed is 0 there, 1 asked"), ({"rarl.steps": 3}, "rarl.steps is 4 there")):
        with pytest.raises(UsageError, match=facts):
            train_to_the_end(FailingTrainer(""), tmp_path, "x", INPUTS, {**SETTINGS, **asked})
    with pytest.raises(ModelError):
        train_to_the_end(FailingTrainer("out of memory"), tmp_path, "x", INPUTS, {**SETTINGS, "rarl.steps": 9})
    assert json.loads((tmp_path / IDENTITY).read_text("utf-8"))["settings"]["rarl.steps"] == 9


def test_another_failure_is_not_called_out_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes differ"):
        train_to_the_end(FailingTrainer("shapes differ"), tmp_path, "x", INPUTS, {})


def checkpoint(folder, step, state=None):
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    if state is not None:
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state), "utf-8")


def begin(folder, inputs=INPUTS, patience=0):
    """Begin a training that fails at once, or go on with it."""
    trainer = FailingTrainer("out of memory")
    with pytest.raises(ModelError):
        train_to_the_end(trainer, folder, "x", inputs, SETTINGS, patience)
    return trainer


def test_training_goes_on_from_the_newest_complete_checkpoint(tmp_path):
    begin(tmp_path)
    for step, state in ((5, {}), (20, {}), (100, None)):
        checkpoint(tmp_path, step, state)
    assert begin(tmp_path).resumed == str(tmp_path / "checkpoint-20")
    assert last_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", INPUTS)
def test_training_does_not_go_on_from_what_another_one_left(tmp_path, name):
    begin(tmp_path)
    with pytest.raises(UsageError, match=f"{re.escape(str(tmp_path))}.*{name}"):
        train_to_the_end(FailingTrainer(""), tmp_path, "x", {**INPUTS, name: "c"}, {})


@pytest.mark.parametrize("text", [None, "{", "[]", '{"inputs": {}}'])
def test_checkpoints_of_which_nothing_is_known_are_refused(tmp_path, text):
    checkpoint(tmp_path, 5, {})
    if text is not None:
        (tmp_path / IDENTITY).write_text(text, "utf-8")
    with pytest.raises(RecordError, match=re.escape(str(tmp_path))):
        train_to_the_end(FailingTrainer(""), tmp_path, "x", INPUTS, {})


def test_the_seconds_before_an_interruption_count(tmp_path, monkeypatch):
    begin(tmp_path)
    (tmp_path / IDENTITY).write_text(json.dumps({"inputs": INPUTS, "settings": {}, "seconds": 40}), "utf-8")
    trainer = FailingTrainer("")
    trainer.train = lambda resume_from_checkpoint: None
    clock = iter((100.0, 107.4))
    monkeypatch.setattr(training_checkpoints, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert train_to_the_end(trainer, tmp_path, "x", INPUTS, {}) == 47
    assert json.loads((tmp_path / IDENTITY).read_text("utf-8"))["seconds"] == 47


@pytest.mark.parametrize(("counter", "patience", "goes_on"), [(0, 3, True), (2, 3, True), (3, 3, False), (4, 0, True)])
def test_a_training_that_had_lost_patience_is_not_trained_further(tmp_path, counter, patience, goes_on):
    begin(tmp_path)
    callback = {"args": {}, "attributes": {"early_stopping_patience_counter": counter}}
    checkpoint(tmp_path, 20, {"global_step": 20, "stateful_callbacks": {"EarlyStoppingCallback": callback}})
    if goes_on:
        assert begin(tmp_path, patience=patience).resumed == str(tmp_path / "checkpoint-20")
        return
    trainer = FailingTrainer("must not train")
    trainer._load_best_model = lambda: loaded.append(trainer.state.global_step)
    loaded: list[int] = []
    assert train_to_the_end(trainer, tmp_path, "x", INPUTS, SETTINGS, patience) == 0
    assert loaded == [20]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_adapters_are_merged_and_saved_in_float32_whatever_the_type_of_training(tmp_path):
    """What they add here is far below the rounding of bfloat16."""
    import torch
    from peft import get_peft_model

    recipe, single = load_recipe("test", ["lora={rank: 2, alpha: 2}", "dtype=bfloat16"]), load_recipe("test")
    tuned = get_peft_model(load_model(str(model_path()), single), adapter_settings(recipe.lora))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(1e-5)
    trainer = SimpleNamespace(save_model=tuned.save_pretrained, accelerator=SimpleNamespace(is_main_process=True))
    save_stage(trainer, str(model_path()), recipe, tmp_path / "mft", {})
    saved, before = load_model(str(tmp_path / "mft"), single), load_model(str(model_path()), single)
    assert json.loads((tmp_path / "mft" / "config.json").read_text("utf-8"))["dtype"] == "float32"
    name = "model.layers.0.mlp.up_proj.weight"
    added = saved.state_dict()[name] - before.state_dict()[name]
    expected = tuned.merge_and_unload().state_dict()[name] - before.state_dict()[name]
    assert 0 < added.abs().max() < 1e-4
    assert torch.allclose(added, expected, atol=1e-8)


# ----------------------------------------------------------------- finished stages, all stages


def finished(folder, inputs, **record):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"x": "{folder.name}"}}', "utf-8")
    (folder / "training.json").write_text(json.dumps({"inputs": inputs, **record}), "utf-8")
    return folder


def test_a_finished_rarl_model_is_of_the_mft_model_there(tmp_path):
    mft, told = finished(tmp_path / "mft", {}, settings=stage_settings(TEST, "mft")), []
    finished(tmp_path / "rarl", {"model to start from": start_of(str(mft))}, settings=stage_settings(TEST, "rarl"))
    assert run_rarl(TEST, tmp_path, told.append) == tmp_path / "rarl"
    (line,) = told
    assert missing([tmp_path / "rarl", "rarl-checkpoints"], line) == []
    shutil.copytree(mft, tmp_path / "kept")
    shutil.rmtree(mft)
    assert run_rarl(TEST, tmp_path, told.append) == tmp_path / "rarl", "removed to save space"
    shutil.move(tmp_path / "kept", mft)
    (mft / "config.json").write_text("trained again", "utf-8")
    with pytest.raises(UsageError, match=r"rarl .*mft .*"):
        run_rarl(TEST, tmp_path, silent)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_record_of_a_finished_stage_is_said_to_be(tmp_path, text):
    (finished(tmp_path / "rarl", {}) / "training.json").write_text(text, "utf-8")
    with pytest.raises(RecordError, match=r"training\.json.*rarl-checkpoints"):
        run_rarl(TEST, tmp_path, silent)


def test_run_gives_each_stage_a_process_with_what_was_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "run_evaluation", lambda recipe, out, notify, run: f"tables of {recipe.name}, {run([])}")
    commands = []

    def succeed(command):
        commands.append(command)
        return 0

    asked = ["test", "--set", "seed=3"]
    assert run.run_stages(load_recipe("test", ["seed=3"]), asked, tmp_path, silent, succeed) == "tables of test, 0"
    stages = ("data", "mft", "rarl")
    assert commands == [*(["train", stage, *asked, "--out", str(tmp_path)] for stage in stages), []]


@pytest.mark.parametrize(
    ("code", "kind"), [(2, UsageError), (4, ModelError), (130, KeyboardInterrupt), (-9, ModelError)]
)
def test_run_ends_with_the_first_stage_that_fails(tmp_path, code, kind):
    commands = []

    def fail(command):
        commands.append(command)
        return code

    with pytest.raises(kind) as raised:
        run.run_stages(TEST, ["test"], tmp_path, silent, fail)
    assert type(raised.value) is kind
    assert len(commands) == 1


def test_an_argument_of_a_later_stage_is_refused_before_the_first(tmp_path):
    recipe = load_recipe("test", ["rarl.trainer={lr_scheduler_type: cosin}"])
    with pytest.raises(UsageError, match="cosin"):
        run.run_stages(recipe, ["test"], tmp_path, silent, lambda command: pytest.fail("nothing may run"))


def test_what_is_the_work_of_one_process_refuses_several(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"train mft.*train rarl"):
        run.run_stages(TEST, ["test"], tmp_path, silent, lambda command: pytest.fail("nothing may run"))
    with pytest.raises(UsageError, match=r"evaluation.*one process"):
        run.run_evaluation(TEST, tmp_path, silent)


@pytest.mark.parametrize(
    ("changes", "record", "command"),
    [
        (["seed=4"], {}, "roi-bench train rarl test --out DIR --set seed=4"),
        (["seed=4", "evaluation.samples=9"], {}, "roi-bench train rarl test --out DIR --set seed=4"),
        (["rarl.steps=3"], {}, "roi-bench train rarl recipe.yaml --out DIR"),
        (["name=mine"], {"started_from": "a/b"}, "roi-bench train rarl recipe.yaml --out DIR --model a/b"),
    ],
)
def test_the_card_names_the_command_that_makes_this_very_model(changes, record, command):
    whole = {"data": {}, "seconds": 60, "device": "d", "versions": {}, **record}
    assert f"    {command}\n" in run.card_of("rarl", load_recipe("test", changes), whole)
