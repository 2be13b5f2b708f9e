"""Neutral decoding against bare loops over a real model whose configuration has opinions, and the model's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.cli.regrade import regrade
from roi_bench.errors import UsageError
from roi_bench.harness import sending as decoding
from roi_bench.harness.run import run
from roi_bench.harness.sending import (
    arguments_for,
    neutral_arguments,
    neutral_generation_config,
    own_temperature,
)
from roi_bench.records.results import find_results, read_results
from roi_bench.scoring.task_settings import GREEDY, SAMPLED, asked_decoding
from tests.harness.harness_runs import simple_evaluate
from tests.harness.random_model import random_model
from tests.harness.scripted_model import ScriptedModel, always
from tests.support.messages import shows
from tests.support.roi_runs import HARD, command, results_in, samples_in

__all__ = ["random_model"]

SOLO, BUDGET, END = "roi_tiny_solo_128", 128, 1

GREEDY_OPINIONS = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "suppress_tokens": [40, 41, 42], "top_k": 5}

OPINIONS = {
    **GREEDY_OPINIONS,
    "do_sample": True,
    "temperature": 1.7,
    "top_p": 0.8,
    "min_p": 0.1,
    "typical_p": 0.9,
    "top_h": 0.5,
    "epsilon_cutoff": 0.01,
    "eta_cutoff": 0.01,
    "max_new_tokens": 20,
    "min_new_tokens": 100,
    "min_length": 900,
    "begin_suppress_tokens": [50, 51],
    "bad_words_ids": [[60], [61]],
    "forced_bos_token_id": 70,
    "forced_eos_token_id": END,
    "exponential_decay_length_penalty": [5, 1.5],
    "num_beams": 2,
    "length_penalty": 0.5,
    "sequence_bias": [[[80], 5.0]],
    "guidance_scale": 1.5,
    "stop_strings": ["e"],
    "token_healing": True,
    "prompt_lookup_num_tokens": 3,
    "return_dict_in_generate": True,
    "early_stopping": True,
}
"""Every field of a generation configuration that shapes a response, set to something else than nothing."""

WITHOUT_SHAPE = {
    *decoding.KEPT,
    *("do_sample", "temperature"),  # the task's own, in every request
    *("max_length", "max_new_tokens"),  # lm_eval's own, in every request; taken out of the model's (keep_the_budget)
    *("output_attentions", "output_hidden_states", "output_logits", "output_scores", "transformers_version"),
    *("renormalize_logits", "remove_invalid_values"),  # neither an order nor a share of probability changes
    *("low_memory", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "speculation_type"),
    *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight"),
    *("max_matching_ngram_size", "continuous_batching_config", "_from_model_config"),  # need what is switched off
}


def with_opinions(model: Path, folder: Path, opinions: Mapping[str, Any]) -> Path:
    """Return a copy of ``model`` whose generation configuration has ``opinions``."""
    shutil.copytree(model, folder)
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **opinions}))
    return folder


@pytest.fixture(scope="module")
def opinionated(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_opinions(random_model, tmp_path_factory.mktemp("opinions") / "model", OPINIONS)


@pytest.fixture(scope="module")
def penalized(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_opinions(random_model, tmp_path_factory.mktemp("penalties") / "model", GREEDY_OPINIONS)


def loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32"), AutoTokenizer.from_pretrained(folder)


def bare_loop(model: Any, tokenizer: Any, prompt: str, temperature: float = 0.0) -> str:
    """Decode one token after the other: the likeliest, or one drawn at ``temperature``, and nothing else."""
    import torch

    ids = tokenizer(prompt, return_tensors="pt").input_ids
    begin = ids.shape[1]
    with torch.no_grad():
        while ids.shape[1] < begin + BUDGET and (ids.shape[1] == begin or ids[0, -1] != END):
            scores = model(ids).logits[0, -1]
            if temperature:
                token = torch.multinomial(torch.softmax(scores / temperature, dim=-1), num_samples=1)
            else:
                token = scores.argmax().reshape(1)
            ids = torch.cat([ids, token[None]], dim=1)
    return str(tokenizer.decode(ids[0, begin:], skip_special_tokens=True))


def plain(folder: Path, task: str = HARD, metadata: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    arguments = {"pretrained": str(folder), "dtype": "float32"}
    return simple_evaluate(
        [task], model="hf", model_args=arguments, metadata=metadata, device="cpu", **{"limit": 2, **options}
    )


def asked_and_answered(samples: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any], str]]:
    """Return prompt, generation arguments and first response of every request."""
    found = []
    for sample in samples:
        asked = sample["arguments"]
        if isinstance(asked, dict):  # as it stands in the samples file
            asked = [(item["arg_0"], item["arg_1"]) for item in asked.values()]
        found += [(prompt, sent, texts[0]) for (prompt, sent), texts in zip(asked, sample["resps"], strict=True)]
    return found


# ------------------------------------------------------------------------------------------------ with a real model
def test_plain_lm_eval_writes_what_a_bare_greedy_loop_writes(
    opinionated: Path, random_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = plain(opinionated)
    said = capfd.readouterr().err
    assert "generation flags" not in said
    assert "max_new_tokens" not in said
    answers = asked_and_answered(results["samples"][HARD])
    model, tokenizer = loaded(random_model)
    assert [text for _, _, text in answers] == [bare_loop(model, tokenizer, prompt) for prompt, _, _ in answers]
    assert max(len(text) for _, _, text in answers) > 20  # the model's own max_new_tokens is not the budget
    config = results["configs"][HARD]
    assert config["generation_kwargs"] == {**GREEDY, "max_gen_toks": BUDGET}
    assert "task_alias" not in config or "[" not in config["task_alias"]
    assert config["metadata"]["roi_bench"]["deviations"] == []
    assert config["metadata"]["roi_bench"]["decoding"] == "neutral"


def test_our_runner_writes_the_same_and_its_numbers_come_back(
    opinionated: Path, random_model: Path, tmp_path: Path
) -> None:
    run(command(opinionated, tmp_path, "--batch_size", "1", limit=2))
    answers = asked_and_answered(samples_in(tmp_path))
    model, tokenizer = loaded(random_model)
    assert [text for _, _, text in answers] == [bare_loop(model, tokenizer, prompt) for prompt, _, _ in answers]
    (task,) = read_results(find_results(tmp_path)[0])
    assert task.decoding == {"do_sample": False, "temperature": 0.0}
    assert (task.record.decoding, task.record.deviations) == ("neutral", ())
    regraded = CliRunner().invoke(regrade, [str(tmp_path)])
    assert regraded.exit_code == 0, regraded.output


def test_a_model_without_opinions_is_asked_as_ever(random_model: Path) -> None:
    answers = asked_and_answered(plain(random_model, limit=1)["samples"][HARD])
    assert [sent for _, sent, _ in answers] == [{**GREEDY, "max_gen_toks": BUDGET}] * 2


def test_the_models_own_decoding_is_asked_for_and_labelled(penalized: Path, random_model: Path, tmp_path: Path) -> None:
    metadata = {"decoding": "model"}
    results = plain(penalized, metadata=metadata)
    answers = asked_and_answered(results["samples"][HARD])
    model, tokenizer = loaded(penalized)
    for prompt, sent, text in answers:
        assert sent == {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": BUDGET}
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        written = model.generate(ids, max_new_tokens=BUDGET)[0, ids.shape[1] :]
        assert text == tokenizer.decode(written, skip_special_tokens=True)
        assert text != bare_loop(*loaded(random_model), prompt)
    config = results["configs"][HARD]
    assert config["task_alias"] == f"{HARD} [decoding=model]"
    assert config["metadata"]["roi_bench"]["decoding"] == "model"
    run(command(penalized, tmp_path, "--batch_size", "1", "--metadata", json.dumps(metadata), limit=2))
    assert [text for _, _, text in asked_and_answered(samples_in(tmp_path))] == [text for _, _, text in answers]
    (task,) = read_results(find_results(tmp_path)[0])
    assert task.decoding == {"decoding": "model"}
    assert (task.record.decoding, task.record.deviations) == ("model", ("decoding=model",))


def test_sampling_is_the_temperature_and_nothing_else(opinionated: Path, random_model: Path) -> None:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(opinionated), dtype="float32", device="cpu")
    decoding.keep_the_budget(lm)
    sent = arguments_for(lm, "neutral", {**SAMPLED, "max_gen_toks": BUDGET})
    assert sent.items() >= {"top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "temperature": 0.7}.items()
    model, tokenizer = loaded(random_model)
    texts = set()
    for seed in range(3):
        request = Instance(request_type="generate_until", doc={}, arguments=("Problem 1", sent), idx=0)
        torch.manual_seed(seed)
        (text,) = lm.generate_until([request], disable_tqdm=True)
        torch.manual_seed(seed)
        assert text == bare_loop(model, tokenizer, "Problem 1", temperature=0.7)
        texts.add(text)
    assert len(texts) == 3


def test_a_solo_task_samples_alike_whatever_the_model_would_add(opinionated: Path, random_model: Path) -> None:
    with_and_without = [
        plain(folder, SOLO, {"repeats": 2}, limit=1)["samples"][SOLO] for folder in (opinionated, random_model)
    ]
    ours, theirs = ([sample["resps"] for sample in samples] for samples in with_and_without)
    assert ours == theirs
    ((first, second),) = ours[0]
    assert first != second
    assert asked_and_answered(with_and_without[1])[0][1]["top_k"] == 0  # transformers would take 50


def test_arguments_of_the_user_win_and_are_labelled(penalized: Path) -> None:
    results = plain(penalized, limit=1, gen_kwargs="repetition_penalty=1.2")
    (_, sent, _), *_ = asked_and_answered(results["samples"][HARD])
    assert (sent["repetition_penalty"], sent["no_repeat_ngram_size"]) == (1.2, 0)
    assert results["configs"][HARD]["metadata"]["roi_bench"]["deviations"] == ["repetition_penalty=1.2"]


def test_a_temperature_of_the_user_stands_beside_the_models_own(penalized: Path) -> None:
    results = plain(penalized, limit=1, metadata={"decoding": "model"}, gen_kwargs="temperature=0.5")
    (_, sent, _), *_ = asked_and_answered(results["samples"][HARD])
    assert sent == {"until": [], "do_sample": True, "temperature": 0.5, "max_gen_toks": BUDGET}
    labels = results["configs"][HARD]["metadata"]["roi_bench"]["deviations"]
    assert labels == ["decoding=model", "do_sample=True", "temperature=0.5"]


def test_a_model_made_by_hand_is_asked_neutrally_too(opinionated: Path, random_model: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loaded(opinionated)
    results = simple_evaluate(
        [HARD], model=HFLM(pretrained=model, tokenizer=tokenizer), model_args={}, metadata=None, limit=1
    )
    bare, _ = loaded(random_model)
    for prompt, _, text in asked_and_answered(results["samples"][HARD]):
        assert text == bare_loop(bare, tokenizer, prompt)


# ------------------------------------------------------------------------------------------------ what is sent
def test_every_field_that_transformers_has_is_switched_off_or_known_to_shape_nothing() -> None:
    from transformers import GenerationConfig

    switched = {*decoding.ALWAYS, *decoding.SAMPLING, *decoding.BEAMS, "top_k"}
    assert set(vars(GenerationConfig())) <= switched | WITHOUT_SHAPE
    assert not switched & WITHOUT_SHAPE


def test_beams_of_the_user_are_his_alone() -> None:
    config = SimpleNamespace(length_penalty=0.5, early_stopping=True)
    assert neutral_arguments(config, GREEDY) == {}
    assert neutral_arguments(config, {**GREEDY, "num_beams": 4}) == {"length_penalty": 1.0, "early_stopping": False}


def test_a_neutral_configuration_keeps_the_ends_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import GenerationConfig

    plain_one = neutral_generation_config(
        GenerationConfig(eos_token_id=[1, 2], pad_token_id=0, repetition_penalty=1.3, forced_eos_token_id=1)
    )
    assert (plain_one.eos_token_id, plain_one.pad_token_id) == ([1, 2], 0)
    assert neutral_arguments(plain_one, GREEDY) == {}
    assert neutral_arguments(plain_one, SAMPLED) == {"top_k": 0}
    assert "generation flags" not in capfd.readouterr().err
    told = {name for name, value in vars(plain_one).items() if value is not None}
    assert told <= {*decoding.KEPT, "transformers_version", "_from_model_config"}


class LikeVLLM:
    """What the fixture gives out for lm_eval's class."""

    model: Any


