"""Public tokenizers that come with this package: whether a text kept to its budget when its own tokenizer is missing.

Each is one file of ``data/reference_tokenizers``, made by ``scripts/reference_tokenizers.py``: byte-level BPE as one
line of JSON and one merge a line, compressed by xz. Sources and licences: ``data/reference_tokenizers/NOTICE.md``.
"""

from __future__ import annotations

import json
import lzma
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError
from roi_bench.machine import data_folder

REFERENCES = ("deepseek-v3", "o200k_base", "cl100k_base", "qwen2.5", "smollm2")
"""Names of the reference tokenizers, those that need the fewest tokens for mathematics in English first."""

MARGIN, FREE_TOKENS = 1.35, 16
"""A response may be so many times its budget by every reference tokenizer, and so many tokens more.

On 1,800 recorded responses to GSM8K, MATH and AIME the two public tokenizers that were held out, Gemma 3's and
Anthropic's of 2023, never need fewer than 0.79 of the least count of the reference tokenizers; 1 / 0.79 is 1.27."""

FOREIGN_SHARE = 0.5
"""What a token in a script other than the Latin one counts. The reference tokenizers serve some scripts badly: of 135
languages Gemma 3's needs 0.45 of their least count in the worst case (Dhivehi), 0.9 or more in all Latin ones."""

FIRST_FOREIGN = 0x370
"""First character behind the Latin ones, their accents and the phonetic letters."""

AT_ONCE = 256
"""Texts that are counted together."""


def most_tokens(budget: int) -> int:
    """Return how many tokens, by the reference tokenizer that needs fewest, a response to ``budget`` may have."""
    return int(MARGIN * budget) + FREE_TOKENS


@dataclass(frozen=True, slots=True)
class ReferenceTokenizer:
    """A reference tokenizer; a :class:`roi_bench.scoring.tokens.TokenCounter`.

    Attributes:
        name: One of :data:`REFERENCES`.
        hub: Names of models on the hub whose tokenizer it is.
        model: What of a ``tokenizer.json`` decides how text is cut.
        tokenizer: The tokenizer of the package tokenizers.
    """

    name: str
    hub: tuple[str, ...]
    model: Mapping[str, Any]
    tokenizer: Any

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of ``text`` starts, ascending."""
        return [start for start, _ in self.tokenizer.encode(text, add_special_tokens=False).offsets]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [len(one.ids) for one in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def latin_count(self, text: str) -> float:
        """Return the number of tokens of ``text``, those in another script counted as :data:`FOREIGN_SHARE`."""
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        foreign = sum(any(map(_is_foreign, text[start:end])) for start, end in offsets)
        return len(offsets) - (1 - FOREIGN_SHARE) * foreign


def first_over_budget(texts: Sequence[str], budget: int) -> tuple[int, float] | None:
    """Return the first text that is over the budget by every reference tokenizer, and its least count; else None.

    Args:
        texts: The texts.
        budget: Budget in tokens, to which :func:`most_tokens` adds the margin.

    Raises:
        DependencyError: tokenizers is not installed.
    """
    most = most_tokens(budget)
    for start in range(0, len(texts), AT_ONCE):
        # a byte is one token at most, so only long texts are counted at all
        suspects = [
            i for i in range(start, min(start + AT_ONCE, len(texts))) if len(texts[i].encode("utf-8", "replace")) > most
        ]
        for name in REFERENCES:
            counts = load_reference(name).counts([texts[i] for i in suspects]) if suspects else []
            suspects = [i for i, count in zip(suspects, counts, strict=True) if count > most]
        for i in suspects:
            if (least := min(load_reference(name).latin_count(texts[i]) for name in REFERENCES)) > most:
                return i, least
    return None


def counts_by_first(texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text by the first of :data:`REFERENCES`.

    Raises:
        DependencyError: tokenizers is not installed.
    """
    parts = (texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE))
    return [count for part in parts for count in load_reference(REFERENCES[0]).counts(part)]


def reference_of(model: str) -> ReferenceTokenizer | None:
    """Return the reference tokenizer that is the one of ``model`` on the hub, None where there is none."""
    return next((load_reference(name) for name in REFERENCES if model in _header(name)["hub"]), None)


def hub_name_of(folder: Path) -> str | None:
    """Return the name on the hub of the tokenizer in ``folder`` if it is one of the reference tokenizers, else None."""
    try:
        found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        model = _cutting(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    known = (load_reference(name) for name in REFERENCES if _header(name)["hub"])
    return next((reference.hub[0] for reference in known if reference.model == model), None)


def _cutting(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a ``tokenizer.json`` decides how it cuts text, written in one way."""
    merges = [one.split(" ") if isinstance(one, str) else one for one in document["model"]["merges"]]
    return {
        "merges": [" ".join(pair) for pair in merges],
        "pre_tokenizer": document["pre_tokenizer"],
        "normalizer": document["normalizer"],
        "added_tokens": sorted(one["content"] for one in document["added_tokens"]),
    }


@lru_cache(maxsize=len(REFERENCES))
def load_reference(name: str) -> ReferenceTokenizer:
    """Return a reference tokenizer, loaded once per process.

    Raises:
        DependencyError: tokenizers is not installed.
    """
    try:
        from tokenizers import AddedToken, Tokenizer
        from tokenizers.models import BPE
    except ImportError as error:
        raise DependencyError(
            "counting tokens needs the package tokenizers; install it: pip install 'roi-bench[leaderboard]'"
        ) from error
    header, lines = _header(name), list(_lines(name))
    merges = [(left, right) for left, right in (line.split(" ") for line in lines)]
    vocabulary = {letter: place for place, letter in enumerate(_letters())}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    parts = {"pre_tokenizer": header["pre_tokenizer"], "normalizer": None, "post_processor": None, "decoder": None}
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    tokenizer = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": empty, **parts}))
    tokenizer.model = BPE(vocab=vocabulary, merges=merges, ignore_merges=header["ignore_merges"])
    tokenizer.add_tokens([AddedToken(content, normalized=False) for content in header["added_tokens"]])
    model = {"merges": lines, "normalizer": None, **{key: header[key] for key in ("pre_tokenizer", "added_tokens")}}
    return ReferenceTokenizer(name, tuple(header["hub"]), model, tokenizer)


@lru_cache(maxsize=len(REFERENCES))
def _header(name: str) -> dict[str, Any]:
    with lzma.open(_file(name), "rt", encoding="utf-8", newline="\n") as stream:
        found: dict[str, Any] = json.loads(stream.readline())
    return found


def _lines(name: str) -> Iterator[str]:
    """Yield the merges of a tokenizer."""
    yield from lzma.decompress(_file(name).read_bytes()).decode("utf-8").split("\n")[1:-1]


def _file(name: str) -> Path:
    return data_folder("data/reference_tokenizers") / f"{name}.xz"


def _letters() -> list[str]:
    """Return the character that stands for each byte in byte-level BPE, as GPT-2 chose them."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


def _is_foreign(character: str) -> bool:
    return ord(character) >= FIRST_FOREIGN and unicodedata.category(character)[0] in "LM"
