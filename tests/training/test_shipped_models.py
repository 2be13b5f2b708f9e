"""The three shipped tiny models: small, standard, complete, and made by the recipe that is shipped with them."""

from __future__ import annotations

import json

import pytest

from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.training.plan.recipe import load_recipe, recipe_of_text

STAGES = tuple(SHIPPED_MODELS)


def test_the_three_are_at_most_8_mb_together():
    weights = {stage: (model_path(stage) / "model.safetensors").stat().st_size for stage in STAGES}
    assert sum(weights.values()) <= 8_000_000
    assert weights["mft"] == pytest.approx(801_984 * 2, rel=0.01), "16 bits a weight"
    assert weights["rarl"] == weights["mft"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_shipped_folder_is_a_plain_model_folder(stage):
    names = {path.name for path in model_path(stage).iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".md.part"))]


@pytest.mark.parametrize("stage", STAGES)
def test_a_shipped_model_loads_and_has_the_tokenizer_of_the_base(stage):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(model_path(stage), dtype="float32")
    assert model.num_parameters() == 801_984
    text = "### Problem 1\n<predicted_level>Level-2</predicted_level>\n47 3 +7\n\\boxed{54}"
    base = AutoTokenizer.from_pretrained(model_path())
    assert AutoTokenizer.from_pretrained(model_path(stage))(text)["input_ids"] == base(text)["input_ids"]


@pytest.mark.parametrize("stage", ["mft", "rarl"])
def test_a_trained_model_is_of_the_shipped_recipe_and_its_card_has_its_table(stage):
    record = json.loads((model_path(stage) / "training.json").read_text("utf-8"))
    assert record["stage"] == stage
    assert recipe_of_text(record["recipe"], "training.json") == load_recipe("tiny", ["evaluation.samples=2"])
    card = (model_path(stage) / "README.md").read_text("utf-8")
    for exams in ("tiny hard 128", "tiny hard 256", "tiny medium 128", "tiny medium 256"):
        assert exams in card
    assert "Not yet" not in card
