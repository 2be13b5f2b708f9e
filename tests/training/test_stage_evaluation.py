"""Evaluation of the stages: which tasks, which commands, what fails how, and a whole one on the tiny model."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from benchmarks import training_seeds
from roi_bench.errors import DataError, ModelError, RecordError, UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.harness.run_arguments import parse_arguments
from roi_bench.training.plan.recipe import load_recipe
from roi_bench.training.stages.evaluation import (
    STAGES,
    Call,
    check_stages,
    evaluate_stages,
    model_of_stage,
    stage_calls,
    stage_command,
)
from tests.support.messages import missing

REAL = ("family=v1", "budgets=[512, 1024]")


def recipe(*changes: str):
    return load_recipe("tiny", ["evaluation.samples=4", "evaluation.limit=null", *changes])


def trained(out: Path, *stages: str) -> Path:
    """A folder of a training run whose models are the shipped one."""
    for stage in stages:
        shutil.copytree(model_path(), out / stage)
    return out


# ---------------------------------------------------------------- which tasks


def test_the_base_sits_every_prompt_and_trained_models_their_own():
    names = {stage: stage_calls(recipe(), stage)[0].tasks for stage in STAGES}
    exams = [f"roi_tiny_{mode}_{budget}" for budget in (128, 256) for mode in ("medium", "hard")]
    prompts = ("", "_plan_and_solve", "_least_to_most", "_metacognitive")
    assert sorted(names["base"]) == sorted(exam + prompt for exam in exams for prompt in prompts)
    assert sorted(names["mft"]) == sorted(
        e + prompt for e in exams for prompt in ("_metacognitive", "_greedy_knapsack")
    )
    assert sorted(names["rarl"]) == sorted(f"{exam}_metacognitive" for exam in exams)


def test_without_baselines_each_stage_is_asked_as_it_is_meant_to_be():
    names = {stage: stage_calls(recipe("evaluation.baselines=false"), stage)[0].tasks for stage in STAGES}
    exams = [f"roi_tiny_{mode}_{budget}" for budget in (128, 256) for mode in ("medium", "hard")]
    assert sorted(names["base"]) == sorted(exams)
    assert sorted(names["mft"]) == sorted(names["rarl"]) == sorted(f"{exam}_metacognitive" for exam in exams)


@pytest.mark.parametrize("changes", [(), REAL])
def test_every_task_exists(changes):
    folders = [Path(model_path()).parents[1] / name for name in ("tasks", "baselines/tasks")]
    known = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    asked = {task for stage in STAGES for call in stage_calls(recipe(*changes), stage) for task in call.tasks}
    assert asked <= known
    assert len(asked) == 4 * 5 + 1


def test_problems_alone_have_a_call_of_their_own_under_the_loosest_budget():
    assert stage_calls(recipe(), "rarl")[1:] == [Call("rarl", ("roi_tiny_solo_256",), {"repeats": 4}, None)]
    assert stage_calls(recipe(*REAL), "base")[-1].tasks == ("roi_solo_1024",)
    assert len(stage_calls(recipe("evaluation.samples=0"), "rarl")) == 1


def test_a_limit_of_exams_is_a_limit_of_their_problems():
    calls = stage_calls(recipe("evaluation.limit=20"), "mft")
    assert [call.limit for call in calls] == [20, 60]


def test_a_budget_without_tasks_goes_through_metadata():
    found = stage_calls(recipe("budgets=[96, 128, 300]"), "rarl")
    shown = [(call.tasks, dict(call.metadata)) for call in found]
    others = ("roi_tiny_medium_256_metacognitive", "roi_tiny_hard_256_metacognitive")
    assert shown == [
        (("roi_tiny_medium_128_metacognitive", "roi_tiny_hard_128_metacognitive"), {}),
        (others, {"budget": 96}),
        (others, {"budget": 300}),
        (("roi_tiny_solo_256",), {"repeats": 4, "budget": 300}),
    ]


# ---------------------------------------------------------------- which models, which commands


def test_models_of_the_stages(tmp_path, monkeypatch):
    trained(tmp_path, "mft")
    monkeypatch.chdir(tmp_path)
    assert model_of_stage(recipe(), Path(), "base") == str(model_path())
    assert model_of_stage(recipe("model=Qwen/Qwen2.5-1.5B-Instruct"), Path(), "base") == "Qwen/Qwen2.5-1.5B-Instruct"
    assert model_of_stage(recipe(), Path(), "mft") == str(tmp_path / "mft"), "short names are those of absolute folders"
    assert model_of_stage(recipe("model=mft"), Path(), "base") == str(tmp_path / "mft")
    for stage in STAGES:
        assert model_of_stage(recipe(), Path(), stage, shipped=True) == str(model_path(stage))
    with pytest.raises(UsageError, match=r"rarl.*roi-bench train rarl RECIPE --out out"):
        model_of_stage(recipe(), Path("out"), "rarl")


def test_the_command_says_to_the_real_parser_what_was_meant():
    call = Call("mft", ("roi_tiny_hard_128", "roi_tiny_medium_128"), {"repeats": 3, "budget": 90}, 12)
    odd = "/tmp/a, b=c/mft"
    full = recipe("evaluation.batch_size=7", "evaluation.model_args={dtype: float16}", "chat=true", "context=900")
    command = stage_command(full, call, odd, Path("/tmp/results/mft"), cuda=False)
    assert command[0] == "run"
    config = parse_arguments(command[1:]).config
    assert config.model == "hf"
    assert config.model_args == {"pretrained": odd, "dtype": "float16", "max_length": 900}
    assert config.tasks == ["roi_tiny_hard_128", "roi_tiny_medium_128"]
    assert (config.batch_size, config.limit, config.device) in [("7", 12, "cpu"), (7, 12, "cpu")]
    assert {key: config.metadata[key] for key in ("repeats", "budget")} == {"repeats": 3, "budget": 90}
    assert config.apply_chat_template is True
    assert config.output_path == "/tmp/results/mft"


def test_what_is_not_asked_for_is_not_in_the_command():
    call = Call("base", ("roi_exam_hard_512",), {}, None)
    command = stage_command(recipe("evaluation.backend=vllm", "dtype=bfloat16"), call, "org/m", Path("r"), cuda=True)
    assert not {"--device", "--limit", "--metadata", "--apply_chat_template"} & set(command)
    assert command[command.index("--model") + 1] == "vllm"
    assert json.loads(command[command.index("--model_args") + 1]) == {"pretrained": "org/m", "dtype": "bfloat16"}
    settings = ("context=900", "vllm.gpu_memory_utilization=0.5", "vllm.tensor_parallel_size=2")
    split = stage_command(recipe("evaluation.backend=vllm", *settings), call, "org/m", Path("r"), cuda=True)
    found = json.loads(split[split.index("--model_args") + 1])
    assert (found["max_model_len"], found["gpu_memory_utilization"], found["tensor_parallel_size"]) == (900, 0.5, 2)


def test_settings_of_transformers_reach_its_evaluation():
    call = Call("mft", ("roi_tiny_hard_128",), {}, None)
    command = stage_command(recipe("attn_implementation=eager"), call, "org/m", Path("r"), cuda=True)
    assert json.loads(command[command.index("--model_args") + 1])["attn_implementation"] == "eager"


# ---------------------------------------------------------------- what goes wrong


def never(_):
    pytest.fail("nothing may be run")


@pytest.mark.parametrize(
    ("stages", "fact"),
    [
        (("mft", "rarl"), "roi-bench train rarl"),
        (("mfd",), "'mfd'.*'mft'"),
        ((), "no stage"),
    ],
)
def test_bad_stages_are_refused_before_anything_is_run(tmp_path, stages, fact):
    with pytest.raises(UsageError, match=fact):
        evaluate_stages(recipe(), trained(tmp_path, "mft"), stages, run=never)


def test_the_shipped_models_are_those_of_a_tiny_recipe_only(tmp_path):
    with pytest.raises(UsageError, match=r"--shipped.*'a/b'"):
        evaluate_stages(recipe("model=a/b"), tmp_path, ["base"], run=never, shipped=True)


def test_stages_are_taken_once_and_in_order():
    assert check_stages(["rarl", "base", "rarl"]) == ("base", "rarl")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, UsageError), (3, DataError), (4, ModelError), (5, RecordError), (1, ModelError), (-9, ModelError)],
)
def test_a_failed_call_is_an_error_of_its_own_kind_that_names_the_stage(tmp_path, code, kind):
    commands = []

    def fail(command):
        commands.append(command)
        return code

    with pytest.raises(kind, match=f"mft.*exit code {code}") as raised:
        evaluate_stages(recipe(), trained(tmp_path, "mft"), ["mft"], run=fail)
    assert type(raised.value) is kind
    assert len(commands) == 1


def test_a_call_that_leaves_no_results_is_an_error_though_old_ones_are_there(tmp_path):
    old = trained(tmp_path, "mft") / "evaluation" / "results" / "mft" / "results_2001-01-01.json"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.raises(RecordError, match=r"mft.* 0 "):
        evaluate_stages(recipe(), tmp_path, ["mft"], run=lambda _: 0)


def test_an_interrupted_call_interrupts(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate_stages(recipe(), tmp_path, ["base"], run=lambda _: 130)


def test_other_budgets_are_said(tmp_path):
    told = []
    with pytest.raises(ModelError):
        evaluate_stages(recipe("budgets=[128, 300]"), tmp_path, ["base"], notify=told.append, run=lambda _: 1)
    other, progress = told
    assert "budget=300" in other
    assert missing(["1 of 3", "base", "8 tasks"], progress) == []


# ---------------------------------------------------------------- a whole evaluation


def by_hand(folder: Path, task: str) -> tuple[list[dict], dict]:
    """The samples and the recorded numbers of a task in a folder of results."""
    (samples,) = [path for path in folder.rglob("samples_*.jsonl") if path.name.startswith(f"samples_{task}_2")]
    results = [json.loads(path.read_text("utf-8")) for path in folder.rglob("results_2*.json")]
    (numbers,) = [found["results"][task] for found in results if task in found.get("results", {})]
    return [json.loads(line) for line in samples.read_text("utf-8").splitlines()], numbers


@pytest.mark.slow
def test_a_whole_evaluation_of_base_and_mft(tmp_path):
    stale = trained(tmp_path, "mft") / "evaluation" / "results" / "mft" / "old" / "results_2001-01-01.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}", encoding="utf-8")  # reading it would be an error
    changes = ("samples=2", "limit=30", "batch_size=128", "pictures=false")
    settings = recipe("budgets=[128]", *(f"evaluation.{change}" for change in changes))
    told: list[str] = []
    folder = evaluate_stages(settings, tmp_path, ("base", "mft"), notify=told.append)
    assert folder == tmp_path / "evaluation"
    assert sum("decoded" in line for line in told) == 1
    content = json.loads((folder / "stages.json").read_text("utf-8"))
    rows = {(row["stage"], row["mode"], row["prompt"]): row for row in content["stages"]}
    assert len(rows) == len(content["stages"]) == 2 * (4 + 2)
    _check_rows(folder, rows)
    _check_aims(folder, content["aims"])
    _check_files(folder, rows)
    _check_seeds(tmp_path, rows)


def _check_rows(folder, rows):
    names = {"score": "score", "score_easy": "score in easy order", "regret": "regret", "level_acc": "level accuracy"}
    names |= {f"p{k}_acc": f"right at {k}" for k in (1, 2, 3)} | {"tokens": "tokens"}
    for (stage, mode, prompt), row in rows.items():
        task = f"roi_tiny_{mode}_128" + ("" if prompt == "direct" else f"_{prompt}")
        samples, numbers = by_hand(folder / "results" / stage, task)
        assert row["n"] == len(samples) == 30
        for metric, name in names.items():
            recorded = numbers[f"{metric},none"]
            if recorded == "N/A":
                assert row[name]["value"] is None
            else:
                assert row[name]["value"] == pytest.approx(recorded, abs=1e-12), (task, metric)
        skipped = sum(row[f"skipped {tier}"]["value"] for tier in ("easy", "middle", "hard")) / 3
        assert skipped == pytest.approx(numbers["skip_rate,none"])
        product = row["V_DP"]["value"] * row["AE"]["value"] * row["SR"]["value"]
        assert product == pytest.approx(row["score"]["value"])


def _check_aims(folder, aims):
    assert len(aims) == 2 * 6, "two modes; without RARL six comparisons are left"
    metrics = {"score": "score", "score in easy order": "score_easy"}
    for row in aims:
        _, mode, budget = row["exams"].split()
        means = []
        for asked in (row["A"], row["B"]):
            stage, prompt = asked.split(" · ")
            task = f"roi_tiny_{mode}_{budget}" + ("" if prompt == "direct" else f"_{prompt}")
            samples, _ = by_hand(folder / "results" / stage, task)
            means.append(sum(sample[metrics[row["compared in"]]] for sample in samples) / len(samples))
        assert (row["A's"], row["B's"]) == pytest.approx(means)
        assert row["A − B"]["value"] == pytest.approx(means[0] - means[1])
        assert 0 < row["p"] <= 1


def _check_files(folder, rows):
    text = (folder / "stages.txt").read_text("utf-8")
    for title in ("Scores of the stages", "What training changed", "What the stages skip", "How the stages use"):
        assert title in text
    with (folder / "stages.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert {(line["stage"], line["mode"], line["prompt"]) for line in lines} == set(rows)
    for line in lines:
        row = rows[line["stage"], line["mode"], line["prompt"]]
        assert float(line["score"]) == row["score"]["value"]
    report = (folder / "report" / "report.md").read_text("utf-8")
    assert "mft · metacognitive" in report
    assert "tiny\\_model · direct" in report
    assert "](" not in report, "no pictures were asked for"
    assert (folder / "report" / "allocation.csv").is_file()
    assert (folder / "stages.md").read_text("utf-8").count("| :-- |") >= 4


def _check_seeds(out, rows):
    """The same run twice has the mean and the interval of the run."""
    runs = [json.loads((out / "evaluation" / "stages.json").read_text("utf-8"))] * 2
    values = training_seeds.measured(runs)
    found = list(training_seeds.stage_rows(training_seeds.scored_runs([out, out], runs), values))
    assert len(found) == len(rows)
    for row in found:
        own = rows[row["stage"], row["exams"].split()[1], row["prompt"]]
        for name in training_seeds.POOLED:
            if own[name]["value"] is not None:
                ends = {"value": row[name], "low": row[f"{name} low"], "high": row[f"{name} high"]}
                assert ends == pytest.approx(own[name])
        assert row["AE · SR min"] == row["AE · SR max"] == pytest.approx(own["AE · SR"]["value"])
