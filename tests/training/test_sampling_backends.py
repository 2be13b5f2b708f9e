"""What writes samples: choice of a backend, exact usage, the GPU's memory, and the calls of vLLM (a stand-in)."""

from __future__ import annotations

import json
import sys
import weakref
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from roi_bench.errors import DependencyError, ModelError
from roi_bench.exams.tiny import model_path
from roi_bench.scoring.prompts import exam_prompt
from roi_bench.scoring.tokens import Usage
from roi_bench.training.mft import mft
from roi_bench.training.mft import mft as sampling_backends
from roi_bench.training.mft.mft import (
    VLLM_BATCH,
    Seeds,
    choose_backend,
    on_gpu,
    response_of,
    transformers_generator,
    vllm_generator,
)
from roi_bench.training.plan.recipe import Sampling, TierCounts, load_recipe
from tests.training.tiny_labels import problems, tokenizer

ASKED = load_recipe("test", ["context=900", "vllm.gpu_memory_utilization=0.5", "vllm.tensor_parallel_size=2"])


def seeds(batch, requests=()):
    return Seeds(batch, requests)


def solo_prompt(problem):
    return exam_prompt([problem.question], 128, "solo")


# ----------------------------------------------------------------- choice


def test_the_backend_that_is_asked_for_is_taken(monkeypatch):
    assert choose_backend("transformers") == "transformers"
    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: None)
    assert choose_backend("auto") == "transformers"
    with pytest.raises(DependencyError, match=r"sampling\.backend.*vllm"):
        choose_backend("vllm")
    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: object())
    assert choose_backend("vllm") == "vllm"


def test_vllm_is_taken_by_itself_only_with_a_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_backend("auto") == "transformers"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_backend("auto") == "vllm"


# ----------------------------------------------------------------- tokens to response


def tokens_of(text):
    return tokenizer().encode(text, add_special_tokens=False)


def test_a_response_ends_at_its_end_token_which_counts():
    end, pad = tokenizer().eos_token_id, tokenizer().pad_token_id
    tokens = tokens_of("9 1 +5\n\\boxed{14}")
    text, usage = response_of([*tokens, end, pad, pad], {end}, tokenizer())
    assert (text, usage) == ("9 1 +5\n\\boxed{14}", Usage(len(tokens) + 1, "stop", "generated"))
    assert response_of([*tokens, end], {end}, tokenizer()) == (text, usage)  # at the last token of the cap
    assert response_of([*tokens, end, *tokens, end], {end}, tokenizer()) == (text, usage)
    assert response_of([*tokens, pad], {end, pad}, tokenizer()) == (text, usage)  # several ends


def test_a_response_without_an_end_was_cut():
    end = tokenizer().eos_token_id
    tokens = tokens_of("9 1 +5\n\\boxed{14}")
    text, usage = response_of(tokens, {end}, tokenizer())
    assert (text, usage) == ("9 1 +5\n\\boxed{14}", Usage(len(tokens), "length", "generated"))
    assert response_of([end], {end}, tokenizer()) == ("", Usage(1, "stop", "generated"))


def test_the_shipped_model_samples_the_same_for_the_same_seed_and_within_the_cap():
    from roi_bench.training.stages.model import base_model_name, load_model

    small = load_recipe("test")
    model = load_model(base_model_name(small), small).eval()
    prompts = [solo_prompt(problem) for items in problems(3).values() for problem in items]
    generate = transformers_generator(model, tokenizer(), 0.7, 40)
    first = generate(prompts, seeds(7))
    assert generate(prompts, seeds(7)) == first
    assert generate(prompts, seeds(8)) != first
    assert len(first) == len(prompts)
    for text, usage in first:
        assert usage.tokens <= 40
        assert (usage.finish_reason == "length") <= (usage.tokens == 40)
        assert "<|" not in text
    assert {usage.finish_reason for _, usage in first} == {"stop", "length"}  # easy ones end, hard ones are cut
    assert sum("\\boxed{" in text for text, _ in first) >= 3


