"""The tiny model: a small Qwen3-style causal LM made from scratch, its tokenizer and its optimizers."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roi_bench.exams.tiny import MODULUS, TINY_CHAT_TEMPLATE
from roi_bench.scoring.prompts import PROMPTS, RESPONSE_CUE, problem_header

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM


# The tokenizer of the tiny model: an explicit vocabulary in which one arithmetic step is four tokens.
#
# A byte-level BPE without merges: the pre-tokenizer cuts the text by one regular expression, a piece that stands in the
# vocabulary is one token, and any other piece falls back to its bytes. So every text is encoded without loss, and
# encoding decoded text gives the same tokens again.

PAD, END = "<|pad|>", "<|end|>"
SPECIAL_TOKENS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")

RESPONSE_TEMPLATE = {
    "start_anchor": "<|assistant|>\n",
    "fields": {"content": {"close": [END], "content": "text"}},
}
"""How servers read a response; without it ``transformers serve`` takes that of Qwen, which shows the prompt as well."""

HEADERS = tuple(problem_header(position) + "\n" for position in (1, 2, 3))
LEVEL_TAGS = tuple(f"<predicted_level>Level-{level}</predicted_level>\n" for level in range(4))
QUESTION_PARTS = ("Start at", ". Apply", " and", " in turn,", " times, modulo 100.")

_WORD_LIST = """
a above after all allocate already also an and answer answers any are as ask at attempt be because before begin below
best box boxed budget but by can cannot check choose correct cost costs count counts cut difficulty do does each earn
earned earlier easy end estimate every everything exam expected fails few final find first fit fits follow following
for forecast format from full give given go hard has have header how if in instructions into is it its k keep last
later least left less level limit line look many maximum may middle more most must need never next no not nothing of
on once one only or order other out over per plan point points predict predicted problem problems question questions
read remaining required respond response rest result retry return reward rule rules same save say second select short
should show skip skipped so solution solve solved solving some spend start step steps still stop take task than that
the their them then there they think third this three time to token tokens total try two under understand until up use
used value want way what when whether which while whole why will with within without work worth would write written
wrong yes you your zero Answer Allocate Choose Everything First For If In Keep Let Look Now Plan Please Predict Read
Skip Solve Spend Start Take The Then There These This Three Work Write You
"""

WORDS = tuple(_WORD_LIST.split())
"""Words of instructions, so that a prompt other than the direct one costs a token a word and not a token a letter."""


def _fragments() -> list[str]:
    """Return the fixed pieces of prompts and responses that are one token each."""
    direct = PROMPTS["direct"]
    above = [direct.header.format(k=position) + "\n" for position in (1, 2, 3)]
    pieces = template_pieces(direct.template)
    return [*pieces, *above, *HEADERS, *LEVEL_TAGS, *QUESTION_PARTS, RESPONSE_CUE, "\\boxed{", "NA", "\n\n"]


def template_pieces(template: str) -> list[str]:
    """Return the fixed texts of a template between its questions and numbers, line by line; blank lines alone."""
    pieces = re.split(r"\{(?:problems|budget|level_\d)\}|(\n\n)|(?<=\n)", template)
    return [text.format() for text in dict.fromkeys(pieces) if text and text.strip()]


def instruction_pieces() -> list[str]:
    """Return the pieces of all prompts except the direct one, which the first part of the training does not have.

    A paragraph of the direct prompt that another prompt goes on with is cut off, so that both share its token. They
    stand behind the trained vocabulary (:func:`roi_bench.tiny_family.model.extend_vocabulary`), so that a
    prompt with level tags costs a stage that trains on it some 50 tokens and not 190.
    """
    known = _vocabulary()
    direct = sorted((piece for piece in _fragments() if len(piece) > 40), key=len, reverse=True)
    pieces: dict[str, None] = {}
    for prompt in PROMPTS.values():
        for piece in template_pieces(prompt.template):
            for shared in direct:
                piece = piece.replace(shared, "\x00")
            pieces.update(dict.fromkeys(piece.split("\x00")))
    return [piece for piece in pieces if len(piece) > 1 and piece not in known]


def _vocabulary() -> list[str]:
    """Return the texts of all tokens beside the bytes."""
    numbers = [str(value) for value in range(100)]
    operations = [f" {sign}{value}" for sign in "+-*" for value in range(1, 100)]
    words = [space + word for word in WORDS for space in ("", " ")]
    texts = [*_fragments(), *numbers, *(f" {number}" for number in numbers), *operations, *words]
    return sorted(set(texts), key=texts.index)


def _pattern(fixed: list[str]) -> str:
    """Return the regular expression whose matches are the pieces: fixed fragments, operations, numbers, words."""
    fragments = "|".join(re.escape(text) for text in sorted(fixed, key=len, reverse=True))
    return fragments + r"| [+\-*][1-9][0-9]?(?![0-9])| ?(?:0|[1-9][0-9]?)| ?[A-Za-z]+"


def build_tokenizer(extended: bool = True) -> PreTrainedTokenizerFast:
    """Return the tokenizer; the same vocabulary in the same order every time.

    Args:
        extended: Know the :func:`instruction_pieces` as well; the base model is trained without them.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def as_bytes(text: str) -> str:
        return "".join(piece for piece, _ in byte_level.pre_tokenize_str(text))

    pieces = instruction_pieces() if extended else []
    texts = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map(as_bytes, [*_vocabulary(), *pieces])]
    vocabulary = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    split = pre_tokenizers.Split(Regex(_pattern([*_fragments(), *pieces])), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=TINY_CHAT_TEMPLATE,
        response_template=RESPONSE_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],  # else transformers 4 adds token_type_ids
        model_max_length=8192,
    )


# The tiny model: a small Qwen3-style causal LM made from scratch, and its two optimizers.

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
