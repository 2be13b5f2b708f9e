"""Transformers as an engine: lm_eval's Hugging Face model, with finished rows leaving the batch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.harness.engines.local import LocalEngine, ask_whole_batches, version_of
from roi_bench.harness.engines.metering import Meter, MeteredText, end_tokens
from roi_bench.harness.engines.protocol import Job, fixed_batches
from roi_bench.harness.processes import place

# How many rows of a batch fit into free memory: keys and values of the transformer, and room to compute.

SHARE = 0.5
"""Of the free memory, this much is planned with: buffers, fragments and the machine's other work take the rest."""

MOST_ON_CPU, MOST = 24, 256
"""Rows beyond which a batch becomes hardly faster, and more is lost where the process dies."""

UNKNOWN = 8
"""Rows where the memory or the model's shape is unknown."""


def batch_size_for(model: Any, tokens: int, processes: int = 1) -> int:
    """Return how many rows of ``tokens`` (prompt and response) fit, at least 1.

    Args:
        model: A transformers model on its device.
        tokens: Length of the longest row.
        processes: Processes of the run on this machine, which share its memory; GPUs are divided among them.
    """
    # Part of the memory is left for fragmentation and what the estimate misses; the size is fixed before the first
    # batch, because another size would give other responses.
    most = MOST_ON_CPU if model.device.type == "cpu" else MOST
    free, row = free_bytes(model.device), bytes_per_row(model, tokens)
    if free is None or row is None:
        return min(UNKNOWN, most)
    return max(1, min(most, int(SHARE * free / sharers(model.device, processes) / row)))


