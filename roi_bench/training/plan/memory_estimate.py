"""How much memory a stage takes on each device, from the shape of the model alone: no weights are loaded.

An estimate of the large parts, to distinguish a recipe that fits from one that cannot; CUDA context, fragmentation and
temporary buffers are left to :data:`USABLE`. The formulas:

- States: weights, gradients and the two moments of Adam, each in the type of the weights. Sharded over N processes
  (FSDP, ZeRO-3) they take 16 bytes a trainable parameter, over N: all in float32, or a float32 copy beside bfloat16
  (S. Rajbhandari et al., ZeRO, arXiv 1910.02054, section 3). Two layers and the embeddings are gathered at a time.
- Activations: what each part of a layer keeps for the backward pass, counted as in V. Korthikanti et al., Reducing
  Activation Recomputation, arXiv 2205.05198, section 4, for a layer with RMSNorm, a gated MLP and an attention kernel
  that keeps no matrix of scores. With gradient checkpointing: the input of each layer, and one layer in full.
- Logits: TRL with a fused head projects tiles of 4,096 tokens × 32,768 entries (and keeps a float32 gradient of the
  head); an older one holds tokens × vocabulary, as it is, in float32, and as gradient.
- Key-value cache of rollouts by transformers: all responses of a step on this device at once, as TRL generates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

USABLE = 0.9
"""Share of a device's memory that an estimate may fill."""

TILE_TOKENS, TILE_ENTRIES = 4096, 32768
"""Tile of TRL's fused head (``trl.kernels.chunked_logprob``, TRL 1.16)."""

FLOAT = 4
"""Bytes of a float32."""

DTYPE_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a causal language model.

    Attributes:
        parameters: All parameters, tied ones once.
        linear_parameters: Those of the linear layers within the blocks, which quantisation packs.
        linear_widths: Inputs plus outputs, summed over these layers: the parameters of adapters of rank 1.
        layers, hidden, intermediate, heads, kv_heads, head_size, vocabulary: As in its configuration.
        context: Longest sequence in tokens; None if unknown.
    """

    parameters: int
    linear_parameters: int
    linear_widths: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int | None


@dataclass(frozen=True, slots=True)
class Workload:
    """The load of one device in one stage.

    Attributes:
        sequences: Sequences of one forward and backward pass.
        tokens: Tokens of the longest of them, prompt and completion.
        scored: Tokens of its completion: those that get logits.
        rollouts: Sequences generated at once by transformers; 0 if another process generates, or none.
        weights: ``float32`` or ``bfloat16``.
        autocast: Computed in bfloat16 whatever the type of the weights (mixed precision).
        adapter_rank: Rank of LoRA adapters on all linear layers; 0 for full fine-tuning.
        quantised: The frozen weights are kept in 4 bits.
        processes: Processes that share the states (FSDP, ZeRO-3); 1 if each has all of them.
        checkpointing: Activations are recomputed in the backward pass.
        fused_head: The trainer computes logits in tiles.
    """

    sequences: int
    tokens: int
    scored: int
    rollouts: int = 0
    weights: str = "bfloat16"
    autocast: bool = False
    adapter_rank: int = 0
    quantised: bool = False
    processes: int = 1
    checkpointing: bool = True
    fused_head: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights, gradients, optimizer: States, present all the time.
        copies: Weights gathered from other devices, or cast to bfloat16 for autocast.
        activations, logits: While the model is updated.
        cache: Key-value cache, and weights gathered for it, while responses are generated.
    """

    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int
    logits: int
    cache: int

    @property
    def states(self) -> int:
        """Bytes that are there all the time."""
        return self.weights + self.gradients + self.optimizer + self.copies

    @property
    def peak(self) -> int:
        """Bytes at the worst moment: an update, or generation."""
        return self.states + max(self.activations + self.logits, self.cache)


def shape_of(config: Any) -> Shape:
    """Return the shape of the model that a transformers configuration describes, built without memory for weights.

    Raises:
        ValueError: transformers knows no causal language model of this kind.
    """
    from accelerate import init_empty_weights
    from torch import nn
    from transformers import AutoModelForCausalLM

    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()  # initialisation on the meta device unties
    head = model.get_output_embeddings()
    linear = [part for part in model.modules() if isinstance(part, nn.Linear) and part is not head]
    text = config.get_text_config()
    heads = text.num_attention_heads
    return Shape(
        parameters=sum(item.numel() for item in model.parameters()),
        linear_parameters=sum(part.weight.numel() for part in linear),
        linear_widths=sum(part.in_features + part.out_features for part in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or text.hidden_size // heads,
        vocabulary=text.vocab_size,
        context=getattr(text, "max_position_embeddings", None),
    )


def estimate(shape: Shape, work: Workload) -> Memory:
    """Return the bytes that ``work`` takes on one device."""
    element = DTYPE_BYTES["bfloat16" if work.autocast else work.weights]
    tokens, scored = work.sequences * work.tokens, work.sequences * work.scored
    weights, gradients, optimizer = _states(shape, work)
    copies = 0
    if work.processes > 1:
        layer = (shape.parameters - shape.vocabulary * shape.hidden) // shape.layers
        copies = (2 * layer + shape.vocabulary * shape.hidden) * element
    elif work.autocast and work.weights == "float32":
        copies = shape.linear_parameters * element
    if work.fused_head:
        head = 0 if work.adapter_rank else FLOAT * shape.vocabulary * shape.hidden
        logits = FLOAT * min(scored, TILE_TOKENS) * min(shape.vocabulary, TILE_ENTRIES) + head
    else:
        logits = scored * shape.vocabulary * (element + 2 * FLOAT)
    activations = _activations(shape, work, tokens, element)
    return Memory(weights, gradients, optimizer, copies, activations, logits, _generation(shape, work, element))


def _generation(shape: Shape, work: Workload, element: int) -> int:
    """Return the bytes that rollouts by transformers take beside the states."""
    if not work.rollouts:
        return 0
    cache = work.rollouts * work.tokens * 2 * shape.layers * shape.kv_heads * shape.head_size * element
    gathered = shape.parameters * element if work.processes > 1 else 0  # all weights, to generate with
    return cache + work.rollouts * shape.vocabulary * FLOAT + gathered


def _states(shape: Shape, work: Workload) -> tuple[int, int, int]:
    """Return the bytes of weights, gradients and optimizer on one device."""
    element = DTYPE_BYTES[work.weights]
    if work.adapter_rank:
        adapters = work.adapter_rank * shape.linear_widths  # peft keeps them in float32
        frozen = shape.parameters * element
        if work.quantised:
            frozen = shape.linear_parameters // 2 + (shape.parameters - shape.linear_parameters) * element
        parts = (frozen + FLOAT * adapters, FLOAT * adapters, 2 * FLOAT * adapters)
    else:
        size = FLOAT if work.processes > 1 else element
        parts = (shape.parameters * size, shape.parameters * size, 2 * shape.parameters * size)
    weights, gradients, optimizer = (-(-part // work.processes) for part in parts)
    return weights, gradients, optimizer


def _activations(shape: Shape, work: Workload, tokens: int, element: int) -> int:
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    # Inputs of both norms and of what follows them; queries and attention's output; keys, values; four of the MLP.
    kept = 4 * shape.hidden + 2 * queries + 2 * keys + 4 * shape.intermediate
    layer = tokens * (kept * element + 2 * FLOAT * shape.hidden)  # RMSNorm computes in float32
    if work.checkpointing:
        return tokens * shape.hidden * element * shape.layers + layer
    return layer * shape.layers