def test_settings_of_the_models_own_do_not_shape_samples():
    from roi_bench.training.stages.model import base_model_name, load_model

    small = load_recipe("test")
    model = load_model(base_model_name(small), small).eval()
    prompts = [solo_prompt(problem) for problem in problems(3)["easy"]]
    plain = transformers_generator(model, tokenizer(), 0.7, 20)(prompts, seeds(7))
    config = model.generation_config
    config.repetition_penalty, config.no_repeat_ngram_size, config.top_k, config.min_new_tokens = 5.0, 1, 1, 19
    assert transformers_generator(model, tokenizer(), 0.7, 20)(prompts, seeds(7)) == plain


def test_a_prompt_is_answered_beside_longer_ones():
    """Padding stands before the prompt; behind it, the model would continue the padding."""
    from roi_bench.training.stages.model import base_model_name, load_model

    small = load_recipe("test")
    model = load_model(base_model_name(small), small).eval()
    easy = problems(6)["easy"]
    long = exam_prompt([problem.question for problem in easy[:3]], 128, "metacognitive")
    prompts = [long, *map(solo_prompt, easy)]
    answers = transformers_generator(model, tokenizer(), 0.7, 40)(prompts, seeds(1))[1:]
    right = [f"\\boxed{{{problem.answer}}}" in text for problem, (text, _) in zip(easy, answers, strict=True)]
    assert sum(right) >= 5


# ----------------------------------------------------------------- the GPU


class FakeWeights:
    """A model that notes where it was put, and refers to itself, as modules do."""

    def __init__(self, full=""):
        self.full, self.places, self.itself = full, [], self

    def eval(self):
        return self

    def to(self, place):
        if self.full:
            raise RuntimeError(self.full)
        self.places.append(place)
        return self


def small_problems():
    return problems(8)


def reply(prompt):
    """Right for every second problem, so that labels of all kinds are there."""
    found = [(index, one) for items in small_problems().values() for index, one in enumerate(items)]
    index, problem = next((index, one) for index, one in found if solo_prompt(one) == prompt)
    return f"### Problem 1\n{problem.solution if index % 2 else 'I do not know.'}"


@pytest.fixture
def small(monkeypatch):
    """A recipe whose training problems are at hand."""
    monkeypatch.setattr(mft, "sampled_problems", lambda *_: small_problems())
    sampling = Sampling(TierCounts(8, 8, 8), samples=1, batch_size=7, backend="transformers")
    return replace(load_recipe("test"), sampling=sampling)


@pytest.mark.parametrize("cuda", [True, False])
def test_labels_are_sampled_on_the_gpu_and_its_memory_is_free_afterwards(monkeypatch, tmp_path, small, cuda):
    import torch

    models, places, freed = [], [], []

    def load(name, recipe):
        model = FakeWeights()
        models.append(weakref.ref(model))
        return model

    def generator(model, tokenizer, temperature, cap):
        def generate(prompts, seeds):
            places[:] = model.places
            return [(reply(prompt), Usage(20, "stop", "generated")) for prompt in prompts]

        return generate

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append([model() for model in models]))
    monkeypatch.setattr(mft, "load_model", load)
    monkeypatch.setattr(mft, "transformers_generator", generator)
    labels = mft.make_labels(small, tmp_path)
    assert len(labels) == 24
    assert places == (["cuda"] if cuda else [])
    assert [model() for model in models] == [None]
    assert freed == ([[None]] if cuda else [])  # emptied when nothing held the model any more
    assert header_of(tmp_path)["about"] == {"backend": "transformers", "batch_size": 7}


