"""Transformers behind the protocol: finished rows leave, memory gives the batch size, ends are those of vLLM."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from roi_bench.errors import DependencyError
from roi_bench.harness.engines import huggingface as free_memory
from roi_bench.harness.engines.huggingface import HuggingFaceEngine, can_leave, goes_in_stretches
from roi_bench.harness.engines.local import MeteredEngine
from roi_bench.harness.journaled_model import JournaledModel
from roi_bench.harness.model_loading import engine_of, load_model
from roi_bench.harness.run import run
from roi_bench.records.journal import Header, Journal, read_journal, read_starts
from roi_bench.scoring.tokens import Usage
from tests.harness.random_model import random_model

__all__ = ["random_model"]

HEADER = Header({"model": "hf"})
BUDGET = 80
PROMPTS = [f"Problem {'x' * (7 * k % 31)} {k}" for k in range(13)]


def request(prompt: str, **generation: Any) -> Instance:
    asked = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": BUDGET, **generation}
    return Instance("generate_until", {}, (prompt, asked), 0, metadata=("task", 0, 1))


def hf_model(folder: Path, **arguments: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", **arguments)


def ask(engine: Any, path: Path, asked: list[Instance]) -> list[Any]:
    with Journal(path, HEADER) as journal:
        return JournaledModel(engine, journal, show_progress=False).generate_until(asked)


def bare_generation(lm: Any, prompt: str, ends: frozenset[int]) -> list[int]:
    """Return the tokens of a bare greedy loop over the model's logits, end token included."""
    import torch

    ids, found = lm.tokenizer(prompt).input_ids, []
    while len(found) < BUDGET and not set(found) & ends:
        with torch.no_grad():
            found.append(int(lm.model(torch.tensor([ids + found])).logits[0, -1].argmax()))
    return found


