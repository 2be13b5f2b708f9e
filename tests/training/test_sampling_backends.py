"""What writes samples: choice of a backend, exact usage, the GPU's memory, and vLLM through the runner."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest

from roi_bench.errors import DependencyError, ModelError, RecordError, UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.harness import model_loading
from roi_bench.harness.engines.local import LocalEngine
from roi_bench.harness.engines.protocol import exam_fields
from roi_bench.records.journal import Entry
from roi_bench.scoring.prompts import exam_prompt
from roi_bench.scoring.tokens import Usage
from roi_bench.training.mft import mft
from roi_bench.training.mft import mft as sampling_backends
from roi_bench.training.mft.mft import BaseModelEngine, choose_backend, on_gpu, response_of, sampling_engine
from roi_bench.training.plan.recipe import Sampling, TierCounts, differences, load_recipe, stage_settings
from tests.api.provider_server import ProviderServer, Reply
from tests.training.tiny_labels import problems, tokenizer

SETTINGS = ["context=900", "vllm.gpu_memory_utilization=0.5", "vllm.tensor_parallel_size=2", "sampling.backend=vllm"]


def written(model, prompts, cap, seed):
    """Text and usage of each prompt as sampled."""
    return BaseModelEngine(model, tokenizer(), load_recipe("test").sampling, cap, 0)._write(prompts, seed)


def solo_prompt(problem):
    return exam_prompt([problem.question], 128, "solo")


# ----------------------------------------------------------------- choice


def test_the_backend_that_is_asked_for_is_taken(monkeypatch):
    assert choose_backend("transformers") == "transformers"
    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: None)
    assert choose_backend("auto") == "transformers"
    assert choose_backend("vllm") == "vllm"  # whether it is there, packages and loading say


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
    first = written(model, prompts, 40, seed=7)
    assert written(model, prompts, 40, seed=7) == first
    assert written(model, prompts, 40, seed=8) != first
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
    plain = written(model, prompts, 20, seed=7)
    config = model.generation_config
    config.repetition_penalty, config.no_repeat_ngram_size, config.top_k, config.min_new_tokens = 5.0, 1, 1, 19
    assert written(model, prompts, 20, seed=7) == plain


def test_a_prompt_is_answered_beside_longer_ones():
    """Padding stands before the prompt; behind it, the model would continue the padding."""
    from roi_bench.training.stages.model import base_model_name, load_model

    small = load_recipe("test")
    model = load_model(base_model_name(small), small).eval()
    easy = problems(6)["easy"]
    long = exam_prompt([problem.question for problem in easy[:3]], 128, "metacognitive")
    prompts = [long, *map(solo_prompt, easy)]
    answers = written(model, prompts, 40, seed=1)[1:]
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

    def write(engine, prompts, seed):
        places[:] = engine._model.places
        return [(reply(prompt), Usage(20, "stop", "generated")) for prompt in prompts]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append([model() for model in models]))
    monkeypatch.setattr(mft, "load_model", load)
    monkeypatch.setattr(BaseModelEngine, "_write", write)
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


class FakeVllm(LocalEngine):
    """The runner's engine for vLLM, which takes all requests at once."""

    facts: ClassVar = {"name": "vllm", "batch_size": 8}

    def __init__(self, lm, seed):
        self.lm, self.seed, self.calls, self.closed = lm, seed, [], False

    def ask(self, job):
        self.calls.append([request.prompt for request in job.missing])
        job.record(
            [Entry(one.key, reply(one.prompt), Usage(20, "stop", "generated"), exam_fields(one)) for one in job.missing]
        )

    def close(self):
        self.closed = True


@pytest.fixture
def vllm(monkeypatch):
    """The configurations of loaded models, and the engines around them."""
    configs, engines = [], []

    def load(config):
        configs.append(config)
        return SimpleNamespace(rank=0, world_size=1)

    def engine_of(lm, *, seed):
        engines.append(FakeVllm(lm, seed))
        return engines[-1]

    monkeypatch.setattr(model_loading, "load_model", load)
    monkeypatch.setattr(model_loading, "engine_of", engine_of)
    monkeypatch.setattr(sampling_backends, "find_spec", lambda name: object())
    return configs, engines