def header_of(folder):
    return json.loads((folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()[0])


def test_a_model_too_large_for_the_gpu_is_said_to_be(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ModelError, match=r"GPU.*CUDA out of memory.*quantised"):
        on_gpu(FakeWeights("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError, match="no kernel image"):
        on_gpu(FakeWeights("no kernel image"))


# ----------------------------------------------------------------- vLLM


class FakeVllm(ModuleType):
    """As much of vLLM as is called; ``finish`` and ``failure`` say how a response ends, or what goes wrong where."""

    def __init__(self, failure=None, finish="stop"):
        super().__init__("vllm")
        self.failure, self.finish, self.calls, self.loaded = failure or {}, finish, [], []
        self.SamplingParams = SimpleNamespace

    def LLM(self, model, **settings):  # noqa: N802 - vLLM's name
        if "load" in self.failure:
            raise self.failure["load"]
        self.loaded.append((model, settings))
        return SimpleNamespace(generate=self.generate)

    def generate(self, prompts, sampling_params, use_tqdm):
        if "generate" in self.failure:
            raise self.failure["generate"]
        self.calls.append((prompts, sampling_params))
        return [self.answer(prompt["prompt_token_ids"]) for prompt in prompts]

    def answer(self, tokens):
        text = reply(tokenizer().decode(tokens))
        return SimpleNamespace(outputs=[SimpleNamespace(text=text, token_ids=tokens[:3], finish_reason=self.finish)])


@pytest.fixture
def fake_vllm(monkeypatch):
    def put(**settings):
        fake = FakeVllm(**settings)
        monkeypatch.setitem(sys.modules, "vllm", fake)
        return fake

    return put


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_vllm_gets_token_ids_and_a_seed_for_each_request(fake_vllm, finish):
    fake = fake_vllm(finish=finish)
    prompts = [solo_prompt(problem) for problem in small_problems()["easy"][:3]]
    generate = vllm_generator("some/model", tokenizer(), ASKED, 40)
    settings = {"max_model_len": 900, "gpu_memory_utilization": 0.5, "tensor_parallel_size": 2}
    assert fake.loaded == [("some/model", settings)]
    answers = generate(prompts, seeds(5, range(70, 73)))
    ((tokens, settings),) = fake.calls
    assert tokens == [{"prompt_token_ids": tokens_of(prompt)} for prompt in prompts]
    assert [vars(one) for one in settings] == [
        {"temperature": 0.7, "max_tokens": 40, "seed": seed} for seed in (70, 71, 72)
    ]
    assert [usage for _, usage in answers] == [Usage(3, finish, "generated")] * 3
    assert all(text.startswith("### Problem 1\n") for text, _ in answers)


@pytest.mark.parametrize(
    "error", [ValueError("No available memory\nfor the cache"), RuntimeError("Engine core failed"), OSError("")]
)
def test_a_model_that_vllm_cannot_load_is_named(fake_vllm, error):
    fake_vllm(failure={"load": error})
    reason = str(error).splitlines()[0] if str(error) else "OSError"
    with pytest.raises(ModelError, match=rf"'some/model'.*{reason}.*sampling\.backend: transformers"):
        vllm_generator("some/model", tokenizer(), ASKED, 40)


def test_vllm_out_of_memory_says_what_to_do(fake_vllm):
    fake_vllm(failure={"generate": RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")})
    with pytest.raises(ModelError, match=r"vLLM.*CUDA out of memory"):
        vllm_generator("some/model", tokenizer(), ASKED, 40)(["Start at 5."], seeds(0, [0]))
    fake_vllm(failure={"generate": RuntimeError("another failure")})
    with pytest.raises(RuntimeError, match="another failure"):
        vllm_generator("some/model", tokenizer(), ASKED, 40)(["Start at 5."], seeds(0, [0]))


def test_vllm_gets_all_prompts_in_one_call_and_the_run_writes_so(monkeypatch, fake_vllm, tmp_path, small):
    """Not in the batches of transformers: each would wait for its slowest response."""
    fake = fake_vllm()
    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: object())
    vllm = replace(small, sampling=replace(small.sampling, backend="vllm", batch_size=7), seed=2)
    assert len(mft.make_labels(vllm, tmp_path)) == 24
    ((tokens, settings),) = fake.calls
    assert len(tokens) == 24 < VLLM_BATCH
    assert [one.seed for one in settings] == list(range(2_000_006, 2_000_030))
    assert fake.loaded == [(str(model_path()), {})]
    assert header_of(tmp_path)["about"] == {"backend": "vllm", "batch_size": VLLM_BATCH}