class Counted:
    """A model's forward pass that counts the rows it works on."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, forward = 0, model.forward

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.rows += len(kwargs["input_ids"])
            return forward(*args, **kwargs)

        counting.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
        monkeypatch.setattr(model, "forward", counting)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_rows_leave_and_texts_and_counts_stay(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    lm = hf_model(random_model, dtype="float32")
    bare = [bare_generation(lm, prompt, frozenset([lm.eot_token_id])) for prompt in PROMPTS]
    assert 2 < sum(len(tokens) < BUDGET for tokens in bare) < len(PROMPTS)
    counted = Counted(lm.model, monkeypatch)
    engine = HuggingFaceEngine(lm, batch_size=batch_size)
    responses = ask(engine, tmp_path / "journal.jsonl", [request(prompt) for prompt in PROMPTS])
    for tokens, response in zip(bare, responses, strict=True):
        assert response == lm.tok_decode(tokens)
        ended = tokens[-1] == lm.eot_token_id
        assert response.usage == Usage(len(tokens), "stop" if ended else "length", "generated")
    if batch_size == 64:  # at most one stretch of 32 too many a row, where the whole batch would run to its longest
        assert counted.rows <= sum(min(BUDGET, len(tokens) + 32) for tokens in bare) < BUDGET * len(PROMPTS)
    entries = read_journal(tmp_path / "journal.jsonl")[1].values()
    assert {entry.extra["prompt_tokens"] for entry in entries} == {len(lm.tok_encode(prompt)) for prompt in PROMPTS}


def test_a_stop_string_ends_a_row(random_model: Path, tmp_path: Path) -> None:
    lm = hf_model(random_model, dtype="float32")
    free = ask(HuggingFaceEngine(lm, batch_size=8), tmp_path / "free.jsonl", [request(prompt) for prompt in PROMPTS])
    stop = str(free[0])[5:8]
    asked = [request(prompt, until=[stop]) for prompt in PROMPTS]
    stopped = ask(HuggingFaceEngine(lm, batch_size=8), tmp_path / "stopped.jsonl", asked)
    assert stopped == [str(text).split(stop)[0] for text in free]
    assert stopped[0].usage.tokens < free[0].usage.tokens


def test_a_row_ends_at_the_tokenizers_end_token_though_the_model_names_another(
    random_model: Path, tmp_path: Path
) -> None:
    lm = hf_model(random_model, dtype="float32")
    tokens = bare_generation(lm, PROMPTS[0], frozenset())
    other = next(token for token in tokens[5:] if token not in tokens[:5] and token != lm.eot_token_id)
    lm.model.generation_config.eos_token_id = other
    responses = ask(HuggingFaceEngine(lm, batch_size=8), tmp_path / "a.jsonl", [request(prompt) for prompt in PROMPTS])
    for prompt, response in zip(PROMPTS, responses, strict=True):
        bare = bare_generation(lm, prompt, frozenset([lm.eot_token_id, other]))
        assert response.usage == Usage(
            len(bare), "stop" if set(bare) & {lm.eot_token_id, other} else "length", "generated"
        )
        assert response == lm.tok_decode(bare)


def test_sampling_repeats_itself_and_draws_by_batch(random_model: Path, tmp_path: Path) -> None:
    asked = [request(prompt, do_sample=True, temperature=1.5) for prompt in PROMPTS]
    lm = hf_model(random_model, dtype="float32")
    drawn = [
        ask(HuggingFaceEngine(lm, batch_size=4, seed=seed), tmp_path / f"{name}.jsonl", asked)
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("change", "leaves"),
    [
        (lambda lm: None, True),
        (lambda lm: setattr(lm.model, "_is_stateful", True), False),
        (lambda lm: setattr(lm.model.generation_config, "cache_implementation", "static"), False),
        (lambda lm: setattr(lm.model.generation_config, "use_cache", False), False),
        (lambda lm: setattr(lm, "backend", "seq2seq"), False),
    ],
)
def test_rows_leave_only_where_the_state_is_a_cache_that_they_can_leave(
    random_model: Path, change: Any, leaves: bool
) -> None:
    lm = hf_model(random_model)
    change(lm)
    assert can_leave(lm) == leaves


@pytest.mark.parametrize(
    ("own", "asked", "in_stretches"),
    [
        ({}, {}, True),
        ({"repetition_penalty": 1.3, "no_repeat_ngram_size": 3}, {}, True),  # they look at the whole response
        ({"min_new_tokens": 5}, {}, False),
        ({"min_new_tokens": 5}, {"min_new_tokens": None}, True),
        ({}, {"num_beams": 2}, False),
        ({"forced_eos_token_id": 3}, {}, False),
    ],
)
def test_what_acts_at_a_place_in_the_response_is_generated_at_once(
    random_model: Path, own: dict[str, Any], asked: dict[str, Any], in_stretches: bool
) -> None:
    lm = hf_model(random_model)
    for name, value in own.items():
        setattr(lm.model.generation_config, name, value)
    assert goes_in_stretches(lm, asked) == in_stretches


def test_a_model_whose_rows_cannot_leave_is_asked_in_lm_evals_way(random_model: Path, tmp_path: Path) -> None:
    lm = hf_model(random_model, dtype="float32")
    expected = ask(HuggingFaceEngine(lm, batch_size=5), tmp_path / "a.jsonl", [request(prompt) for prompt in PROMPTS])
    other = hf_model(random_model, dtype="float32")
    other.model._is_stateful, calls, original = True, [], other._model_generate
    other._model_generate = lambda **arguments: [calls.append(1), original(**arguments)][1]
    engine = HuggingFaceEngine(other, batch_size=5)
    other.model._is_stateful = False  # transformers would ask for another kind of cache
    assert ask(engine, tmp_path / "b.jsonl", [request(prompt) for prompt in PROMPTS]) == expected
    assert len(calls) == 3


def test_a_subclass_with_a_loop_of_its_own_is_asked_through_it(random_model: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    class Steered(HFLM):
        def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
            return super()._model_generate(*args, **kwargs)

    class Renamed(HFLM):
        """Somebody's own model, which generates as its parent does."""

    assert isinstance(engine_of(Steered(pretrained=str(random_model), device="cpu")), MeteredEngine)
    assert isinstance(engine_of(Renamed(pretrained=str(random_model), device="cpu")), HuggingFaceEngine)


