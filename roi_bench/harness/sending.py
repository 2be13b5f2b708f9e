"""How the prompts of a task are sent: chat template, system turn, decoding, and whether they fit the context."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from roi_bench.api.settings import is_conversation
from roi_bench.errors import ModelError, UsageError
from roi_bench.exams.exam import sha256_text
from roi_bench.harness.engines.protocol import HUGGING_FACE, VLLM, is_a
from roi_bench.records.results import CHAT_TEMPLATE, MESSAGES, Sending
from roi_bench.scoring.prompts import Message, folded
from roi_bench.scoring.task_settings import MARK, Decoding
from roi_bench.scoring.tokens import TokenCounter

# Does prompt + budget fit the model? lm_eval would cut the prompt's beginning off without a word.

_CONFIG_NAMES = ("n_positions", "max_position_embeddings", "n_ctx")


def context_length(model_args: Mapping[str, Any]) -> int | None:
    """Return the context length in tokens that lm_eval's backends will use for ``model_args``, or None if unknown."""
    for name in ("max_length", "max_model_len"):
        if isinstance(model_args.get(name), int):
            return int(model_args[name])
    pretrained = model_args.get("pretrained")
    if not isinstance(pretrained, str):
        return None
    try:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(
            pretrained,
            revision=str(model_args.get("revision", "main")),
            trust_remote_code=bool(model_args.get("trust_remote_code", False)),
        )
    except (OSError, ValueError, ImportError):
        return None  # the backend itself will say what is wrong with this model
    config = getattr(config, "text_config", config)
    return next((int(getattr(config, name)) for name in _CONFIG_NAMES if getattr(config, name, None)), None)


def check_context(prompts: Iterable[str], budget: int, length: int, counter: TokenCounter, task: str) -> None:
    """Check that the longest of ``prompts`` and ``budget`` fit into ``length`` tokens.

    Raises:
        ModelError: They do not.
    """
    worst = 0
    for prompt in prompts:
        if len(prompt.encode("utf-8", "replace")) + 1 > max(worst, length - budget):  # a token holds at least one byte
            worst = max(worst, len(counter.token_starts(prompt)) + 1)  # 1: a start token that some models want
    if worst + budget > length:
        raise ModelError(
            f"{task}: the longest prompt takes {worst} tokens and the budget is {budget}, but the model's context "
            f"holds {length}; use a model with a longer context or a smaller budget (--metadata '{{\"budget\": N}}')"
        )


# Chat templates and the system turn: some refuse it, some leave it out, and the instructions must not be lost.

_PROBE = "roi-bench asks whether a system turn is shown"


def shows_system_turn(render: Callable[[list[Message]], str]) -> bool:
    """Return whether a chat template shows what a system turn says; some refuse it, some leave it out.

    Args:
        render: Applies the chat template to messages.
    """
    from jinja2 import TemplateError

    try:
        return _PROBE in _text_of(render([{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]))
    except TemplateError:
        return False


def rendered(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> str:
    """Return what a chat template makes of messages; a system turn that it does not show goes into the user's turn."""
    return render(templated(messages, render))


def templated(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> list[Message]:
    """Return the messages to hand to a chat template: with their system turn, or without where it would be lost."""
    has_system = bool(messages) and messages[0]["role"] == "system"
    return folded(messages) if has_system and not shows_system_turn(render) else list(messages)


def sending_through(render: Callable[[list[Message]], str], *, with_system_turn: bool) -> Sending:
    """Return how prompts are sent that ``render`` makes of messages: as messages, or as what a template makes of them.

    Args:
        render: Applies the chat template to messages.
        with_system_turn: Whether it shows a system turn.
    """
    probe = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]
    sent = _text_of(render(probe if with_system_turn else folded(probe)))
    return Sending(MESSAGES) if is_conversation(sent) else Sending(CHAT_TEMPLATE, template_sha256(sent))


def template_sha256(sent: str) -> str:
    """Return what tells chat templates apart: the SHA-256 of what one makes of two fixed messages, dates left out.

    Unlike the text of a template it says which of several templates was applied, and with which options (thinking
    switched off). Some write today's date, which makes no other template.
    """
    return sha256_text(_DATE.sub("DATE", sent))


_DATE = re.compile(
    r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2} [A-Z][a-z]{2,8},? [0-9]{4}|[A-Z][a-z]{2,8} [0-9]{1,2}, [0-9]{4})\b"
)


def _text_of(rendered: object) -> str:
    """Return what lm_eval's models make of messages as text; some keep them as messages, or wrap their JSON."""
    if isinstance(rendered, list):
        return json.dumps(rendered, ensure_ascii=False)
    return str(getattr(rendered, "prompt", rendered))


# Neutral decoding: a task's temperature and nothing else, whatever the model's own configuration would add.
#
# transformers' ``generate`` fills every argument that a request leaves out from the model's
# ``generation_config.json``
# (penalties, forced and suppressed tokens, ``top_k`` …) and then from defaults of its own (``top_k=50`` where it
# samples). vLLM's ``SamplingParams`` and SGLang's engine have complete defaults and take from that file only the ids
# that end a response. So a request to transformers switches off exactly what the model sets: a model
# that sets nothing gets the plain request.

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
        f'--metadata \'{{"decoding": "model"}}\' is only for hf, vllm and roi-api; the decoding defaults of '
        f"{what} are unknown: leave it out"
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
