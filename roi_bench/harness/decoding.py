"""Neutral decoding: a task's temperature and nothing else, whatever the model's own configuration would add.

transformers' ``generate`` fills every argument that a request leaves out from the model's ``generation_config.json``
(penalties, forced and suppressed tokens, ``top_k`` …) and then from defaults of its own (``top_k=50`` where it
samples). vLLM's ``SamplingParams`` and SGLang's engine have complete defaults and take from that file only the ids
that end a response. So a request to transformers switches off exactly what the model sets: a model
that sets nothing gets the plain request.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.harness.engines.selection import HUGGING_FACE, VLLM, is_a
from roi_bench.scoring.task_settings import MARK, Decoding

ALWAYS: dict[str, Any] = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty"), 1.0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length"), 0),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "forced_decoder_ids"), None),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"), None),
    **dict.fromkeys(("force_words_ids", "constraints", "exponential_decay_length_penalty"), None),
    **dict.fromkeys(("min_new_tokens", "max_time", "stop_strings"), None),
    **dict.fromkeys(("guidance_scale", "watermarking_config", "penalty_alpha", "dola_layers"), None),
    **dict.fromkeys(("prompt_lookup_num_tokens", "assistant_early_exit"), None),
    **dict.fromkeys(("token_healing", "use_mtp", "return_dict_in_generate"), False),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
    "diversity_penalty": 0.0,
}
"""Fields of a generation configuration that shape a response however it is decoded, and what switches each off."""

SAMPLING: dict[str, Any] = {
    **dict.fromkeys(("top_p", "typical_p"), 1.0),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), 0.0),
    **dict.fromkeys(("min_p", "top_h"), None),
}
"""Those that count only where there is sampling, besides ``top_k``. Greedy decoding is sent none of them."""

BEAMS: dict[str, Any] = {"early_stopping": False, "length_penalty": 1.0}
"""Arguments that count only with several beams, which only the user can ask for."""

KEPT = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("use_cache", "cache_implementation", "cache_config", "max_cache_len"),
    *("prefill_chunk_size", "compile_config", "disable_compile"),
)
"""Fields that shape nothing but where a response ends and how fast it is computed."""

OF_VLLM = ("repetition_penalty", "presence_penalty", "frequency_penalty", "top_k", "top_p", "min_p")
"""Fields that vLLM's server takes from a generation configuration, besides the temperature."""


def neutral_generation_config(config: Any) -> Any:
    """Return a plain ``GenerationConfig`` with only the end tokens of a model's own ``config``.

    It leaves ``top_k`` open (transformers warns about a 0 without sampling), so a request that samples has to set it.
    """
    from transformers import GenerationConfig

    kept = {name: getattr(config, name, None) for name in KEPT}
    return GenerationConfig(**{name: value for name, value in kept.items() if value is not None})


def neutral_arguments(config: Any, generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that switch off what a model's generation configuration would add to a request.

    Args:
        config: The ``GenerationConfig`` of a loaded transformers model.
        generation: The request's own arguments, which are kept.
    """
    fields = dict(ALWAYS)
    found: dict[str, Any] = {}
    if generation.get("do_sample"):
        fields |= SAMPLING
        found["top_k"] = 0  # else transformers takes 50 where neither request nor model says
    if int(generation.get("num_beams") or 1) > 1:
        fields |= BEAMS
    for name, neutral in fields.items():
        value = getattr(config, name, None)
        if value is not None and value != neutral:
            found[name] = neutral
    return {name: value for name, value in found.items() if name not in generation}


def own_temperature(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a generation configuration draws tokens, by the fields that it sets: greedily or at a temperature.

    Explicit, because lm_eval's backends take a request without such arguments for a greedy one.
    """
    if not config.get("do_sample"):
        return {"do_sample": False, "temperature": 0.0}
    temperature = config.get("temperature")
    return {"do_sample": True, "temperature": 1.0 if temperature is None else float(temperature)}


def arguments_for(lm: Any, decoding: Decoding, generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request arguments with which ``lm`` decodes ``generation`` under this ``decoding``.

    Args:
        lm: The lm_eval model, or None if it is unknown.
        decoding: ``neutral`` or ``model``.
        generation: The task's generation arguments, which are kept.

    Raises:
        UsageError: The model's own decoding is requested, which this kind of model does not offer.
    """
    if getattr(lm, "takes_decoding", False):
        return dict(generation)
    asked = {name: value for name, value in generation.items() if name != MARK}
    config = generation_config_of(lm)
    if decoding == "neutral":
        return asked if config is None else {**asked, **neutral_arguments(config, asked)}
    if config is not None:
        return {**own_temperature(vars(config)), **asked}
    if is_a(lm, VLLM) and getattr(lm, "model", None) is not None:
        return {**_own_vllm_arguments(lm.model.llm_engine.model_config), **asked}
    what = "vllm with data_parallel_size above 1" if is_a(lm, VLLM) else type(lm).__name__
    raise UsageError(
        f'--metadata \'{{"decoding": "model"}}\' is for the models hf, vllm and roi-api; of {what} nobody knows the '
        "own decoding: leave it out"
    )


def _own_vllm_arguments(model_config: Any) -> dict[str, Any]:
    """Return the arguments that vLLM's own server would take from the model's generation configuration."""
    values = {**model_config.try_get_generation_config(), **model_config.get_diff_sampling_param()}
    drawn = own_temperature(values)
    names = OF_VLLM if drawn["do_sample"] else [name for name in OF_VLLM if name.endswith("_penalty")]
    return {**drawn, **{name: values[name] for name in names if values.get(name) is not None}}


def keep_the_budget(lm: Any) -> None:
    """Remove ``max_new_tokens`` from the generation configuration of a transformers model, in memory.

    lm_eval limits a response by ``max_length``, but ``generate`` prefers the model's own ``max_new_tokens``,
    and no request can change that, because lm_eval drops that argument. The budget would be wrong.
    """
    config = generation_config_of(lm)
    if config is not None and getattr(config, "max_new_tokens", None) is not None:
        config.max_new_tokens = None


def generation_config_of(lm: Any) -> Any | None:
    """Return the generation configuration that transformers' ``generate`` reads for ``lm``, None for other models."""
    model = getattr(lm, "model", None) if is_a(lm, HUGGING_FACE) else None
    return getattr(model, "generation_config", None)


def evaluated_model() -> Any | None:
    """Return the lm_eval model of the running evaluation, without its wrappers; None outside an evaluation.

    lm_eval gives its tasks the model's arguments but never the model, which may also have been made by hand. But it
    builds a task's requests inside ``evaluate(lm, …)``, so the model is the ``lm`` of that call.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "evaluate" and frame.f_globals.get("__name__") == "lm_eval.evaluator":
            return _innermost(frame.f_locals.get("lm"))
        frame = frame.f_back
    return None


def _innermost(lm: Any) -> Any:
    """Return the model inside our journal (``_lm``) and lm_eval's cache of responses (``lm``)."""
    while (inner := getattr(lm, "__dict__", {}).get("_lm", getattr(lm, "__dict__", {}).get("lm"))) is not None:
        lm = inner
    return lm
