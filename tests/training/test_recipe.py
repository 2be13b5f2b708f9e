"""Recipes: what is refused and with which words, what is kept, and that the shipped ones can be used."""

import re
from dataclasses import asdict, fields, replace

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.errors import UsageError
from roi_bench.training.plan import recipe as recipes
from roi_bench.training.plan.recipe import (
    Evaluation,
    Labels,
    Lora,
    Mft,
    MftOrderShares,
    OrderShares,
    Rarl,
    Recipe,
    Reward,
    Sampling,
    TierCounts,
    differences,
    load_recipe,
    parse_recipe,
    recipe_names,
    recipe_text,
    stage_settings,
)
from roi_bench.training.plan.rules import FIXED_GRPO, FIXED_SFT, check_trainer_arguments
from tests.support.messages import missing

SMALL = {"name": "a", "model": "tiny", "family": "tiny", "budgets": [128, 256]}


def refusal(changes):
    """Return why a small recipe with ``changes`` (nested) is refused."""
    with pytest.raises(UsageError) as caught:
        parse_recipe({**SMALL, **changes}, "here.yaml")
    return str(caught.value)


def test_a_recipe_with_four_settings_has_the_documented_defaults():
    recipe = parse_recipe(SMALL, "here.yaml")
    assert recipe == Recipe("a", "tiny", "tiny", (128, 256))
    assert (recipe.dtype, recipe.chat, recipe.lora) == ("bfloat16", False, None)
    assert recipe.rarl.orders == OrderShares(1.0, 1.0, 1.0)
    assert recipe.mft.orders == MftOrderShares(1.0, 4.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"budget": [1]}, ("'budget'", "'budgets'")),
        ({"rarl": {"step": 3}}, ("'rarl.step'", "'steps'")),
        ({"rarl": {"reward": {"lvel": True}}}, ("'rarl.reward.lvel'", "'level'")),
        ({"sampling": {"problems": {"eazy": 1}}}, ("'sampling.problems.eazy'", "'easy'")),
        ({"lora": {"rnk": 1}}, ("'lora.rnk'", "'rank'")),
        ({"labels": {3: 4}}, ("'labels.3'", "minimum_correct")),
    ],
)
def test_an_unknown_key_is_refused_at_every_depth_with_the_nearest(changes, facts):
    assert missing(("here.yaml", *facts), refusal(changes)) == []


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"budgets": 128}, ("budgets", "128", "[128]")),
        ({"budgets": ["128"]}, ("budgets[0]", "'128'")),
        ({"seed": True}, ("seed", "True")),
        ({"seed": 1.0}, ("seed", "1.0")),
        ({"chat": 1}, ("chat", "1")),
        ({"name": 7}, ("name", "7")),
        ({"mft": {"epochs": True}}, ("mft.epochs", "True")),
        ({"mft": {"learning_rate": "1e-5"}}, ("mft.learning_rate", "'1e-5'", "YAML")),
        ({"mft": {"learning_rate": "0.1"}}, ("mft.learning_rate", "'0.1'", "quotes")),
        ({"mft": {"learning_rate": "high"}}, ("mft.learning_rate", "'high'")),
        ({"mft": 3}, ("mft", "3", "singles, exams")),
        ({"mft": None}, ("mft", "None", "singles, exams")),
        ({"lora": 8}, ("lora", "8", "rank, alpha, dropout, quantised")),
        ({"mft": {"trainer": ["a"]}}, ("mft.trainer", "['a']")),
        ({"mft": {"trainer": {1: 2}}}, ("mft.trainer", "1")),
        ({"rarl": {"curriculum": {"x": 0.5}}}, ("rarl.curriculum", "'x'")),
        ({"rarl": {"orders": {"easy": "much"}}}, ("rarl.orders.easy", "'much'")),
        ({"family": "v2"}, ("family", "'v2'", "'v1'")),
        ({"labels": {"keep": "meidan"}}, ("labels.keep", "'meidan'", "shortest, median, first")),
        ({"rarl": {"rollouts": ["vllm"]}}, ("rarl.rollouts", "['vllm']", "transformers, vllm")),
        ({"sampling": {"cap": "big"}}, ("sampling.cap", "'big'")),
        ({"sampling": {"problems": {"easy": 1}}}, ("sampling.problems.middle",)),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_refused_with_its_key(changes, facts):
    assert missing(("here.yaml", *facts), refusal(changes)) == []


