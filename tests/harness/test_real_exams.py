"""The real exams through ``lm_eval --model hf`` and the shipped model: too hard for it, but every count is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import model_path
from roi_bench.scoring.outcomes import OUTCOMES
from roi_bench.scoring.prompts import exam_prompt
from tests.support.lm_eval_process import lm_eval

EXAMS = 4
TASKS = ["roi_exam_medium_512", "roi_exam_hard_512"]  # the loose budget: test_reference_solutions, by playback


@pytest.fixture(scope="module")
def run(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Numbers and samples of each task."""
    folder = tmp_path_factory.mktemp("real")
    done = lm_eval(
        *("run", "--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"),
        *("--tasks", ",".join(TASKS), "--batch_size", str(4 * EXAMS), "--limit", str(EXAMS)),
        *("--output_path", str(folder), "--log_samples"),
        ROI_BENCH_DATA_DIR=str(data_dir),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = folder.rglob("results_*.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    date = path.stem.removeprefix("results_")
    found = {}
    for task in TASKS:
        lines = path.with_name(f"samples_{task}_{date}.jsonl").read_text(encoding="utf-8").splitlines()
        found[task] = (results["results"][task], [json.loads(line) for line in lines])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_exam_is_there_once_with_its_prompts(
    run: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]],
    task: str,
    monkeypatch: pytest.MonkeyPatch,
    data_dir: Path,
) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    numbers, samples = run[task]
    _, _, order, budget = task.split("_")
    assert numbers["sample_len"] == EXAMS
    for sample, exam in zip(samples, load_exams("v1")[:EXAMS], strict=True):
        assert sample["doc"]["exam_id"] == exam.id
        for index, asked in enumerate((order, "easy")):
            questions = [problem.question for problem in exam.ordered(asked)]
            assert sample["arguments"][f"gen_args_{index}"]["arg_0"] == exam_prompt(questions, int(budget))
            assert sample["arguments"][f"gen_args_{index}"]["arg_1"]["max_gen_toks"] == int(budget)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_tokens_budget_and_outcomes_add_up(
    run: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]], task: str
) -> None:
    numbers, samples = run[task]
    budget = int(task.rpartition("_")[2])
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    counts = [len(tokenizer.encode(sample["resps"][0][0], add_special_tokens=False)) for sample in samples]
    assert max(counts) <= budget
    assert numbers["tokens,none"] == pytest.approx(sum(counts) / EXAMS)
    assert numbers["budget_use,none"] == pytest.approx(sum(counts) / EXAMS / budget)
    parts = [numbers[f"p{k}_tokens,none"] for k in (1, 2, 3)] + [numbers["planning_tokens,none"]]
    assert sum(parts) == pytest.approx(numbers["tokens,none"])
    shares = [numbers["skip_rate,none" if name == "skipped" else f"{name},none"] for name in OUTCOMES]
    assert sum(shares) == pytest.approx(1)
    assert numbers["error,none"] == 0
    assert numbers["over_budget,none"] == 0
    assert numbers["truncated,none"] <= sum(count >= budget - budget // 50 for count in counts) / EXAMS
    assert numbers["score,none"] <= 0.5


@pytest.mark.slow
def test_the_easy_order_is_one_request_for_medium_and_hard(
    run: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]],
) -> None:
    medium, hard = (run[task] for task in TASKS)
    assert [s["arguments"]["gen_args_1"] for s in medium[1]] == [s["arguments"]["gen_args_1"] for s in hard[1]]
    assert medium[0]["score_easy,none"] == hard[0]["score_easy,none"]
