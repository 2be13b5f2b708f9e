"""What is made of finished training runs: the table over seeds, and the models in the package."""

import json
import shutil
from collections import Counter

import pytest

from benchmarks import training_seeds
from roi_bench.exams.tiny import model_path
from roi_bench.scoring.statistics import ExamTerm
from roi_bench.training.plan.recipe import load_recipe, recipe_text
from scripts import ship_tiny
from tests.support.simulated_runs import only_hard, only_solvable, run_of


def run_with(seed, difference, p):
    """The summary of an evaluation with one comparison."""
    aim = {"exams": "tiny hard 128", "A": "rarl", "B": "mft", "compared in": "score"}
    return {"recipe": "tiny", "seed": seed, "stages": [], "aims": [{**aim, "A − B": {"value": difference}, "p": p}]}


def test_comparisons_over_seeds():
    runs = [run_with(0, 0.08, 0.001), run_with(5, -0.04, 0.01), run_with(7, 0.02, 0.4)]
    *_, line = training_seeds.comparison_lines(runs)
    assert line == "| tiny hard 128 | rarl | mft | score | 0.020 (-0.040–0.080) | 1 | 1 | 1 |"


def test_an_exam_counts_with_its_mean_over_the_runs():
    """Regret of two runs: exam a loses 1 of 2 and 0 of 1, exam b 1 of 1 and 1 of 2; the second run lacks exam c."""
    first = {"a": ExamTerm(1, 2, "x"), "b": ExamTerm(1, 1, "y"), "c": ExamTerm(3, 3, "z")}
    second = {"a": ExamTerm(0, 1, "x"), "b": ExamTerm(1, 2, "y")}
    assert training_seeds.pooled([first, second]) == [ExamTerm(0.5, 1.5, "x"), ExamTerm(1, 1.5, "y")]


@pytest.mark.parametrize(
    ("values", "shown"), [([0.1, 0.2, 0.6], "0.30 (0.10–0.60)"), ([0.25, 0.25], "0.25"), ([], "n/a")]
)
def test_mean_smallest_and_largest(values, shown):
    assert training_seeds.spread(values) == shown


def test_how_often_the_easy_problem_is_wrong_by_permutation():
    """Never where it is skipped; else the shares by permutation make up the whole."""
    skipped, tried = (run_of(policy, "direct", order="medium") for policy in (only_hard, only_solvable))
    exams = Counter(exam.medium for exam in tried.exams.values())
    assert {training_seeds.wrong_easy(skipped, permutation) for permutation in exams} == {0.0}
    wrong = sum(training_seeds.wrong_easy(tried, permutation) * count for permutation, count in exams.items())
    outcomes = [p.outcome for (sample,) in tried.scored.values() for p in sample.main.problems if p.tier == "easy"]
    assert wrong == pytest.approx(outcomes.count("wrong")) != 0


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