def test_the_advice_about_exponents_is_right():
    """YAML 1.1 takes 1e-5 for text; what the message says to write must be a number."""
    for text in ("1e-5", "3E4", "2.5e3"):
        message = refusal({"mft": {"learning_rate": yaml.safe_load(text)}})
        advised = message.partition("write ")[2].rstrip(")")
        assert yaml.safe_load(advised) == float(text)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"budgets": []}, ("budgets", "()")),
        ({"budgets": [0, 5]}, ("budgets", "(0, 5)")),
        ({"budgets": [256, 128]}, ("budgets", "(256, 128)")),
        ({"budgets": [128, 128]}, ("budgets", "(128, 128)")),
        ({"seed": -1}, ("seed", "-1")),
        ({"seed": 2**32}, ("seed", "4294967296", "2147483647")),
        ({"seed": 2**31}, ("seed", "2147483648")),
        ({"lora": {"rank": 0}}, ("lora.rank", "0")),
        ({"lora": {"dropout": 1.0}}, ("lora.dropout", "1.0")),
        ({"sampling": {"samples": 0}}, ("sampling.samples", "0")),
        ({"sampling": {"temperature": 0}}, ("sampling.temperature", "0")),
        ({"sampling": {"temperature": float("nan")}}, ("sampling.temperature", "nan")),
        ({"sampling": {"cap": 0}}, ("sampling.cap", "0")),
        ({"sampling": {"problems": {"easy": 0, "middle": 0, "hard": 0}}}, ("sampling.problems", "(0, 0, 0)")),
        ({"sampling": {"problems": {"easy": 5, "middle": 5, "hard": 0}}}, ("sampling.problems", "(5, 5, 0)")),
        ({"sampling": {"problems": {"easy": -1, "middle": 5, "hard": 5}}}, ("sampling.problems", "(-1, 5, 5)")),
        ({"labels": {"minimum_correct": 5}}, ("labels.minimum_correct", "5", "sampling.samples (4)")),
        ({"labels": {"largest_share": 0.2}}, ("labels.largest_share", "0.2")),
        ({"mft": {"singles": 0, "exams": 0}}, ("mft.exams", "0")),
        ({"mft": {"solo": -1}}, ("mft.solo", "-1")),
        ({"mft": {"learning_rate": 0}}, ("mft.learning_rate", "0")),
        ({"mft": {"batch_size": 30}}, ("mft.batch_size", "30", "mft.device_batch_size", "(32)")),
        ({"mft": {"device_batch_size": 0}}, ("mft.batch_size", "32", "mft.device_batch_size", "(0)")),
        ({"rarl": {"steps": 0}}, ("rarl.steps", "0")),
        ({"rarl": {"generations": 1}}, ("rarl.generations", "1")),
        ({"rarl": {"prompts": 3}}, ("rarl.prompts × rarl.generations", "24", "rarl.device_batch_size", "(64)")),
        ({"mft": {"orders": {"hard": 0.5}}}, ("mft.orders", "'hard': 0.5", "whole")),
        ({"mft": {"orders": {"easy": 0, "medium": 0, "hard": 0}}}, ("mft.orders", "'hard': 0")),
        ({"rarl": {"orders": {"easy": 0.0, "medium": 0, "hard": 0}}}, ("rarl.orders", "'easy': 0.0")),
        ({"rarl": {"orders": {"hard": float("inf")}}}, ("rarl.orders", "inf")),
        ({"rarl": {"orders": {"mixed": 1}}}, ("'rarl.orders.mixed'",)),
        ({"chat_template_kwargs": {"enable_thinking": False}}, ("chat_template_kwargs", "chat is false")),
        ({"context": 256}, ("context", "256", "(256)")),
        ({"vllm": {"beside_training": 0}}, ("vllm.beside_training", "0")),
        ({"vllm": {"gpu_memory_utilization": 1.5}}, ("vllm.gpu_memory_utilization", "1.5")),
        ({"vllm": {"tensor_parallel_size": 0}}, ("vllm.tensor_parallel_size", "0")),
        ({"evaluation": {"model_args": {"max_model_len": 9}}}, ("evaluation.model_args.max_model_len", "set context")),
        ({"evaluation": {"model_args": {"enable_thinking": True}}}, ("enable_thinking", "set chat_template_kwargs")),
        ({"rarl": {"orders": {"easy": 2, "hard": -1}}}, ("rarl.orders", "-1")),
        ({"rarl": {"curriculum": {512: 0.5}}}, ("rarl.curriculum", "{512: 0.5}")),
        ({"rarl": {"curriculum": {128: 0.6, 256: 0.6}}}, ("rarl.curriculum", "0.6")),
        ({"rarl": {"curriculum": {128: -0.5}}}, ("rarl.curriculum", "-0.5")),
        ({"rarl": {"reward": {"format_fault": -1}}}, ("rarl.reward.format_fault", "-1")),
        ({"rarl": {"evaluation_exams": 0}}, ("rarl.evaluation_exams", "0")),
        ({"rarl": {"evaluation_exams": -3, "evaluate_every": 0}}, ("rarl.evaluation_exams", "-3")),
        ({"rarl": {"patience": -1}}, ("rarl.patience", "-1")),
        ({"rarl": {"patience": 2, "evaluate_every": 0}}, ("rarl.patience", "2")),
        ({"evaluation": {"limit": 0}}, ("evaluation.limit", "0")),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_refused(changes, facts):
    assert missing(("here.yaml", *facts), refusal(changes)) == []


