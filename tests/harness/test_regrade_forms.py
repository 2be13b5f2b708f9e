"""Regrading gives every number of a run back, whatever the form in which its problems were asked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lm_eval.loggers import EvaluationTracker

from roi_bench.cli.main import main
from roi_bench.cli.regrade import regrade
from roi_bench.errors import ModelError, RecordError
from roi_bench.exams.exam import TIERS
from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import model_path
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from roi_bench.records.regrade import FIXED_STDERR
from roi_bench.records.results import NO_RESPONSE
from roi_bench.scoring.kinds import solo_metrics_of
from roi_bench.scoring.metrics import metrics_of
from tests.harness.harness_runs import simple_evaluate
from tests.support.exam_factory import respond
from tests.support.messages import missing, shows

EXAM, KNAPSACK, SOLO = "roi_tiny_hard_128_metacognitive", "roi_tiny_medium_128_greedy_knapsack", "roi_tiny_solo_128"
TASKS = [EXAM, KNAPSACK, SOLO]
EXAMS = load_exams("tiny")[:6]
POOLS = ("tiny-easy", "tiny-middle", "tiny-hard")
OF_EXAMS = 2 * len(metrics_of(POOLS)) + len(FIXED_STDERR)
NUMBERS = {EXAM: OF_EXAMS, KNAPSACK: OF_EXAMS, SOLO: 2 * len(solo_metrics_of(POOLS))}
"""Numbers of a task: metrics and their standard errors."""


def recording(folder: Path, *, gaps: bool = False) -> Path:
    """Write responses to the first six exams, in both orders and problem by problem, two samples each."""
    lines: list[dict[str, Any]] = []
    for k, exam in enumerate(EXAMS):
        for sample in (0, 1):
            for order in ("hard", "easy"):
                answers = [p.answer if (k * i + sample) % 4 else "NA" for i, p in enumerate(exam.ordered(order))]
                text = respond(answers, work="7 " * (4 * k), level=[k % 3, 1, 0])
                lines.append({"exam": exam.id, "order": order, "sample": sample, "response": text})
            for tier, problem in enumerate(exam.problems):
                answer = problem.answer if (k + sample + tier) % 4 else (None, "NA")[sample]
                text = respond(
                    [answer], work="7 " * (10 * k + 9 * tier), level=[(k + tier + sample) % (2 if k > 2 else 4)]
                )
                lost = gaps and (k, tier, sample) == (2, 1, 1)
                lines.append({"problem": problem.id, "sample": sample, "response": None if lost else text})
    path = folder / "responses.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def command(output: Path, responses: Path, *more: str, tokenizer: bool = True) -> list[str]:
    arguments = f"responses={responses}" + (f",tokenizer={model_path()}" if tokenizer else "")
    return [
        *("--model", "roi-playback", "--model_args", arguments, "--tasks", ",".join(TASKS), "--limit", "6"),
        *("--metadata", "repeats=2", "--output_path", str(output), *more),
    ]


def regraded(folder: Path, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Return the numbers that ``roi-bench regrade`` compares, by task."""
    done = CliRunner().invoke(regrade, [str(folder), *options, "--json"])
    assert done.exit_code == code, done.output
    return {task["task"]: task["numbers"] for task in json.loads(done.output)}


def recorded(folder: Path, task: str) -> dict[str, Any]:
    (path,) = folder.rglob("results_*.json")
    found = json.loads(path.read_text(encoding="utf-8"))["results"][task]
    ours = {key: value for key, value in found.items() if not key.endswith("_stderr_stderr,none")}  # lm_eval's own
    return {key.removesuffix(",none"): value for key, value in ours.items() if key.endswith(",none")}


