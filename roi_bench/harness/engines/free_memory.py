"""How many rows of a batch the free memory carries: the keys and values of a transformer, and room to compute."""

from __future__ import annotations

import sys
from typing import Any

SHARE = 0.5
"""Of the free memory, this much is planned with: buffers, fragments and the machine's other work take the rest."""

MOST_ON_CPU, MOST = 24, 256
"""Rows beyond which a batch becomes hardly faster, and more is lost where the process dies."""

UNKNOWN = 8
"""Rows where the memory or the model's shape cannot be had."""


def batch_size_for(model: Any, tokens: int, processes: int = 1) -> int:
    """Return how many rows of ``tokens`` (prompt and response) fit, at least 1.

    Args:
        model: A transformers model on its device.
        tokens: Length of the longest row.
        processes: Processes of the run on this machine, which share its memory; on GPUs they share out the GPUs.
    """
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
    """Return the free memory of a torch device in bytes, or None where it cannot be had."""
    if device.type == "cuda":
        return int(sys.modules["torch"].cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    import psutil

    return int(psutil.virtual_memory().available)
