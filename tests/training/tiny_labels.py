"""Samples and labels of the tiny family by hand, for tests of what trains on them."""

from __future__ import annotations

from functools import cache
from itertools import count, islice
from typing import Any

from roi_bench.exams.exam import TIERS, Problem
from roi_bench.exams.tiny import model_path, tiny_problem
from roi_bench.records.tokenizer import HFTokenCounter, load_tokenizer
from roi_bench.training.mft.labels import SampledSolution, label
from roi_bench.training.plan.recipe import Labels

HEAD = 2
"""Tokens of a header line and of a level tag with its line end."""

SKIP_COST = HEAD + 4
r"""Tokens of a skipped problem: ``\boxed{``, ``NA``, ``}`` and a line end (or the end of the response) behind them."""


@cache
def tokenizer() -> Any:
    return load_tokenizer(str(model_path()))


@cache
def counter() -> HFTokenCounter:
    return HFTokenCounter(tokenizer())


def token_count(text: str) -> int:
    """Count without the counter that the code under test uses."""
    return len(tokenizer().encode(text, add_special_tokens=False))


def work_of_cost(cost: int, answer: str = "14") -> str:
    r"""Return work that, with header, tag and line end, takes ``cost`` tokens, at least 8.

    Besides header and tag: a line end, ``\boxed{``, the answer, ``}`` and the last line end, and so many sevens.
    """
    return " ".join(["7"] * (cost - HEAD - 5)) + f"\n\\boxed{{{answer}}}"


def problems(per_tier: int, seed: int = 3) -> dict[str, list[Problem]]:
    return {
        tier: list(islice((tiny_problem(seed, tier, index, "training") for index in count()), per_tier))
        for tier in TIERS
    }


@cache
def labels(per_tier: int = 12, seed: int = 3) -> tuple[Any, ...]:
    """Labels of a model that solves all but every third problem."""
    found = []
    for tier, items in problems(per_tier, seed).items():
        for index, problem in enumerate(items):
            sample = SampledSolution(f"### Problem 1\n{problem.solution}\n", index % 3 != 0)
            found.append(label(problem, tier, [sample], counter(), Labels()))
    return tuple(found)