def check_equal(folder: Path) -> dict[str, dict[str, Any]]:
    found = regraded(folder)
    assert set(found) == set(TASKS)
    for task, numbers in found.items():
        assert {name for name, row in numbers.items() if not row["equal"]} == set()
        assert {name: row["recorded"] for name, row in numbers.items()} == recorded(folder, task)
    assert {task: len(numbers) for task, numbers in found.items()} == NUMBERS
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of all three forms."""
    folder = tmp_path_factory.mktemp("played")
    run(command(folder / "out", recording(folder)))
    return folder / "out"


def test_every_number_of_a_run_comes_back(finished: Path) -> None:
    found = check_equal(finished)
    for task, name in ((EXAM, "score"), (KNAPSACK, "score"), (SOLO, "acc")):
        assert found[task][name]["recomputed"] > 0
        assert found[task][f"{name}_stderr"]["recomputed"] > 0
        assert found[task]["skip_rate"]["recomputed"] > 0
        assert found[task]["tokens"]["recomputed"] > 0
    assert found[KNAPSACK]["truncated"]["recomputed"] > 0
    assert found[KNAPSACK]["regret"]["recomputed"] != 0
    assert found[KNAPSACK]["level_mae"]["recomputed"] > 0


def test_the_journal_names_the_problems_asked_alone_and_is_played_back(finished: Path, tmp_path: Path) -> None:
    (journal,) = finished.rglob("journal-*.jsonl")
    fields = [entry.extra for entry in read_journal(journal)[1].values()]
    alone = [extra for extra in fields if "problem" in extra]
    # six exams, two samples: both orders, three problems in the metacognitive format; the first two exams alone
    assert (len(fields), len(alone)) == (2 * 6 * 2 + 2 * 6 * 3 + 2 * 6, 2 * 6 * 3 + 2 * 6)
    assert all(set(extra) == {"problem", "budget", "prompt"} for extra in alone)
    assert {extra["problem"] for extra in alone} == {problem.id for exam in EXAMS for problem in exam.problems}
    run(command(tmp_path, journal))
    for task in TASKS:
        assert recorded(tmp_path, task) == recorded(finished, task)


def test_the_tables_show_all_three_forms(finished: Path) -> None:
    done = CliRunner().invoke(regrade, [str(finished)])
    assert done.exit_code == 0
    for task in TASKS:
        assert f"{task}: 6 " in done.output
        assert f"{NUMBERS[task]} numbers, 0 " in done.output


@pytest.mark.parametrize(("task", "name"), [(KNAPSACK, "score"), (SOLO, "acc")])
def test_an_altered_response_is_found_in_its_own_task_alone(
    finished: Path, tmp_path: Path, task: str, name: str
) -> None:
    def alter(sample: dict[str, Any]) -> None:
        for request in sample["resps"]:
            request[:] = ["### Problem 1\n<predicted_level>Level-0</predicted_level>\n\\boxed{NA}"] * len(request)

    altered = copied(finished, tmp_path, task, alter)
    found = regraded(altered, code=1)
    differing = {task for task, numbers in found.items() if any(not row["equal"] for row in numbers.values())}
    assert differing == {task}
    assert found[task][name]["recomputed"] < found[task][name]["recorded"]


def test_plain_lm_eval_keeps_every_number_too(finished: Path, tmp_path: Path) -> None:
    import roi_bench.harness.bridge

    roi_bench.harness.bridge.install()
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    results = simple_evaluate(
        TASKS,
        model="roi-playback",
        model_args={"responses": str(recording(tmp_path)), "tokenizer": str(model_path())},
        metadata={"repeats": 2},
        limit=6,
        evaluation_tracker=tracker,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in TASKS:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    check_equal(tmp_path / "out")
    for task in TASKS:
        assert recorded(tmp_path / "out", task) == recorded(finished, task)


def test_missing_responses_come_back_as_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=shows(1)):
        run(command(tmp_path / "out", recording(tmp_path, gaps=True)))
    found = check_equal(tmp_path / "out")
    assert found[KNAPSACK]["error"]["recorded"] == pytest.approx(1 / 12)
    assert found[SOLO]["error"]["recorded"] == 0  # the lost problem is the third exam's, none of the first six alone
    (samples,) = (tmp_path / "out").rglob(f"samples_{KNAPSACK}_*.jsonl")
    assert samples.read_text(encoding="utf-8").count(NO_RESPONSE) >= 1


def test_a_run_without_a_tokenizer_is_made_good_by_regrading_with_one(finished: Path, tmp_path: Path) -> None:
    run(command(tmp_path / "out", recording(tmp_path), tokenizer=False))
    assert recorded(tmp_path / "out", KNAPSACK)["error"] == 1
    assert recorded(tmp_path / "out", KNAPSACK)["score"] == "N/A"
    assert recorded(tmp_path / "out", SOLO)["tokens"] == "N/A"
    check_equal(tmp_path / "out")
    found = regraded(tmp_path / "out", "--tokenizer", str(model_path()), code=1)
    # an end-of-sequence token is part of the metered runs and of no counted text
    assert found[SOLO]["acc"]["recomputed"] == recorded(finished, SOLO)["acc"]
    assert found[SOLO]["tokens"]["recomputed"] == pytest.approx(recorded(finished, SOLO)["tokens"] - 1)
    assert found[KNAPSACK]["error"]["recomputed"] == 0
    assert found[KNAPSACK]["skip_rate"]["recomputed"] == recorded(finished, KNAPSACK)["skip_rate"]


def test_a_real_model_is_regraded_to_the_last_digit(tmp_path: Path) -> None:
    run([
        *("--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"),
        *("--batch_size", "18", "--tasks", f"{KNAPSACK},roi_tiny_hard_128_greedy_knapsack,{SOLO}", "--limit", "3"),
        *("--metadata", "repeats=2", "--gen_kwargs", "temperature=0.7", "--output_path", str(tmp_path)),
    ])  # fmt: skip
    found = regraded(tmp_path)
    assert all(row["equal"] for numbers in found.values() for row in numbers.values())
    assert found[SOLO]["tokens"]["recorded"] > 0
    (journal,) = tmp_path.rglob("journal-*.jsonl")
    assert len(read_journal(journal)[1]) == 2 * 9 + 2 * 3  # each problem of both knapsack tasks once
    assert sum(found[KNAPSACK][f"p{k}_tokens"]["recorded"] for k in (1, 2, 3)) == pytest.approx(
        found[KNAPSACK]["tokens"]["recorded"]
    )


def copied(finished: Path, folder: Path, task: str, alter: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a run with its first sample of ``task`` altered."""
    (source,) = finished.rglob("results_*.json")
    for path in source.parent.glob("*_20*"):
        shutil.copy(path, folder)
    (path,) = folder.glob(f"samples_{task}_*.jsonl")
    first, *others = path.read_text(encoding="utf-8").splitlines()
    sample = json.loads(first)
    alter(sample)
    path.write_text("".join(f"{line}\n" for line in (json.dumps(sample), *others)), encoding="utf-8")
    return folder


