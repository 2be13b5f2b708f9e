"""Asked once, recorded at once, resumed with the same responses."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from roi_bench.errors import ModelError, RecordError
from roi_bench.harness.engines.huggingface import HuggingFaceEngine
from roi_bench.harness.engines.local import BatchedEngine, MeteredEngine, own_batch_size
from roi_bench.harness.engines.metering import MeteredText, usage_of
from roi_bench.harness.engines.protocol import Request, derived_seed, distinct_requests, exam_fields, fixed_batches
from roi_bench.harness.journaled_model import JournaledModel, Progress
from roi_bench.records.journal import HEADER_BEGIN, Entry, Header, Journal, read_journal, request_key
from roi_bench.scoring.tokens import Usage
from tests.harness.random_model import random_model
from tests.support.messages import shows

__all__ = ["random_model"]

HEADER = Header({"model": "fake"})
GREEDY = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 24}
SAMPLED = {"until": [], "do_sample": True, "temperature": 1.5, "max_gen_toks": 24}


def request(prompt: str, task: str = "hard", repeats: int = 1, **generation: Any) -> Instance:
    doc = {"exam_id": f"tiny/0/{len(prompt):03d}", "order": task, "budget": 24}
    return Instance("generate_until", doc, (prompt, {**GREEDY, **generation}), 0, metadata=(task, 0, repeats))


class Echo(LM):
    """Answers every prompt with itself, its sample and how often it was asked; counts; may fail or have gaps."""

    def __init__(self, gaps: tuple[str, ...] = (), dies_after: int | None = None) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.gaps = gaps
        self.dies_after = dies_after
        self.tokenizer = "a tokenizer"

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        if self.dies_after is not None and len(self.batches) == self.dies_after:
            raise KeyboardInterrupt
        self.batches.append([item.args[0] for item in requests])
        requests[0].args[1]["until"].append("a backend may do this")
        return [
            None
            if item.args[0] in self.gaps
            else MeteredText(f"{item.args[0]}/{item.sample}", Usage(3, "stop", "provider"))  # type: ignore[attr-defined]
            for item in requests
        ]

    def loglikelihood(self, requests: list[Instance]) -> Any:
        return [(-1.0, True)] * len(requests)

    def loglikelihood_rolling(self, requests: list[Instance]) -> Any:
        return [-1.0] * len(requests)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return f"{chat_history}{add_generation_prompt}"

    @property
    def tokenizer_name(self) -> str:
        return "echo"


class LocalEcho(Echo):
    """An echo whose responses may depend on their batch, as those of a local model do."""

    _model_generate = None

    def tok_encode(self, prompt: str) -> list[int]:
        return [0] * prompt.count("x")


def responses_in(path: Path) -> list[bytes]:
    """Return the lines of a journal that are responses, sorted; a later start of a run has a line of its own."""
    return sorted(line for line in path.read_bytes().splitlines() if not line.startswith(HEADER_BEGIN))


def wrapped(lm: Any, journal: Journal, *, batch_size: int, seed: int | None = None, **how: Any) -> JournaledModel:
    from lm_eval.models.huggingface import HFLM

    kind = HuggingFaceEngine if isinstance(lm, HFLM) else MeteredEngine if isinstance(lm, LocalEcho) else BatchedEngine
    return JournaledModel(kind(lm, seed=seed, batch_size=batch_size), journal, **how)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.jsonl", HEADER) as journal:
        yield journal


def test_equal_requests_of_two_tasks_are_asked_once(journal: Journal) -> None:
    lm = Echo()
    asked = [request(prompt, task) for task, prompts in (("medium", "abc"), ("hard", "bcd")) for prompt in prompts]
    model = wrapped(lm, journal, batch_size=2)
    responses = model.generate_until(asked)
    assert responses == [f"{prompt}/0" for prompt in "abcbcd"]
    assert Counter(prompt for batch in lm.batches for prompt in batch) == Counter("abcd")
    assert {len(batch) for batch in lm.batches} == {2}
    assert {usage_of(response) for response in responses} == {Usage(3, "stop", "provider")}
    assert next(iter(journal.entries.values())).extra == {
        "exam": "tiny/0/001",
        "order": "medium",
        "budget": 24,
    }


@pytest.mark.parametrize(
    ("doc", "fields"),
    [
        (
            {"exam_id": "v1/000", "order": "easy", "budget": 512, "problem_ids": ["a", "b", "c"]},
            {"exam": "v1/000", "order": "easy", "budget": 512},
        ),
        ({"problem": "gsm8k/test/3", "tier": "easy", "budget": 512}, {"problem": "gsm8k/test/3", "budget": 512}),
        (  # a problem asked alone serves both orders of its exam, and other exams
            {"exam_id": "v1/000", "order": "hard", "budget": 512, "problem": "gsm8k/test/3", "tier": "easy"},
            {"problem": "gsm8k/test/3", "budget": 512},
        ),
        ({"question": "somebody else's", "budget": 9}, {}),
        ({"exam_id": "v1/000"}, {"exam": "v1/000"}),
        ({"problem": "x"}, {"problem": "x"}),
        ("a document that is text", {}),
        (None, {}),
    ],
)
def test_the_journal_says_what_each_response_answers(doc: Any, fields: dict[str, Any]) -> None:
    item = Instance("generate_until", doc, ("prompt", GREEDY), 0)
    assert exam_fields(Request(request_key("prompt", GREEDY, 0), item)) == fields


def test_a_problem_asked_alone_for_two_tasks_is_asked_once(journal: Journal) -> None:
    lm = Echo()
    asked = [request("a", order) for order in ("medium", "hard")]
    for item in asked:
        item.doc |= {"problem": "tiny/0/easy/000", "tier": "easy"}
    assert wrapped(lm, journal, batch_size=8).generate_until(asked) == ["a/0", "a/0"]
    assert lm.batches == [["a"]]
    (entry,) = journal.entries.values()
    assert entry.extra == {"problem": "tiny/0/easy/000", "budget": 24}


def test_repeats_are_different_samples_shared_between_tasks(journal: Journal) -> None:
    lm = Echo()
    one, other = request("a", "medium", repeats=3), request("a", "hard", repeats=2)
    responses = wrapped(lm, journal, batch_size=8).generate_until([*[one] * 3, *[other] * 2, other, other])
    assert responses == ["a/0", "a/1", "a/2", "a/0", "a/1", "a/0", "a/1"]  # the last two: accelerate's padding
    assert lm.batches == [["a", "a", "a"]]


def test_other_generation_arguments_are_another_request_and_another_batch(journal: Journal) -> None:
    lm = Echo()
    asked = [request("a"), request("a", max_gen_toks=7), request("b")]
    wrapped(lm, journal, batch_size=8).generate_until(asked)
    assert lm.batches == [["a", "b"], ["a"]]
    assert [item.args[1]["until"] for item in asked] == [[], [], []]  # the tasks' own arguments are left alone


def test_a_model_of_an_unknown_kind_is_sent_no_seed_and_draws_the_same_again(tmp_path: Path) -> None:
    class Drawing(LM):
        """Draws from the global generator, and takes no argument that it does not know."""

        def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
            assert all(item.args[1] == {**SAMPLED, "until": []} for item in requests)
            return [str(random.random()) for _ in requests]

        loglikelihood = loglikelihood_rolling = None

    asked = [request(prompt, **SAMPLED) for prompt in "abc"]
    drawn = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        with Journal(tmp_path / f"{name}.jsonl", HEADER) as journal:
            drawn.append(wrapped(Drawing(), journal, batch_size=2, seed=seed).generate_until(asked))
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3


def test_batches_are_fixed_and_longest_prompts_come_first() -> None:
    prompts = ["x" * (5 * k % 7) + str(k) for k in range(7)]
    distinct, keys = distinct_requests([request(prompt) for prompt in prompts])
    batches = fixed_batches(distinct, 3, len)
    assert [[len(question.prompt) for question in batch] for batch in batches] == [[7, 6, 5], [4, 3, 2], [1]]
    assert fixed_batches(distinct[::-1], 3, len) == batches
    assert [question.key for question in distinct] == keys == [request_key(prompt, GREEDY, 0) for prompt in prompts]


@pytest.mark.parametrize("kind", [Echo, LocalEcho])
@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_an_interrupted_run_resumes_where_it_was(tmp_path: Path, kind: type[Echo], dies_after: int) -> None:
    asked = [request("x" * k) for k in range(1, 8)]
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER) as journal, pytest.raises(KeyboardInterrupt):
        wrapped(kind(dies_after=dies_after), journal, batch_size=3).generate_until(asked)
    assert len(read_journal(path)[1]) == 3 * dies_after
    lm = kind()
    with Journal(path, HEADER) as journal:
        responses = wrapped(lm, journal, batch_size=3).generate_until(asked)
    assert responses == ["x" * k + "/0" for k in range(1, 8)]
    whole = [["x" * k for k in ks] for ks in ((7, 6, 5), (4, 3, 2), (1,))]
    assert lm.batches == whole[dies_after:]
    with Journal(path, HEADER) as journal:
        finished = kind()
        assert wrapped(finished, journal, batch_size=3).generate_until(asked) == responses
    assert finished.batches == []


@pytest.mark.parametrize(("kind", "again"), [(Echo, [["xx"]]), (LocalEcho, [["xxx", "xx", "x"]])])
def test_a_partly_finished_batch_keeps_what_is_recorded(
    tmp_path: Path, kind: type[Echo], again: list[list[str]]
) -> None:
    asked = [request("x" * k) for k in range(1, 4)]
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER) as journal:
        gap = wrapped(kind(gaps=("xx",)), journal, batch_size=3).generate_until(asked)
    assert gap == ["x/0", None, "xxx/0"]
    lines = responses_in(path)
    lm = kind()
    with Journal(path, HEADER) as journal:
        assert wrapped(lm, journal, batch_size=3).generate_until(asked) == ["x/0", "xx/0", "xxx/0"]
    assert lm.batches == again  # a local model needs the whole batch for the same numbers
    assert len(responses_in(path)) == len(lines) + 1


def test_gaps_shift_nothing_and_are_refused_where_the_cache_would_shift(journal: Journal) -> None:
    model = wrapped(Echo(gaps=("b", "c")), journal, batch_size=2)
    asked = [request(prompt) for prompt in "abcdb"]
    assert model.generate_until(asked) == ["a/0", None, None, "d/0", None]

    class Hook:
        dbdict: dict[str, str] = {}  # noqa: RUF012

    model.set_cache_hook(Hook())
    with pytest.raises(ModelError, match=shows(3, 5, "--use_cache")):
        model.generate_until(asked)


def test_what_other_processes_recorded_is_not_asked_again(tmp_path: Path) -> None:
    asked = [request("x" * k) for k in range(1, 4)]
    with Journal(tmp_path / "rank1.jsonl", HEADER) as journal:
        wrapped(Echo(gaps=("x",)), journal, batch_size=3).generate_until(asked[:2])
    lm = Echo()
    with Journal(tmp_path / "rank0.jsonl", HEADER) as journal:
        recorded = read_journal(tmp_path / "rank1.jsonl")[1]
        responses = wrapped(lm, journal, batch_size=3, recorded=recorded).generate_until(asked)
    assert responses == ["x/0", "xx/0", "xxx/0"]
    assert lm.batches == [["xxx", "x"]]


def test_a_full_disk_ends_the_run_before_the_next_batch(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = Echo()

    def full(entries: Any) -> None:
        raise RecordError("cannot write journal: No space left on device")

    monkeypatch.setattr(journal, "append", full)
    with pytest.raises(RecordError, match="No space left"):
        wrapped(lm, journal, batch_size=1).generate_until([request("a"), request("b")])
    assert len(lm.batches) == 1


def test_everything_else_is_the_models_own(journal: Journal) -> None:
    lm = Echo()
    model = wrapped(lm, journal, batch_size=2)
    assert isinstance(model, LM)
    assert (model.rank, model.world_size, model.device) == (0, 1, None)
    assert model.gather_object("x") == ["x"]
    assert model.all_gather("x") == "x"
    model.barrier()
    assert model.tokenizer == "a tokenizer"
    assert model.tokenizer_name == "echo"
    assert model.chat_template() == ""
    assert model.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=False).endswith("False")
    assert model.loglikelihood([request("a")]) == [(-1.0, True)]
    assert model.loglikelihood_rolling([request("a")]) == [-1.0]
    assert not hasattr(model, "get_model_info")


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, 1),
        ({"batch_size": 8}, 8),
        ({"batch_size": "16"}, 16),
        ({"batch_size": "auto"}, 1),
        ({"batch_size": 1, "_concurrent": 5}, 40),
        ({"batch_size": 1, "_concurrent": 1}, 1),
    ],
)
def test_batch_size_of_a_model_of_an_unknown_kind(attributes: dict[str, Any], size: int) -> None:
    assert own_batch_size(type("Backend", (), attributes)()) == size


def test_derived_seeds_depend_on_the_run_and_the_question_alone() -> None:
    distinct, keys = distinct_requests([request(prompt) for prompt in "ab"])
    assert derived_seed(1, keys) == derived_seed(1, [question.key for question in distinct])
    assert len({derived_seed(seed, part) for seed in (1, 2) for part in (keys, keys[:1], keys[1:], keys[::-1])}) == 8
    assert [Request(keys[0], request("a", **how)).is_sampled for how in ({}, {"do_sample": True})] == [False, True]


@pytest.mark.parametrize("generation", [GREEDY, SAMPLED])
def test_a_real_model_interrupted_anywhere_gives_the_same_responses(
    random_model: Path, tmp_path: Path, generation: dict[str, Any]
) -> None:
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(random_model), device="cpu", batch_size=3)
    asked = [item for k in range(4) for item in [request(f"Problem {k}" + "x" * k, repeats=2, **generation)] * 2]
    whole = tmp_path / "whole.jsonl"
    with Journal(whole, HEADER) as journal:
        expected = wrapped(lm, journal, batch_size=3, seed=7).generate_until(asked)
    assert len(set(expected)) == (8 if generation is SAMPLED else 4)
    lines = whole.read_bytes().splitlines(keepends=True)
    for kept in (1, 3, 4, 6, 8):
        path = tmp_path / f"{kept}.jsonl"
        path.write_bytes(b"".join(lines[:kept]) + b'{"torn')
        with Journal(path, HEADER) as journal:
            responses = wrapped(lm, journal, batch_size=3, seed=7).generate_until(asked)
        assert responses == expected
        assert [usage_of(item) for item in responses] == [usage_of(item) for item in expected]
        assert responses_in(path) == responses_in(whole)


def test_the_bar_counts_responses_and_says_how_many_requests_failed(capsys: pytest.CaptureFixture[str]) -> None:
    key = request_key("p", {}, 0)
    with Progress(3, 3, visible=True) as bar:
        bar.add([Entry(key, "a", Usage(4, "stop", "reported")), Entry(key, None), Entry(key, None)])
    last = capsys.readouterr().err.rstrip().replace("\r", "\n").splitlines()[-1]
    assert "1/3" in last
    assert "2 failed" in last
