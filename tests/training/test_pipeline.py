"""The ``test`` recipe from end to end: sampling, labels, SFT, RARL, evaluation; and that every stage resumes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import load_from_disk

from roi_bench.errors import DataError, UsageError
from roi_bench.exams.exam import Problem, sha256_text
from roi_bench.exams.tiny import is_evaluation_question, model_path
from roi_bench.grading.grader import Grader
from roi_bench.records.journal import read_journal
from roi_bench.scoring.kinds import score_responses
from roi_bench.scoring.outcomes import Response, parse_response
from roi_bench.scoring.prompts import exam_messages
from roi_bench.scoring.tokens import LEVEL_BOUNDS
from roi_bench.training.data import questions_of
from roi_bench.training.plan.recipe import load_recipe, recipe_text
from roi_bench.training.stages.model import IDENTITY, load_tokenizer
from roi_bench.training.stages.run import run_mft, run_rarl
from tests.support.messages import missing

pytestmark = [
    pytest.mark.slow,
    # TRL 1.16 and peft use this name, of which transformers 5.23 warns.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
]

STEPS = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The whole pipeline by the command that a user types."""
    out = tmp_path_factory.mktemp("pipeline") / "run"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "roi_bench", "train", "run", "test", "--out", str(out)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def changed(one, other):
    return any(not torch.equal(one[name], other[name]) for name in one)


def test_every_stage_leaves_a_model_that_differs_from_the_one_before(run):
    base, mft, rarl = (weights(folder) for folder in (model_path(), run / "mft", run / "rarl"))
    assert base.keys() == mft.keys() == rarl.keys()
    assert changed(base, mft)
    assert changed(mft, rarl)
    for stage, steps in (("mft", 10), ("rarl", STEPS)):
        record = json.loads((run / stage / "training.json").read_text("utf-8"))
        assert (record["stage"], record["steps"]) == (stage, steps)
        assert record["recipe"] == recipe_text(load_recipe("test"))
        assert "| tiny hard 128 |" in (run / stage / "README.md").read_text("utf-8")
    assert load_recipe(str(run / "recipe.yaml")) == load_recipe("test")


