"""Whether responses begin in reasoning: seen in the prompt or said by the arguments, recorded, and read again so."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lm_eval.api.instance import Instance
from lm_eval.loggers import EvaluationTracker

from roi_bench.api.replies import read_reply
from roi_bench.cli.regrade import regrade
from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import model_path
from roi_bench.harness.engines.metering import MeteredText
from roi_bench.records.results import read_results
from roi_bench.scoring.kinds import parse_exam_response
from roi_bench.scoring.outcomes import Response, answers_to_grade, problem_outcomes, text_facts
from roi_bench.scoring.tokens import Usage
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import Responder, ScriptedModel, oracle
from tests.support.exam_factory import WordCounter
from tests.support.messages import shown_in

HARD, MEDIUM = "roi_tiny_hard_128", "roi_tiny_medium_128"
KNAPSACK, SOLO = f"{HARD}_greedy_knapsack", "roi_tiny_solo_128"


class Thinker(ScriptedModel):
    """Its chat template ends inside a block of reasoning."""

    opening = "<think>\n"
    tokenizer_name = "thinker"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return f"<|user|>{chat_history[-1]['content']}<|assistant|>{self.opening}"


class Unthinking(Thinker):
    """Its chat template opens a block and closes it: reasoning is switched off."""

    opening = "<think>\n\n</think>\n\n"


def drafted(instance: Instance, sample: int = 0) -> str:
    """A wrong draft, the end of the reasoning, and the right answers."""
    draft = "\n".join(f"### Problem {k}\n\\boxed{{-{k}}}" for k in (1, 2, 3))
    return f"{draft}\n</think>\n{oracle(instance, sample)}"


def sit(
    responder: Responder,
    model: type[ScriptedModel] = Thinker,
    *,
    tasks: tuple[str, ...] = (HARD,),
    metadata: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    options = {"limit": 3, "apply_chat_template": issubclass(model, Thinker), **options}
    return simple_evaluate(list(tasks), model=model(responder), model_args={}, metadata=metadata, **options)


def record(results: dict[str, Any], task: str = HARD) -> dict[str, Any]:
    found: dict[str, Any] = results["configs"][task]["metadata"]["roi_bench"]
    return {name: found[name] for name in ("text_is_whole", "starts_in_reasoning", "think_tags", "reading_rule")}


def value(results: dict[str, Any], name: str, task: str = HARD) -> Any:
    return results["results"][task][f"{name},none"]


def test_a_template_that_opens_reasoning_is_seen_in_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "roi_bench"):
        results = sit(drafted)
    assert value(results, "score") == 3
    assert record(results) == {
        "text_is_whole": True,
        "starts_in_reasoning": True,
        "think_tags": [],
        "reading_rule": 2,
    }
    assert "think_end_token=" not in caplog.text


@pytest.mark.parametrize("model", [Unthinking, ScriptedModel])
def test_without_it_a_closing_tag_is_plain_text_and_the_run_is_warned_once(
    model: type[ScriptedModel], caplog: pytest.LogCaptureFixture
) -> None:
    for times in (1, 2):
        with caplog.at_level(logging.WARNING, "roi_bench"):
            results = sit(drafted, model, tasks=(HARD, MEDIUM))
        assert value(results, "score") == 0  # the draft's answers came first
        assert record(results)["starts_in_reasoning"] is False
        warned = [one.message for one in caplog.records if "think_end_token=" in one.message]
        assert len(warned) == times
    assert all(shown_in(message, 6) for message in warned)


def test_no_response_that_closes_what_it_opened_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "roi_bench"):
        results = sit(lambda instance, sample: f"<think>{drafted(instance, sample)}", ScriptedModel)
    assert value(results, "score") == 3
    assert "think_end_token=" not in caplog.text


def test_reasoning_that_never_ends_is_empty_where_the_run_knows_of_it() -> None:
    endless = lambda i, k: MeteredText(oracle(i, k), Usage(128, "length", "generated"))  # noqa: E731
    assert value(sit(endless), "empty") == 1
    assert value(sit(endless, Unthinking), "score") == 3


@pytest.mark.parametrize(
    ("way", "finished"),
    [
        ("hf and vLLM, the model opens it", ("<think>\n{}", {})),
        ("hf and vLLM, the template opens it", ("{}", {"prompt": "<|assistant|><think>\n"})),
        ("hf and vLLM, think_end_token", ("{}", {"think_end_token": "</think>"})),
        ("API, reasoning_content and no content", ({"content": None, "reasoning_content": "{}"}, {})),
        ("API, reasoning and an empty content", ({"content": "", "reasoning": "{}"}, {})),
        ("API, left in the content with its tag", ({"content": "<think>\n{}"}, {})),
        ("API, think_end_token", ({"content": "{}"}, {"think_end_token": "</think>"})),
    ],
)
def test_reasoning_open_at_the_budget_is_read_alike_from_every_engine(way: str, finished: tuple[Any, Any]) -> None:
    said, known = finished
    exam, budget = load_exams("tiny")[0], 12  # the words of the draft
    draft = "\n".join(f"### Problem {k}\n\\boxed{{{p.answer}}}" for k, p in enumerate(exam.ordered("hard"), 1))
    usage: Usage | None = Usage(budget, "length", "generated")
    if isinstance(said, dict):
        message = {name: part and part.replace("{}", draft) for name, part in said.items()}
        body = {
            "choices": [{"message": message, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": budget, "total_tokens": 5 + budget},
        }
        end = known.get("think_end_token")
        reply = read_reply(body, budget, usd=None, think_end_token=end, record={})
        text, usage = reply.text, reply.usage
    else:
        text = said.replace("{}", draft)
    texts = text_facts(known, [known.get("prompt", "")])
    counter = None if way.startswith("API") else WordCounter()  # of an API's model no tokenizer need be known
    parsed = parse_exam_response(exam, "hard", budget, Response(text, usage), counter, texts=texts)
    assert answers_to_grade(parsed) == []
    assert [problem.outcome for problem in problem_outcomes(parsed, [])] == ["empty"] * 3


def test_a_think_end_token_says_so_too_and_brings_tags_of_the_runs_own() -> None:
    own = {"think_end_token": "</mull>", "tokenizer": str(model_path())}
    results = sit(lambda i, k: drafted(i, k).replace("</think>", "</mull>"), ScriptedModel, metadata=own)
    assert record(results) == {
        "text_is_whole": False,
        "starts_in_reasoning": True,
        "think_tags": [["<mull>", "</mull>"]],
        "reading_rule": 2,
    }
    assert value(results, "score") == 3
    stripped = sit(oracle, ScriptedModel, metadata=own)  # as lm_eval leaves a text whose reasoning ended
    assert (value(stripped, "score"), value(stripped, "tokens")) == (3, "N/A")
    unended = lambda i, k: MeteredText(oracle(i, k), Usage(30, "length", "generated"))  # noqa: E731
    assert value(sit(unended, ScriptedModel, metadata=own), "empty") == 1


@pytest.mark.parametrize("own", [None, {"think_end_token": "</mull>"}])
def test_regrading_reads_with_the_flag_of_the_run(tmp_path: Path, own: dict[str, Any] | None) -> None:
    def responder(instance: Instance, sample: int) -> str:
        end = "</think>" if own is None else "</mull>"
        if "exam_id" in instance.doc and "tier" not in instance.doc:
            return drafted(instance, sample).replace("</think>", end)
        return f"\\boxed{{-1}}{end}### Problem 1\n\\boxed{{0}}"

    tracker = EvaluationTracker(output_path=str(tmp_path))
    metadata = {"tokenizer": str(model_path()), "repeats": 1, **(own or {})}
    tasks = (HARD, KNAPSACK, SOLO)
    results = sit(
        responder, Thinker if own is None else ScriptedModel, tasks=tasks, metadata=metadata, evaluation_tracker=tracker
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in tasks:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    (path,) = tmp_path.rglob("results_*.json")
    assert all(task.record.starts_in_reasoning for task in read_results(path))
    done = CliRunner().invoke(regrade, [str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert {task["task"] for task in json.loads(done.output)} == set(tasks)
    forgotten = json.loads(path.read_text(encoding="utf-8"))
    for config in forgotten["configs"].values():
        del config["metadata"]["roi_bench"]["starts_in_reasoning"]  # means False
    path.write_text(json.dumps(forgotten), encoding="utf-8")
    assert CliRunner().invoke(regrade, [str(path), "--json"]).exit_code == 1
