"""The greedy-knapsack baseline through lm_eval: what is asked, what is scored, what is recorded."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lm_eval.api.instance import Instance
from lm_eval.loggers import EvaluationTracker

from roi_bench.cli.regrade import regrade
from roi_bench.exams.exam import TIERS
from roi_bench.exams.sets import find_exam
from roi_bench.exams.tiny import model_path
from roi_bench.harness.engines.metering import MeteredText
from roi_bench.records.results import NO_RESPONSE
from roi_bench.records.tokenizer import load_token_counter
from roi_bench.scoring.prompts import exam_prompt, prompt_sha256
from roi_bench.scoring.tokens import Usage
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import Responder, ScriptedModel

HARD, MEDIUM = (f"roi_tiny_{order}_128_greedy_knapsack" for order in ("hard", "medium"))
COUNTED = {"tokenizer": str(model_path())}
PLAN = {"easy": (0, 20), "middle": (0, 60), "hard": (0, 90)}
"""Level and tokens by tier: the forecasts 16 · 3 fit 128, the 170 tokens do not."""


def sized(answer: str, level: int | None, tokens: int) -> str:
    """Return a response of so many tokens of the tiny tokenizer."""
    tag = "" if level is None else f"<predicted_level>Level-{level}</predicted_level>\n"
    counter, text = load_token_counter(str(model_path())), ""
    for words in range(tokens):
        text = f"### Problem 1\n{tag}{'7 ' * words}\n\\boxed{{{answer}}}"
        if len(counter.token_starts(text)) >= tokens:
            break
    assert len(counter.token_starts(text)) == tokens, text
    return text


def answer_of(instance: Instance) -> str:
    problem = find_exam(instance.doc["exam_id"]).problems[TIERS.index(instance.doc["tier"])]
    assert instance.doc["problem"] == problem.id
    return problem.answer


def planned(instance: Instance, _: int = 0) -> str:
    """Answer everything right, at the plan's level and length."""
    return sized(answer_of(instance), *PLAN[instance.doc["tier"]])


def sit(
    responder: Responder, tasks: list[str] | None = None, *, metadata: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], ScriptedModel]:
    model = ScriptedModel(responder)
    options.setdefault("limit", 6)
    results = simple_evaluate(tasks or [HARD], model=model, model_args={}, metadata=metadata, **options)
    return results, model


def values(results: dict[str, Any], task: str = HARD) -> dict[str, Any]:
    found = results["results"][task]
    return {name.removesuffix(",none"): value for name, value in found.items() if name.endswith(",none")}


def record(results: dict[str, Any], task: str = HARD) -> dict[str, Any]:
    found: dict[str, Any] = results["configs"][task]["metadata"]["roi_bench"]
    return found


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], ScriptedModel]:
    """Both orders of six exams, every answer right."""
    return sit(planned, [HARD, MEDIUM], metadata=COUNTED)