# ------------------------------------------------------------------------------------------------ batch size
CONFIG = SimpleNamespace(
    num_hidden_layers=2,
    hidden_size=8,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=16,
    vocab_size=10,
)


def fake_model(kind: str, config: Any = CONFIG) -> Any:
    return SimpleNamespace(device=SimpleNamespace(type=kind), dtype=SimpleNamespace(itemsize=2), config=config)


def test_a_row_takes_its_keys_and_values_activations_and_logits() -> None:
    cache = 2 * 2 * 2 * 2 * 100 * 2  # keys and values, layers, heads, size of a head, tokens, bytes
    assert free_memory.bytes_per_row(fake_model("cpu"), 100) == cache + 100 * (8 * 8 + 3 * 16) * 2 + 3 * 4 * 10
    assert free_memory.bytes_per_row(fake_model("cpu", SimpleNamespace()), 100) is None


@pytest.mark.parametrize(
    ("kind", "rows_that_fit", "size"),
    [("cpu", 20.0, 10), ("cpu", 1e9, 24), ("cuda", 1e9, 256), ("cuda", 0.5, 1), ("cuda", None, 8)],
)
def test_half_of_the_free_memory_is_planned_with(
    monkeypatch: pytest.MonkeyPatch, kind: str, rows_that_fit: float | None, size: int
) -> None:
    row = free_memory.bytes_per_row(fake_model(kind), 100) or 0
    free = None if rows_that_fit is None else int(rows_that_fit * row)
    monkeypatch.setattr(free_memory, "free_bytes", lambda device: free)
    assert free_memory.batch_size_for(fake_model(kind), 100) == size


def test_an_automatic_batch_size_is_journalled_and_kept_by_later_starts_that_leave_it_open(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(limit: int, rows: int, *more: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(
            "roi_bench.harness.engines.huggingface.batch_size_for", lambda model, tokens, processes=1: rows
        )
        run(
            [
                *("--model", "hf", "--model_args", f"pretrained={random_model},dtype=float32", "--device", "cpu"),
                *("--tasks", "roi_tiny_hard_128", "--limit", str(limit), "--output_path", str(tmp_path), *more),
            ]
        )
        (path,) = tmp_path.rglob("journal-*.jsonl")
        return [dict(found.about["engine"]) for found in read_starts(path)]

    def sizes(starts: list[dict[str, Any]]) -> list[tuple[int, bool]]:
        return [(facts["batch_size"], facts["batch_size_is_automatic"]) for facts in starts]

    assert sizes(start(2, 3)) == [(3, True)]
    assert sizes(start(3, 7)) == [(3, True), (3, True)]
    assert sizes(start(4, 7, "--batch_size", "2")) == [(3, True), (3, True), (2, False)]
    assert sizes(start(5, 7, "--batch_size", "auto"))[-1] == (3, True)
    assert sizes(start(5, 7)) == [(3, True), (3, True), (2, False), (3, True)]  # nothing was missing, nothing is added


def test_what_could_be_faster_is_said(random_model: Path) -> None:
    lm = hf_model(random_model)
    assert HuggingFaceEngine(lm, batch_size=4).advice(500) is None
    assert HuggingFaceEngine(lm).advice(500) is None
    assert "--batch_size 1" in str(HuggingFaceEngine(lm, batch_size=1).advice(500))
    assert HuggingFaceEngine(lm, batch_size=1).advice(1) is None


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("torch", "torch is installed but .*pip install --force-reinstall --no-deps torch$"),
        ("not_there", r"is missing: .*pip install 'roi-bench\[hf\]'$"),
    ],
)
def test_a_package_that_is_there_in_part_is_not_called_missing(monkeypatch, package, said):
    def fail(_):
        raise ModuleNotFoundError(f"No module named '{package}.part'", name=f"{package}.part")

    monkeypatch.setattr("lm_eval.api.registry.get_model", fail)
    config = SimpleNamespace(model="hf", model_args={}, apply_chat_template=False)
    with pytest.raises(DependencyError, match=said):
        load_model(config)
