"""The tiny model: a small Qwen3-style causal LM made from scratch, and its two optimizers."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roi_bench.exams.tiny import MODULUS
from roi_bench.reference_training.tiny_tokenizer import HEADERS, LEVEL_TAGS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

FREQUENCIES = (1, 2, 3, 5, 10, 20, 25, 30, 40, 50)
"""Waves a turn of the clock of 100 in which number tokens are embedded at the start."""

EMBEDDING_STD, WAVE_AMPLITUDE = 0.05, 0.15


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the model: hidden width, layers, attention heads, width of the feed-forward part."""

    hidden: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 384


def new_model(tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> Qwen3ForCausalLM:
    """Return an untrained model in float32; equal seeds give equal weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        intermediate_size=shape.feed_forward,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3ForCausalLM(config)
    _embed_numbers_on_a_clock(model.get_input_embeddings().weight.data, tokenizer)
    model.generation_config.do_sample = False
    return model


def _embed_numbers_on_a_clock(weights: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> None:
    """Start every number token as sines and cosines of its value modulo 100 (in place; ``weights``: tokens × hidden).

    Networks that learn modular addition arrive at such waves by themselves; beginning there saves the minutes in
    which nothing is learned. ``-7`` starts where ``93`` does; multiplications get no such help beyond their number.
    """
    import torch

    weights.normal_(0.0, EMBEDDING_STD)
    for text, index in tokenizer.get_vocab().items():
        number = re.fullmatch(r"(?:Ġ?([+*-]?))([0-9]{1,2})", text)
        if number is None:
            continue
        value = int(number[2]) * (-1 if number[1] == "-" else 1)
        turns = [2 * math.pi * frequency * value / MODULUS for frequency in FREQUENCIES]
        waves = torch.tensor([wave(turn) for turn in turns for wave in (math.cos, math.sin)])
        count = min(len(waves), weights.shape[1])
        weights[index, :count] = WAVE_AMPLITUDE * waves[:count]


def extend_vocabulary(
    model: Qwen3ForCausalLM, trained: PreTrainedTokenizerFast, extended: PreTrainedTokenizerFast
) -> None:
    """Give ``model`` a row for each token that ``extended`` has beyond ``trained``: the mean of the pieces it replaces.

    The level tags, which no text of the first part held, start anew as the mean of the headers: after both of them a
    problem's work begins. What the model was trained on reads as before. In place; the embedding is tied to the output
    layer.
    """
    import torch

    rows = model.get_input_embeddings().weight.data.clone()
    model.resize_token_embeddings(len(extended), mean_resizing=False)
    weights = model.get_input_embeddings().weight.data
    for index in range(len(trained), len(extended)):
        pieces = trained(extended.decode([index]), add_special_tokens=False)["input_ids"]
        weights[index] = rows[torch.tensor(pieces)].mean(dim=0)
    headers = rows[torch.tensor([_token(trained, header) for header in HEADERS])]
    for tag in LEVEL_TAGS:
        weights[_token(trained, tag)] = headers.mean(dim=0)


def _token(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """Return the one token that ``text`` is."""
    (token,) = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(token)


def new_optimizers(model: Qwen3ForCausalLM, muon: bool = True) -> tuple[list[torch.optim.Optimizer], str]:
    """Return the optimizers and their names: Muon for the layers' matrices, AdamW for embeddings and norms.

    Without ``muon`` AdamW takes all. torch before 2.9 has no Muon; AdamW then takes the matrices too, and a message
    says so.
    """
    import torch

    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    known = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in known]
    adamw = torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.98), weight_decay=0.0)
    if muon and hasattr(torch.optim, "Muon"):
        newton_schulz = torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.0)
        return [newton_schulz, adamw], "Muon (matrices), AdamW (embeddings, norms)"
    if muon:
        print(
            f"torch {torch.__version__} has no Muon optimizer; AdamW trains the matrices instead, which is "
            "not how the shipped model was made. Install torch>=2.9 to repeat the shipped model.",
            file=sys.stderr,
        )
    return [torch.optim.AdamW(matrices, lr=0.002, betas=(0.9, 0.98), weight_decay=0.0), adamw], "AdamW"


def step_in_float32(optimizer: torch.optim.Optimizer) -> None:
    """Take a step without the cast to bfloat16 that torch's Muon makes before its Newton–Schulz iteration.

    The matrices are small, so that float32 costs nothing; a processor without instructions for bfloat16 takes several
    times as long for the cast ones.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Float32(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.bfloat16:
                return args[0].float().clone()  # a copy, as the cast makes one: what follows works in place
            return func(*args, **(kwargs or {}))

    with Float32():
        optimizer.step()