def test_one_order_leaves_the_others_as_they_are(file):
    shares = {
        "mft": (MftOrderShares(1.0, 4.0, 2), "easy 14%, medium 57%, hard 29%"),
        "rarl": (OrderShares(1.0, 1.0, 2), "easy 25%, medium 25%, hard 50%"),
    }
    for stage, (expected, shown) in shares.items():
        for change in (f"{stage}.orders.hard=2", f"{stage}.orders={{hard: 2}}"):
            found = getattr(load_recipe(str(file), [change]), stage).orders
            assert (found, found.text()) == (expected, shown)
    assert load_recipe("tiny", ["rarl.orders.easy=0"]).rarl.orders == OrderShares(0, 1, 2)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("evaluation.limit=3", ()),
        ("sampling.batch_size=7", ()),
        ("mft.device_batch_size=5", ()),
        ("rarl.device_batch_size=8", ()),
        ("vllm.tensor_parallel_size=2", ()),
        ("rarl.steps=9", ("rarl",)),
        ("rarl.reward.level=false", ("rarl",)),
        ("mft.epochs=2", ("mft",)),
        ("mft.exams=99", ("data",)),
        ("mft.batch_size=40", ("data", "mft")),
        ("budgets=[64, 256]", ("data", "rarl")),
        ("seed=3", ("data", "mft", "rarl")),
        ("system_prompt=Be brief.", ("data", "mft", "rarl")),
    ],
)
def test_each_stage_depends_on_what_it_uses(change, stages):
    asked = load_recipe("test", [change])
    changed = [
        stage
        for stage in ("data", "mft", "rarl")
        if differences(stage_settings(load_recipe("test"), stage), stage_settings(asked, stage))
    ]
    assert tuple(changed) == stages


def test_adapters_have_learning_rates_of_their_own():
    full, adapters = load_recipe("qwen2.5-1.5b"), load_recipe("qwen2.5-1.5b", ["lora.rank=8"])
    assert (full.rate("mft"), full.rate("rarl")) == (1e-5, 1e-6)
    assert (adapters.rate("mft"), adapters.rate("rarl")) == (1e-4, 1e-5)
    asked = load_recipe("qwen2.5-1.5b", ["lora.rank=8", "rarl.learning_rate=3.0e-6"])
    assert asked.rate("rarl") == 3e-6
    assert stage_settings(adapters, "mft")["mft.learning_rate"] == 1e-4


def test_the_evaluation_can_leave_the_batch_to_the_engine():
    assert load_recipe("test", ["evaluation.batch_size=auto"]).evaluation.batch_size == "auto"
    for wrong in ("all", "true", "0"):
        with pytest.raises(UsageError, match=r"evaluation\.batch_size"):
            load_recipe("test", [f"evaluation.batch_size={wrong}"])


def test_recipes_of_real_models_have_what_the_documentation_asks_for():
    for name in ("qwen2.5-1.5b", "qwen2.5-1.5b-8gpu"):
        recipe = load_recipe(name)
        assert recipe.mft.solo > 0  # else V_DP, AE and SR say nothing
        assert recipe.mft.over_budget_kept > 0  # else RARL finds nothing to learn from
        assert recipe.mft.epochs == 1  # else the curriculum starts again
        assert recipe.evaluation.batch_size == "auto"


def test_no_evaluation_while_training_needs_no_exams_for_it():
    recipe = parse_recipe({**SMALL, "rarl": {"evaluate_every": 0, "evaluation_exams": 0}}, "here.yaml")
    assert recipe.rarl.evaluation_exams == 0


