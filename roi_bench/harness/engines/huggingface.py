"""Transformers as an engine: lm_eval's Hugging Face model, its finished rows leaving the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.harness.batches import fixed_batches
from roi_bench.harness.engines.batched import ask_whole_batches, version_of
from roi_bench.harness.engines.free_memory import batch_size_for
from roi_bench.harness.engines.local import LocalEngine
from roi_bench.harness.engines.protocol import Asking
from roi_bench.harness.engines.rows_that_leave import can_leave, generate, goes_in_stretches
from roi_bench.harness.metering import Meter, MeteredText
from roi_bench.harness.processes import place


class HuggingFaceEngine(LocalEngine):
    """lm_eval's ``hf``.

    A batch is planned, generated and recorded as a whole: in one batch the rows depend on each other a little (padding,
    the order of sums, shared random numbers), so the same plan gives the same responses at every start.

    Args:
        lm: A :class:`lm_eval.models.huggingface.HFLM`, not a subclass that generates in its own way.
        seed: Seed of sampling, derived for each batch; None leaves the generators alone.
        batch_size: Rows of a batch; None: what half of the free memory carries, of this process's share where
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

    def advice(self, questions: int) -> str | None:
        """Return that batches of one are slow, and on a GPU that there is vLLM."""
        if not self._is_automatic and self._batch_size == 1 and questions > 1:
            return "--batch_size 1 asks one request at a time; without it, the size is taken from the free memory"
        if self.lm.device.type == "cuda" and questions >= 100:
            return "--model vllm (pip install 'roi-bench[vllm]') schedules all requests at once, which hf cannot"
        return None

    def keep_batch_size(self, size: int) -> None:
        """Plan batches of ``size`` rows."""
        self._batch_size = self.lm.batch_size_per_gpu = size

    def ask(self, asking: Asking) -> None:
        """Ask in fixed whole batches; each is recorded when it is finished.

        Raises:
            ModelError: The model answered with another number of responses than it was asked for.
        """
        batches = fixed_batches(asking.questions, self._batch_size, self._length)
        ask_whole_batches(asking, batches, self._generate, self._seed, self._length)

    def _generate(self, requests: Sequence[Any]) -> Sequence[MeteredText | None]:
        return self._meter.generate(requests)

    def _length(self, prompt: str) -> int:
        if prompt not in self._prompt_tokens:
            self._prompt_tokens[prompt] = len(self.lm.tok_encode(prompt))
        return self._prompt_tokens[prompt]


def _end_at_the_tokenizers_end(lm: Any) -> None:
    """End a response at the tokenizer's end token too, where the model's configuration names other ones.

    vLLM ends at both. lm_eval's own loop goes on behind that token until every row of the batch has one, and what it
    wrote there would be part of the text.
    """
    config = lm.model.generation_config
    ends = config.eos_token_id
    found = {ends} if isinstance(ends, int) else set(ends or [])
    if lm.eot_token_id is not None and lm.eot_token_id not in found:
        config.eos_token_id = sorted({*found, lm.eot_token_id})
