"""Counting the tokens of a submission again, with the tokenizer that it names; never with code that it brings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from roi_bench.errors import ModelError, RecordError
from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.harness.tokenizer import FileTokenCounter, load_token_counter
from roi_bench.leaderboard.recorded_tokens import Lengths, lengths_of
from roi_bench.leaderboard.strict_json import shown
from roi_bench.scoring.tokens import TokenCounter

SHIPPED_PREFIX, LOCAL_PREFIX = "roi-bench:", "local:"
"""Names of tokenizers that come with this package, and of those that only the submitter has."""


def shipped_name(folder: str) -> str:
    """Return the name of the shipped model in ``folder`` of the package's data, ``roi-bench:tiny_rarl``."""
    return f"{SHIPPED_PREFIX}{folder}"


@lru_cache(maxsize=4)
def shipped_counter(name: str) -> TokenCounter:
    """Return the counter of the shipped tokenizer called ``name``.

    Raises:
        DependencyError: tokenizers is not installed.
    """
    stage = next(stage for stage, folder in SHIPPED_MODELS.items() if shipped_name(folder) == name)
    return FileTokenCounter(model_path(stage) / "tokenizer.json")


def counter_for(name: str, revision: str | None, *, recount: bool) -> TokenCounter | None:
    """Return what to count again with: a shipped tokenizer always, one on the hub with ``recount``, else None.

    Raises:
        RecordError: The name, which a stranger chose, is that of a folder here.
        DependencyError: tokenizers or transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    if name.startswith(SHIPPED_PREFIX):
        return shipped_counter(name)
    if name.startswith(LOCAL_PREFIX) or not recount:
        return None
    if Path(name).exists():
        raise RecordError(f"tokenizer {shown(name)!r} is also a folder here and would be taken for it; work elsewhere")
    return load_token_counter(name, revision=revision, trust_remote_code=False)


def check_counts(recorded: Mapping[str, Lengths], counter: TokenCounter, where: str, tokenizer: str) -> None:
    """Hold recorded token lengths, by text, against what ``counter`` finds.

    Raises:
        RecordError: A text has other tokens.
        ModelError: The tokenizer fails.
    """
    for text, lengths in recorded.items():
        try:
            found = lengths_of(counter.token_starts(text))
        except Exception as error:  # a stranger chose it, and may have made it
            raise ModelError(f"{where}: tokenizer {shown(tokenizer)} fails: {shown(error)}") from error
        if list(found) != list(lengths):
            recorded_count = "others" if len(found) == len(lengths) else str(len(lengths))
            raise RecordError(
                f"{where}: a response of {len(text)} characters has {len(found)} tokens by {shown(tokenizer)}, "
                f"recorded are {recorded_count}; the response was altered, or its counts were"
            )