@pytest.fixture
def known_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lm_eval's vLLM class be the one above."""
    monkeypatch.setitem(sys.modules, "lm_eval.models.vllm_causallms", SimpleNamespace(VLLM=LikeVLLM))  # type: ignore[arg-type]


def vllm_like(fields: Mapping[str, Any]) -> Any:
    """Return what looks like lm_eval's vLLM backend with a model whose generation configuration has ``fields``."""
    lm, shown = LikeVLLM(), {name: fields[name] for name in ("temperature", *decoding.OF_VLLM) if name in fields}
    config = SimpleNamespace(try_get_generation_config=lambda: dict(fields), get_diff_sampling_param=lambda: shown)
    lm.model = SimpleNamespace(llm_engine=SimpleNamespace(model_config=config))
    return lm


@pytest.mark.usefixtures("known_vllm")
def test_vllm_needs_nothing_to_be_neutral_and_is_told_the_models_own_values_outright() -> None:
    fields = {"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1, "eos_token_id": [1, 2]}
    task = {**GREEDY, "max_gen_toks": 8}
    assert arguments_for(vllm_like(fields), "neutral", task) == task
    own = {"until": [], "decoding": "model", "max_gen_toks": 8}
    drawn = {"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1}
    assert arguments_for(vllm_like(fields), "model", own) == {**drawn, "until": [], "max_gen_toks": 8}
    greedy = {**fields, "do_sample": False}
    expected = {"do_sample": False, "temperature": 0.0, "repetition_penalty": 1.1, "until": [], "max_gen_toks": 8}
    assert arguments_for(vllm_like(greedy), "model", own) == expected
    assert arguments_for(vllm_like(fields), "model", {**own, "temperature": 0.2})["temperature"] == 0.2


def test_without_a_temperature_of_its_own_a_model_samples_at_one() -> None:
    assert own_temperature({"do_sample": True, "temperature": None}) == {"do_sample": True, "temperature": 1.0}
    assert own_temperature({"temperature": 0.6}) == {"do_sample": False, "temperature": 0.0}


# ------------------------------------------------------------------------------------------------ what is refused
def test_another_decoding_is_refused() -> None:
    assert (asked_decoding({}), asked_decoding({"decoding": "model"})) == ("neutral", "model")
    with pytest.raises(UsageError, match=shows("decoding", "'modell'", "--metadata", "'model'")):
        asked_decoding({"decoding": "modell"})


@pytest.mark.usefixtures("known_vllm")
def test_the_own_decoding_of_what_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=shows("ScriptedModel", "decoding")):
        simple_evaluate(
            [HARD], model=ScriptedModel(always("x")), model_args={}, metadata={"decoding": "model"}, limit=1
        )
    lm = vllm_like({})
    lm.model = None
    with pytest.raises(UsageError, match=shows("vllm", "data_parallel_size", "decoding")):
        arguments_for(lm, "model", {})


def test_decoding_is_no_generation_argument(random_model: Path) -> None:
    with pytest.raises(UsageError, match=shows("decoding", "--metadata")):
        plain(random_model, gen_kwargs="decoding=model")


def test_results_of_the_models_own_decoding_are_read_as_such(tmp_path: Path, penalized: Path) -> None:
    from roi_bench.errors import RecordError

    run(command(penalized, tmp_path, "--metadata", '{"decoding": "model"}', limit=1))
    path = find_results(tmp_path)[0]
    found = results_in(tmp_path)
    found["configs"][HARD]["metadata"]["roi_bench"]["decoding"] = "other"
    path.write_text(json.dumps(found))
    with pytest.raises(RecordError, match=shows(HARD, "'decoding'")):
        read_results(path)
