"""Token counts equal those of a bare generation loop, whatever lm_eval does around it."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from roi_bench.errors import ModelError
from roi_bench.harness.engines.metering import Meter, MeteredText, usage_of
from roi_bench.scoring.tokens import Usage
from tests.harness.random_model import random_model
from tests.support.messages import shows

__all__ = ["random_model"]

GREEDY = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 40}
PROMPTS = [f"Problem {'x' * (7 * k % 31)} {k}" for k in range(13)]


def request(prompt: str, **generation: Any) -> Instance:
    return Instance("generate_until", {}, (prompt, {**GREEDY, **generation}), 0)


def hf_model(folder: Path, **arguments: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", **arguments)


def bare_generation(lm: Any, prompt: str, budget: int = 40) -> list[int]:
    """Return the tokens that the model itself generates after ``prompt``, alone, end token included."""
    ids = lm.tokenizer(prompt, return_tensors="pt").input_ids
    output = lm.model.generate(ids, max_new_tokens=budget, do_sample=False, pad_token_id=lm.tokenizer.pad_token_id)
    tokens: list[int] = output[0, ids.shape[1] :].tolist()
    return tokens


def test_metered_text_is_its_text_everywhere() -> None:
    usage = Usage(3, "stop", "generated")
    text = MeteredText("abc", usage)
    assert text == "abc"
    assert hash(text) == hash("abc")
    for copied in (pickle.loads(pickle.dumps(text)), copy.deepcopy(text), copy.copy(text)):  # noqa: S301
        assert copied == "abc"
        assert usage_of(copied) == usage
    assert usage_of("abc") is None
    assert usage_of(None) is None
    assert MeteredText("abc").usage is None


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_counts_equal_a_bare_generation_loop(random_model: Path, batch_size: int) -> None:
    lm = hf_model(random_model, batch_size=batch_size)
    responses = Meter(lm).generate([request(prompt) for prompt in PROMPTS])
    ended = 0
    for prompt, response in zip(PROMPTS, responses, strict=True):
        tokens = bare_generation(lm, prompt)
        ends = tokens[-1] == lm.eot_token_id
        ended += ends
        assert response == lm.tok_decode(tokens)
        assert usage_of(response) == Usage(len(tokens), "stop" if ends else "length", "generated")
    assert 0 < ended < len(PROMPTS)


def test_an_end_on_the_last_token_of_the_budget_is_a_stop(random_model: Path) -> None:
    lm = hf_model(random_model, batch_size=2)
    prompt = next(prompt for prompt in PROMPTS if len(bare_generation(lm, prompt)) < 40)
    full = len(bare_generation(lm, prompt))
    for budget, reason in ((full, "stop"), (full - 1, "length"), (full + 1, "stop")):
        (response,) = Meter(lm).generate([request(prompt, max_gen_toks=budget)])
        assert usage_of(response) == Usage(min(full, budget), reason, "generated")  # type: ignore[arg-type]


def test_duplicates_and_sampling_keep_their_own_counts(random_model: Path) -> None:
    import torch

    lm = hf_model(random_model, batch_size=3)
    counted: list[list[int]] = []
    generate = lm._model_generate

    def recording(*args: Any, **kwargs: Any) -> Any:
        output = generate(*args, **kwargs)
        counted.extend(output[:, kwargs["context"].shape[1] :].tolist())
        return output

    lm._model_generate = recording
    meter = Meter(lm)
    torch.manual_seed(1)
    sampled = [request(PROMPTS[k % 2], do_sample=True, temperature=1.5) for k in range(9)]
    responses = meter.generate(sampled)
    by_text = {lm.tok_decode(row): row for row in counted}
    assert len(set(responses)) == len(by_text) == 9
    for response in responses:
        row = by_text[str(response)]
        end = row.index(lm.eot_token_id) + 1 if lm.eot_token_id in row else len(row)
        assert usage_of(response) == Usage(end, "length" if end == 40 and row[-1] != 1 else "stop", "generated")


def test_a_stop_string_ends_the_count_where_it_is_complete(random_model: Path) -> None:
    lm = hf_model(random_model, batch_size=64)
    plain = Meter(lm).generate([request(prompt) for prompt in PROMPTS])
    stops = [str(text)[5:7] for text in plain[:2]]  # two places in the middle of two responses
    stopped = Meter(lm).generate([request(prompt, until=stops) for prompt in PROMPTS])
    cut = 0
    for prompt, free, short in zip(PROMPTS, plain, stopped, strict=True):
        assert free is not None
        tokens = bare_generation(lm, prompt)
        found = [n for n in range(1, len(tokens) + 1) if any(stop in lm.tok_decode(tokens[:n]) for stop in stops)]
        if found:
            cut += 1
            assert usage_of(short) == Usage(found[0], "stop", "generated")
            assert short == min((str(free).split(stop)[0] for stop in stops), key=len)
        else:
            assert usage_of(short) == usage_of(free)
    assert 0 < cut < len(PROMPTS)


def test_the_models_own_cache_hook_is_still_called(random_model: Path) -> None:
    lm = hf_model(random_model, batch_size=4)
    heard: list[str] = []
    lm.set_cache_hook(SimpleNamespace(add_partial=lambda attr, req, res: heard.append(req[0])))
    Meter(lm).generate([request(prompt) for prompt in PROMPTS])
    assert sorted(heard) == sorted(PROMPTS)


class FakeVLLM(LM):
    """Does with requests what lm_eval's vLLM backend does: sorts, generates, tells the hook with other arguments."""

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        assert disable_tqdm
        order = sorted(range(len(requests)), key=lambda k: (-len(requests[k].args[0]), requests[k].args[0]))
        outputs = self._model_generate([requests[k].args[0] for k in order], generate=True)
        texts = [""] * len(requests)
        for k, output in zip(order, outputs, strict=True):
            texts[k] = output.outputs[0].text
            self.cache_hook.add_partial("generate_until", (requests[k].args[0], {"changed": True}), texts[k])
        return texts

    def _model_generate(self, requests: list[str], generate: bool = False) -> list[Any]:
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(
                        text=f"{prompt}!", token_ids=[0] * len(prompt), finish_reason="length" if k % 2 else "stop"
                    )
                ]
            )
            for k, prompt in enumerate(requests)
        ]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError


@pytest.fixture
def known_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lm_eval's class of that name be the fake."""
    monkeypatch.setitem(sys.modules, "lm_eval.models.vllm_causallms", SimpleNamespace(VLLM=FakeVLLM))  # type: ignore[arg-type]


@pytest.mark.usefixtures("known_vllm")
def test_vllm_reports_tokens_and_finish_reason() -> None:
    responses = Meter(FakeVLLM()).generate([request(prompt) for prompt in ("a", "ccc", "bb")])
    assert responses == ["a!", "ccc!", "bb!"]
    assert [usage_of(response) for response in responses] == [
        Usage(1, "stop", "generated"),
        Usage(3, "stop", "generated"),
        Usage(2, "length", "generated"),
    ]


@pytest.mark.usefixtures("known_vllm")
@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_response_in_whose_middle_vllm_failed_is_none(reason: str) -> None:
    class Failing(FakeVLLM):
        def _model_generate(self, requests: list[str], generate: bool = False) -> list[Any]:
            outputs = super()._model_generate(requests, generate)
            outputs[0].outputs[0].finish_reason = reason
            return outputs

    responses = Meter(Failing()).generate([request(prompt) for prompt in ("a", "ccc", "bb")])
    assert responses == ["a!", None, "bb!"]


def test_an_unknown_backend_has_no_usage_and_its_gaps_stay_where_they_are() -> None:
    provided = MeteredText("b", Usage(7, "stop", "provider"))

    class Unknown(LM):
        def generate_until(self, requests: list[Instance]) -> list[Any]:
            return ["a", None, provided, "d"][: len(requests)]

        loglikelihood = loglikelihood_rolling = None

    meter = Meter(Unknown())
    responses = meter.generate([request(prompt) for prompt in PROMPTS[:4]])
    assert responses == ["a", None, "b", "d"]
    assert [usage_of(response) for response in responses] == [None, None, Usage(7, "stop", "provider"), None]
    with pytest.raises(ModelError, match=shows("Unknown", 4, 5)):
        meter.generate([request(prompt) for prompt in PROMPTS[:5]])