@pytest.mark.parametrize("missing_key", list(SMALL))
def test_what_has_no_default_must_be_there(missing_key):
    rest = {key: value for key, value in SMALL.items() if key != missing_key}
    with pytest.raises(UsageError, match=f"here.yaml.*{missing_key}"):
        parse_recipe(rest, "here.yaml")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "rarl": {"steps": 5}}), encoding="utf-8")
    return path


def test_changes_take_the_place_of_the_files_settings(file):
    changes = ["rarl.steps=7", "rarl.reward.level=false", "rarl.trainer.logging_steps=1", "budgets=[64, 96]", "name=b"]
    recipe = load_recipe(str(file), changes)
    assert (recipe.rarl.steps, recipe.rarl.reward.level, recipe.rarl.trainer) == (7, False, {"logging_steps": 1})
    assert (recipe.budgets, recipe.name) == ((64, 96), "b")


def test_the_last_of_two_changes_counts(file):
    assert load_recipe(str(file), ["seed=1", "seed=2"]).seed == 2


def test_a_change_can_switch_adapters_on_and_off(file):
    assert load_recipe(str(file), ["lora=null", "lora.rank=8"]).lora == Lora(rank=8)
    assert load_recipe(str(file), ["lora.rank=8", "lora=null"]).lora is None


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("seed", ("'seed'", "key=value")),
        ("=3", ("'=3'", "key=value")),
        ("name.first=3", ("'name.first'", "'name'")),
        ("seed=[1", ("'seed'", "'[1'", "YAML")),
        ("rarl.stps=1", ("'rarl.stps'", "'steps'")),
        ("seed=", ("seed", "None")),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(file, change, facts):
    with pytest.raises(UsageError) as caught:
        load_recipe(str(file), [change])
    assert missing(facts, str(caught.value)) == []


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"a: [", "YAML"),
        (b"\xff\xfe\xfa", "YAML"),
        (b"", "settings"),
        (b"- 1", "settings"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path, content, fact):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"bad\.yaml.*{fact}") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match=r"'tyni'.*'tiny'"):
        load_recipe("tyni")


SHARES = st.floats(0.01, 0.5)
TRAINER = st.dictionaries(
    st.text("abc_", min_size=1, max_size=5), st.one_of(st.booleans(), st.integers(), st.text(max_size=9)), max_size=3
)
RATES = st.floats(1e-9, 1.0)


@st.composite
def valid_recipes(draw):
    budgets = tuple(sorted(draw(st.sets(st.integers(1, 4096), min_size=1, max_size=3))))
    samples, device, generations = draw(st.integers(1, 9)), draw(st.integers(1, 8)), draw(st.integers(2, 8))
    counts = st.integers(0, 5000)
    return Recipe(
        name=draw(st.text(min_size=1, max_size=9)),
        model=draw(st.sampled_from(["tiny", "a/b", "é: #x", "1e5", "null"])),
        family=draw(st.sampled_from(["tiny", "v1", "fresh"])),
        budgets=budgets,
        seed=draw(st.integers(0, 2**31 - 1)),
        dtype=draw(st.sampled_from(["float32", "bfloat16"])),
        chat=draw(st.booleans()),
        lora=draw(st.none() | st.builds(Lora, rank=st.integers(1, 64), quantised=st.booleans())),
        sampling=Sampling(TierCounts(draw(counts) + 1, draw(counts) + 1, draw(counts) + 1), samples, draw(RATES)),
        labels=Labels(draw(st.sampled_from(["shortest", "median", "first"])), draw(st.integers(1, samples)), 0.5),
        mft=Mft(singles=draw(counts) + 1, batch_size=4 * device, device_batch_size=device, trainer=draw(TRAINER)),
        rarl=Rarl(
            prompts=device,
            generations=generations,
            device_batch_size=generations,
            learning_rate=draw(RATES),
            orders=draw(st.builds(OrderShares, SHARES, SHARES, SHARES)),
            curriculum={budgets[0]: draw(SHARES)},
            reward=Reward(draw(st.booleans()), draw(SHARES)),
            rollouts=draw(st.sampled_from(["transformers", "vllm", "vllm-server"])),
            trainer=draw(TRAINER),
        ),
        evaluation=Evaluation(limit=draw(st.none() | st.integers(1, 480)), model_args=draw(TRAINER)),
    )


