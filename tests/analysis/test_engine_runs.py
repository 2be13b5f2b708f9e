"""What a results file says of its engine, what runs are called, and which are refused because they asked otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from roi_bench.analysis.engines.agreement import (
    ONE_BATCHED_OTHERWISE,
    ONE_TWICE,
    TWO_ENGINES,
    Engine,
    check_comparable,
    engine_names,
    engine_of,
    kind_of,
)
from roi_bench.errors import UsageError
from tests.analysis.engine_factory import task_of


def test_whose_decoding_it_was_is_taken_from_the_records_of_the_tasks() -> None:
    def recorded(*decodings: str | None) -> dict[str, Any]:
        records = [{} if decoding is None else {"decoding": decoding} for decoding in decodings]
        tasks = {str(index): {"metadata": {"roi_bench": record}} for index, record in enumerate(records)}
        return {"config": {"model": "hf"}, "configs": {**tasks, "gsm8k": {}}}

    assert engine_of(recorded("model", "model")).facts["decoding"] == "model"
    assert engine_of(recorded("neutral", None)).facts["decoding"] == "neutral"
    for document in (recorded("model", "neutral"), recorded(None), {}):
        assert "decoding" not in engine_of(document).facts


def test_what_roi_bench_run_records_of_an_engine_is_taken():
    recorded = {"name": "vllm", "version": "0.32.0", "dtype": "float32", "quantization": None, "batch_size": 32}
    document = {
        "config": {"model": "vllm", "batch_size": "auto", "model_dtype": "torch.bfloat16"},
        "roi_bench": {
            "decoding": "neutral",
            "engine": {**recorded, "batch_size_is_automatic": True, "options": {"b": 1, "a": [2]}},
        },
    }
    found = engine_of(document)
    assert found.name == "vllm"
    assert found.facts == {
        "version": "0.32.0",
        "dtype": "float32",
        "quantization": "none",
        "batch_size": "32",
        "batch_size_is_automatic": "yes",
        "decoding": "neutral",
        "options": '{"a":[2],"b":1}',
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {
                "config": {"model": "hf", "batch_size": 8, "model_dtype": "torch.float32"},
                "transformers_version": "5.1.0",
            },
            Engine("hf", {"batch_size": "8", "dtype": "float32", "version": "5.1.0"}),
        ),
        ({"config": {"model": "roi-api"}, "transformers_version": "5.1.0"}, Engine("roi-api", {})),
        ({"config": None, "roi_bench": {"engine": "vllm"}}, Engine("unknown", {})),
        ({}, Engine("unknown", {})),
    ],
)
def test_of_older_files_lm_evals_own_configuration_tells_a_part(document, expected):
    assert engine_of(document) == expected


def engine(name: str = "hf", **facts: str) -> Engine:
    return Engine(name, facts)


@pytest.mark.parametrize(
    ("a", "b", "differences", "kind"),
    [
        (engine(batch_size="1"), engine(batch_size="8"), ("batch_size",), ONE_BATCHED_OTHERWISE),
        (
            engine(batch_size="1", batch_size_is_automatic="no"),
            engine(batch_size="8", batch_size_is_automatic="yes"),
            ("batch_size", "batch_size_is_automatic"),
            ONE_BATCHED_OTHERWISE,
        ),
        (engine(batch_size="1"), engine(batch_size="1"), (), ONE_TWICE),
        (engine(batch_size="1"), engine(), (), ONE_TWICE),
        (engine(version="1", batch_size="1"), engine(version="2", batch_size="8"), ("version", "batch_size"), "two"),
        (
            engine("hf", version="5", dtype="float32"),
            engine("vllm", version="0.3", dtype="float32"),
            ("engine",),
            "two",
        ),
        (engine("hf", dtype="a", batch_size="1"), engine("vllm", dtype="b"), ("engine", "dtype"), "two"),
        (engine("hf", batch_size="1"), engine("vllm", batch_size="2"), ("engine", "batch_size"), "two"),
        (engine("api", server="vllm"), engine("api", server="llamacpp"), ("server",), "two"),
    ],
)
def test_only_what_both_say_can_differ(a, b, differences, kind):
    assert (a.differences(b), kind_of(a, b)) == (differences, TWO_ENGINES if kind == "two" else kind)
    assert (set(b.differences(a)), kind_of(b, a)) == (set(a.differences(b)), kind_of(a, b))


def test_names_say_what_sets_runs_of_one_engine_apart():
    runs = [engine(batch_size="1", dtype="x"), engine("vllm", batch_size="9"), engine(batch_size="8", dtype="x")]
    assert engine_names(runs) == ["hf [batch_size=1]", "vllm", "hf [batch_size=8]"]
    assert engine_names([engine(), engine(), engine("api")]) == ["hf", "hf #2", "api"]
    assert engine_names([engine(batch_size="1"), engine(batch_size="8"), engine(batch_size="8")]) == [
        *("hf [batch_size=1]", "hf [batch_size=8]", "hf [batch_size=8] #2")
    ]
    assert engine_names([engine("api", server="vllm"), engine("api", server="llamacpp")]) == [
        *("api [server=vllm]", "api [server=llamacpp]")
    ]
    # one of them does not say its batch size: what is known of the others still sets them apart
    assert engine_names([engine(batch_size="1"), engine(), engine(batch_size="8")]) == [
        *("hf [batch_size=1]", "hf", "hf [batch_size=8]")
    ]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"budget": 256}, "budget.*256.*128"),
        ({"order": "medium"}, "order.*medium"),
        ({"exam_seed": 1}, "exam_seed.*1"),
        ({"exam_set": "fresh"}, "exam_set.*fresh"),
        ({"prompt_sha256": "0" * 64}, "prompt_sha256.*000"),
        ({"paraphrase": 2}, "paraphrase.*2"),
        ({"repeats": 2}, "repeats.*2"),
        ({"system_instruction_sha256": "1" * 64}, "system_instruction_sha256.*111"),
        ({"sent_as": "text"}, "sent_as.*text.*chat template"),
        ({"sent_as": "chat template", "chat_template_sha256": "b" * 64}, "chat_template_sha256.*bbb"),
    ],
)
def test_what_asked_something_else_is_refused_by_name(changes: dict[str, Any], what: str):
    reference = task_of(sent_as="chat template", chat_template_sha256="a" * 64)
    other = task_of(**{"sent_as": "chat template", "chat_template_sha256": "a" * 64, **changes})
    check_comparable(reference, reference)
    for allow_sampled in (False, True):
        with pytest.raises(UsageError, match=what):
            check_comparable(reference, other, allow_sampled=allow_sampled)


def test_messages_and_older_records_are_no_other_prompt():
    reference = task_of(sent_as="chat template", chat_template_sha256="a" * 64)
    check_comparable(reference, task_of(sent_as="messages"))
    check_comparable(reference, task_of())
    with pytest.raises(UsageError, match=r"sent_as.*messages"):  # a server puts its template around them
        check_comparable(task_of(sent_as="text"), task_of(sent_as="messages"))


@pytest.mark.parametrize(
    "changes",
    [
        {"decoding": {"do_sample": True, "temperature": 0.7}},
        {"decoding": {"temperature": 0.7}},
        {"decoding": {"do_sample": True}},
        {"deviations": ("omit=temperature",)},
        {"decoding": {"decoding": "model"}, "deviations": ("decoding=model",)},
    ],
)
def test_sampled_runs_are_refused_unless_they_are_allowed(changes: dict[str, Any]):
    sampled = task_of(**changes)
    with pytest.raises(UsageError, match="--allow-sampled"):
        check_comparable(task_of(), sampled)
    with pytest.raises(UsageError, match="--allow-sampled"):
        check_comparable(sampled, sampled)
    check_comparable(sampled, sampled, allow_sampled=True)


def test_the_models_own_decoding_is_compared_with_its_own_kind_only():
    own = task_of(decoding={"decoding": "model"}, deviations=("decoding=model",))
    with pytest.raises(UsageError, match=r"decoding.*model.*neutral"):
        check_comparable(task_of(), own, allow_sampled=True)


def test_a_sampled_run_is_never_compared_with_a_greedy_one():
    with pytest.raises(UsageError, match=r"temperature.*0\.7.*greedy"):
        check_comparable(task_of(), task_of(decoding={"do_sample": True, "temperature": 0.7}), allow_sampled=True)
