"""Choosing the engine for a loaded lm_eval model."""

from __future__ import annotations

import sys
from typing import Any

from roi_bench.harness.engines.protocol import Engine

VLLM = ("lm_eval.models.vllm_causallms", "VLLM")
HUGGING_FACE = ("lm_eval.models.huggingface", "HFLM")
API = ("roi_bench.harness.engines.api_model", "ApiLM")
PLAYBACK = ("roi_bench.harness.engines.playback", "PlaybackLM")


def engine_of(lm: Any, *, seed: int | None = None, batch_size: int | None = None, longest: int | None = None) -> Engine:
    """Return the engine for ``lm``.

    Args:
        lm: A loaded lm_eval model. A model of an unknown class is asked in batches through ``generate_until``.
        seed: Seed of sampling; None leaves the generators alone.
        batch_size: Requests at once, as the user wants it; None: the engine chooses.
        longest: Tokens of the longest request, prompt and response, as far as that is known.
    """
    if is_a(lm, API):
        from roi_bench.harness.engines.api import ApiEngine

        return ApiEngine(lm, seed=seed)
    if is_a(lm, VLLM) and generates_as(lm, VLLM):
        from roi_bench.harness.engines.vllm import VllmEngine

        return VllmEngine(lm, seed=seed, at_once=batch_size)
    if is_a(lm, HUGGING_FACE) and generates_as(lm, HUGGING_FACE):
        from roi_bench.harness.engines.huggingface import HuggingFaceEngine

        return HuggingFaceEngine(lm, seed=seed, batch_size=batch_size, longest=longest)
    if is_a(lm, HUGGING_FACE) or is_a(lm, VLLM):
        from roi_bench.harness.engines.local import MeteredEngine

        return MeteredEngine(lm, seed=seed, batch_size=batch_size, schedules=is_a(lm, VLLM))
    if is_a(lm, PLAYBACK):
        from roi_bench.harness.engines.playback import PlaybackEngine

        return PlaybackEngine(lm)
    from roi_bench.harness.engines.local import BatchedEngine

    return BatchedEngine(lm, seed=seed, batch_size=batch_size)


def is_a(lm: Any, kind: tuple[str, str]) -> bool:
    """Whether ``lm`` is of the class ``kind`` (module, name) or one derived from it.

    Nothing is imported for this: if the module is not loaded, no object can be of its class.
    """
    found = _class(kind)
    return found is not None and isinstance(lm, found)


def generates_as(lm: Any, kind: tuple[str, str]) -> bool:
    """Whether ``lm`` generates as the class ``kind`` does: a subclass may have its own generation loop."""
    found = _class(kind)
    names = ("generate_until", "_model_generate")
    return found is not None and all(getattr(type(lm), name) is getattr(found, name) for name in names)


def _class(kind: tuple[str, str]) -> Any:
    return getattr(sys.modules.get(kind[0]), kind[1], None)