def sharers(device: Any, processes: int) -> int:
    """Return how many of the run's ``processes`` on this machine take from the memory of a torch device."""
    if device.type != "cuda":
        return processes
    devices = int(sys.modules["torch"].cuda.device_count())
    return -(-processes // max(1, devices))


def bytes_per_row(model: Any, tokens: int) -> int | None:
    """Return the memory of one row: keys and values of every layer, activations while the prompt is read, logits.

    Returns:
        Bytes, or None where the configuration does not say how large the model is.
    """
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    layers, hidden = getattr(config, "num_hidden_layers", None), getattr(config, "hidden_size", None)
    heads = getattr(config, "num_attention_heads", None)
    if not (layers and hidden and heads):
        return None
    head_size = getattr(config, "head_dim", None) or hidden // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    size = model.dtype.itemsize
    cache = 2 * layers * key_heads * head_size * tokens * size
    activations = tokens * (8 * hidden + 3 * (getattr(config, "intermediate_size", None) or 4 * hidden)) * size
    logits = 3 * 4 * int(getattr(config, "vocab_size", 0))
    return int(cache + activations + logits)


def free_bytes(device: Any) -> int | None:
    """Return the free memory of a torch device in bytes, or None where it is not available."""
    if device.type == "cuda":
        return int(sys.modules["torch"].cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    import psutil

    return int(psutil.virtual_memory().available)


# Generation with transformers in which a finished row leaves the batch.
#
# ``generate`` goes on with every row until the last one has ended: in a batch of responses of unlike length most of the
# work is done on rows that are finished. Here it generates a stretch of tokens at a time and carries the cache of keys
# and values over; between two stretches the finished rows are taken out.

STRETCH = 32
"""Tokens between two looks: a row runs on for half of it in the mean, and each stretch costs one call."""


def can_leave(lm: Any) -> bool:
    """Whether lm_eval's Hugging Face model ``lm`` keeps a cache from which rows can be taken.

    Not so where the state is not a cache of keys and values (Mamba) or has a fixed size, nor in encoder-decoders.
    """
    # Each test names a kind of state from which single rows cannot be removed.
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
"""Arguments that depend on the place in the response or use several rows for one, with values that do neither."""


def goes_in_stretches(lm: Any, generation: dict[str, Any]) -> bool:
    """Whether these arguments give the same response, generated at once or a stretch at a time."""
    config = lm.model.generation_config
    asked = {name: generation.get(name, getattr(config, name, None)) for name in AT_A_PLACE}
    return all(value in (None, AT_A_PLACE[name]) for name, value in asked.items())


def generate(lm: Any, context: Any, max_length: int, stop: list[str], attention_mask: Any, **generation: Any) -> Any:
    """Generate a batch in stretches; a replacement for ``lm._model_generate``.

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
        # The cache holds the state of all running rows, so a stretch goes on where the last one ended.
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
        # ``generate`` gets no stop strings: it would stop all rows at once. They are looked for after each stretch.
        if stops:
            texts = lm.tokenizer.batch_decode(ids[:, prompt:])
            ended |= torch.tensor([any(text in found for text in stops) for found in texts], device=ids.device)
        for index in ended.nonzero().flatten().tolist():
            rows[int(running[index])] = ids[index]
        # Take the finished rows out of everything that the next stretch continues: ids, mask and cache.
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
    """Return the name of the cache argument of ``generate``, which transformers 5.19 renamed."""
    from transformers.generation import GenerateDecoderOnlyOutput

    return "cache" if "cache" in GenerateDecoderOnlyOutput.__dataclass_fields__ else "past_key_values"


def _decoding(generation: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without a temperature of 0, which greedy decoding rejects."""
    arguments = dict(generation)
    if not arguments.get("do_sample") and not arguments.get("temperature"):
        arguments["do_sample"] = False
        arguments.pop("temperature", None)
    return arguments


class HuggingFaceEngine(LocalEngine):
    """Engine for lm_eval's ``hf``.

    A batch is planned, generated and recorded as a whole: in one batch the rows depend on each other a little (padding,
    the order of sums, shared random numbers), so the same plan gives the same responses at every start.

    Args:
        lm: A :class:`lm_eval.models.huggingface.HFLM`, not a subclass that generates in its own way.
        seed: Seed of sampling, derived for each batch; None leaves the generators alone.
        batch_size: Rows of a batch; None: as many as fit into half of the free memory, of this process's share where
            several are on the machine.
        longest: Tokens of the longest request, prompt and response, as far as that is known.
    """

    def __init__(
        self, lm: Any, *, seed: int | None = None, batch_size: int | None = None, longest: int | None = None
    ) -> None:
        self.lm = lm
        self._seed = seed
        self._is_automatic = batch_size is None
        self._batch_size = batch_size or batch_size_for(
            lm.model, min(longest or lm.max_length, lm.max_length), place().local_size
        )
        lm.batch_size_per_gpu = self._batch_size
        self._prompt_tokens: dict[str, int] = {}
        _end_at_the_tokenizers_end(lm)
        # Decided per call: some generation arguments act at a place in the response and need it in one piece.
        if can_leave(lm):
            whole = lm._model_generate
            lm._model_generate = lambda **arguments: (
                generate(lm, **arguments) if goes_in_stretches(lm, arguments) else whole(**arguments)
            )
        self._meter = Meter(lm)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Versions, number format, device, batch size."""
        model = self.lm.model
        quantization = getattr(model.config, "quantization_config", None)
        method = getattr(quantization, "quant_method", None) if quantization is not None else None
        return {
            "name": "hf",
            "version": version_of("transformers"),
            "torch": version_of("torch"),
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": None if quantization is None else str(getattr(method, "value", method or "yes")),
            "device": str(self.lm.device),
            "attention": getattr(model.config, "_attn_implementation", None),
            "batch_size": self._batch_size,
            "batch_size_is_automatic": self._is_automatic,
        }

    def advice(self, requests: int) -> str | None:
        """Advise against batches of one, and on a GPU to use vLLM."""
        if not self._is_automatic and self._batch_size == 1 and requests > 1:
            return "--batch_size 1 asks one request at a time; without it, the size is taken from the free memory"
        if self.lm.device.type == "cuda" and requests >= 100:
            return "--model vllm (pip install 'roi-bench[vllm]') schedules all requests at once, which hf cannot"
        return None

    def keep_batch_size(self, size: int) -> None:
        """Plan batches of ``size`` rows."""
        self._batch_size = self.lm.batch_size_per_gpu = size

    def ask(self, job: Job) -> None:
        """Ask in fixed whole batches; each is recorded when it is finished.

        Raises:
            ModelError: The model returned another number of responses than requests.
        """
        batches = fixed_batches(job.requests, self._batch_size, self._length)
        ask_whole_batches(job, batches, self._generate, self._seed, self._length)

    def _generate(self, requests: Sequence[Any]) -> Sequence[MeteredText | None]:
        return self._meter.generate(requests)

    def _length(self, prompt: str) -> int:
        if prompt not in self._prompt_tokens:
            self._prompt_tokens[prompt] = len(self.lm.tok_encode(prompt))
        return self._prompt_tokens[prompt]


def _end_at_the_tokenizers_end(lm: Any) -> None:
    """End responses at the tokenizer's end token too, where the model's configuration names other ones.

    vLLM ends at both. lm_eval's own loop goes on after that token until every row of the batch has one, and what it
    wrote there would be part of the text.
    """
    config = lm.model.generation_config
    ends = config.eos_token_id
    found = {ends} if isinstance(ends, int) else set(ends or [])
    if lm.eot_token_id is not None and lm.eot_token_id not in found:
        config.eos_token_id = sorted({*found, lm.eot_token_id})
