"""What is made of finished training runs: the table over seeds, and the models in the package."""

import json
import shutil

import pytest

from benchmarks import training_seeds
from roi_bench.exams.tiny import model_path
from roi_bench.training.plan.recipe import load_recipe, recipe_text
from scripts import ship_tiny


def stages(seed, score, difference, p, tokens=70.0):
    """The summary of an evaluation with one row and one comparison."""
    row = {name: {"value": None} for name in training_seeds.MEASURES}
    row = {**row, "exams": "tiny hard 128", "stage": "mft", "prompt": "metacognitive"}
    row |= {"score": {"value": score}, "tokens": {"value": tokens}}
    aim = {"exams": "tiny hard 128", "A": "rarl", "B": "mft", "compared in": "score"}
    return {
        "recipe": "tiny",
        "seed": seed,
        "stages": [row],
        "aims": [{**aim, "A − B": {"value": difference}, "p": p}],
    }


def test_the_table_over_seeds(tmp_path, monkeypatch, capsys):
    runs = [stages(0, 1.70, 0.08, 0.001), stages(5, 1.60, -0.04, 0.01, 90.4), stages(7, 1.80, 0.02, 0.4)]
    for content in runs:
        folder = tmp_path / str(content["seed"]) / "evaluation"
        folder.mkdir(parents=True)
        (folder / "stages.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["training_seeds.py", *(str(tmp_path / name) for name in "057")])
    training_seeds.main()
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title == "3 runs of recipe tiny, seeds 0, 5, 7"
    heads = [cell.strip() for cell in lines[0].strip("|").split("|")]
    cells = dict(zip(heads, (cell.strip() for cell in lines[2].strip("|").split("|")), strict=True))
    assert cells["score"] == "1.70 (1.60–1.80)"
    assert cells["tokens"] == "77 (70–90)"
    assert cells["regret"] == "n/a"
    assert lines[-1] == "| tiny hard 128 | rarl | mft | score | 0.020 (-0.040–0.080) | 1 | 1 | 1 |"


@pytest.fixture
def finished(tmp_path):
    """The folder of a run whose models are the shipped base model in 32 bits."""
    from transformers import AutoModelForCausalLM

    out = tmp_path / "run"
    (out / "shipped" / "evaluation").mkdir(parents=True)
    (out / "recipe.yaml").write_text(recipe_text(load_recipe("tiny")), encoding="utf-8")
    for stage in ("mft", "rarl"):
        AutoModelForCausalLM.from_pretrained(model_path(), dtype="float32").save_pretrained(out / stage)
        for name in ship_tiny.COPIED:
            shutil.copyfile(model_path(stage) / name, out / stage / name)
        path = out / stage / "tokenizer_config.json"  # with the name that transformers 5 writes
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "tokenizer_class": "TokenizersBackend"}))
        record = json.loads((model_path(stage) / "training.json").read_text("utf-8"))
        (out / stage / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return out


def test_shipping_rounds_to_16_bits_and_writes_card_and_record(finished, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    monkeypatch.setattr(ship_tiny, "model_path", lambda stage: tmp_path / "package" / stage)
    monkeypatch.setattr("sys.argv", ["ship_tiny.py", str(finished)])
    ship_tiny.main()
    before = load_file(finished / "mft" / "model.safetensors")
    for stage in ("mft", "rarl"):
        folder = tmp_path / "package" / stage
        after = load_file(folder / "model.safetensors")
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name].to(torch.float16)) for name in before)
        record = json.loads((folder / "training.json").read_text("utf-8"))
        assert record == json.loads((finished / stage / "training.json").read_text("utf-8"))
        assert f"roi-bench train {stage} tiny" in (folder / "README.md").read_text("utf-8")
        assert {path.name for path in folder.iterdir()} >= {*ship_tiny.COPIED, "config.json", "README.md"}
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o644"}
