"""The solo task through lm_eval: what is asked and how often, what is scored, what is labelled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.utils import make_table

from roi_bench.errors import ModelError, UsageError
from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import model_path
from roi_bench.harness.engines.metering import MeteredText
from roi_bench.records.results import NO_RESPONSE
from roi_bench.scoring.kinds import solo_metrics_of, solo_problems
from roi_bench.scoring.prompts import exam_prompt, prompt_sha256
from roi_bench.scoring.task_settings import SAMPLED_REPEATS
from roi_bench.scoring.tokens import Usage
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import Responder, ScriptedModel, always
from tests.support.exam_factory import respond
from tests.support.messages import shows

SOLO = "roi_tiny_solo_128"
COUNTED = {"tokenizer": str(model_path())}
PROBLEMS = {name: problem for name, (_, problem) in solo_problems(load_exams("tiny")).items()}


def right(instance: Instance, _: int = 0) -> str:
    return respond([PROBLEMS[instance.doc["problem"]].answer])


def sit(
    responder: Responder, *, metadata: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], ScriptedModel]:
    model = ScriptedModel(responder)
    options.setdefault("limit", 6)
    results = simple_evaluate([SOLO], model=model, model_args={}, metadata=metadata, **options)
    return results, model


def values(results: dict[str, Any]) -> dict[str, Any]:
    found = results["results"][SOLO]
    return {name.removesuffix(",none"): value for name, value in found.items() if name.endswith(",none")}


def record(results: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = results["configs"][SOLO]["metadata"]["roi_bench"]
    return found


def test_each_problem_is_asked_sixteen_times_with_sampling_and_that_is_no_deviation() -> None:
    generations = []

    def responder(instance: Instance, sample: int) -> str:
        generations.append(dict(instance.args[1]))
        return right(instance) if sample < 4 else "nothing"

    results, model = sit(responder)
    assert SAMPLED_REPEATS == 16
    assert set(Counter(model.prompts).values()) == {16}
    assert list(dict.fromkeys(model.prompts)) == [
        exam_prompt([problem.question], 128, "solo") for problem in list(PROBLEMS.values())[:6]
    ]
    sampled = {"until": [], "do_sample": True, "temperature": 0.7, "max_gen_toks": 128}
    assert all(generation == sampled for generation in generations)
    assert record(results) == {
        **record(results),
        "form": "solo",
        "exam_set": "tiny",
        "exam_seed": 0,
        "order": None,
        "budget": 128,
        "repeats": 16,
        "prompt": "solo",
        "prompt_sha256": prompt_sha256("solo"),
        "deviations": [],
    }
    assert results["results"][SOLO]["alias"] == SOLO
    assert values(results)["acc"] == 4 / 16
    assert values(results)["acc_stderr"] == 0  # every problem has the same mean
    assert [len(sample["resps"][0]) for sample in results["samples"][SOLO]] == [16] * 6


def test_scores_by_hand() -> None:
    def responder(instance: Instance, sample: int) -> str:
        tier = instance.doc["tier"]
        if tier == "hard":
            return "### Problem 1\n" + "7 " * 200 if sample else "### Problem 1\nI stop."
        return right(instance) if tier == "easy" or sample else respond(["NA"])

    results, _ = sit(responder, metadata={**COUNTED, "repeats": 2})  # two exams: two problems of each tier
    found = values(results)
    assert (found["easy_acc"], found["middle_acc"], found["hard_acc"]) == (1, 0.5, 0)
    assert found["acc"] == 0.5
    assert found["acc_stderr"] == pytest.approx((4 * 0.25 / 5 / 6) ** 0.5)
    assert (found["skip_rate"], found["truncated"], found["unanswered"]) == tuple(pytest.approx(1 / 6) for _ in "123")
    assert (found["wrong"], found["empty"], found["error"]) == (0, 0, 0)
    assert found["easy_tokens"] == 7
    assert found["middle_tokens"] == 7
    assert found["hard_tokens"] == (4 + 202) / 2
    assert found["tokens"] == pytest.approx((7 + 7 + 103) / 3)


def test_every_metric_stands_in_the_table_with_its_error_bar() -> None:
    results, _ = sit(lambda i, k: right(i) if k else "", metadata={**COUNTED, "repeats": 2})
    rows = {cells[5].strip(): cells for line in make_table(results).splitlines() if len(cells := line.split("|")) > 8}
    names = [metric.name for metric in solo_metrics_of(("tiny-easy", "tiny-middle", "tiny-hard"))]
    assert set(names) == {name for name in values(results) if not name.endswith("_stderr")}
    for name in names:
        assert float(rows[name][7]) >= 0, name
        assert float(rows[name][9]) >= 0, name
    better = results["higher_is_better"][SOLO]
    assert (better["acc"], better["wrong"], better["error"]) == (True, False, False)
    assert not {"tokens", "skip_rate"} & set(better)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"gen_kwargs": {"temperature": 0.7, "do_sample": True, "max_gen_toks": 128}}, []),
        ({"gen_kwargs": "temperature=1.0"}, ["temperature=1.0"]),
        ({"gen_kwargs": "temperature=0"}, ["do_sample=False", "temperature=0"]),
        ({"gen_kwargs": "do_sample=False"}, ["do_sample=False"]),
        ({"gen_kwargs": {"max_tokens": 64}}, ["budget=64"]),
        ({"metadata": {"budget": 64}}, ["budget=64"]),
        ({"metadata": {"exam_seed": 3}}, ["exam_seed=3"]),
        ({"system_instruction": "Be brief."}, ["system_instruction"]),
    ],
)
def test_what_is_changed_is_labelled(options: dict[str, Any], labels: list[str]) -> None:
    metadata = {"repeats": 1, **options.pop("metadata", {})}
    results, model = sit(always("nothing"), metadata=metadata, limit=2, **options)
    assert record(results)["deviations"] == labels
    assert record(results)["budget"] == (64 if "budget=64" in labels else 128)
    alias = f"{SOLO} [{', '.join(labels)}]" if labels else SOLO
    assert results["results"][SOLO]["alias"] == alias
    budget = 64 if "budget=64" in labels else 128
    assert f"at most {budget} tokens, and end" in model.prompts[0]
    document = results["samples"][SOLO][0]["doc"]
    seed = 3 if "exam_seed=3" in labels else 0
    assert document.pop("read")
    assert document == {"problem": f"tiny/{seed}/easy/000", "tier": "easy", "budget": budget}


def test_a_limit_profiles_the_first_exams() -> None:
    results, _ = sit(right, metadata={"repeats": 1}, limit=9)
    asked = [(sample["doc"]["problem"], sample["doc"]["tier"]) for sample in results["samples"][SOLO]]
    assert asked == [(f"tiny/0/{tier}/{k:03d}", tier) for k in range(3) for tier in ("easy", "middle", "hard")]
    assert [sample["target"] for sample in results["samples"][SOLO]] == [PROBLEMS[name].answer for name, _ in asked]
    assert results["n-samples"][SOLO] == {"original": 1440, "effective": 9}


def test_a_missing_response_is_an_error_and_metered_ones_are_paid_as_metered() -> None:
    def responder(instance: Instance, sample: int) -> str | None:
        if sample:
            return MeteredText(right(instance), Usage(77, "stop", "provider"))
        return None if instance.doc["tier"] == "hard" else MeteredText("", Usage(33, "length", "provider"))

    results, _ = sit(responder, metadata={"repeats": 2}, limit=3)
    found = values(results)
    assert (found["error"], found["empty"], found["acc"]) == (pytest.approx(1 / 6), pytest.approx(1 / 3), 2 / 3)
    assert (found["hard_acc"], found["hard_tokens"], found["easy_tokens"]) == (1, 77, 55)
    assert results["samples"][SOLO][2]["resps"][0] == [NO_RESPONSE, respond([PROBLEMS["tiny/0/hard/000"].answer])]
    assert results["samples"][SOLO][2]["doc"]["usage"][0][0] is None


def test_where_reasoning_is_stripped_tokens_are_unknown_unless_metered() -> None:
    stripped = {**COUNTED, "think_end_token": "</think>", "repeats": 1}
    results, _ = sit(right, metadata=stripped, limit=3)
    assert (values(results)["acc"], values(results)["tokens"]) == (1, "N/A")
    metered = lambda i, k: MeteredText(right(i), Usage(50, "stop", "generated"))  # noqa: E731
    results, _ = sit(metered, metadata=stripped, limit=3)
    assert (values(results)["acc"], values(results)["tokens"]) == (1, 50)


def test_what_an_exam_refuses_a_problem_alone_refuses_too() -> None:
    with pytest.raises(UsageError, match="--num_fewshot 1"):
        sit(right, num_fewshot=1)
    with pytest.raises(UsageError, match=shows("repeats", 1, 0)):
        sit(right, metadata={"repeats": 0})
    with pytest.raises(ModelError, match=shows(SOLO, 140)):
        sit(right, metadata={**COUNTED, "max_length": 140, "repeats": 1})
