"""Requests to API models as the harness and the journal know them: their budget, their name in batches, their cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roi_bench.exams.exam import sha256_text
from roi_bench.harness.settings import BUDGET_ALIASES, budget_of
from roi_bench.records.journal import Journal, RequestKey, canonical_json

DEFAULT_BUDGET = 256
"""``max_gen_toks`` of lm_eval's models where a task sets none; ours always do."""


def with_budget(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``generation`` arguments with their budget under one name, lm_eval's default where a task has none.

    Raises:
        UsageError: Two names of the budget disagree.
    """
    budget = budget_of(generation, DEFAULT_BUDGET)
    return {**{name: generation[name] for name in generation if name not in BUDGET_ALIASES}, "max_gen_toks": budget}


def request_name(key: RequestKey) -> str:
    """Return the name of a request in batches, the same in every start of a run."""
    return sha256_text(canonical_json([key.prompt_sha256, key.generation, key.sample]))[:32]


def paid(journal: Journal) -> float:
    """Return what the responses in ``journal`` cost, in USD."""
    return float(sum(entry.extra.get("usd") or 0.0 for entry in journal.entries.values()))


def maybe_paid(journal: Journal) -> float:
    """Return what attempts of unknown cost (no response, or one without usage) may have cost at most, in USD."""
    return float(sum(entry.extra.get("maybe_paid_usd") or 0.0 for entry in journal.entries.values()))