def test_labels_are_what_the_journal_says_by_an_independent_count(run):
    """Level = token range of the median-length correct sample with header and tag; Level-3 where none is correct."""
    labels = load_from_disk(run / "data" / "labels")
    _, entries = read_journal(run / "samples.jsonl")
    by_problem: dict[str, list[str]] = {}
    for entry in sorted(entries.values(), key=lambda entry: entry.key.sample):
        by_problem.setdefault(entry.extra["problem"], []).append(entry.response)
    tokenizer = load_tokenizer(str(model_path()))
    assert len(labels) == 120
    for row in labels:
        costs = []
        for text in by_problem[row["problem_id"]]:
            if "<predicted_level>" in text:  # written unasked: what is work cannot be told, so it counts as not right
                continue
            box = text.rfind("\\boxed{")
            if box >= 0 and text[box + 7 : text.find("}", box)] == row["answers"][0]:
                head = "### Problem 1\n"
                assert text.startswith(head)
                whole = head + "<predicted_level>Level-0</predicted_level>\n" + text[len(head) :].rstrip("\n") + "\n"
                costs.append(len(tokenizer(whole, add_special_tokens=False)["input_ids"]))
        assert row["correct"] == len(costs), row
        if not costs:
            assert (row["level"], row["work"]) == (3, "\\boxed{NA}")
            continue
        cost = sorted(costs)[(len(costs) - 1) // 2]
        assert row["cost"] == cost
        assert row["level"] == next(level for level, bound in enumerate(LEVEL_BOUNDS) if cost <= bound // 8)
    assert {row["level"] for row in labels} == {0, 1, 2, 3}


def test_examples_earn_all_that_they_promise_from_the_benchmark_itself(run):
    examples = load_from_disk(run / "data" / "examples")
    assert [row["kind"] for row in examples] == ["single"] * 40 + ["exam"] * 160
    labels = {row["problem_id"]: row for row in load_from_disk(run / "data" / "labels")}
    parsed, wanted = [], []
    for row in examples:
        rows = [labels[name] for name in row["problem_ids"]]
        problems = tuple(Problem(r["problem_id"], f"tiny-{r['tier']}", r["question"], r["answers"][0]) for r in rows)
        prompt = "metacognitive" if row["kind"] == "exam" else "greedy_knapsack"
        assert row["prompt"] == exam_messages([p.question for p in problems], row["budget"], prompt, (32, 64, 128))
        parsed.append(
            parse_response(problems, tuple(r["tier"] for r in rows), row["budget"], Response(row["completion"]))
        )
        wanted.append([("skipped" if level == 3 else "correct", level) for level in row["levels"]])
    with Grader(workers=1) as grader:
        scored = score_responses(parsed, grader)
    assert [[(o.outcome, o.level) for o in response.problems] for response in scored] == wanted


def test_nothing_of_the_evaluation_was_trained_on(run):
    examples = load_from_disk(run / "data" / "examples")
    questions = {question for row in examples for question in questions_of(row["prompt"])}
    assert len(questions) > 60
    assert not any(map(is_evaluation_question, questions))


def test_rarl_logged_what_the_issue_asks_for(run):
    log = json.loads((run / "rarl" / "training.json").read_text("utf-8"))["log"]
    evaluations = [line for line in log if "eval_held_out" in line]
    assert [line["step"] for line in evaluations] == [2, 4]
    keys = {f"eval_{name}_{budget}" for budget in (128, 256) for name in ("score", "score_easy", "regret", "truncated")}
    assert keys <= set(evaluations[-1])
    last = evaluations[-1]
    names = ("score", "score_medium", "score_easy")
    six = [last[f"eval_{name}_{budget}"] for budget in (128, 256) for name in names]
    assert last["eval_held_out"] == pytest.approx(sum(six) / 6)
    assert last["eval_regret_256"] == pytest.approx(1 - last["eval_score_256"] / last["eval_score_easy_256"])


def test_the_evaluation_is_the_benchmarks_own(run):
    evaluation = run / "evaluation"
    for stage in ("base", "mft", "rarl"):
        (file,) = (evaluation / "results" / stage).rglob("results_*.json")
        results = json.loads(file.read_text("utf-8"))
        assert "roi_tiny_hard_128" + ("" if stage == "base" else "_metacognitive") in results["results"]
    assert (evaluation / "report" / "report.md").is_file()
    assert "rarl" in (evaluation / "stages.md").read_text("utf-8")
    submitted = [json.loads(path.read_text("utf-8")) for path in evaluation.glob("submissions/*/submission.json")]
    assert {one["metadata"]["model"] for one in submitted} == {"tiny", "tiny + MFT", "tiny + MFT + RARL"}
    assert all(one["draft"] for one in submitted)  # 12 exams


def test_a_finished_run_is_not_trained_again(run):
    recipe, told = load_recipe("test"), []
    before = (run / "mft" / "model.safetensors").stat().st_mtime_ns
    assert run_mft(recipe, run, told.append) == run / "mft"
    assert run_rarl(recipe, run, told.append) == run / "rarl"
    for stage, line in zip(("mft", "rarl"), told, strict=True):
        assert missing([run / stage, f"{stage}-checkpoints"], line) == []
    assert (run / "mft" / "model.safetensors").stat().st_mtime_ns == before


def interrupted(run: Path, tmp_path: Path, stage: str, step: int) -> Path:
    """A run that was stopped in ``stage`` after the checkpoint of ``step``."""
    out = tmp_path / "resumed"
    shutil.copytree(run / "data", out / "data")
    shutil.copy(run / "recipe.yaml", out / "recipe.yaml")
    if stage == "rarl":
        shutil.copytree(run / "mft", out / "mft")
    source = run / f"{stage}-checkpoints" / f"checkpoint-{step}"
    shutil.copytree(source, out / f"{stage}-checkpoints" / f"checkpoint-{step}")
    shutil.copy(source.parent / IDENTITY, out / f"{stage}-checkpoints" / IDENTITY)
    return out


@pytest.mark.parametrize(("stage", "step"), [("mft", 5), ("rarl", 2)])
def test_a_resumed_stage_ends_with_the_weights_of_an_uninterrupted_one(run, tmp_path, stage, step):
    out = interrupted(run, tmp_path, stage, step)
    recipe = load_recipe("test")
    (run_mft if stage == "mft" else run_rarl)(recipe, out, lambda line: None)
    one, other = weights(run / stage), weights(out / stage)
    for name, values in one.items():
        assert torch.allclose(values, other[name], atol=1e-6), name


def test_a_finished_rarl_given_more_steps_ends_as_if_it_had_had_them_from_the_start(run, tmp_path):
    """The learning rate of this recipe is constant."""
    ended = []
    for name in ("longer", "at once"):
        out = tmp_path / name
        for folder in ("mft", *(("rarl", "rarl-checkpoints") if name == "longer" else ())):
            shutil.copytree(run / folder, out / folder)
        run_rarl(load_recipe("test", [f"rarl.steps={STEPS + 2}"]), out, lambda line: None)
        record = json.loads((out / "rarl" / "training.json").read_text("utf-8"))
        ended.append((record["steps"], weights(out / "rarl")))
    assert [steps for steps, _ in ended] == [STEPS + 2] * 2
    assert changed(weights(run / "rarl"), ended[0][1])
    for name, values in ended[0][1].items():
        assert torch.allclose(values, ended[1][1][name], atol=1e-6), name


def test_examples_that_were_edited_do_not_go_on_from_checkpoints_of_the_others(run, tmp_path):
    from datasets import Dataset

    out = interrupted(run, tmp_path, "mft", 5)
    rows = load_from_disk(run / "data" / "examples").to_list()
    shutil.rmtree(out / "data" / "examples")
    Dataset.from_list(rows[:-20]).save_to_disk(str(out / "data" / "examples"))
    (out / "data" / "examples" / "README.md").write_text("edited", "utf-8")
    with pytest.raises(UsageError, match=r"mft-checkpoints.*set of examples"):
        run_mft(load_recipe("test"), out, lambda line: None)


def test_a_training_that_lost_patience_and_died_before_it_was_saved_ends_as_it_would_have(run, tmp_path):
    out = tmp_path / "patient"
    shutil.copytree(run / "mft", out / "mft")
    changes = ("steps=20", "patience=1", "learning_rate=1.0e-9", "evaluation_exams=4")
    recipe = load_recipe("test", [f"rarl.{change}" for change in changes])
    ended = []
    for _ in range(2):
        run_rarl(recipe, out, lambda line: None)
        record = json.loads((out / "rarl" / "training.json").read_text("utf-8"))
        ended.append((record["steps"], record["kept_step"], weights(out / "rarl")))
        shutil.rmtree(out / "rarl")
    assert ended[0][:2] == ended[1][:2]
    assert ended[0][1] < ended[0][0] < 20
    assert not changed(ended[0][2], ended[1][2])


def test_an_evaluation_problem_among_the_examples_is_refused(run, tmp_path):
    from datasets import Dataset

    out = tmp_path / "edited"
    shutil.copytree(run / "data", out / "data")
    shutil.copy(run / "recipe.yaml", out / "recipe.yaml")
    rows = load_from_disk(run / "data" / "examples").to_list()
    questions = (f"Start at {start}. Apply +1 and -2 in turn, 2 times, modulo 100." for start in range(100))
    question = next(filter(is_evaluation_question, questions))
    rows[7]["prompt"] = exam_messages([question], 128, "greedy_knapsack", (32, 64, 128))
    shutil.rmtree(out / "data" / "examples")
    Dataset.from_list(rows).save_to_disk(str(out / "data" / "examples"))
    (out / "data" / "examples" / "README.md").write_text("edited", "utf-8")
    with pytest.raises(DataError, match=sha256_text(question)[:16]):
        run_mft(load_recipe("test"), out, lambda line: None)


def test_lora_adapters_are_merged_at_the_end(run, tmp_path):
    out = tmp_path / "lora"
    recipe = load_recipe("test", ["lora={rank: 4, alpha: 8}"])
    shutil.copytree(run / "data", out / "data")
    run_mft(recipe, out, lambda line: None)
    base, tuned = weights(model_path()), weights(out / "mft")
    assert base.keys() == tuned.keys()
    assert changed(base, tuned)
    _check_merged(out)
    assert not list((out / "mft").glob("adapter*"))


def _check_merged(out):
    """The merged model says what the base says with the adapters beside it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32)
    merged = AutoModelForCausalLM.from_pretrained(out / "mft", dtype=torch.float32)
    ids = torch.tensor([load_tokenizer(str(out / "mft"))("### Problem 1\n")["input_ids"]])
    with torch.inference_mode():
        plain = base(ids).logits
        adapted = PeftModel.from_pretrained(base, out / "mft-adapters")(ids).logits
        assert torch.allclose(merged(ids).logits, adapted, atol=1e-4)
    assert (plain - adapted).abs().max() > 1e-3, "the adapters change something"


def test_several_processes_do_not_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="roi-bench train data test"):
        run_mft(load_recipe("test", ["mft.device_batch_size=10"]), tmp_path, lambda line: None)