def test_scores_by_hand(both: tuple[dict[str, Any], ScriptedModel]) -> None:
    hard, medium = (values(both[0], task) for task in (HARD, MEDIUM))
    assert (hard["score"], hard["score_easy"], hard["regret"]) == (1, 2, 0.5)  # 90 paid; 20 + 60 paid
    assert (hard["p1_tokens"], hard["p2_tokens"], hard["p3_tokens"]) == (90, 38, 0)
    assert (hard["tokens"], hard["budget_use"], hard["planning_tokens"]) == (128, 1, 0)
    assert (hard["hard_acc"], hard["middle_acc"], hard["easy_acc"]) == (1, 0, 0)
    assert (hard["truncated"], hard["correct"], hard["error"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 0)
    assert (hard["level_acc"], hard["level_mae"]) == (pytest.approx(1 / 3), 1)  # 20, 60, 90 tokens: levels 0, 1, 2
    assert (hard["score_stderr"], hard["regret_stderr"]) == (0, 0)
    # E-H-M: 20 + 90 paid; M-E-H: 60 + 20 paid; M-H-E: 60 paid. Two exams of each.
    assert medium["score"] == pytest.approx(5 / 3)
    assert medium["regret"] == pytest.approx(1 / 6)
    assert medium["p1_tokens"] == pytest.approx((20 + 60 + 60) / 3)
    assert medium["p2_tokens"] == pytest.approx((90 + 20 + 68) / 3)
    assert medium["score_easy"] == 2


def test_each_problem_is_asked_alone_and_the_same_for_both_orders(both: tuple[dict[str, Any], ScriptedModel]) -> None:
    prompts = both[1].prompts
    exams = [find_exam(f"tiny/0/{index:03d}") for index in range(6)]
    expected = [
        exam_prompt([problem.question], 128, "greedy_knapsack", (32, 64, 128))
        for exam in exams
        for problem in exam.problems
    ]
    assert prompts == expected * 2
    assert len(set(prompts)) == 18
    assert "Level-0 means at most 32 tokens" in prompts[0]


def test_the_record_and_the_samples(both: tuple[dict[str, Any], ScriptedModel]) -> None:
    results, _ = both
    for task, order in ((HARD, "hard"), (MEDIUM, "medium")):
        found = record(results, task)
        assert (found["form"], found["order"], found["prompt"]) == ("knapsack", order, "greedy_knapsack")
        assert found["prompt_sha256"] == prompt_sha256("greedy_knapsack")
        assert (found["budget"], found["repeats"], found["deviations"]) == (128, 1, [])
        assert found["tokenizer"] == str(model_path())
        assert results["results"][task]["alias"] == task
        sample = results["samples"][task][1]
        exam = find_exam("tiny/0/001")
        assert sample["doc"]["exam_id"] == exam.id
        assert sample["doc"]["problem_ids"] == [problem.id for problem in exam.ordered(order)]
        assert sample["resps"] == [[sized(p.answer, *PLAN[tier])] for p, tier in zip(exam.problems, TIERS, strict=True)]
        assert sample["target"] == " | ".join(problem.answer for problem in exam.ordered(order))


def test_selection_follows_the_forecasts_and_not_the_tokens() -> None:
    def responder(instance: Instance, _: int) -> str:
        level, tokens = {"easy": (None, 9), "middle": (1, 9), "hard": (3, 100)}[instance.doc["tier"]]
        return sized(answer_of(instance), level, tokens)

    found = values(sit(responder, metadata=COUNTED)[0])  # 96, 48, left out: 144 do not fit
    assert (found["score"], found["middle_acc"], found["skip_rate"]) == (1, 1, pytest.approx(2 / 3))
    assert (found["tokens"], found["p2_tokens"]) == (9, 9)
    found = values(sit(responder, metadata={**COUNTED, "budget": 144})[0])
    assert (found["score"], found["easy_acc"], found["skip_rate"]) == (2, 1, pytest.approx(1 / 3))
    assert found["tokens"] == 18


def test_a_changed_budget_reaches_prompt_selection_and_label() -> None:
    budgets = set()

    def responder(instance: Instance, sample: int) -> str:
        budgets.add((instance.args[1]["max_gen_toks"], instance.doc["budget"]))
        return planned(instance, sample)

    results, model = sit(responder, metadata=COUNTED, gen_kwargs={"max_new_tokens": 256})
    assert budgets == {(256, 256)}
    assert "at most 256 tokens, and end" in model.prompts[0]
    assert "Level-2 at most 128" in model.prompts[0]  # levels are those of the problems, not of the budget
    assert (values(results)["score"], values(results)["tokens"]) == (3, 170)
    assert (record(results)["deviations"], record(results)["budget"]) == (["budget=256"], 256)
    assert results["results"][HARD]["alias"] == f"{HARD} [budget=256]"
    assert record(sit(planned, metadata={**COUNTED, "budget": 256})[0])["deviations"] == ["budget=256"]


def test_the_kth_samples_make_the_kth_exam() -> None:
    def responder(instance: Instance, sample: int) -> str:
        answer = answer_of(instance) if sample % 2 else "NA"
        return sized(answer, 0, 20 + sample)

    results, model = sit(responder, metadata={**COUNTED, "repeats": 4}, limit=3)
    assert len(model.prompts) == 3 * 3 * 4
    assert values(results)["score"] == 1.5
    assert values(results)["skip_rate"] == 0.5
    assert values(results)["tokens"] == 3 * 21.5
    assert [len(request) for request in results["samples"][HARD][0]["resps"]] == [4, 4, 4]
    assert record(results)["repeats"] == 4


def test_metered_answers_are_paid_as_metered() -> None:
    def responder(instance: Instance, _: int) -> str:
        tokens = PLAN[instance.doc["tier"]][1]
        return MeteredText(sized(answer_of(instance), 0, 10), Usage(tokens, "stop", "provider"))

    results, _ = sit(responder, limit=3)
    assert (values(results)["score"], values(results)["p2_tokens"]) == (1, 38)
    assert values(results)["error"] == 0
    assert results["samples"][HARD][0]["doc"]["usage"][2][0]["tokens"] == 90  # for the samples of plain lm_eval


def test_where_reasoning_is_stripped_only_metered_answers_can_be_paid() -> None:
    stripped = {**COUNTED, "think_end_token": "</think>"}
    results, _ = sit(planned, metadata=stripped, limit=3)
    assert (values(results)["error"], values(results)["score"]) == (1, "N/A")
    assert record(results)["text_is_whole"] is False
    metered = lambda i, k: MeteredText(planned(i, k), Usage(50, "stop", "generated"))  # noqa: E731
    results, _ = sit(metered, metadata=stripped, limit=3)
    assert (values(results)["error"], values(results)["score"], values(results)["p3_tokens"]) == (0, 2, 28)


def test_a_missing_answer_is_an_error_and_marked_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def lost_once(instance: Instance, sample: int) -> str | None:
        lost = (instance.doc["exam_id"], instance.doc["tier"]) == ("tiny/0/002", "middle")
        return None if lost else planned(instance, sample)

    with caplog.at_level(logging.WARNING, "roi_bench"):
        results, _ = sit(lost_once, metadata=COUNTED)
    assert (values(results)["score"], values(results)["error"]) == (1, pytest.approx(1 / 6))
    assert [request[0] for request in results["samples"][HARD][2]["resps"]][1] == NO_RESPONSE
    assert "--tokenizer" not in caplog.text  # that is not what is wrong


def test_without_a_tokenizer_nothing_can_be_paid_until_regraded_with_one(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    tracker = EvaluationTracker(output_path=str(tmp_path))
    with caplog.at_level(logging.WARNING, "roi_bench"):
        results, _ = sit(planned, limit=3, evaluation_tracker=tracker)
    found = values(results)
    assert found["error"] == 1
    assert {name: value for name, value in found.items() if value != "N/A"} == {"error": 1, "error_stderr": 0}
    assert [entry.args[0] for entry in caplog.records if "regrade --tokenizer" in entry.getMessage()] == [HARD]
    assert record(results)["tokenizer"] is None

    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name=HARD, samples=samples[HARD])
    done = CliRunner().invoke(regrade, [str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(regrade, [str(tmp_path), "--tokenizer", str(model_path()), "--json"])
    assert done.exit_code == 1  # other numbers than those recorded
    (task,) = json.loads(done.output)
    now = {name: row["recomputed"] for name, row in task["numbers"].items()}
    assert (now["score"], now["score_easy"], now["regret"], now["error"]) == (1, 2, 0.5, 0)
    assert (now["p1_tokens"], now["p2_tokens"], now["p3_tokens"]) == (90, 38, 0)
    assert task["numbers"]["score"]["recorded"] == "N/A"
