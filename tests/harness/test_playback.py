"""Recorded responses are played back to the request they answer, cut as a generation would have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.harness.metering import usage_of
from roi_bench.harness.playback import PlaybackLM
from roi_bench.journal import Journal
from roi_bench.journal_format import Entry, Header, request_key
from roi_bench.problems import sha256_text
from roi_bench.tokens import Usage
from tests.harness.random_model import CHAT_TEMPLATE, byte_tokenizer

GENERATION: dict[str, Any] = {"until": [], "max_gen_toks": 512}


def request(exam: str = "v1/000", order: str = "hard", prompt: str = "prompt", **generation: Any) -> Instance:
    doc = {"exam_id": exam, "order": order, "budget": generation.get("max_gen_toks", 512)}
    return Instance("generate_until", doc, (prompt, {**GENERATION, **generation}), 0, metadata=("task", 0, 1))


def recording(tmp_path: Path, *lines: dict[str, Any] | str) -> str:
    path = tmp_path / "responses.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer(CHAT_TEMPLATE).save_pretrained(folder)
    return str(folder)


def test_responses_are_found_by_exam_order_and_budget_and_by_prompt(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        {"exam": "v1/000", "order": "hard", "response": "any budget"},
        {"exam": "v1/000", "order": "hard", "budget": 1024, "response": "1024 only"},
        {"exam": "v1/000", "order": "easy", "sample": 0, "response": None},
        {"exam": "v1/001", "order": "hard", "response": "other exam"},
        {"prompt_sha256": sha256_text("π?"), "response": "by prompt"},
    )
    model = PlaybackLM(responses=path)
    asked = [
        request("v1/001"),
        request(),
        request(order="easy"),
        request(max_gen_toks=1024),
        request("v1/999", prompt="π?"),
    ]
    assert model.generate_until(asked) == ["other exam", "any budget", None, "1024 only", "by prompt"]


def test_repeats_are_samples_in_order_and_padding_asks_again(tmp_path: Path) -> None:
    lines = [{"exam": "v1/000", "order": "hard", "sample": k, "response": f"sample {k}"} for k in (1, 0)]
    model = PlaybackLM(responses=recording(tmp_path, *lines))
    one = request()
    one.repeats = 2
    assert model.generate_until([one, one, one, one]) == ["sample 0", "sample 1"] * 2


@pytest.mark.parametrize(
    ("budget", "text", "tokens", "reason"),
    [
        (1, "a", 1, "length"),
        (4, "abcd", 4, "length"),
        (6, "abcdef", 6, "length"),  # no token left to end with
        (7, "abcdef", 7, "stop"),
        (99, "abcdef", 7, "stop"),
    ],
)
def test_a_response_is_cut_at_the_budget(
    tmp_path: Path, tokenizer: str, budget: int, text: str, tokens: int, reason: Any
) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "abcdef"})
    asked = [request(max_gen_toks=budget)]
    (played,) = PlaybackLM(responses=path, tokenizer=tokenizer).generate_until(asked)
    assert played == text
    assert usage_of(played) == Usage(tokens, reason, "retokenized")
    (whole,) = PlaybackLM(responses=path, tokenizer=tokenizer, cut=False).generate_until(asked)
    assert (whole, usage_of(whole)) == ("abcdef", Usage(7, "stop", "retokenized"))
    (unknown,) = PlaybackLM(responses=path).generate_until(asked)
    assert (unknown, usage_of(unknown)) == ("abcdef", None)


def test_stop_strings_end_a_response(tmp_path: Path, tokenizer: str) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "abc\n\ndef"})
    (played,) = PlaybackLM(responses=path, tokenizer=tokenizer).generate_until([request(until=["\n\n"])])
    assert (played, usage_of(played)) == ("abc", Usage(4, "stop", "retokenized"))


def test_a_journal_is_played_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    key = request_key("prompt", GENERATION, 0)
    with Journal(path, Header({"model": "hf"})) as journal:
        journal.append([Entry(key, None)])
        journal.append([Entry(key, "answer", Usage(3, "stop", "generated"), {"exam": "v1/000"})])
    assert PlaybackLM(responses=str(path)).generate_until([request()]) == ["answer"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1 is damaged"),
        (["[]"], "not a JSON object"),
        ([{"exam": "v1/000", "order": "hard"}], "response must be there"),
        ([{"exam": "v1/000", "order": "hard", "response": 7}], "a string or null"),
        ([{"exam": "v1/000", "response": ""}], "neither prompt_sha256 nor exam and order"),
        ([{"exam": "v1/000", "order": "hard", "budget": "512", "response": ""}], "budget must be"),
        ([{"exam": "v1/000", "order": "hard", "sample": -1, "response": ""}], "sample must be"),
        (
            [{"exam": "v1/000", "order": "hard", "response": text} for text in "ab"],
            r"line 2 answers exam v1/000, order hard, sample 0 again \(first in line 1\)",
        ),
        ([{"prompt_sha256": "ab", "response": None}] * 2, "line 2 answers ab 0 again"),
    ],
)
def test_a_damaged_recording_is_named(tmp_path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        PlaybackLM(responses=recording(tmp_path, *lines))


def test_what_is_missing_is_named(tmp_path: Path, tokenizer: str) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "a"})
    model = PlaybackLM(responses=path)
    with pytest.raises(RecordError, match="no response to exam v1/017, order easy, sample 0;"):
        model.generate_until([request(), request("v1/017", "easy")])
    cases: list[tuple[type[RoiBenchError], str, dict[str, Any]]] = [
        (RecordError, "cannot read responses .*none.jsonl", {"responses": str(tmp_path / "none.jsonl")}),
        (UsageError, "needs a file of responses", {}),
        (UsageError, "no argument 'response'; did you mean 'responses'", {"responses": path, "response": path}),
        (ModelError, "cannot load tokenizer", {"responses": path, "tokenizer": str(tmp_path)}),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message):
            PlaybackLM(**arguments)
    with pytest.raises(ModelError, match="likelihoods"):
        model.loglikelihood([])


def test_the_chat_template_is_the_tokenizers(tmp_path: Path, tokenizer: str) -> None:
    path = recording(tmp_path)
    model = PlaybackLM(responses=path, tokenizer=tokenizer)
    assert model.apply_chat_template([{"role": "user", "content": "hi"}]) == "<|user|>hi<|assistant|>"
    assert model.chat_template(True) == CHAT_TEMPLATE
    assert model.tokenizer_name
    with pytest.raises(ModelError, match="needs a tokenizer"):
        PlaybackLM(responses=path).apply_chat_template([])
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no chat template"):
        PlaybackLM(responses=path, tokenizer=str(tmp_path)).apply_chat_template([])


def test_lm_eval_makes_it_from_its_arguments(tmp_path: Path) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "a"})
    import roi_bench.harness.bridge

    roi_bench.harness.bridge.install()
    kind = get_model("roi-playback")
    assert kind is PlaybackLM
    model = kind.create_from_arg_obj({"responses": path}, {"batch_size": 4, "device": "cpu", "max_batch_size": None})
    assert model.generate_until([request()]) == ["a"]
