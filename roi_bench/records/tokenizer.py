"""Counting tokens of text with a Hugging Face tokenizer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, ModelError, first_line
from roi_bench.records.results import RunRecord

TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json", "config.json")
"""Names of files of which a folder with a tokenizer has at least one."""


class HFTokenCounter:
    """A :class:`roi_bench.scoring.tokens.TokenCounter` over a Hugging Face tokenizer.

    Args:
        tokenizer: A transformers tokenizer. A fast one knows the offsets of its tokens in the text; for a slow one the
            positions follow from the decoded length of each token and are exact wherever decoding is lossless.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of ``text`` starts, ascending."""
        return [start for start, _ in self._spans(text)]

    def token_ids(self, text: str) -> list[int]:
        """Return the id of each token of ``text``, no special tokens added."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def cut(self, text: str, tokens: int) -> tuple[str, int]:
        """Return the part of ``text`` that its first ``tokens`` tokens make up, and the count of tokens of all."""
        spans = self._spans(text)
        if len(spans) <= tokens:
            return text, len(spans)
        return text[: spans[tokens - 1][1]] if tokens > 0 else "", len(spans)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Return the (start, end) characters of each token."""
        if getattr(self.tokenizer, "is_fast", False):
            encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            return [(int(start), int(end)) for start, end in encoding["offset_mapping"]]
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        lengths = [len(self.tokenizer.decode([token])) for token in ids]
        decoded = sum(lengths)
        scale = len(text) / decoded if decoded else 0.0  # 1 where decoding the tokens one by one gives the text back
        ends = [min(len(text), round(end * scale)) for end in accumulate(lengths)]
        return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


class FileTokenCounter:
    """A :class:`scoring.tokens.TokenCounter` over a ``tokenizer.json``, read by the small package tokenizers alone.

    For a tokenizer that transformers takes as it is (the shipped ones), it counts what :class:`HFTokenCounter` counts,
    without the seconds that importing transformers takes.

    Args:
        file: The file.

    Raises:
        DependencyError: tokenizers is not installed.
    """

    def __init__(self, file: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise DependencyError(
                f"{file} needs the package tokenizers; install it: pip install 'roi-bench[leaderboard]'"
            ) from error
        self._tokenizer = Tokenizer.from_file(str(file))

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of ``text`` starts, ascending."""
        return [start for start, _ in self._tokenizer.encode(text, add_special_tokens=False).offsets]


def load_token_counter(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> HFTokenCounter:
    """Return the token counter of a tokenizer, loaded once per process.

    Args:
        name: A folder with a tokenizer, or its name on the Hugging Face hub.
        revision: Revision on the hub.
        trust_remote_code: Allow a tokenizer that brings its own code.

    Raises:
        DependencyError: transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    return HFTokenCounter(load_tokenizer(name, revision, trust_remote_code))


def lasting_name(name: str | None) -> str | None:
    """Return a tokenizer's name that works from any folder: the absolute path of a folder, else the name itself."""
    return str(Path(name).resolve()) if name is not None and Path(name).is_dir() else name


def recorded_token_counter(
    record: RunRecord, tokenizer: str | None = None, trust_remote_code: bool = False
) -> HFTokenCounter | None:
    """Return the counter of a recorded run, None where no tokenizer is known.

    Args:
        record: The run's record.
        tokenizer: Tokenizer to take in place of the recorded one.
        trust_remote_code: Allow a tokenizer that brings its own code.

    Raises:
        DependencyError: transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    name, revision = (tokenizer, None) if tokenizer else (record.tokenizer, record.tokenizer_revision)
    return load_token_counter(name, revision=revision, trust_remote_code=trust_remote_code) if name else None


def load_tokenizer(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Return the Hugging Face tokenizer ``name`` (a folder or a hub name), loaded once per process.

    Raises:
        DependencyError: transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    return _load_once(name, revision, trust_remote_code)


@lru_cache(maxsize=8)
def _load_once(name: str, revision: str | None, trust_remote_code: bool) -> Any:
    if find_spec("torch") is None:  # transformers would say so; no tokenizer needs it
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        if find_spec("transformers") is not None:
            raise DependencyError(
                f"tokenizer {name!r}: transformers is installed but cannot be imported: {first_line(error)}; pip check "
                "names the packages that do not fit each other"
            ) from error
        raise DependencyError(
            f"tokenizer {name!r} needs the package transformers; install it: pip install 'roi-bench[hf]'"
        ) from error
    if Path(name).is_dir() and not any(list(Path(name).glob(pattern)) for pattern in TOKENIZER_FILES):
        raise ModelError(f"cannot load tokenizer {name!r}: that folder has no tokenizer.json; give another one")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"cannot load tokenizer {name!r}: {first_line(error)}; give a folder with tokenizer.json, or the name of a "
            "model on the hub that can be reached"
        ) from error
