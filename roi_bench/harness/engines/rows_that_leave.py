"""Generation with transformers in which a finished row leaves the batch.

``generate`` goes on with every row until the last one has ended: in a batch of responses of unlike length most of the
work is done on rows that are finished. Here it generates a stretch of tokens at a time and carries the cache of keys
and values over; between two stretches the finished rows are taken out.
"""

from __future__ import annotations

import inspect
from typing import Any

from roi_bench.harness.metering import end_tokens

STRETCH = 32
"""Tokens between two looks: a row runs on for half of it in the mean, and each stretch costs one call."""


def can_leave(lm: Any) -> bool:
    """Whether lm_eval's Hugging Face model ``lm`` keeps a cache from which rows can be taken.

    Not so where the state is no cache of keys and values (Mamba), where it is of fixed size, and in encoder-decoders.
    """
    model, config = lm.model, lm.model.generation_config
    if lm.backend != "causal" or getattr(model, "_is_stateful", False) or not getattr(config, "use_cache", True):
        return False
    if getattr(config, "cache_implementation", None) not in (None, "dynamic", "dynamic_full"):
        return False
    windows = getattr(model.config.get_text_config(), "sliding_window", None)
    if windows and "config" not in inspect.signature(_cache_class().__init__).parameters:
        return False
    supports = getattr(model, "_supports_default_dynamic_cache", None)
    return supports is not None and bool(supports())


AT_A_PLACE: dict[str, Any] = {
    **dict.fromkeys(("min_new_tokens", "begin_suppress_tokens", "exponential_decay_length_penalty"), None),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "forced_decoder_ids", "max_time"), None),
    **dict.fromkeys(("prompt_lookup_num_tokens", "assistant_early_exit", "penalty_alpha", "dola_layers"), None),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
}
"""Arguments that act at a place in the response, or on more than one row for each, and where they do neither."""


def goes_in_stretches(lm: Any, generation: dict[str, Any]) -> bool:
    """Whether a response under these arguments is the same, generated at once or a stretch at a time."""
    config = lm.model.generation_config
    asked = {name: generation.get(name, getattr(config, name, None)) for name in AT_A_PLACE}
    return all(value in (None, AT_A_PLACE[name]) for name, value in asked.items())


def generate(lm: Any, context: Any, max_length: int, stop: list[str], attention_mask: Any, **generation: Any) -> Any:
    """Return what ``lm._model_generate`` returns.

    Args:
        lm: lm_eval's Hugging Face model.
        context: Prompts, padded on the left; ids of shape (rows, width).
        max_length: Width at which a row ends.
        stop: Strings at which a row ends.
        attention_mask: 0 where ``context`` is padding; of its shape.
        generation: Further arguments of ``generate``.

    Returns:
        Ids of shape (rows, width of the longest), padded on the right behind the end of a row.
    """
    import torch

    pad, model = lm.tokenizer.pad_token_id, lm.model
    arguments = {**_decoding(generation), "pad_token_id": pad}
    ends = torch.tensor(sorted(end_tokens(lm, generation)), device=context.device)
    stops = [text for text in stop if text and text != lm.tok_decode(lm.eot_token_id, skip_special_tokens=False)]
    prompt, ids, mask = context.shape[1], context, attention_mask
    cache, running = _empty_cache(model), torch.arange(len(context), device=context.device)
    rows: list[Any] = [None] * len(context)
    while len(running):
        with torch.autocast(lm.device.type, dtype=lm.mixed_precision_dtype, enabled=bool(lm.mixed_precision_dtype)):
            ids = model.generate(
                input_ids=ids,
                attention_mask=mask,
                **{_name_of_the_cache(): cache},
                max_length=min(ids.shape[1] + STRETCH, max_length),
                use_cache=True,
                **arguments,
            )
        ended = torch.isin(ids[:, prompt:], ends).any(dim=1) | (ids.shape[1] >= max_length)
        if stops:
            texts = lm.tokenizer.batch_decode(ids[:, prompt:])
            ended |= torch.tensor([any(text in found for text in stops) for found in texts], device=ids.device)
        for index in ended.nonzero().flatten().tolist():
            rows[int(running[index])] = ids[index]
        left = (~ended).nonzero().flatten()
        ids, running = ids[left], running[left]
        mask = torch.nn.functional.pad(mask[left], (0, ids.shape[1] - mask.shape[1]), value=1)
        cache.batch_select_indices(left)
    width = max(len(row) for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row)), value=pad) for row in rows])


def _empty_cache(model: Any) -> Any:
    if "config" in inspect.signature(_cache_class().__init__).parameters:
        return _cache_class()(config=model.config)  # it says which layers look back through a window only
    return _cache_class()()  # transformers 4


def _cache_class() -> Any:
    from transformers import DynamicCache

    return DynamicCache


def _name_of_the_cache() -> str:
    """Return what ``generate`` calls the cache: transformers 5.19 renamed it, and warns of the old name."""
    from transformers.generation import GenerateDecoderOnlyOutput

    return "cache" if "cache" in GenerateDecoderOnlyOutput.__dataclass_fields__ else "past_key_values"


def _decoding(generation: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without a temperature that sampling would use and greedy decoding refuses."""
    arguments = dict(generation)
    if not arguments.get("do_sample") and not arguments.get("temperature"):
        arguments["do_sample"] = False
        arguments.pop("temperature", None)
    return arguments