def test_vllm_is_loaded_as_roi_bench_run_does_with_the_settings_of_the_recipe(vllm):
    recipe = load_recipe("test", SETTINGS)
    engine = sampling_engine(recipe, "vllm", tokenizer(), 40)
    (config,) = vllm[0]
    assert config.model == "vllm"
    assert config.model_args == {
        "pretrained": str(model_path()),
        "max_model_len": 900,
        "gpu_memory_utilization": 0.5,
        "tensor_parallel_size": 2,
    }
    assert config.apply_chat_template is False
    assert engine.seed == 0


def test_a_model_that_vllm_cannot_load_ends_in_the_runners_message(monkeypatch):
    """The very loading: without the package it names what is missing."""
    with pytest.raises(DependencyError, match=r"model 'vllm'.*roi-bench\[vllm\]"):
        sampling_engine(load_recipe("test", SETTINGS), "vllm", tokenizer(), 40)


def test_labels_are_made_of_what_vllm_wrote_and_it_is_closed_before_training(vllm, tmp_path, small):
    recipe = replace(small, sampling=replace(small.sampling, backend="vllm"), seed=2)
    assert len(mft.make_labels(recipe, tmp_path)) == 24
    ((engine,), (config,)) = vllm[1], vllm[0]
    assert [len(prompts) for prompts in engine.calls] == [24]
    assert (engine.seed, engine.closed) == (2_000_006, True)
    assert config.model_args == {"pretrained": str(model_path())}
    assert header_of(tmp_path)["about"]["backend"] == "vllm"


def test_vllm_out_of_memory_says_what_to_lower(vllm, monkeypatch, tmp_path, small):
    def full(engine, job):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(FakeVllm, "ask", full)
    recipe = replace(small, sampling=replace(small.sampling, backend="vllm"))
    with pytest.raises(ModelError, match=r"with vllm.*vllm\.gpu_memory_utilization"):
        mft.make_labels(recipe, tmp_path)


# ----------------------------------------------------------------- a teacher behind an API


def lesson(body):
    """The teacher's reply to a problem: right for every second one, in other words than the base model's."""
    asked = body["messages"][-1]["content"]
    found = [(index, one) for items in small_problems().values() for index, one in enumerate(items)]
    index, problem = next((index, one) for index, one in found if one.question in asked)
    return Reply(f"### Problem 1\n{problem.solution if index % 2 else 'I do not know.'}", 9)


@pytest.fixture
def taught(small, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "unused")

    def by(server, **more):
        arguments = {"model": "a-model", "base_url": server.url, "retry_wait": 0.02, **more}
        return replace(small, sampling=replace(small.sampling, backend="api", model_args=arguments))

    return by


def test_a_teacher_writes_the_solutions_and_the_base_models_tokens_are_counted(tmp_path, taught):
    with ProviderServer(lesson) as server:
        labels = mft.make_labels(taught(server), tmp_path)
        bodies = server.bodies
        assert mft.make_labels(taught(server), tmp_path) == labels
        assert len(server.bodies) == len(bodies) == 24  # nothing is asked, nor paid, twice
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.7, 128)}
    solved = [item for item in labels if item.level < 3]
    assert len(solved) == 12
    for item in solved:
        segment = f"### Problem 1\n<predicted_level>Level-0</predicted_level>\n{item.work}\n"
        assert item.cost == len(tokens_of(segment))  # not the 9 that the teacher said
    assert header_of(tmp_path)["run"]["teacher"]["model"] == "a-model"
    with pytest.raises(RecordError, match=r"teacher\.model"):
        mft.make_labels(replace(taught(server, model="another")), tmp_path)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (["sampling.backend=api"], r"sampling\.model_args.*teacher"),
        (["sampling.model_args.model=a"], r"sampling\.model_args.*'model'.*backend is api"),
        (
            ["sampling.backend=api", "sampling.model_args={model: a, api_key: s3cret}"],
            r"model_args\.api_key.*environment",
        ),
        (["sampling.backend=api", "sampling.model_args={model: a, provider_batch: true}"], r"provider_batch.*waits"),
    ],
)
def test_arguments_of_a_teacher_that_cannot_be_meant_are_refused(changes, facts):
    with pytest.raises(UsageError, match=facts) as caught:
        load_recipe("test", changes)
    assert "s3cret" not in str(caught.value)


def test_a_run_that_recorded_no_arguments_of_a_teacher_goes_on():
    asked = stage_settings(load_recipe("test"), "data")
    known = {key: value for key, value in asked.items() if key != "sampling.model_args"}
    assert asked["sampling.model_args"] == {}
    assert differences(known, asked) == []
    assert differences(known, {**asked, "sampling.model_args.model": "a"}) != []
