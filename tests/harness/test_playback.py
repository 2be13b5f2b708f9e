"""Recorded responses are played back to the request they answer, cut as a generation would have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from roi_bench.errors import ModelError, RecordError, RoiBenchError, UsageError
from roi_bench.exams.exam import sha256_text
from roi_bench.harness.engines.metering import usage_of
from roi_bench.harness.engines.playback import PlaybackLM
from roi_bench.records.journal import Entry, Header, Journal, read_starts, request_key
from roi_bench.scoring.tokens import Usage
from tests.harness.random_model import CHAT_TEMPLATE, byte_tokenizer
from tests.support.messages import shows

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


def alone(problem: str, prompt: str = "alone", budget: int = 512, **doc: Any) -> Instance:
    """A request for one problem: of a solo task, or with ``exam_id`` and ``order`` of an exam asked so."""
    doc = {"problem": problem, "tier": "hard", "budget": budget, **doc}
    return Instance("generate_until", doc, (prompt, {**GENERATION, "max_gen_toks": budget}), 0, metadata=("task", 0, 1))


def test_problems_asked_alone_are_found_by_their_names(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        {"problem": "aime/test/3", "response": "any budget"},
        {"problem": "aime/test/3", "budget": 1024, "response": "1024 only"},
        {"problem": "aime/test/3", "sample": 1, "response": "second sample"},
        {"problem": "aime/test/4", "response": None},
        {"problem": "aime/test/5", "response": "by name"},
        {"prompt_sha256": sha256_text("π?"), "response": "by prompt"},
        {"exam": "v1/000", "order": "hard", "response": "the whole exam"},
    )
    model = PlaybackLM(responses=path)
    in_exam = {"exam_id": "v1/000", "order": "hard", "problem_ids": ["aime/test/3"]}
    twice = alone("aime/test/3", prompt="twice")
    twice.repeats = 2
    asked = [
        *(
            alone("aime/test/4"),
            alone("aime/test/3"),
            alone("aime/test/3", **in_exam),
            alone("aime/test/3", budget=1024),
        ),
        *(alone("aime/test/5", prompt="π?"), twice, twice, request()),
    ]
    assert model.generate_until(asked) == [
        *(None, "any budget", "any budget", "1024 only"),
        *("by prompt", "any budget", "second sample", "the whole exam"),
    ]


def test_a_problem_that_is_missing_is_named_and_no_exam_stands_in_for_it(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        {"exam": "v1/000", "order": "hard", "response": "a"},
        {"problem": "aime/test/3", "budget": 1024, "response": "b"},
    )
    for asked in (alone("aime/test/3"), alone("aime/test/3", exam_id="v1/000", order="hard")):
        with pytest.raises(RecordError, match=shows(path, "aime/test/3", 0)):
            PlaybackLM(responses=path).generate_until([asked])
    with pytest.raises(RecordError, match=shows(path, "v1/001", "hard", 0)):
        PlaybackLM(responses=path).generate_until([request("v1/001")])


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


def test_a_journal_of_several_starts_is_played_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for number in range(2):
        with Journal(path, Header({"model": "hf"}), marks_starts=True) as journal:
            journal.append([Entry(request_key("prompt", GENERATION, number), f"answer {number}")])
    assert len(read_starts(path)) == 2
    asked = request()
    asked.repeats = 2
    assert PlaybackLM(responses=str(path)).generate_until([asked, asked]) == ["answer 0", "answer 1"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1"),
        (["[]"], "JSON"),
        ([{"exam": "v1/000", "order": "hard"}], r"\(response\b"),
        ([{"exam": "v1/000", "order": "hard", "response": 7}], r"\(response\b"),
        ([{"exam": "v1/000", "response": ""}], "prompt_sha256.*exam.*order.*problem"),
        ([{"problem": 3, "response": ""}], "prompt_sha256.*exam.*order.*problem"),
        ([{"problem": "p/1", "budget": 1.5, "response": ""}], r"\(budget\b"),
        ([{"problem": "p/1", "sample": True, "response": ""}], r"\(sample\b"),
        ([{"problem": "p/1"}], r"\(response\b"),
        (
            [{"problem": "p/1", "budget": 512, "response": text} for text in "ab"],
            r"line 2\b.*\bp/1\b.*\b512\b.*\b0\b.*\bline 1\b",
        ),
        ([{"exam": "v1/000", "order": "hard", "budget": "512", "response": ""}], r"\(budget\b"),
        ([{"exam": "v1/000", "order": "hard", "sample": -1, "response": ""}], r"\(sample\b"),
        (
            [{"exam": "v1/000", "order": "hard", "response": text} for text in "ab"],
            r"line 2\b.*\bv1/000\b.*\bhard\b.*\b0\b.*\bline 1\b",
        ),
        ([{"prompt_sha256": "ab", "response": None}] * 2, r"line 2\b.*\bab 0\b.*\bline 1\b"),
    ],
)
def test_a_damaged_recording_is_named(tmp_path: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        PlaybackLM(responses=recording(tmp_path, *lines))


def test_what_is_missing_is_named(tmp_path: Path, tokenizer: str) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "a"})
    model = PlaybackLM(responses=path)
    with pytest.raises(RecordError, match=shows(path, "v1/017", "easy", 0)):
        model.generate_until([request(), request("v1/017", "easy")])
    cases: list[tuple[type[RoiBenchError], str, dict[str, Any]]] = [
        (RecordError, r"none\.jsonl", {"responses": str(tmp_path / "none.jsonl")}),
        (UsageError, "responses=", {}),
        (UsageError, "'response'.*'responses'", {"responses": path, "response": path}),
        (ModelError, repr(str(tmp_path)), {"responses": path, "tokenizer": str(tmp_path)}),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message):
            PlaybackLM(**arguments)
    with pytest.raises(ModelError, match="likelihoods"):
        model.loglikelihood([])


def test_a_journal_of_problems_asked_alone_is_played_back_by_prompt(tmp_path: Path) -> None:
    """One problem is asked with several prompts; the journal of all of them answers each."""
    path = tmp_path / "journal.jsonl"
    entries = [
        Entry(request_key(prompt, GENERATION, sample), f"{prompt}/{sample}", None, {"problem": "p/1", "budget": 512})
        for prompt in ("solo", "knapsack")
        for sample in (0, 1)
    ]
    with Journal(path, Header({"model": "hf"})) as journal:
        journal.append(entries)
    twice = alone("p/1", prompt="solo")
    twice.repeats = 2
    played = PlaybackLM(responses=str(path)).generate_until([alone("p/1", prompt="knapsack"), twice, twice])
    assert played == ["knapsack/0", "solo/0", "solo/1"]


def test_the_chat_template_is_the_tokenizers(tmp_path: Path, tokenizer: str) -> None:
    path = recording(tmp_path)
    model = PlaybackLM(responses=path, tokenizer=tokenizer)
    assert model.apply_chat_template([{"role": "user", "content": "hi"}]) == "<|user|>hi<|assistant|>"
    assert model.chat_template(True) == CHAT_TEMPLATE
    assert model.tokenizer_name
    with pytest.raises(ModelError, match="tokenizer="):
        PlaybackLM(responses=path).apply_chat_template([])
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="--apply_chat_template"):
        PlaybackLM(responses=path, tokenizer=str(tmp_path)).apply_chat_template([])


def test_lm_eval_makes_it_from_its_arguments(tmp_path: Path) -> None:
    path = recording(tmp_path, {"exam": "v1/000", "order": "hard", "response": "a"})
    import roi_bench.harness.bridge

    roi_bench.harness.bridge.install()
    kind = get_model("roi-playback")
    assert kind is PlaybackLM
    model = kind.create_from_arg_obj({"responses": path}, {"batch_size": 4, "device": "cpu", "max_batch_size": None})
    assert model.generate_until([request()]) == ["a"]