@given(valid_recipes())
@settings(max_examples=60, deadline=None)
def test_the_text_of_a_recipe_gives_it_back(recipe):
    assert parse_recipe(yaml.safe_load(recipe_text(recipe)), "text") == recipe


def test_the_text_of_a_recipe_spells_every_setting_out():
    data = yaml.safe_load(recipe_text(load_recipe("tiny")))
    assert set(data) == {item.name for item in fields(Recipe)}
    assert set(data["rarl"]) == {item.name for item in fields(Rarl)}
    assert data["rarl"]["reward"] == asdict(Reward())


def test_the_text_of_a_recipe_can_be_loaded_as_a_file(tmp_path):
    recipe = replace(load_recipe("tiny"), name="copy")
    (tmp_path / "recipe.yaml").write_text(recipe_text(recipe), encoding="utf-8")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


def test_the_shipped_recipes_are_these():
    assert recipe_names() == ["qwen2.5-1.5b", "qwen2.5-1.5b-8gpu", "qwen2.5-coder-0.5b-cpu", "test", "tiny"]


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_loads_and_its_trainer_arguments_are_trls(name):
    from trl import GRPOConfig, SFTConfig

    recipe = load_recipe(name)
    assert recipe.name == name
    check_trainer_arguments([item.name for item in fields(SFTConfig)], recipe.mft.trainer, FIXED_SFT, "mft.trainer")
    check_trainer_arguments([item.name for item in fields(GRPOConfig)], recipe.rarl.trainer, FIXED_GRPO, "rarl.trainer")


def test_what_is_fixed_are_arguments_of_trl():
    from trl import GRPOConfig, SFTConfig

    assert set(FIXED_SFT) <= {item.name for item in fields(SFTConfig)}
    assert set(FIXED_GRPO) <= {item.name for item in fields(GRPOConfig)}


@pytest.mark.parametrize("processes", [6, 8, 12, 16])
def test_the_steps_of_the_eight_gpu_recipe_divide_wherever_its_comment_says(processes):
    recipe = load_recipe("qwen2.5-1.5b-8gpu")
    assert recipe.mft.batch_size % (processes * recipe.mft.device_batch_size) == 0
    assert recipe.rarl.prompts * recipe.rarl.generations % (processes * recipe.rarl.device_batch_size) == 0


@pytest.mark.parametrize("name", ["qwen2.5-1.5b-8gpu", "qwen2.5-coder-0.5b-cpu"])
def test_the_commands_in_a_recipe_take_this_recipe_in_the_order_of_the_stages(name):
    """A folder belongs to one recipe, so that another name in one of them would end there."""
    path = recipes.RECIPES / f"{name}.yaml"
    comment = "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    commands = re.findall(r"roi[-_]bench train (\w+) (\S+) --out DIR *(?:#.*)?\n", comment)
    assert commands == [(stage, path.stem) for stage in ("data", "mft", "rarl", "evaluate")]


ACCELERATE = {
    "fsdp2": (DistributedType.FSDP, 1, 6),
    "deepspeed_zero3": (DistributedType.DEEPSPEED, 1, 6),
    "two_nodes": (DistributedType.FSDP, 2, 16),
}


def test_all_accelerate_configurations_are_tested():
    assert {path.stem for path in (recipes.RECIPES / "accelerate").glob("*.yaml")} == set(ACCELERATE)


@pytest.mark.parametrize("name", list(ACCELERATE))
def test_accelerate_loads_its_configurations_and_knows_every_key(name):
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(recipes.RECIPES / "accelerate" / f"{name}.yaml"))
    assert (config.distributed_type, config.num_machines, config.num_processes) == ACCELERATE[name]
    assert (config.mixed_precision, config.use_cpu) == ("bf16", False)
    options = set(vars(launch_command_parser().parse_args(["script.py"])))
    assert {*config.fsdp_config, *config.deepspeed_config} <= options


@pytest.mark.parametrize("name", ["fsdp2", "two_nodes"])
def test_accelerate_accepts_the_fsdp_settings_together(name, monkeypatch):
    """The plugin that a launched process builds from its environment refuses settings that contradict each other."""
    from accelerate.utils import FullyShardedDataParallelPlugin

    config = load_config_from_file(str(recipes.RECIPES / "accelerate" / f"{name}.yaml"))
    for key, value in config.fsdp_config.items():
        monkeypatch.setenv(key.upper(), str(value).lower() if isinstance(value, bool) else str(value))
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.activation_checkpointing) == (2, True, False)
