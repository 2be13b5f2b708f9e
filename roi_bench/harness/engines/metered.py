"""Local lm_eval models with a way of generating of their own, as an engine: whole batches, counted where they generate.

Subclasses of lm_eval's Hugging Face and vLLM models that replace its loop (vision models, steered ones) come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roi_bench.harness.batches import fixed_batches
from roi_bench.harness.engines.batched import ask_whole_batches, own_batch_size, version_of
from roi_bench.harness.engines.local import LocalEngine
from roi_bench.harness.engines.protocol import Asking
from roi_bench.harness.metering import Meter

AT_ONCE = 128
"""Requests at once for a model that schedules by itself; what is in flight is lost with the process."""


class MeteredEngine(LocalEngine):
    """A local model, asked in fixed whole batches.

    Args:
        lm: The model.
        seed: Seed of sampling, derived for each batch; None leaves the generators alone.
        batch_size: Requests at once; None: as many as the model's own ``batch_size`` says.
        schedules: The model schedules its requests itself, so that many at once are faster.
    """

    def __init__(
        self, lm: Any, *, seed: int | None = None, batch_size: int | None = None, schedules: bool = False
    ) -> None:
        self.lm = lm
        self._seed = seed
        self._schedules = schedules
        self._batch_size = batch_size or (AT_ONCE if schedules else own_batch_size(lm))
        self._meter = Meter(lm)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model's class, its package's version, and the batch size."""
        package = "vllm" if self._schedules else "transformers"
        return {"name": type(self.lm).__name__, "version": version_of(package), "batch_size": self._batch_size}

    def advice(self, questions: int) -> str | None:
        """Return that one request at a time is slow, where that is so."""
        if self._batch_size > 1 or questions <= 1:
            return None
        return "requests are asked one by one; --batch_size N asks N at once, which is faster"

    def ask(self, asking: Asking) -> None:
        """Ask in fixed whole batches; each is recorded when it is finished.

        Raises:
            ModelError: The model answered with another number of responses than it was asked for.
        """
        if self._schedules:
            self.lm.batch_size = self._batch_size
        else:
            self.lm.batch_size_per_gpu = self._batch_size
        batches = fixed_batches(asking.questions, self._batch_size, lambda prompt: len(self.lm.tok_encode(prompt)))
        ask_whole_batches(asking, batches, self._meter.generate, self._seed)