def drop_a_request(sample: dict[str, Any]) -> None:
    for name in ("resps", "usage"):
        del sample[name][-1]


def add_a_request(sample: dict[str, Any]) -> None:
    for name in ("resps", "usage"):
        sample[name].append(sample[name][0])


def drop_a_sample(sample: dict[str, Any]) -> None:
    for name in ("resps", "usage"):
        del sample[name][-1][-1]


def name_another(sample: dict[str, Any]) -> None:
    for name in {"exam_id", "problem"} & set(sample["doc"]):
        sample["doc"][name] = "tiny/9/hard/000"


def name_none(sample: dict[str, Any]) -> None:
    for name in {"exam_id", "problem"} & set(sample["doc"]):
        del sample["doc"][name]


@pytest.mark.parametrize(
    ("task", "alter", "place", "facts"),
    [
        (KNAPSACK, drop_a_request, ":1:", ("tiny/0/000", 2, 3)),
        (KNAPSACK, add_a_request, ":1:", ("tiny/0/000", 2, 3)),
        (KNAPSACK, drop_a_sample, ":1:", ("tiny/0/000", 2, 3)),
        (SOLO, add_a_request, ":1:", ("tiny/0/easy/000", 2, 1)),
        (SOLO, drop_a_request, ":1:", ("ValueError",)),
        (SOLO, drop_a_sample, ":1:", ("tiny/0/easy/000", 2, 1)),
        (EXAM, add_a_request, ":1:", ("tiny/0/000", 2, 2)),
        (KNAPSACK, name_another, ":", ("exam", "'tiny/9/hard/000'", "'tiny'")),
        (SOLO, name_another, ":", ("problem", "'tiny/9/hard/000'", "'tiny'")),
        (KNAPSACK, name_none, ":1:", ("KeyError", "'exam_id'")),
        (SOLO, name_none, ":1:", ("KeyError", "'problem'")),
    ],
)
def test_a_damaged_sample_is_one_line(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    alter: Callable[[dict[str, Any]], None],
    place: str,
    facts: tuple[object, ...],
) -> None:
    folder = copied(finished, tmp_path, task, alter)
    with pytest.raises(SystemExit) as ended:
        main(["regrade", str(folder)])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == RecordError.exit_code
    assert line.startswith("roi-bench: ")
    _, _, said = line.partition(f"samples_{task}_")
    assert re.match(rf"\S*\.jsonl{place}", said)
    assert missing(facts, said) == []


def test_problems_have_their_tiers(finished: Path) -> None:
    (path,) = finished.rglob(f"samples_{SOLO}_*.jsonl")
    documents = [json.loads(line)["doc"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert documents == [
        {"problem": problem.id, "tier": tier, "budget": 128}
        for exam in EXAMS[:2]
        for problem, tier in zip(exam.problems, TIERS, strict=True)
    ]
