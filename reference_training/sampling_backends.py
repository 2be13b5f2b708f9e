"""What writes sampled solutions: transformers, or vLLM where it is installed and a CUDA GPU is there."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from roi_bench.errors import DependencyError, ModelError, first_line
from roi_bench.reference_training.training_checkpoints import is_out_of_memory
from roi_bench.scoring.tokens import Usage

VLLM_BATCH = 4096
"""Prompts of a call of vLLM. It gives a free place to the next prompt of the call, so that only the end of a call, when
no prompt waits any more, leaves the GPU idle; a kill loses what the call has written."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of a batch.

    Attributes:
        batch: One for all, where all responses are drawn from one source.
        requests: One for each prompt, which does not depend on the batch.
    """

    batch: int
    requests: Sequence[int]


class Generator(Protocol):
    """Writes one response to each of a batch of prompts."""

    def __call__(self, prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        """Return text and usage for each prompt; the same prompts and seeds give the same texts."""
        ...


def choose_backend(asked: str) -> str:
    """Return ``transformers`` or ``vllm``.

    Raises:
        DependencyError: vLLM was asked for and is not installed.
    """
    if asked == "auto":
        import torch

        return "vllm" if find_spec("vllm") is not None and torch.cuda.is_available() else "transformers"
    if asked == "vllm" and find_spec("vllm") is None:
        raise DependencyError("sampling.backend is vllm, which is not installed; pip install 'roi-bench[vllm]'")
    return asked


def prompt_tokens(prompts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Return the token ids of ``prompts``, by the rule of lm_eval, which measures the model.

    The tokenizer adds its special tokens, such as the BOS of Llama, unless the text begins with BOS: chat templates
    that want it write it themselves.
    """
    bos = tokenizer.bos_token
    return [
        tokenizer.encode(prompt, add_special_tokens=bos is None or not prompt.startswith(bos)) for prompt in prompts
    ]


def on_gpu(model: Any) -> Any:
    """Return ``model`` on the GPU, or where it is if there is none.

    Raises:
        ModelError: It does not fit.
    """
    import torch

    if not torch.cuda.is_available():
        return model
    try:
        return model.to("cuda")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"the base model does not fit into the free memory of the GPU: {first_line(error)}; free the GPU, or take "
            "lora: {quantised: true}"
        ) from error


def release_memory() -> None:
    """Give the memory of models that nothing refers to any more back to the GPU, for the training that follows."""
    import torch

    gc.collect()  # models hold references to themselves
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def transformers_generator(model: Any, tokenizer: Any, temperature: float, cap: int) -> Generator:
    """Return a generator on a loaded transformers model."""

    def generate(prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        import torch

        torch.manual_seed(seeds.batch)
        tokens = {"input_ids": prompt_tokens(prompts, tokenizer)}
        inputs = tokenizer.pad(tokens, padding_side="left", return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=cap,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                repetition_penalty=1.0,  # plain sampling, whatever the model's own settings say
            )
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        return [response_of(row, ends, tokenizer) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]

    return generate


def response_of(tokens: Sequence[int], ends: set[int], tokenizer: Any) -> tuple[str, Usage]:
    """Return text and exact usage of generated ``tokens``, of which those behind the first end are padding."""
    stop = next((index for index, token in enumerate(tokens) if token in ends), None)
    kept = list(tokens if stop is None else tokens[: stop + 1])
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text, Usage(len(kept), "length" if stop is None else "stop", "generated")


def vllm_generator(name: str, tokenizer: Any, temperature: float, cap: int) -> Generator:
    """Return a generator on vLLM, in the type of the model's own configuration; the model is loaded now.

    Raises:
        ModelError: It cannot be loaded.
    """
    from vllm import LLM, SamplingParams

    try:
        engine = LLM(model=name)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"vLLM cannot load {name!r}: {first_line(error)}; see what vLLM printed above, or take "
            "sampling.backend: transformers"
        ) from error

    def generate(prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        settings = [SamplingParams(temperature=temperature, max_tokens=cap, seed=seed) for seed in seeds.requests]
        tokens = [{"prompt_token_ids": row} for row in prompt_tokens(prompts, tokenizer)]
        try:
            outputs = engine.generate(tokens, settings, use_tqdm=False)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ModelError(
                f"vLLM ran out of memory: {first_line(error)}; free the GPU of other work, or take "
                "sampling.backend: transformers, and run the same command again"
            ) from error
        return [
            (
                output.outputs[0].text,
                Usage(
                    len(output.outputs[0].token_ids),
                    "length" if output.outputs[0].finish_reason == "length" else "stop",
                    "generated",
                ),
            )
            for output in outputs
        ]

    return generate
